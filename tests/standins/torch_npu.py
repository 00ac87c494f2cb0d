"""A stand-in for torch_npu: a device ``npu:0`` of PyTorch's own kind whose memory and arithmetic are the CPU's.

It is strict where a real device is: a tensor on the CPU does not mix with one on the NPU (numbers excepted), and numpy
cannot read one on the NPU. It is no NPU: it rounds as the CPU does, and knows no operator that is missing there.
``calls`` records what was asked of ``torch.npu``; ``plan`` decides what it answers.

Its tensors are Python objects around one on the CPU, as PyTorch from 2.7 on allows; the device for other backends
(PrivateUse1) keeps its name for the process's life.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

calls: list[str] = []
# What torch.npu answers, outside a test that there is no device: PyTorch itself asks, in DataParallel for one. A value
# that is an exception is raised by the operator of that name.
plan: dict[str, Any] = {"is_available": False, "device_count": 0}
ANSWERS = {"is_available": True, "device_count": 1}
_keep: list[Any] = []  # kernels live as long as their library object


def use(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
    """Install it as the module ``torch_npu`` for one test, with these answers in place of :data:`ANSWERS`."""
    if not _keep:
        _register()
    calls.clear()
    for name, answer in (ANSWERS | answers).items():
        monkeypatch.setitem(plan, name, answer)
    monkeypatch.setitem(sys.modules, "torch_npu", types.ModuleType("torch_npu"))


def use_graphs() -> None:
    """Register the backend ``npugraphs`` with Dynamo: it records each graph in ``calls``, and runs it as it is."""
    from torch import _dynamo

    def npugraphs(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        calls.append(f"graph on {inputs[0].device}")
        return graph.forward

    _dynamo.reset()
    if "npugraphs" not in _dynamo.list_backends():
        _dynamo.register_backend(npugraphs)


class _NpuTensor(Tensor):
    """Its ``raw`` is where the values are; what PyTorch asks of it is computed there."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> _NpuTensor:
        tensor: _NpuTensor = Tensor._make_wrapper_subclass(
            cls, raw.shape, strides=raw.stride(), dtype=raw.dtype, device=torch.device("npu:0")
        )
        tensor.raw = raw
        return tensor

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        """With its inverse, what Dynamo asks of a tensor around another."""
        return ["raw"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], *_: object) -> _NpuTensor:
        return _NpuTensor(inner["raw"])

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # PyTorch declares another function there
        cls, operator: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        name = operator.__name__.split(".")[0]
        calls.append(f"op {name}")
        if isinstance(plan.get(name), Exception):
            raise plan[name]
        given, form = tree_flatten((arguments, named or {}))
        moves = name in ("to", "_to_copy", "copy_")
        if not moves and (strays := [x for x in given if isinstance(x, Tensor) and x.dim() and type(x) is not cls]):
            raise RuntimeError(f"stand-in: expected all tensors on npu:0, but found one on {strays[0].device}")
        devices = [value for value in given if isinstance(value, torch.device)]
        raw, keywords = tree_unflatten([_on_the_cpu(value) for value in given], form)
        result = operator(*raw, **keywords)
        if devices and devices[0].type == "cpu":
            return result.clone()
        # What an operator writes in place stays the same tensor.
        same = {id(value.raw): value for value in given if isinstance(value, cls)}
        return tree_map(lambda x: same.get(id(x), cls(x)) if isinstance(x, Tensor) else x, result)

    def contiguous(self, *_: Any, **__: Any) -> Tensor:
        """Here, since PyTorch's own asks for a device in C++ before it comes to ``__torch_dispatch__``."""
        return self if self.is_contiguous() else self.clone(memory_format=torch.contiguous_format)


def _on_the_cpu(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.raw if isinstance(value, _NpuTensor) else value


def _empty(operator: Any, *arguments: Any, **named: Any) -> Tensor:
    """A new tensor there: with ``copy_`` what brings one from the CPU."""
    return _NpuTensor(operator(*arguments, **{**named, "device": "cpu"}))


def _register() -> None:
    from torch.utils import backend_registration as registration

    # Dynamo of new versions asks an accelerator for its stream in C++; they let Python answer.
    setup = getattr(registration, "_setup_privateuseone_for_python_backend", None)
    if setup is not None:
        setup("npu", _torch_npu_module())
    else:
        registration.rename_privateuse1_backend("npu")
        torch._register_device_module("npu", _torch_npu_module())  # type: ignore[no-untyped-call]
    aten: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    for operator in (torch.ops.aten.empty.memory_format, torch.ops.aten.empty_strided.default):
        aten.impl(operator, partial(_empty, operator), "PrivateUse1")
    _keep.append(aten)


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
