"""What stands in for the classes that people save beside their weights: objects that run and import nothing.

``torch.load(..., weights_only=True)`` creates and calls only what it knows; a stand-in is made known to it under the
name that the file gives. The module of that name is never imported. What is known to do nothing, and any class that is
not Python's own, gets one; functions that a file would call get none, so that PyTorch refuses them.
"""

from __future__ import annotations

import pickle
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from neonext_ascend.checkpoints.pickle_names import Names, Use

REBUILD_NPU = "torch_npu.utils.storage._rebuild_npu_tensor"
_GETATTR = "builtins.getattr"
# What PyTorch's unpickler calls by itself.
_TORCH = re.compile(r"torch\.(?:_utils|_tensor)\._rebuild\w+|torch\.(?:device|serialization\._get_layout)")
_MAX_DEPTH = 64  # of modules in modules
# Of Python's own names only these; some of them PyTorch knows by itself.
_INERT_PYTHON = {
    *(f"builtins.{kind.__name__}" for kind in (bool, bytearray, bytes, complex, dict, float, frozenset, int, list)),
    *(f"builtins.{kind.__name__}" for kind in (object, range, set, slice, str, tuple)),
    *(f"collections.{name}" for name in ("Counter", "OrderedDict", "defaultdict", "deque")),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(
        f"{module}.{flavour}"
        for module in ("pathlib", "pathlib._local")
        for flavour in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
    ),
    *("_codecs.encode", "argparse.Namespace", "decimal.Decimal", "fractions.Fraction", "functools.partial"),
    *("types.SimpleNamespace", "uuid.UUID"),
}
_INERT_NUMPY = re.compile(
    r"numpy\.(?:dtype|ndarray|_?core\.(?:multiarray|numeric)\.(?:scalar|_reconstruct|_frombuffer)|random\.\w+\.__\w+)"
)


class Inert:
    """An object that a file describes, as its name and, where it is a module, its plain state; nothing of it runs."""

    name: ClassVar[str] = ""
    state: Mapping[object, Any]

    def __new__(cls, *_: object, **__: object) -> Any:
        """An empty object, whatever it is given."""
        made = object.__new__(cls)
        made.state = {}
        return made

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __repr__(self) -> str:
        return self.name

    def __setstate__(self, state: object) -> None:
        """Keep the attributes that a file gives the object."""
        if isinstance(state, dict):
            self.state = state

    def tensors(self, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
        """The state dict of a module that was saved whole: its parameters and buffers by their key."""
        unsaved = self.state.get("_non_persistent_buffers_set")
        for kind in ("_parameters", "_buffers"):
            for name, value in _items(self.state.get(kind)):
                if isinstance(value, Tensor) and not (isinstance(unsaved, set) and name in unsaved):
                    yield name, value
        for name, module in _items(self.state.get("_modules")):
            if isinstance(module, Inert) and depth < _MAX_DEPTH:
                for key, value in module.tensors(depth + 1):
                    yield f"{name}.{key}", value


def stand_ins_for(names: Names) -> list[Any]:
    """For each name that gets one, under that name."""
    found = ((name, _stand_in(name, uses)) for name, uses in names.uses.items())
    return [_named(stand_in, name) for name, stand_in in found if stand_in is not None]


def could_run_code(names: Names) -> str | None:
    """The first name that no stand-in is given and that PyTorch does not know either."""
    return next((n for n, uses in names.uses.items() if not _TORCH.fullmatch(n) and _stand_in(n, uses) is None), None)


def _stand_in(name: str, uses: set[Use]) -> Callable[..., Any] | None:
    if name == REBUILD_NPU:
        return _npu_rebuilder()
    if name == _GETATTR:
        return _attribute_getter()
    if not _is_inert(name, uses):
        return None
    # The unpickler gives items to its own containers alone.
    if "items" in uses:
        return type("Items", (Inert,), {"__new__": lambda *_, **__: OrderedDict()})
    if "appended" in uses:
        return type("Elements", (Inert,), {"__new__": lambda *_, **__: []})
    return type("Object", (Inert,), {"name": name})


def _is_inert(name: str, uses: set[Use]) -> bool:
    if _top(name) in sys.stdlib_module_names:
        return name in _INERT_PYTHON
    # An enumeration, for one, is called with its value.
    return "called" not in uses or _is_class(name) or _INERT_NUMPY.fullmatch(name) is not None


def _is_class(name: str) -> bool:
    """By its capital letter: what it is in truth cannot be asked without importing it."""
    return name.rpartition(".")[2].lstrip("_")[:1].isupper()


def _npu_rebuilder() -> Callable[..., Tensor]:
    """torch_npu's way to make a tensor, on the CPU.

    Its last argument is the format that the card shall give it. The bytes in the file are plain rows whatever that
    says: torch_npu copies the tensor to the CPU, or to its own format of origin, before it saves it (its
    ``utils/storage.py``), and loading to the CPU does not look at the format either.
    """

    def rebuild(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
        # PyTorch's own pickles name this function, so it stays.
        plain: Callable[..., Tensor] = torch._utils._rebuild_tensor_v2
        return plain(storage, offset, size, stride, False, OrderedDict())

    return rebuild


def _attribute_getter() -> Callable[..., Any]:
    """How enumerations and nested classes are pickled; of anything but a class's stand-in it is refused.

    A class within a class may be created; anything else that comes out, a method for one, cannot be called.
    """

    def attribute(owner: object, name: object) -> object:
        if isinstance(owner, type) and issubclass(owner, Inert) and isinstance(name, str) and _is_class(owner.name):
            return owner if _is_class(name) else type("Attribute", (Inert,), {"name": f"{owner.name}.{name}"})()
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {_GETATTR}")

    return attribute


def _named(stand_in: Any, name: str) -> Any:
    stand_in.__module__, _, stand_in.__qualname__ = name.rpartition(".")
    return stand_in


def _top(name: str) -> str:
    return name.partition(".")[0]


def _items(value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(name), item) for name, item in value.items())
