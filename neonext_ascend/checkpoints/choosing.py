"""Which of a file's state dicts is taken, and one line that says so and what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from neonext_ascend.checkpoints.contents import read_contents
from neonext_ascend.checkpoints.unwrapping import NESTED_KEYS, Candidate, candidates, entries, kind, mappings
from neonext_ascend.errors import CheckpointError, UsageError

_SHOWN = 4  # names in a list


def choose(raw: object, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict of a NeoNeXt in what a file holds, and a line on it where there is something to say.

    Averaged weights come first, then those less deep in the file, then those under a name that comes first in
    :data:`~neonext_ascend.checkpoints.unwrapping.NESTED_KEYS`.

    Args:
        raw: what the file holds.
        path: of the file, for the words.

    Raises:
        CheckpointError: there is none, or several and nothing says which to take.
    """
    found = candidates(raw)
    if not found:
        raise CheckpointError(f"{path}: {_nothing_found(raw, path)}")
    faults = {id(c): _fault(c, path) for c in found} if len(found) > 1 else {}
    whole = sorted((c for c in found if faults.get(id(c)) is None), key=Candidate.rank)
    taken = whole[0] if whole else max(found, key=lambda c: len(c.state))
    if taken.fault is not None:
        raise CheckpointError(f"{path}: {taken.fault}")
    rivals = [c for c in whole[1:] if c.rank() == taken.rank() and not _equal(c.state, taken.state)]
    if rivals:
        choices = ", ".join(sorted(repr(candidate.label) for candidate in (taken, *rivals)))
        raise CheckpointError(
            f"{path}: holds several state dicts, and nothing says which to take: {choices}; "
            "save the right one alone: torch.save(state, FILE)"
        )
    broken = [f"{c.label} ({faults[id(c)]})" for c in found if c is not taken and faults[id(c)] is not None]
    note = _note(raw, taken, [c.label for c in whole[1:]], broken)
    return taken.state, [note] if note else []


def _fault(candidate: Candidate, path: Path) -> str | None:
    """Why these are not all weights of a network, or ``None``."""
    if candidate.fault is not None:
        return candidate.fault
    try:
        missing = read_contents(candidate.state, path).missing(candidate.state)
    except UsageError as error:
        return str(error).removeprefix(f"{path}: ")
    return f"it lacks {missing[0]!r}" if missing else None


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        value.shape == other[key].shape and value.dtype == other[key].dtype and torch.equal(value, other[key])
        for key, value in one.items()
    )


def _note(raw: object, taken: Candidate, others: list[str], broken: list[str]) -> str:
    removed = [*([taken.prefix] if taken.prefix else []), *(f"{wrapper}." for wrapper in taken.removed)]
    left_out = [*broken, *_beside(raw, taken), *taken.left_out]
    parts = [
        f"weights taken from {'.'.join(taken.place)!r} in the file" if taken.place else "weights taken",
        f", their keys without {_listed([repr(prefix) for prefix in removed])}" if removed else "",
        f"; also there: {_listed(others)}" if others else "",
        f"; left out: {_listed(left_out)}" if left_out else "",
    ]
    return "".join(parts) if any(parts[1:]) or taken.place else ""


def _beside(raw: object, taken: Candidate) -> list[str]:
    """What lies beside the way to the weights, but for other state dicts, which are told of already."""
    found, told = [], {c.place[: n + 1] for c in candidates(raw) for n in range(len(c.place))}
    for depth in range(len(taken.place)):
        inside = (*taken.place[:depth],)
        found += [".".join((*inside, key)) for key, _ in entries(raw) if (*inside, key) not in told]
        raw = dict(entries(raw))[taken.place[depth]]
    return found


def _nothing_found(raw: object, path: Path) -> str:
    """Why there is no NeoNeXt in it."""
    if isinstance(raw, Mapping) and not raw:
        return "the state dict is empty; expected a NeoNeXt's weights"
    if not isinstance(raw, Mapping) and not any(mapping for _, mapping in mappings(raw)):
        return f"holds a {kind(raw)}; expected a state dict (names to tensors)"
    largest: dict[str, Tensor] = {}
    for place, mapping in mappings(raw):
        state = {str(key): value for key, value in mapping.items() if isinstance(value, Tensor)}
        if (not place or any("." in key for key in state)) and len(state) > len(largest):
            largest = state
    if largest:
        try:
            read_contents(largest, path)
        except CheckpointError as error:
            return str(error).removeprefix(f"{path}: ")
    key, value = entries(raw)[0]
    return (
        f"entry {key!r} is a {kind(value)}; expected a state dict of tensors alone, "
        f"or one under {', '.join(NESTED_KEYS)} or another name"
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
