"""Files that are something else in truth: the reason says what, and what to do."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from neonext_ascend.checkpoints.reading import read_checkpoint
from neonext_ascend.errors import ArtifactError, CheckpointError, FileAccessError
from neonext_ascend.files.foreign import describe
from neonext_ascend.runtimes.onnx_file import check_onnx_file
from tests.support.networks import tiny_network

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 110305669\n"


def pointer(path: Path) -> None:
    path.write_text(POINTER)


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())


def torchscript(path: Path) -> None:
    # A program as torch.jit.save lays it out; the functions that write one are deprecated.
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("net/data.pkl", "net/code/__torch__.py", "net/constants.pkl"):
            archive.writestr(name, b"\x80\x02}.")


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("release/epoch_286_ema.pt", b"weights")


def index(path: Path) -> None:
    path.write_text(json.dumps({"metadata": {}, "weight_map": {"a": "1-of-2.safetensors", "b": "2-of-2.safetensors"}}))


def arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


FOREIGN: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "a Git LFS pointer",
        pointer,
        "a Git LFS pointer in place of the file it stands for; fetch that with: git lfs pull",
    ),
    (
        "a web page",
        lambda p: p.write_text("\n<!DOCTYPE html><html>Sign in</html>"),
        "a web page; download the file itself",
    ),
    ("gzip", lambda p: p.write_bytes(gzip.compress(b"weights")), "compressed with gzip; unpack it first: gunzip"),
    ("tar", tar, "a tar archive; unpack it first"),
    ("HDF5", lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "an HDF5 file, as Keras writes"),
    (
        "an array",
        lambda p: p.write_bytes(b"\x93NUMPY\x01\x00" + bytes(99)),
        "a NumPy array; give the PyTorch checkpoint",
    ),
    (
        "TorchScript",
        torchscript,
        "it is a TorchScript program, which holds code; save its weights: torch.save(torch.jit",
    ),
    ("a zip of a checkpoint", zipped, "it is a zip archive that holds release/epoch_286_ema.pt; unpack it first"),
    ("a zip of arrays", arrays, "it is an archive of NumPy arrays"),
    ("an index", index, "the index of a checkpoint in 2 files; join them: safetensors.torch.save_file("),
    ("JSON", lambda p: p.write_text('{"lr": 1}'), "a JSON file; give the checkpoint itself"),
]


@pytest.mark.parametrize(("case", "make", "words"), FOREIGN, ids=[case for case, _, _ in FOREIGN])
def test_another_kind_of_file_is_named(tmp_path: Path, case: str, make: Callable[[Path], object], words: str) -> None:
    path = tmp_path / "weights.safetensors"
    make(path)
    with pytest.raises(CheckpointError) as refusal:
        read_checkpoint(path)
    assert words in str(refusal.value), case
    assert str(refusal.value).startswith(f"{path}: ")


def test_a_distributed_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / ".metadata").touch()
    with pytest.raises(
        FileAccessError, match=r"is a distributed checkpoint; join it first: python -m torch.distributed"
    ):
        read_checkpoint(tmp_path)


def test_a_pointer_in_place_of_an_onnx_file_is_named(tmp_path: Path) -> None:
    pointer(tmp_path / "net.onnx")
    with pytest.raises(ArtifactError, match=r"net\.onnx: a Git LFS pointer .* git lfs pull"):
        check_onnx_file(tmp_path / "net.onnx")
    (tmp_path / "net.onnx").write_bytes(b"\x93NUMPY\x01\x00" + bytes(99))
    with pytest.raises(ArtifactError, match=r"a NumPy array; give the ONNX file"):
        check_onnx_file(tmp_path / "net.onnx")


def test_right_files_are_nothing_foreign(tmp_path: Path) -> None:
    network: nn.Module = tiny_network()
    torch.save(network.state_dict(), tmp_path / "zip.pt")
    torch.save(network.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert [describe(path.read_bytes()[:512]) for path in tmp_path.iterdir()] == [None, None]
    assert describe(b"") is None
