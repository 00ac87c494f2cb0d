"""A stand-in for torch_npu: a device ``npu:0`` of PyTorch's own kind whose memory and arithmetic are the CPU's.

It is strict where a real device is: a tensor on the CPU does not mix with one on the NPU (numbers excepted), and numpy
cannot read one on the NPU. It is no NPU: it rounds as the CPU does, and knows no operator that is missing there.
``calls`` records what was asked of ``torch.npu``; ``plan`` decides what it answers.

PyTorch's device for other backends (PrivateUse1) is given Python kernels; it keeps its name for the process's life.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

calls: list[str] = []
# What torch.npu answers; a value that is an exception is raised by the operator of that name.
plan: dict[str, Any] = {}
ANSWERS = {"is_available": True, "device_count": 1}
# Operators whose usual decomposition into views has no meaning for tensors that are Python objects.
WHOLE = {
    "matmul": "matmul",
    "linear": "linear",
    "pixel_unshuffle": "pixel_unshuffle",
    "reshape": "reshape",
    "permute": "permute",
    "convolution_overrideable": "convolution",
}
_keep: list[Any] = []  # kernels live as long as their library object


def use(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
    """Install it as the module ``torch_npu`` for one test, with these answers in place of :data:`ANSWERS`."""
    if not _keep:
        _register()
    calls.clear()
    plan.clear()
    plan.update(ANSWERS, **answers)
    monkeypatch.setitem(sys.modules, "torch_npu", types.ModuleType("torch_npu"))


class _NpuTensor(Tensor):
    """Its ``raw`` is where the values are."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> _NpuTensor:
        tensor: _NpuTensor = torch._C._acc.create_empty_tensor(raw.shape, raw.dtype)  # type: ignore[assignment]
        tensor.__class__ = cls
        return tensor

    def __init__(self, raw: Tensor) -> None:
        self.raw = raw

    def detach(self) -> _NpuTensor:
        """What makes a parameter of it; the built-in one would give a plain tensor."""
        return _NpuTensor(self.raw)


def _unwrap(value: Any) -> Any:
    if isinstance(value, _NpuTensor):
        return value.raw
    if isinstance(value, torch.device):
        return torch.device("cpu")
    if isinstance(value, Tensor) and value.dim() > 0:
        raise RuntimeError(f"stand-in: expected all tensors on npu:0, but found one on {value.device}")
    return value


def _compute(operator: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    name = getattr(operator, "__name__", str(operator)).split(".")[0]
    calls.append(f"op {name}")
    if isinstance(plan.get(name), Exception):
        raise plan[name]
    arguments, named = tree_map(_unwrap, (arguments, named))
    return tree_map(
        lambda value: _NpuTensor(value) if isinstance(value, Tensor) else value, operator(*arguments, **named)
    )


def _copy(x: Tensor, *, dtype: torch.dtype | None = None, device: torch.device | None = None, **_: Any) -> Tensor:
    """``aten::_to_copy``: the one way between the devices."""
    raw = (x.raw if isinstance(x, _NpuTensor) else x).to(dtype or x.dtype, copy=True)
    return raw if (device or x.device).type == "cpu" else _NpuTensor(raw)


def _register() -> None:
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend("npu", _torch_npu_module())
    libraries: Any = torch.library
    fallback, aten = libraries.Library("_", "IMPL"), libraries.Library("aten", "IMPL")
    fallback.fallback(_compute, "PrivateUse1")
    for name, computed_by in WHOLE.items():
        operator = getattr(torch.ops.aten, computed_by).default
        aten.impl(name, lambda *arguments, operator=operator: _compute(operator, *arguments), "PrivateUse1")
    aten.impl("_to_copy", _copy, "PrivateUse1")
    _keep.extend((fallback, aten))


def _torch_npu_module() -> types.ModuleType:
    """``torch.npu``: what the runner uses, and what PyTorch itself expects of a device's module."""
    module: Any = types.ModuleType("torch.npu")
    module.is_available = lambda: plan["is_available"]
    module.device_count = lambda: plan["device_count"]
    module.set_device = lambda device: calls.append(f"set_device {device}")
    module.synchronize = lambda: calls.append("synchronize")
    module.is_initialized = lambda: True
    module.current_device = lambda: 0
    module._is_in_bad_fork = lambda: False
    module.manual_seed_all = lambda seed: None
    return module  # type: ignore[no-any-return]
