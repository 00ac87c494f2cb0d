"""AscendQuant, products of int8 and AscendDequant as the vendor documents them, exact.

``q = clip(round(x scale) + offset, -128, 127)``, sums of ``q p`` and an int32 bias, ``y = sum scale`` rounded to fp16.
Of the rounding the vendor says no more than that; here ties go to even, and ``x scale`` is float32's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.artifacts.int8_twins import scales_of
from neonext_ascend.errors import ArtifactError

_LOWEST, _HIGHEST = -128, 127
_INT32 = np.iinfo(np.int32)
Integers = NDArray[np.int32]


def quantise(x: NDArray[np.floating], scale: float, offset: float) -> NDArray[np.int8]:
    """AscendQuant: a value to int8."""
    steps = np.rint(x.astype(np.float32) * np.float32(scale)) + np.float32(offset)
    integers: NDArray[np.int8] = np.clip(steps, _LOWEST, _HIGHEST).astype(np.int8)
    return integers


def dequantise(sums: Integers, parameter: NDArray[np.uint64], channel: int) -> NDArray[np.float16]:
    """AscendDequant to fp16: the low 32 bits of each parameter are a float32, for one channel or for all."""
    shape = [1] * sums.ndim
    shape[channel] = -1
    with np.errstate(over="ignore"):  # fp16 overflows as the chip does; that is judged elsewhere
        return (sums.astype(np.float32) * scales_of(parameter).reshape(shape)).astype(np.float16)


def product(left: NDArray[np.int8], right: NDArray[np.int8]) -> Integers:
    """``left @ right``; in float64, whose 53 bits hold each partial sum that int32 does."""
    return _int32(left.astype(np.float64) @ right.astype(np.float64))


def convolution(
    x: NDArray[np.int8],
    weight: NDArray[np.int8],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    groups: int,
) -> Integers:
    """``(N, C, H, W)`` with ``(O, C / groups, h, w)``; pads are ``[top, left, bottom, right]`` of zeros."""
    (top, left, bottom, right), (outputs, inputs, *kernel) = pads, weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, (2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    rows, _, height, width = windows.shape[:4]
    sums = [
        product(
            windows[:, group * inputs : (group + 1) * inputs]
            .transpose(0, 2, 3, 1, 4, 5)
            .reshape(-1, inputs * np.prod(kernel, dtype=int)),
            part.reshape(len(part), -1).T,
        )
        for group, part in enumerate(np.split(weight, groups))
    ]
    return np.concatenate(sums, 1).reshape(rows, height, width, outputs).transpose(0, 3, 1, 2)


def pads_of(told: Mapping[str, Any], sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int]) -> list[int]:
    """``[top, left, bottom, right]`` of a Conv with these attributes; ``auto_pad`` as ai.onnx has it, not dilated."""
    auto = told.get("auto_pad", b"NOTSET")
    if auto not in (b"SAME_UPPER", b"SAME_LOWER"):
        return list(told.get("pads", [0, 0, 0, 0])) if auto == b"NOTSET" else [0, 0, 0, 0]
    # Outputs are ceil(size / stride).
    whole = [
        max((-(-size // stride) - 1) * stride + edge - size, 0)
        for size, edge, stride in zip(sizes, kernel, strides, strict=True)
    ]
    less, more = [total // 2 for total in whole], [-(-total // 2) for total in whole]
    return [*less, *more] if auto == b"SAME_UPPER" else [*more, *less]


def add(sums: Integers, bias: Integers) -> Integers:
    """Two int32, whose sum int32 must hold."""
    return _int32(sums.astype(np.float64) + bias)


def _int32(sums: NDArray[np.float64]) -> Integers:
    if np.abs(sums).max(initial=0) > _INT32.max:
        raise ArtifactError(f"a sum of int8 products is {np.abs(sums).max():.0f}; int32 does not hold it")
    return sums.astype(np.int32)
