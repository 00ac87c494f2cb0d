"""One launch of a Triton kernel as the vendor's ``triton-ascend`` lowers it: Triton's IR, then ``ttadapter``.

The backend's stages are run by hand: ``triton.compile`` itself asks for CANN before it starts. What a launch makes
constant follows the vendor's just-in-time compiler: a scalar of 1, and hints where a value divides by 16.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from triton._C.libtriton import ir  # type: ignore[import-not-found,unused-ignore]
from triton.backends.ascend.compiler import (  # type: ignore[import-not-found,unused-ignore]
    AscendBackend,
    _parse_linalg_metadata,
)
from triton.backends.compiler import GPUTarget  # type: ignore[import-not-found,unused-ignore]
from triton.compiler import ASTSource  # type: ignore[import-not-found,unused-ignore]

# The backend wants a name; no stage in front of ``bishengir-compile`` looks at it.
CHIP = "Ascend910B3"
_LONGEST = 300


class Refused(Exception):  # noqa: N818 (an answer)
    """Triton's own front end, or its step to ``ttadapter``, does not take the kernel; the message is the reason."""


class Launch(Protocol):
    """What :func:`neonext_ascend.kernels.triton_neocell.launches` gives."""

    @property
    def name(self) -> str: ...
    @property
    def kernel(self) -> Any: ...
    @property
    def pointers(self) -> Mapping[str, str]: ...
    @property
    def scalars(self) -> Mapping[str, int]: ...
    @property
    def constants(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel with everything that is fixed when it is compiled; equal for launches that share a binary."""

    name: str
    signature: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, Any], ...]
    # Arguments of which the compiler may know that they divide by 16.
    by_16: tuple[str, ...]
    function: Any = field(compare=False)
    hints: Any = field(compare=False)


class _Aligned:
    """Stands for a tensor: allocators give addresses that divide by 16."""

    def data_ptr(self) -> int:
        return 0


def specialise(launch: Launch) -> Kernel:
    """What the vendor's just-in-time compiler would compile for this launch."""
    function = launch.kernel
    while not hasattr(function, "params"):
        function = function.fn  # inside an autotuner
    types = {name: f"*{element}" for name, element in launch.pointers.items()}
    types |= {name: "i32" if -(2**31) <= value < 2**31 else "i64" for name, value in launch.scalars.items()}
    values: dict[str, Any] = {**{name: _Aligned() for name in launch.pointers}, **launch.scalars, **launch.constants}
    names = [parameter.name for parameter in function.params]
    if set(names) != set(values):
        raise SystemExit(f"{launch.name}: the launch gives {sorted(values)}, the kernel takes {sorted(names)}")
    hints = _backend()[0].get_attrs_descriptor(function.params, [values[name] for name in names])
    ones = set(hints.get_constants())
    return Kernel(
        name=function.fn.__name__,
        signature=tuple((name, types[name]) for name in names if name in types),
        constants=tuple((p.name, values[p.name]) for p in function.params if p.name not in types or p.num in ones),
        by_16=tuple(
            p.name for p in function.params if p.name in types and p.num in hints.arg_properties["tt.divisibility"]
        ),
        function=function,
        hints=hints,
    )


def triton_ir(kernel: Kernel) -> str:
    """Triton's own IR of a kernel, as text. Not in several threads at a time.

    Raises:
        Refused: Triton's front end does not take it.
    """
    backend, stages, metadata, options = _backend()
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    source = ASTSource(kernel.function, dict(kernel.signature), dict(kernel.constants), kernel.hints)
    try:
        module = source.make_ir(options, backend.get_codegen_implementation(), backend.get_module_map(), context)
        return str(stages["ttir"](module, metadata))
    except Exception as error:  # Triton raises many kinds
        raise Refused(_last_line(str(_root(error)))) from error


def ttadapter(text: str) -> str:
    """What ``bishengir-compile`` takes, from Triton's IR.

    Raises:
        Refused: the vendor's ``triton-adapter-opt`` does not take it.
    """
    _, stages, metadata, _ = _backend()
    try:
        lowered = stages["ttadapter"](text, metadata)
    except subprocess.CalledProcessError as error:
        raise Refused(_last_line(error.stderr.decode())) from error
    # As the vendor does in front of its compiler.
    return str(_parse_linalg_metadata(lowered, metadata)[0])


def _backend() -> tuple[Any, dict[str, Any], dict[str, Any], Any]:
    """The vendor's backend, its stages, what it takes along from one to the next, and its options."""
    backend = AscendBackend(GPUTarget("npu", CHIP, 0))
    options = backend.parse_options({})
    stages: dict[str, Any] = {}
    backend.add_stages(stages, options)
    return backend, stages, {"hash": "none", "target": backend.target, **vars(options)}, options


def _root(error: BaseException) -> BaseException:
    """What an error was before Triton wrapped it."""
    return error if error.__cause__ is None else _root(error.__cause__)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines or ["no message"])[-1][:_LONGEST]
