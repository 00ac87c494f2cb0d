"""The state dicts of NeoNeXts in whatever a checkpoint file holds, however they are nested and their keys prefixed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from neonext_ascend.checkpoints.stand_ins import Inert
from neonext_ascend.checkpoints.transformed import reason

# What wrappers put before, or into, the keys of what they wrap: DDP, torch.compile, FSDP, activation checkpointing.
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# Where training scripts put the weights, averaged ones first: those are what accuracies are published for.
NESTED_KEYS = ("model_ema", "state_dict_ema", "ema", "model", "state_dict")
_AVERAGED = {"ema", "averaged", "average", "avg", "swa"}
# What profilers register in every module, and averaging beside the weights.
_COUNTERS = {"total_ops", "total_params"}
_BOOKKEEPING = {"n_averaged", "decay", "num_updates", "updates", "steps", "step", "initted"}
_STAGE, _TOP = re.compile(r"stage_[1-9]\d{0,2}"), re.compile(r"(?:stem|head|(?:stage|downsample)_\d+)\..+")
_MAX_DEPTH, _MAX_MAPPINGS = 8, 10_000  # of dictionaries in a file


@dataclass
class Candidate:
    """The state dict of one NeoNeXt in a file.

    Args:
        place: keys of the dictionaries that lead to it.
        prefix: common to its keys behind the wrappers' names, with the dots.
        state: its tensors by NeoNeXt's keys, and what is unknown to it.
        removed: wrappers' names that stood in its keys.
        left_out: keys in the same dictionary that are no weights of it.
        fault: why it cannot be used.
    """

    place: tuple[str, ...]
    prefix: str
    state: dict[str, Tensor] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    fault: str | None = None

    @property
    def label(self) -> str:
        """Where it lies, as a user would write it."""
        return ".".join((*self.place, self.prefix.rstrip("."))).strip(".") or "the file itself"

    def rank(self) -> tuple[bool, int, int]:
        """Which comes first: averaged, then less deep, then by :data:`NESTED_KEYS`; equal means that nothing tells."""
        names = (*self.place, *self.prefix.rstrip(".").split("."))
        averaged = any(_AVERAGED & set(name.lower().split("_")) for name in names)
        last = next((name for name in reversed(names) if name), "")
        order = NESTED_KEYS.index(last) if last in NESTED_KEYS else len(NESTED_KEYS)
        return not averaged, sum(map(bool, names)), order


def candidates(raw: object) -> list[Candidate]:
    """Every NeoNeXt's state dict in ``raw``, whole or not."""
    return [candidate for place, mapping in mappings(raw) for candidate in _split(place, mapping)]


def mappings(raw: object) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """The dictionaries in a file, in lists too, and modules saved whole as theirs, outermost first; each once."""
    waiting: list[tuple[tuple[str, ...], object]] = [((), raw)]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_MAPPINGS:
        place, value = waiting.pop(0)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Inert):
            yield place, dict(value.tensors())
            continue
        if isinstance(value, Mapping):
            yield place, value
        if len(place) < _MAX_DEPTH:
            inner = ((key, item) for key, item in entries(value) if isinstance(item, Mapping | Inert | list | tuple))
            waiting += [((*place, key), item) for key, item in inner]


def entries(value: object) -> list[tuple[str, Any]]:
    """What a dictionary holds, by its keys, or a list or tuple, by ``[0]``, ``[1]``, ..; nothing for others."""
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    return [(f"[{i}]", item) for i, item in enumerate(value)] if isinstance(value, list | tuple) else []


def _split(place: tuple[str, ...], mapping: Mapping[Any, Any]) -> list[Candidate]:
    """The candidates in one dictionary: one for each prefix behind which a NeoNeXt's keys stand."""
    keys = {key: [part for part in key.split(".") if part not in WRAPPERS] for key in mapping if isinstance(key, str)}
    prefixes = {prefix for parts in keys.values() if (prefix := _prefix(parts)) is not None}
    found = {prefix: Candidate(place, prefix) for prefix in sorted(prefixes, key=len, reverse=True)}
    outside = [str(key) for key in mapping if not isinstance(key, str)]
    for key, parts in keys.items():
        clean = ".".join(parts)
        owner = next((candidate for prefix, candidate in found.items() if clean.startswith(prefix)), None)
        if owner is None:
            outside.append(key)
        else:
            _give(owner, key, clean.removeprefix(owner.prefix), mapping[key])
    for candidate in found.values():
        candidate.left_out += outside
    return list(found.values())


def _prefix(parts: list[str]) -> str | None:
    """What stands before ``stage_N.M.ops.content`` in a key."""
    for i, part in enumerate(parts[:-4]):
        if _STAGE.fullmatch(part) and parts[i + 2 : i + 4] == ["ops", "content"]:
            return "".join(f"{before}." for before in parts[:i])
    return None


def _give(candidate: Candidate, key: str, clean: str, value: object) -> None:
    candidate.fault = candidate.fault or reason(clean)
    if clean.rpartition(".")[2] in _COUNTERS or clean in _BOOKKEEPING:
        candidate.left_out.append(key)
    elif isinstance(value, Tensor):
        if clean in candidate.state:
            candidate.fault = candidate.fault or f"{key!r} stands there twice, under different wrappers' names"
        candidate.fault = candidate.fault or _unusual(clean, value)
        candidate.state[clean] = value
        candidate.removed += [w for w in WRAPPERS if w in key.split(".") and w not in candidate.removed]
    elif _TOP.fullmatch(clean):
        candidate.fault = candidate.fault or f"entry {key!r} is a {kind(value)}; expected a tensor"
    else:
        candidate.left_out.append(key)


def _unusual(key: str, tensor: Tensor) -> str | None:
    """What is told of a tensor that does not hold its numbers plainly."""
    if tensor.is_meta:
        return f"{key} is on the meta device: such tensors hold no values; load the weights before saving them"
    kinds = {
        "quantised (take the weights from before quantisation)": tensor.is_quantized,
        "sparse": tensor.layout != torch.strided,
        "nested": tensor.is_nested,
        "complex": tensor.is_complex(),
    }
    return next((f"{key} is {kind}; expected plain real numbers" for kind, holds in kinds.items() if holds), None)


def kind(value: object) -> str:
    """The class of something in a file, under the name that the file gives."""
    if not isinstance(value, Inert):
        return type(value).__name__
    module, _, name = value.name.rpartition(".")
    return "NumPy object" if module.startswith("numpy") else f"{name} of {module}"
