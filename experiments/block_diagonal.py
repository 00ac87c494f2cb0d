"""Section 3.4: a NeoCell as block-diagonal products against patch by patch, in each stage of NeoNeXt-T.

Needs the development dependencies: equation 1 is exported by torch. ONNX Runtime on the CPU, one thread, one image; the
forms, and their check against PyTorch, are those of ``benchmarks.measure.neocell``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure.machine import describe_machine
from benchmarks.measure.neocell import BLOCKDIAG, CONFIG, PATCHWISE, checked_forms
from benchmarks.measure.timing import interleaved
from benchmarks.page.parts import milliseconds, table
from experiments.page import keep
from neonext_ascend.models.config import STAGES

FORMS, REPEATS = {"patchwise": PATCHWISE, "block_diagonal": BLOCKDIAG}, 60


def main() -> bool:
    """Whether the block-diagonal form is the faster one in every stage."""
    stages = [_stage(stage) for stage in range(STAGES)]
    lines = rows(stages)
    print("\n".join(lines))
    keep("block_diagonal", {"machine": describe_machine(), "stages": stages}, lines)
    return all(stage["block_diagonal"] < stage["patchwise"] for stage in stages)


def _stage(stage: int) -> dict[str, Any]:
    """Seconds of the shortest run of each form, taken in turns: others on the machine only lengthen one."""
    height, width = CONFIG.stage_sizes()[stage]
    with tempfile.TemporaryDirectory() as folder:
        found = checked_forms(stage, 1, Path(folder))
        seconds = interleaved({name: found[form].run for name, form in FORMS.items()}, REPEATS)
    shortest = {name: float(f"{min(samples):.4g}") for name, samples in seconds.items()}
    return {"maps": f"{CONFIG.widths[stage]} of {height} x {width}", **shortest}


def rows(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    """A Markdown table, a line for each stage."""
    heads = ["stage", "maps", "patch by patch, ms", "block-diagonal, ms", "times as fast"]
    body = [
        [
            str(number),
            stage["maps"],
            *(milliseconds(stage[name]) for name in FORMS),
            f"{stage['patchwise'] / stage['block_diagonal']:.1f}",
        ]
        for number, stage in enumerate(stages, 1)
    ]
    return table(heads, body)
