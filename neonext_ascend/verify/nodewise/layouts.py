"""A tensor that another program holds in another layout, brought to the shape that it has here."""

from __future__ import annotations

from itertools import permutations

from neonext_ascend.runtimes.steps import Array

_MOST = 6  # axes whose orders are tried
CHANNELS_LAST = (0, 3, 1, 2)  # the axes of NHWC in the order of NCHW


def laid_out(value: Array, shape: tuple[int, ...], turned: bool = False) -> tuple[Array, tuple[int, ...]] | None:
    """The value in this shape, and the order of its axes that this took; ``None`` where it is no order of them.

    Args:
        value: as it came.
        shape: that it should have; one of the same numbers in other axes, flattened, say, holds them in the same order.
        turned: whether its neighbours are NHWC in place of NCHW: a cube tells nothing by itself.
    """
    order = order_of(value.shape, shape, turned)
    if order is not None:
        return value.transpose(order), order
    inner, wanted = ([n for n in sizes if n != 1] for sizes in (value.shape, shape))
    if value.size == _size(shape) and (inner == wanted or sorted(inner) != sorted(wanted)):
        return value.reshape(shape), tuple(range(len(shape)))
    return None


def order_of(shape: tuple[int, ...], wanted: tuple[int, ...], turned: bool = False) -> tuple[int, ...] | None:
    """The order of the axes that gives a shape: as they stand, NHWC to NCHW, or the only other one; else ``None``."""
    if len(shape) != len(wanted) or len(shape) > _MOST or sorted(shape) != sorted(wanted):
        return None
    orders = [order for order in permutations(range(len(shape))) if tuple(shape[axis] for axis in order) == wanted]
    plain = tuple(range(len(shape)))
    for known in (CHANNELS_LAST, plain) if turned else (plain, CHANNELS_LAST):
        if known in orders:
            return known
    # Axes of length 1 may stand in any order.
    firsts = {tuple(axis for axis in order if shape[axis] != 1) for order in orders}
    return orders[0] if len(firsts) == 1 else None


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
