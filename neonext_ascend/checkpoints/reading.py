"""Checkpoint files: read without running anything, named by their contents, loaded strictly.

Accepted are PyTorch files (zip or legacy, read with ``weights_only=True``) and safetensors, with or without the
``module.`` that DDP puts before each key, plain or nested under one of :data:`NESTED_KEYS`.
"""

from __future__ import annotations

import hashlib
import pickle
import stat
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neonext_ascend.checkpoints import safetensors_file
from neonext_ascend.checkpoints.contents import Contents, read_contents
from neonext_ascend.errors import CheckpointError, FileAccessError
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.models.neonext import NeoNeXt

# Where training scripts put the weights, averaged ones first: those are what accuracies are published for.
NESTED_KEYS = ("model_ema", "state_dict_ema", "ema", "model", "state_dict")
# Bytes of tensors for each byte of the file. torch.save does not compress; more is damaged, or fills the memory.
_MAX_EXPANSION = 8


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's tensors and what they tell.

    Args:
        path: where it was read from.
        sha256: of the file's bytes, hexadecimal.
        state: fp32 parameters and statistics by their key, without ``module.``.
        contents: the network that keys and shapes describe.
        notes: what a user should know about how it was read.
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
    raw = _load(path)
    state, notes = _state_dict(raw, path)
    _check_size(sum(tensor.numel() * tensor.element_size() for tensor in state.values()), path)
    state, conversions = _as_float32(state, path)
    return Checkpoint(path, digest, state, read_contents(state, path), (*notes, *conversions))


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
            raise FileAccessError(f"{path}: is {kind}; expected a checkpoint file (.pt or .safetensors)")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the checkpoint: {error.strerror}") from None
    if path.stat().st_size == 0:
        raise FileAccessError(f"{path}: the file is empty; expected a checkpoint; copy it again")
    return digest


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(16)
    if safetensors_file.looks_like(head):
        return safetensors_file.load(path)
    if not head.startswith((b"PK\x03\x04", b"\x80")):
        raise CheckpointError(f"{path}: neither a PyTorch file nor safetensors; expected one of these")
    if head.startswith(b"PK"):
        _check_zip(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch wonders at what a damaged file says of itself
            return torch.load(path, map_location="cpu", weights_only=True)
    except EOFError:
        raise FileAccessError(f"{path}: the file is truncated; copy it again") from None
    except pickle.UnpicklingError as error:
        raise _unpickling_error(path, str(error)) from None
    except MemoryError:
        raise CheckpointError(f"{path}: it asks for more memory than there is; the file is damaged") from None
    except Exception as error:  # a damaged file makes torch raise nearly anything
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "unexpected EOF" in first:
            raise FileAccessError(f"{path}: the file is truncated; copy it again") from None
        raise CheckpointError(f"{path}: not a readable PyTorch file: {first[:200]}") from None


def _check_zip(path: Path) -> None:
    """Compare the checksums that ``torch.save`` writes and ``torch.load`` does not look at."""
    try:
        if not zipfile.is_zipfile(path):
            raise FileAccessError(f"{path}: the file is truncated: its zip directory is missing; copy it again")
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            _check_size(sum(record.file_size for record in records), path)
            # torch.serialization.set_crc32_options(False) leaves zeros.
            damaged = archive.testzip() if any(record.CRC for record in records) else None
    except (CheckpointError, FileAccessError):
        raise
    except Exception as error:  # a damaged directory makes zipfile raise nearly anything
        raise CheckpointError(f"{path}: the file is damaged ({error}); copy it again") from None
    if damaged is not None:
        raise CheckpointError(f"{path}: the file is damaged: the checksum of {damaged} is wrong; copy it again")


def _check_size(claimed: int, path: Path) -> None:
    size = path.stat().st_size
    if claimed > _MAX_EXPANSION * size:
        raise CheckpointError(f"{path}: the file is damaged: {size} bytes that claim to hold {claimed}; copy it again")


def _unpickling_error(path: Path, text: str) -> CheckpointError | FileAccessError:
    if "truncated" in text:
        return FileAccessError(f"{path}: the file is truncated; copy it again")
    culprit = ""
    for marker in ("GLOBAL ", "Unsupported operand ", "Unsupported global: GLOBAL "):
        if marker in text:
            word = text.split(marker, 1)[1].split()[0].strip(".,")
            # A bare opcode number tells a user nothing, nor does what damage has made of a name.
            culprit = f" ({word})" if word.isprintable() and not word.isdigit() and len(word) <= 100 else ""
    what = "it holds" if culprit else "it is damaged, or holds"
    return CheckpointError(
        f"{path}: refused: {what} Python objects{culprit} that could run code when loaded; expected tensors "
        "alone; where you trust the file, load it yourself and save its state dict: "
        "torch.save(model.state_dict(), FILE)"
    )


def _state_dict(raw: object, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The flat state dict inside, keys without ``module.``."""
    notes = []
    if not isinstance(raw, Mapping):
        raise CheckpointError(f"{path}: holds a {type(raw).__name__}; expected a state dict (names to tensors)")
    nested = [key for key in NESTED_KEYS if isinstance(raw.get(key), Mapping)]
    if nested:
        others = f"; also there: {', '.join(nested[1:])}" if len(nested) > 1 else ""
        notes.append(f"weights taken from {nested[0]!r} in the file{others}")
        raw = raw[nested[0]]
        assert isinstance(raw, Mapping)
    state: dict[str, Tensor] = {}
    for key, value in raw.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: entry {key!r} is a {type(value).__name__}; expected a state dict of tensors alone, "
                f"or one under {', '.join(NESTED_KEYS)}"
            )
        state[key] = value
    if not state:
        raise CheckpointError(f"{path}: the state dict is empty; expected a NeoNeXt's weights")
    while all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state, notes


def _as_float32(state: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Floating tensors in fp32; NaN and infinity are refused."""
    converted, kinds = {}, set()
    for key, value in state.items():
        tensor = value.detach()
        if (
            tensor.layout != torch.strided
            or tensor.is_quantized
            or tensor.is_complex()
            or tensor.is_meta
            or tensor.is_nested
        ):
            raise CheckpointError(f"{path}: {key} is sparse, quantised or complex; expected plain real numbers")
        if not tensor.is_floating_point() and not key.endswith("num_batches_tracked"):
            raise CheckpointError(f"{path}: {key} holds {tensor.dtype}; expected floating-point numbers")
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            kinds.add(str(tensor.dtype).removeprefix("torch."))
            try:
                tensor = tensor.float()
            except RuntimeError:
                raise CheckpointError(f"{path}: {key} holds {tensor.dtype}, which cannot become float32") from None
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path}: {key} holds NaN or infinity; the training diverged or the file is damaged")
        converted[key] = tensor
    return converted, [f"{' and '.join(sorted(kinds))} weights converted to float32"] if kinds else []
