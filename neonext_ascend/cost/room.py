"""The largest batch whose weights and activations fit in so much memory."""

from __future__ import annotations

from collections.abc import Callable

# More images at once than anybody compiles for; a search ends here.
MOST = 2**16


def largest_batch(need: Callable[[int], int], room: int) -> int:
    """What fits where one image more does not: both are counted, after a guess by linear growth.

    Args:
        need: bytes at a batch; never fewer at a larger one.
        room: bytes.

    Returns:
        0 where a single image does not fit, :data:`MOST` where that many would.
    """
    first = need(1)
    if first > room:
        return 0
    growth = need(2) - first
    guess = MOST if growth <= 0 else min(1 + (room - first) // growth, MOST)
    fits, beyond = 1, MOST + 1
    for batch in (guess, guess + 1):
        if fits < batch < beyond:
            fits, beyond = (batch, beyond) if need(batch) <= room else (fits, batch)
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        fits, beyond = (middle, beyond) if need(middle) <= room else (fits, middle)
    return fits
