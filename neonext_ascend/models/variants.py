"""The networks by name, as one table: sizes, shifts and what was published about them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from neonext_ascend.errors import UsageError
from neonext_ascend.models.config import DEFINITIONS, NetworkConfig


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the table: a network and its published ImageNet top-1 accuracy in percent."""

    config: NetworkConfig
    top1: float | None
    source: str | None


_DEPTHS = {"t": (3, 3, 9, 3), "s": (3, 3, 27, 3), "b": (3, 3, 27, 3), "l": (3, 3, 27, 3)}
_WIDTHS = {
    "t": (96, 192, 384, 768),
    "s": (96, 192, 384, 768),
    "b": (128, 256, 512, 1024),
    "l": (192, 384, 768, 1536),
}
_RELEASED = (("t", 224), ("s", 224), ("b", 224), ("t", 384), ("s", 384), ("b", 384), ("l", 384))
_TOP1_README = dict(zip(_RELEASED, (81.44, 82.58, 83.09, 82.00, 82.94, 83.26, 83.68), strict=True))
_TOP1_PAPER = dict(zip(_RELEASED, (80.87, 82.03, 82.23, 81.36, 83.32, 83.11, None), strict=True))


def _variants() -> dict[str, Variant]:
    table: dict[str, Variant] = {}
    for definition, traits in DEFINITIONS.items():
        for letter, size in _RELEASED:
            release = definition == "release"
            name = f"neonext_{letter}" + ("" if size == 224 else f"_{size}") + ("" if release else f".{definition}")
            config = NetworkConfig(
                name=name,
                definition=definition,
                depths=_DEPTHS[letter],
                widths=_WIDTHS[letter],
                cells=traits.cells,
                # The authors trained their 384 networks with shifts in stage 4 as well.
                shifts=(True, True, True, release and size == 384),
                image_size=(size, size),
            )
            top1 = (_TOP1_README if release else _TOP1_PAPER)[letter, size]
            source = None if top1 is None else ("the authors' README" if release else "the paper's Table 1")
            table[name] = Variant(config, top1, source)
    table["neonext_nano"] = Variant(
        NetworkConfig(
            name="neonext_nano",
            definition="release",
            depths=(1, 2, 2, 1),
            widths=(12, 24, 48, 96),
            cells=DEFINITIONS["release"].cells,
            shifts=(True, True, True, False),
            num_classes=10,
            image_size=(96, 96),
        ),
        None,
        None,
    )
    return table


VARIANTS: Mapping[str, Variant] = _variants()


def find_variant(name: str) -> Variant:
    """The variant of this name.

    Raises:
        UsageError: there is none; near names are suggested.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    near = difflib.get_close_matches(name.lower().replace("-", "_"), VARIANTS, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "see neonext-ascend list"
    raise UsageError(f"unknown model {name!r}: {hint}")
