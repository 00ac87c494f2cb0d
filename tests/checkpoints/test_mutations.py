"""2,000 damaged checkpoints, the same in every run: our errors alone, each of which says what is wrong, and where."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from neonext_ascend.checkpoints.reading import load_network, read_checkpoint
from neonext_ascend.errors import CheckpointError, FileAccessError
from tests.support.mutate import mutate, mutate_pickle
from tests.support.networks import tiny_config, tiny_network

State = dict[str, Tensor]
# What a message about damaged bytes says, where it names no tensor.
REASONS = re.compile(
    r"truncated|damaged|is empty|refused: it |not a readable PyTorch file: \S|the safetensors header"
    r"|not valid safetensors|neither a PyTorch file nor|holds an? .*; expected|not a NeoNeXt's weights"
    r"|entry .* is an? |pickle protocol|a pickle that torch\.save|holds several state dicts"
    r"|this file holds .* has|numbered|the state dict is empty"
)


def outcome(path: Path) -> str | None:
    """The error's words, or ``None`` where the file loads; any other exception is a failure."""
    try:
        load_network(tiny_config(), read_checkpoint(path))
    except (CheckpointError, FileAccessError) as error:
        words = str(error)
        assert words.startswith(f"{path}: ")
        assert len(words.splitlines()) == 1
        return words.removeprefix(f"{path}: ")
    return None


@pytest.mark.parametrize("kind", ["zip", "pickle", "legacy", "safetensors"])
def test_damaged_bytes_are_refused_in_words(tmp_path: Path, kind: str) -> None:
    state, path = tiny_network().state_dict(), tmp_path / "weights"
    if kind == "safetensors":
        save_file({f"model.{key}": value for key, value in state.items()}, path)
    else:
        torch.save({"model": state, "epoch": 3}, path, _use_new_zipfile_serialization=kind != "legacy")
    whole, said = path.read_bytes(), []
    for case in range(250):
        rng = random.Random(f"{kind} {case}")
        path.write_bytes(mutate_pickle(whole, rng) if kind == "pickle" else mutate(whole, rng))
        said.append(outcome(path))
    refused = [words for words in said if words is not None]
    unclear = [words for words in refused if not REASONS.search(words) and not any(key in words for key in state)]
    assert [words for words in unclear if not re.search(r"key '|stem|stage|head", words)] == []
    assert len(refused) > 125  # the other half changes a weight by a bit, or nothing that counts


# Each takes the state and a key, and gives what to save and the words that the error must have, if there is one.
Change = Callable[[State, str, random.Random], str | None]


def absent(state: State, key: str, _: random.Random) -> str | None:
    del state[key]
    return None if key.endswith("num_batches_tracked") else key


def misspelt(state: State, key: str, rng: random.Random) -> str:
    place = rng.randrange(len(key))
    state[key[:place] + "Q" + key[place + 1 :]] = state.pop(key)
    return ""  # either key may be named


def reshaped(state: State, key: str, rng: random.Random) -> str | None:
    value = state[key].to(torch.float32)
    state[key] = rng.choice((value[None], value.flatten()[: value.numel() // 2], torch.zeros(*value.shape, 2)))
    # From these the widths, cells and classes are read: the stage or the classifier's bias is named.
    return "" if re.search(r"0\.ops\.content\.norm\.weight|weight_a|head\.fc\.weight", key) else key


def of_whole_numbers(state: State, key: str, rng: random.Random) -> str | None:
    dtype = rng.choice((torch.int8, torch.int64, torch.bool, torch.uint8))
    state[key] = state[key].to(dtype)
    return None if key.endswith("num_batches_tracked") else f"{key} holds {dtype}; expected floating-point numbers"


def of_other_floats(state: State, key: str, rng: random.Random) -> str | None:
    if not key.endswith("num_batches_tracked"):
        state[key] = state[key].to(rng.choice((torch.float64, torch.bfloat16, torch.float16)))
    return None


def not_a_number(state: State, key: str, rng: random.Random) -> str | None:
    if key.endswith("num_batches_tracked"):
        return None
    state[key] = state[key].clone()
    state[key].view(-1)[rng.randrange(state[key].numel())] = rng.choice((torch.nan, torch.inf, -torch.inf))
    return f"{key} holds NaN or infinity"


def unusual(state: State, key: str, rng: random.Random) -> str | None:
    kind = rng.choice(("complex", "sparse", "meta"))
    value = state[key].to(torch.float32)
    made = {"complex": value.to(torch.complex64), "sparse": value.to_sparse(), "meta": value.to("meta")}
    state[key] = made[kind]
    return f"{key} is {'on the meta device' if kind == 'meta' else kind}"


def no_tensor(state: State, key: str, rng: random.Random) -> str | None:
    values: list[Any] = [None, 3, "text", [1.0], {"a": 1}]
    state[key] = rng.choice(values)
    return f"entry {key!r} is a"


def unknown(state: State, key: str, _: random.Random) -> str | None:
    state[f"{key}.more"] = torch.zeros(1)
    return f"{key}.more"


def twice(state: State, key: str, _: random.Random) -> str | None:
    state[f"_orig_mod.{key}"] = state[key]
    return f"'_orig_mod.{key}' stands there twice"


def behind_a_prefix(state: State, key: str, _: random.Random) -> str:
    key = "head.fc.bias" if key.endswith("num_batches_tracked") else key  # those may be absent
    state[f"other.{key}"] = state.pop(key)
    return ""  # either key may be named


CHANGES: tuple[Change, ...] = (
    *(absent, misspelt, reshaped, of_whole_numbers, of_other_floats, not_a_number),
    *(unusual, no_tensor, unknown, twice, behind_a_prefix),
)


def test_damaged_tensors_are_named(tmp_path: Path) -> None:
    whole, path = tiny_network().state_dict(), tmp_path / "weights.pt"
    seen = Counter[str]()
    for case in range(1000):
        rng = random.Random(f"tensors {case}")
        state, change, key = dict(whole), CHANGES[case % len(CHANGES)], rng.choice(list(whole))
        expected = change(state, key, rng)
        torch.save({"state_dict": state} if case % 2 else state, path)
        words = outcome(path)
        if expected is None:
            assert words is None, (case, change.__name__, key)
        else:
            assert words is not None, (case, change.__name__, key)
            assert expected in words, (case, change.__name__, words)
            assert re.search(r"stem|stage|downsample|head|Q", words), (case, words)
            seen[change.__name__] += 1
    assert len(seen) == len(CHANGES) - 1  # other floating-point numbers are converted
