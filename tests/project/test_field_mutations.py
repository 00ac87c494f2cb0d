"""2,000 damaged manifests and 2,000 damaged configurations: our errors alone, in one line that says where."""

from __future__ import annotations

import json
import random
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.checkpoints.loading import network_config, read_config
from neonext_ascend.errors import FileAccessError, UsageError
from tests import DATA
from tests.support.mutate import mutate
from tests.support.mutate_fields import Steps, as_json, as_toml, hurt, path_of
from tests.support.readers import CONFIG

CASES = 1000
MANIFESTS = [path.read_bytes() for path in sorted((DATA / "manifest_v1").iterdir())]
# What is no JSON or TOML has a line, or a byte, and no fields yet.
SYNTAX = re.compile(
    r"not a manifest: .*(line \d+ column \d+|from byte \d+ on)|truncated \(line \d+ column \d+\)"
    r"|not TOML: .*(at line \d+|at end of document|in position \d+|maximum recursion)|nested too deeply"
)
# What two fields make wrong together names both.
WHOLE = re.compile(r"; inputs\[0\] takes|a compilation;|channels cannot be split|ask for about|manifest.version")
PLACE = re.compile(r"\S+ (is|stands) |unknown field |a key ")


def read(kind: str, path: Path) -> None:
    """As commands do; the network in a manifest is read where one is checked with PyTorch."""
    if kind == "config":
        read_config(path)
        return
    manifest = read_manifest(path)
    json.dumps(manifest.to_json(), allow_nan=False).encode()
    try:
        network_config(manifest.network)
    except UsageError as error:
        raise UsageError(f"{path}: network.{error}") from None


def words_of(kind: str, data: bytes, path: Path) -> str | None:
    """What reading says, without the file's name; ``None`` where nothing is wrong."""
    path.write_bytes(data)
    try:
        read(kind, path)
    except (UsageError, FileAccessError) as error:
        words = str(error)
        assert words.startswith(f"{path}: ")
        assert words.isprintable()
        assert len(words) - len(str(path)) < 400
        return words.removeprefix(f"{path}: ").removeprefix("the manifest is damaged: ")
    return None


@pytest.mark.parametrize("kind", ["manifest", "config"])
def test_damaged_bytes_end_in_words_that_say_where(kind: str, tmp_path: Path) -> None:
    whole, outcomes = (MANIFESTS if kind == "manifest" else [CONFIG.encode()]), Counter[bool]()
    for case in range(CASES):
        data = mutate(whole[case % len(whole)], random.Random(f"{kind} {case}"), text=True)
        words = words_of(kind, data, tmp_path / "file")
        outcomes[words is None] += 1
        assert words is None or any(way.search(words) for way in (SYNTAX, PLACE, WHOLE)), f"case {case}: {words}"
    assert min(outcomes.values()) > CASES // 20, outcomes


@pytest.mark.parametrize("kind", ["manifest", "config"])
def test_a_damaged_field_is_named(kind: str, tmp_path: Path) -> None:
    outcomes = Counter[str]()
    for case in range(CASES):
        rng = random.Random(f"{kind} field {case}")
        whole = json.loads(rng.choice(MANIFESTS)) if kind == "manifest" else tomllib.loads(CONFIG)
        data, steps = hurt(whole, rng)
        words = words_of(kind, as_json(data) if kind == "manifest" else as_toml(data), tmp_path / "file")
        if words is None or SYNTAX.search(words):
            outcomes["good" if words is None else "syntax"] += 1
            continue
        outcomes["named"] += 1
        assert names(words, steps), f"case {case}: {path_of(steps)} is hurt: {words}"
    assert outcomes["named"] > CASES // 3, outcomes
    assert outcomes["good"] > CASES // 50, outcomes


def names(words: str, steps: Steps) -> bool:
    """Whether the words name the field, what it holds, or what it belongs to; never one beside it."""
    place, hurt_at = re.split(r"(?:\.\.\.)? (?:is|stands) ", words)[0], path_of(steps)
    if WHOLE.search(words):
        return any(str(step) in words.replace("manifest version", "manifest_version") for step in steps)
    return place.startswith(hurt_at) or hurt_at.startswith(place)
