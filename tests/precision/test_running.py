"""A file's answers in half precision in one session: those that node by node gives, to the bit, wherever it rounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from neonext_ascend import jobs
from neonext_ascend.precision.half import OVERFLOWS, Overflow
from neonext_ascend.precision.halved import halved
from neonext_ascend.precision.modes import ALL, HalfMode
from neonext_ascend.precision.running import HalfRunner
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.spec import Dtype
from neonext_ascend.verify.feeds import noise
from tests.support.injection import largest_values, plant

FEED = {"image": noise((1, 3, 96, 96), 0)}
# A kept part of a GELU reads what the others give it rounded.
KEPT = ("stage3.block0.fc1", "stage2.block1.act.erf", "stage3.block1")
MODES = (ALL, *map(HalfMode, ("origin", "mixed_float16", "cube_fp16in_fp32out")), HalfMode("fp16", KEPT))


def agrees(path: Path, overflow: Overflow, mode: HalfMode = ALL, within: float = 0.0) -> None:
    (report,) = halved(Steps(path), FEED, (overflow,), mode)
    with HalfRunner(path, overflow, mode) as runner:
        got = runner.infer(FEED)["logits"]
    want = report.outputs["logits"]
    finite = np.isfinite(want)
    np.testing.assert_array_equal(np.isfinite(got), finite)
    assert np.abs(np.subtract(got[finite], want[finite])).max(initial=0.0) <= within, f"{overflow} {mode}"


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_it_rounds_what_node_by_node_is_rounded(dtype: Dtype, tmp_path: Path) -> None:
    keep = KEPT[:1] if dtype == "fp16" else ()
    path = jobs.export("neonext_nano", dtype=dtype, keep_fp32=keep, verify=False, output=tmp_path).onnx.path
    for mode in MODES:
        for overflow in OVERFLOWS:
            # Unrounded results may differ by the order of a sum, for several threads share it here.
            agrees(path, overflow, mode, within=0.0 if mode is ALL else 1e-5)


def test_what_overflows_or_underflows_comes_out_as_it_does_node_by_node(tmp_path: Path) -> None:
    path, planted = jobs.export("neonext_nano", verify=False, output=tmp_path).onnx.path, tmp_path / "planted.onnx"
    model = onnx.load(str(path))
    largest = largest_values(model, FEED)
    for node in [*largest][::6]:
        for up in (True, False):
            onnx.save(plant(model, node, largest[node], up), planted)
            for overflow in OVERFLOWS:
                agrees(planted, overflow)
