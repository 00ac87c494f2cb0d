"""Checkpoints as torch_npu pickles them: tensors by a function of its own, storages that lay on a card."""

from __future__ import annotations

import enum
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor


class Format(enum.IntEnum):
    """Some of torch_npu's formats (``torch_npu/npu/_format.py``)."""

    NCHW = 0
    ND = 2
    FRACTAL_NZ = 29


def _rebuild_npu_tensor(*_: object) -> None:
    raise AssertionError("the file's own function was called")


def save_as_on_npu(
    monkeypatch: pytest.MonkeyPatch, contents: object, path: Path, form: object = 2, *, legacy: bool = False
) -> None:
    """Save ``contents`` with every tensor as on ``npu:0`` and ``form`` as its format."""
    with monkeypatch.context() as patch:
        for name in (
            "torch_npu",
            "torch_npu.utils",
            "torch_npu.utils.storage",
            "torch_npu.npu",
            "torch_npu.npu._format",
        ):
            patch.setitem(sys.modules, name, types.ModuleType(name))
            owner, _, child = name.rpartition(".")
            if owner:
                setattr(sys.modules[owner], child, sys.modules[name])
        for item, name in ((_rebuild_npu_tensor, "torch_npu.utils.storage"), (Format, "torch_npu.npu._format")):
            patch.setattr(item, "__module__", name)
            setattr(sys.modules[name], item.__name__, item)

        def reduce(tensor: Tensor, _: int) -> tuple[Any, ...]:
            arguments = (tensor.storage_offset(), tuple(tensor.size()), tensor.stride(), tensor.requires_grad)
            storage = tensor._typed_storage()  # type: ignore[no-untyped-call]  # torch has no types there
            return _rebuild_npu_tensor, (storage, *arguments, OrderedDict(), form)

        patch.setattr(torch.Tensor, "_reduce_ex_internal", reduce)
        patch.setattr(torch.serialization, "location_tag", lambda _: "npu:0")
        torch.save(contents, path, _use_new_zipfile_serialization=not legacy)
