"""Checkpoint files: read without running anything, named by their contents, loaded strictly.

Accepted are PyTorch files (zip or legacy) and safetensors that hold a NeoNeXt's state dict, however nested and under
whatever prefixes (:mod:`~neonext_ascend.checkpoints.choosing`).
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neonext_ascend.checkpoints import pickled, safetensors_file
from neonext_ascend.checkpoints.choosing import choose
from neonext_ascend.checkpoints.contents import COUNTER, Contents, read_contents
from neonext_ascend.errors import CheckpointError, FileAccessError
from neonext_ascend.files import foreign
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.models.neonext import NeoNeXt


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's tensors and what they tell.

    Args:
        path: where it was read from.
        sha256: of the file's bytes, hexadecimal.
        state: fp32 parameters and statistics by NeoNeXt's keys.
        contents: the network that keys and shapes describe.
        notes: what a user should know about how it was read, in one line at most.
    """

    path: Path
    sha256: str
    state: Mapping[str, Tensor]
    contents: Contents
    notes: tuple[str, ...]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; no code in it is run.

    Raises:
        FileAccessError: the file is absent, unreadable, no regular file, empty or truncated.
        CheckpointError: it opens but does not hold a NeoNeXt's weights.
    """
    digest = _check_and_hash(path)
    raw, origin = _load(path)
    state, notes = choose(raw, path)
    pickled.check_size(sum(tensor.numel() * tensor.element_size() for tensor in state.values()), path)
    state, conversions = _as_float32(state, path)
    contents = read_contents(state, path)
    norms = [key.removesuffix("running_mean") for key in state if key.endswith(".running_mean")]
    absent = {key: torch.zeros((), dtype=torch.int64) for norm in norms if (key := norm + COUNTER) not in state}
    if absent:
        conversions.append(f"{COUNTER} is not in the file and taken as 0; only training reads it")
    said = [*notes, *origin, *conversions]
    return Checkpoint(path, digest, {**state, **absent}, contents, tuple(["; ".join(said)] if said else []))


def load_network(config: NetworkConfig, checkpoint: Checkpoint) -> NeoNeXt:
    """The network in evaluation mode with the checkpoint's weights; the class count is the checkpoint's.

    Raises:
        CheckpointError: the file holds another network, in words, or keys are missing or left over.
        UsageError: the network cannot take its image size.
    """
    config = replace(config, num_classes=checkpoint.contents.num_classes)
    differences = checkpoint.contents.differences(config)
    if differences:
        if len(differences) > 4:
            differences = [*differences[:3], f"and {len(differences) - 3} more differences"]
        raise CheckpointError(
            f"{checkpoint.path}: this file holds {checkpoint.contents.label()}: {'; '.join(differences)}"
        )
    with torch.device("meta"):
        net = NeoNeXt(config)
    _check_keys(net.state_dict(), checkpoint)
    # assign=True takes the checkpoint's tensors over as they are: the weights exist once in memory.
    net.load_state_dict(dict(checkpoint.state), strict=True, assign=True)
    return net.requires_grad_(True).eval()


def _check_keys(expected: Mapping[str, Tensor], checkpoint: Checkpoint) -> None:
    missing = [key for key in expected if key not in checkpoint.state]
    extra = [key for key in checkpoint.state if key not in expected]
    for what, keys in (("lacks", missing), ("has the unknown", extra)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise CheckpointError(f"{checkpoint.path}: the state dict {what} key {keys[0]!r}{more}")
    for key, tensor in expected.items():
        got = checkpoint.state[key].shape
        if got != tensor.shape:
            raise CheckpointError(f"{checkpoint.path}: {key} has shape {tuple(got)}, expected {tuple(tensor.shape)}")


def _check_and_hash(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
            if (path / ".metadata").is_file():
                kind = (
                    "a distributed checkpoint; join it first: "
                    "python -m torch.distributed.checkpoint.format_utils dcp_to_torch DIRECTORY FILE, then"
                )
            raise FileAccessError(f"{path}: is {kind}; expected a checkpoint file (.pt or .safetensors)")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the checkpoint: {error.strerror}") from None
    if path.stat().st_size == 0:
        raise FileAccessError(f"{path}: the file is empty; expected a checkpoint; copy it again")
    return digest


def _load(path: Path) -> tuple[Any, list[str]]:
    """What the file holds, and what is to say of its making."""
    with path.open("rb") as file:
        head = file.read(foreign.HEAD)
    if safetensors_file.looks_like(head):
        return safetensors_file.load(path), []
    if pickled.looks_like(head):
        return pickled.load(path)
    what = safetensors_file.describe_index(path, head) or foreign.describe(head)
    raise CheckpointError(f"{path}: " + (what or "neither a PyTorch file nor safetensors; expected one of these"))


def _as_float32(state: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Floating tensors in fp32; NaN and infinity are refused."""
    converted, kinds = {}, set()
    for key, value in state.items():
        tensor = value.detach()
        if key.endswith(COUNTER):
            converted[key] = tensor.to(torch.int64)
            continue
        if not tensor.is_floating_point():
            raise CheckpointError(f"{path}: {key} holds {tensor.dtype}; expected floating-point numbers")
        if tensor.dtype != torch.float32:
            kinds.add(str(tensor.dtype).removeprefix("torch."))
            try:
                tensor = tensor.float()
            except RuntimeError:
                raise CheckpointError(f"{path}: {key} holds {tensor.dtype}, which cannot become float32") from None
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path}: {key} holds NaN or infinity; the training diverged or the file is damaged")
        converted[key] = tensor
    return converted, [f"{' and '.join(sorted(kinds))} weights converted to float32"] if kinds else []
