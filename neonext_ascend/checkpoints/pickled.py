"""PyTorch files, read without running anything in them: ``weights_only=True``, with stand-ins for what is inert."""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from neonext_ascend.checkpoints.pickle_names import Names, names_in
from neonext_ascend.checkpoints.stand_ins import REBUILD_NPU, could_run_code, stand_ins_for
from neonext_ascend.errors import CheckpointError, FileAccessError

# Bytes of tensors for each byte of the file. torch.save does not compress; more is damaged, or fills the memory.
_MAX_EXPANSION = 8
# The number that files before the zip format begin with: binary, and in protocols 0 and 1.
_MAGIC, _MAGIC_TEXT = b"l\xfc\x9cF\xf9 j\xa8P\x19.", b"L119547037146038801333356L\n."
_LEGACY_PICKLES = 4  # that number, a version, the machine, the object; then come keys and bytes
_UNSUPPORTED = re.compile(r"(?:GLOBAL|[Ff]unction|Unsupported operand) ([\w.]+)")


def looks_like(head: bytes) -> bool:
    """Whether a file that starts with ``head`` (32 bytes) may be a PyTorch file or another pickle."""
    return head.startswith((b"PK\x03\x04", b"\x80", _MAGIC_TEXT))


def load(path: Path) -> tuple[Any, list[str]]:
    """What ``torch.save`` was given, tensors on the CPU, other objects as their stand-ins; and what is to say of it.

    Raises:
        FileAccessError: the file is truncated.
        CheckpointError: it is damaged, of another kind, or holds what could run code.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"PK"):
        _check_zip(path)
    names = _names(path, zipped=head.startswith(b"PK"))
    culprit = could_run_code(names)
    if culprit is not None:
        raise _refused(path, culprit)
    if not head.startswith(b"PK"):
        _check_legacy(path, head, names)
    origin = ["saved on an NPU: tensors taken, the card's formats left out"] if REBUILD_NPU in names.uses else []
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins_for(names)):
            warnings.simplefilter("ignore")  # torch wonders at what a damaged file says of itself
            return torch.load(path, map_location="cpu", weights_only=True), origin
    except EOFError:
        raise FileAccessError(f"{path}: the file is truncated; copy it again") from None
    except pickle.UnpicklingError as error:
        raise _unpickling_error(path, str(error), names) from None
    except MemoryError:
        raise CheckpointError(f"{path}: it asks for more memory than there is; the file is damaged") from None
    except Exception as error:  # a damaged file makes torch raise nearly anything
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "unexpected EOF" in first:
            raise FileAccessError(f"{path}: the file is truncated; copy it again") from None
        raise CheckpointError(f"{path}: not a readable PyTorch file: {first[:200]}") from None


def check_size(claimed: int, path: Path) -> None:
    """Refuse a file that claims to hold far more bytes than it has.

    Raises:
        CheckpointError: it does.
    """
    size = path.stat().st_size
    if claimed > _MAX_EXPANSION * size:
        raise CheckpointError(f"{path}: the file is damaged: {size} bytes that claim to hold {claimed}; copy it again")


def _check_zip(path: Path) -> None:
    """Compare the checksums that ``torch.save`` writes and ``torch.load`` does not look at."""
    try:
        if not zipfile.is_zipfile(path):
            raise FileAccessError(f"{path}: the file is truncated: its zip directory is missing; copy it again")
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            check_size(sum(record.file_size for record in records), path)
            # torch.serialization.set_crc32_options(False) leaves zeros.
            damaged = archive.testzip() if any(record.CRC for record in records) else None
    except (CheckpointError, FileAccessError):
        raise
    except Exception as error:  # a damaged directory makes zipfile raise nearly anything
        raise CheckpointError(f"{path}: the file is damaged ({error}); copy it again") from None
    if damaged is not None:
        raise CheckpointError(f"{path}: the file is damaged: the checksum of {damaged} is wrong; copy it again")
    other = _other_zip([record.filename for record in records])
    if other is not None:
        raise CheckpointError(f"{path}: not a readable PyTorch file: {other}")


def _other_zip(names: list[str]) -> str | None:
    """What a zip archive is that ``torch.save`` did not write."""
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        return (
            "it is a TorchScript program, which holds code; save its weights: "
            "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt')"
        )
    if any(name.endswith("data.pkl") for name in names):
        return None
    inside = [name for name in names if name.endswith((".pt", ".pth", ".ckpt", ".bin", ".safetensors"))]
    if inside:
        return f"it is a zip archive that holds {inside[0]}; unpack it first"
    if names and all(name.endswith(".npy") for name in names):
        return "it is an archive of NumPy arrays; give the PyTorch checkpoint"
    return "it is a zip archive without the data.pkl that torch.save writes; give the PyTorch checkpoint"


def _names(path: Path, *, zipped: bool) -> Names:
    """Of all pickles in the file; what of it is damaged is left for PyTorch to find."""
    found = Names()
    try:
        if zipped:
            with zipfile.ZipFile(path) as archive:
                pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                found = names_in(io.BytesIO(archive.read(pickled)))
        else:
            with path.open("rb") as file:
                for _ in range(_LEGACY_PICKLES):
                    found.add(names_in(file))
    except Exception:  # a damaged file makes pickletools and zipfile raise nearly anything
        pass
    return found


def _check_legacy(path: Path, head: bytes, names: Names) -> None:
    if head.startswith(_MAGIC_TEXT):
        raise _protocol_error(path, "0 or 1")
    if _MAGIC not in head and names.uses:
        raise CheckpointError(
            f"{path}: a pickle that torch.save did not write; where you trust it, load it yourself and save its state "
            "dict: torch.save(state, FILE)"
        )


def _unpickling_error(path: Path, text: str, names: Names) -> CheckpointError | FileAccessError:
    if "truncated" in text:
        return FileAccessError(f"{path}: the file is truncated; copy it again")
    if "Unsupported operand" in text and names.protocol > 2:
        return _protocol_error(path, str(names.protocol))
    if "Only persistent_load of storage" in text:
        return _refused(path, "a network saved whole, with its source, in the format before PyTorch 1.6")
    match = _UNSUPPORTED.search(text)
    # A bare opcode number tells a user nothing, nor does what damage has made of a name.
    known = match is not None and not match[1].isdigit() and len(match[1]) <= 100
    return _refused(path, match[1] if match is not None and known else None)


def _protocol_error(path: Path, protocol: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: written with pickle protocol {protocol}, and PyTorch reads only its own, 2, without running code; "
        "save it again without pickle_protocol: torch.save(state, FILE)"
    )


def _refused(path: Path, culprit: str | None) -> CheckpointError:
    what = f"it holds Python objects ({culprit})" if culprit else "it is damaged, or holds Python objects"
    return CheckpointError(
        f"{path}: refused: {what} that could run code when loaded; expected tensors "
        "alone; where you trust the file, load it yourself and save its state dict: "
        "torch.save(model.state_dict(), FILE)"
    )
