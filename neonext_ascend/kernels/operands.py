"""What a NeoCell is given: sizes and tables as constants, and whether X and the cells fit."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.jit._trace import TracerWarning

from neonext_ascend.errors import GeometryError
from neonext_ascend.kernels.geometry import Geometry


def sizes(x: Tensor) -> tuple[int, ...]:
    """The lengths of the axes, as numbers also where ``torch.jit.trace`` makes tensors of them.

    A and B belong to one size of map, so a trace rightly keeps the size that it was made with.
    """
    if torch.compiler.is_dynamo_compiling() or not torch._C._is_tracing():
        return tuple(x.shape)
    with _constants():
        return tuple(int(length) for length in x.shape)


def table(index: NDArray[np.int64], device: torch.device) -> Tensor:
    """A table of elements as one axis, on ``device``; made anew, for a fake tensor must not stay in a cache."""
    with _constants():
        return torch.from_numpy(index.reshape(-1)).to(device)


@contextmanager
def _constants() -> Iterator[None]:
    """Without the warnings that ``torch.jit.trace`` gives where a constant is meant."""
    # Changing the filters costs something and is not for threads: only where it is needed.
    with warnings.catch_warnings(action="ignore", category=TracerWarning) if torch._C._is_tracing() else nullcontext():
        yield


def autocast_dtype(x: Tensor) -> torch.dtype | None:
    """The dtype to which autocast brings what is multiplied with ``x``; ``None`` where it does not."""
    kind = x.device.type
    if kind == "meta" or x.dtype == torch.float64 or not torch.is_autocast_enabled(kind):
        return None
    return torch.get_autocast_dtype(kind)


def check(
    x: Tensor,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    geometry: Geometry,
    bias: Sequence[Tensor] | None = None,
) -> None:
    """Refuse tensors that do not fit: a kernel would read past their ends.

    Raises:
        GeometryError: X has other axes, the cells have other shapes, or they differ in dtype or device.
    """
    shape = sizes(x)
    if len(shape) != 4 or shape[1] != geometry.channels:
        raise GeometryError(f"a NeoCell got X {shape}; expected (N, {geometry.channels}, H, W)")
    geometry.output_size(*shape[2:])
    expected = {
        "L": (left, [(g.channels, g.cell.h_out, g.cell.h_in) for g in geometry.groups]),
        "R": (right, [(g.channels, g.cell.w_in, g.cell.w_out) for g in geometry.groups]),
        "bias": (bias, [(g.channels, g.cell.h_out, g.cell.w_out) for g in geometry.groups]),
    }
    cast = autocast_dtype(x) is not None
    for name, (cells, shapes) in expected.items():
        if cells is None:
            continue
        found = [tuple(cell.shape) for cell in cells]
        if found != shapes:
            raise GeometryError(f"a NeoCell got {name} {found}; its groups need {shapes}")
        for cell in cells:
            if (cell.dtype != x.dtype and not cast) or cell.device != x.device:
                raise GeometryError(
                    f"a NeoCell got X as {x.dtype} on {x.device} and {name} as {cell.dtype} on {cell.device}; "
                    "give them one dtype and device"
                )
