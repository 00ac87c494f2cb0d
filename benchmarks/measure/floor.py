"""The least time that a network can take on a machine: its useful products at the GEMM peak, and its GELU."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_SHARE = 0.85


@dataclass(frozen=True, slots=True)
class Floor:
    """What it is made of, for one batch and one thread.

    Args:
        macs: useful multiply-accumulates of the batch (block-sparse).
        gemm_peak: of the machine, multiply-accumulates a second.
        gelu: seconds of all GELU at their measured rate.
    """

    macs: int
    gemm_peak: float
    gelu: float

    @property
    def products(self) -> float:
        """Seconds of the products."""
        return self.macs / self.gemm_peak

    @property
    def seconds(self) -> float:
        """Products and GELU."""
        return self.products + self.gelu

    def share(self, measured: float) -> float:
        """Floor over measured seconds: 1 would be perfect."""
        return self.seconds / measured


def remaining_ratio(ratio: float, share: float) -> float:
    """What a ratio of times would be if ``share`` of the time above the line cost nothing."""
    return ratio * (1.0 - share)
