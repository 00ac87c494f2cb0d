"""Whether half precision, as a chip may compute it, holds a file: node by node, not by its answers alone.

ONNX Runtime's CPU kernels keep float32 between fp16 nodes, so a file's own answers there hide an overflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neonext_ascend.precision.half import Overflow
from neonext_ascend.precision.halved import halved
from neonext_ascend.precision.modes import ALL, HalfMode
from neonext_ascend.precision.report import HalfReport
from neonext_ascend.runtimes.steps import Array, Steps
from neonext_ascend.spec import TOLERANCES, Dtype
from neonext_ascend.verify.compare import Comparison, compare_outputs
from neonext_ascend.verify.feeds import Feed


@dataclass(frozen=True)
class HalfVerdict:
    """The worst of the feeds in one way of overflowing.

    Args:
        report: every node's range, and what spoils the graph.
        comparison: of the rounded outputs with float32's.
        accumulation: of the partial sums inside a product.
    """

    report: HalfReport
    comparison: Comparison
    accumulation: Dtype = "fp32"

    @property
    def passed(self) -> bool:
        """Whether every node is held, and the answers are."""
        return self.report.passed and self.comparison.passed

    def reasons(self) -> list[str]:
        """Why it failed, in words."""
        words = [str(alarm) for alarm in self.report.alarms] or list(self.comparison.failures)
        return [f"{text} (on {self.comparison.what})" for text in words]

    def to_json(self) -> dict[str, Any]:
        """Verdict, worst figures, and the node with the least headroom."""
        tightest = self.report.tightest
        return {
            **self.report.to_json(),
            "accumulation": self.accumulation,
            "passed": self.passed,
            "feed": self.comparison.to_json(),
            "tightest": None if tightest is None else tightest.to_json(),
        }


def judge_half(
    path: Path, feeds: Iterable[Feed], overflows: Sequence[Overflow], mode: HalfMode = ALL
) -> tuple[HalfVerdict, ...]:
    """Compute a file node by node in half precision; a verdict for each way of overflowing.

    Args:
        path: of the ONNX file.
        feeds: the inputs; the first noise and the first pictures are used, further ones differ little.
        overflows: the chip's way, or both.
        mode: what is rounded.

    Raises:
        ArtifactError: the file cannot be computed.
    """
    return judge_steps(Steps(path), feeds, overflows, mode)


def judge_steps(
    steps: Steps, feeds: Iterable[Feed], overflows: Sequence[Overflow], mode: HalfMode = ALL
) -> tuple[HalfVerdict, ...]:
    """The same of a graph that is read already."""
    worst = dict[Overflow, HalfVerdict]()
    name, first = steps.ends()
    # Where half precision moves a value to the next of 8 bits, the answers are apart by what int8 costs.
    bounds = TOLERANCES["int8" if steps.int8 else "fp16"]
    kinds = {feed.kind: feed for feed in reversed(list(feeds))}
    for feed in kinds.values():
        for report in halved(steps, {name: feed.array}, overflows, mode):
            compared = [
                compare_outputs(feed.what, output, _rows(report.outputs[output]), _rows(exact), bounds)
                for output, exact in report.reference.items()
                if output == first or exact.dtype == np.float32
            ]
            # Of several outputs the first that is lost, or the one that is nearest to it.
            worst_output = min(compared, key=lambda one: (one.passed, -one.needed))
            found = HalfVerdict(report, worst_output, mode.accumulation)
            known = worst.get(report.overflow)
            if known is None or (known.passed, _headroom(known)) > (found.passed, _headroom(found)):
                worst[report.overflow] = found
    return tuple(worst.values())


def _rows(output: Array) -> Array:
    """A row of its own for the answer of a stranger's network to one picture."""
    return output.reshape(1, -1) if output.ndim < 2 else output


def _headroom(verdict: HalfVerdict) -> float:
    tightest = verdict.report.tightest
    return float("inf") if tightest is None else tightest.range.headroom_bits
