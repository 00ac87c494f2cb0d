"""Damage inside the fields of a manifest or a configuration: most still parse, and it is known where it hurts."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from typing import Any

Steps = tuple[str | int, ...]
# A string that stands for its own text, which json.dumps would not write; and for a key that stands twice.
_RAW, _TWICE = "RAW ", "TWICE "
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 0.5, -0.0, "", "x", "1", [], {}, [[]], [1, "x"], {"a": 1}, [None], {"": {}}),
    *(2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**25, 10**400, 1e308, -1e308, 1e-320, 1.5, 17.0),
    *(_RAW + text for text in ("NaN", "nan", "Infinity", "-inf", "1e999", "9" * 5000, "0x" + "f" * 5000, "01", "'")),
    *(
        "\0",
        "a\nb",
        "../up",
        "/",
        "..",
        "\ud800",
        "\u202e",
        "\ufeff",
        "中文",
        "x" * 100_000,
        "e\N{COMBINING TILDE}" * 50,
    ),
    *("release\n", "fp32 ", "ONNX", "9" * 5000, "a`b", "$.a - at `$.b`", "[...]"),
)
_DEPTHS = (1, 2, 30, 400, 20_000)


def hurt(data: dict[str, Any], rng: random.Random) -> tuple[dict[str, Any], Steps]:
    """The data with one field damaged, and which."""
    changed = copy.deepcopy(data)
    steps = rng.choice(list(_places(changed)))
    holder: Any = changed
    for step in steps[:-1]:
        holder = holder[step]
    last: Any = steps[-1]
    match rng.randrange(8):
        case 0:
            del holder[last]
        case 1 if isinstance(holder, dict):
            holder[_TWICE + last] = holder[last]
        case 2:
            deep = rng.choice(_DEPTHS)
            holder[last] = _RAW + "[" * deep + "]" * deep
        case 3 if isinstance(holder[last], (int, float)):
            holder[last] = rng.choice((-1, 2, 10, 10**9, 10**30)) * holder[last] + rng.choice((-1, 0, 1, 0.5))
        case _:
            holder[last] = rng.choice(_VALUES)
    return changed, steps


def path_of(steps: Steps) -> str:
    """As messages write it: ``artifact.files[0].sha256``, ``points['stem.conv']``."""
    told = "".join(f".{s}" if isinstance(s, str) and s.isidentifier() else f"[{s!r}]" for s in steps)
    return told.removeprefix(".")


def as_json(data: dict[str, Any]) -> bytes:
    """The file, with what json.dumps would not write."""
    return _unpacked(json.dumps(data, indent=1)).encode()


def as_toml(data: dict[str, Any]) -> bytes:
    """Likewise: lists, texts and numbers are written as in JSON, tables and null are no TOML then."""
    lines = (f"{key.removeprefix(_TWICE)} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in data.items())
    return _unpacked("".join(lines)).encode(errors="surrogatepass")


def _unpacked(text: str) -> str:
    return re.sub(rf'"{_RAW}([^"]*)"', r"\1", text).replace(f'"{_TWICE}', '"')


def _places(value: Any, steps: Steps = ()) -> Iterator[Steps]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, held in items:
        yield (*steps, step)
        yield from _places(held, (*steps, step))
