"""A kernel that no compiler may accept: a product of tiles that do not fit. The check must say that it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import triton  # type: ignore[import-not-found,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,unused-ignore]


@triton.jit
def broken_kernel(x, y, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    """``x (TILE, TILE)`` times its upper half, which has too few rows."""
    rows, half = tl.arange(0, TILE), tl.arange(0, TILE // 2)
    whole = tl.load(x + rows[:, None] * TILE + rows[None, :])
    upper = tl.load(x + half[:, None] * TILE + rows[None, :])
    tl.store(y + rows[:, None] * TILE + rows[None, :], tl.dot(whole, upper))


@dataclass(frozen=True, slots=True)
class BrokenLaunch:
    """A launch of it."""

    name: str = "broken"
    kernel: Any = broken_kernel
    pointers: Mapping[str, str] = field(default_factory=lambda: {"x": "fp16", "y": "fp32"})
    scalars: Mapping[str, int] = field(default_factory=dict)
    constants: Mapping[str, int] = field(default_factory=lambda: {"TILE": 64})
