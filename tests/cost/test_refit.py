"""A fit with measured times: it finds again what the times were made by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neonext_ascend import jobs
from neonext_ascend.artifacts.skim import skim_model
from neonext_ascend.cost.file_cost import file_cost
from neonext_ascend.cost.timing import find_fit
from neonext_ascend.machine.chips import find_soc
from tests.standins.msprof import write_summary
from tools.cost.fit import SOC
from tools.cost.refit import main


def test_a_card_on_which_gelu_is_dearer_is_found_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = jobs.export("neonext_nano", image_size=320, batch_size=8, verify=False, output=tmp_path)
    cost = file_cost(skim_model(made.onnx.path), find_soc(SOC), (8,))
    slow = {"gelu": 3.0}
    rows = [
        (one.operator.name, one.operator.what, one.microseconds * slow.get(one.operator.work.kind, 1.0))
        for one in cost.timed
        if one.operator.nodes
    ]
    table = write_summary(tmp_path / "op_summary_1.csv", rows)
    assert main([str(made.onnx.path), str(table), "-o", str(tmp_path / "fit.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"the committed fit: {len(rows)} measured operators missed by 1.00 3.00")
    assert float(lines[1].split()[-4]) < 1.2
    was = find_fit(SOC)
    assert was is not None
    new = json.loads((tmp_path / "fit.json").read_text())
    assert 2 < new["parameters"]["rate_gelu"] / was.parameters["rate_gelu"] < 4
    assert new["median_error"] == was.median_error


def test_what_cannot_be_fitted_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.onnx"]) == 2
    assert main([str(tmp_path / "a.onnx"), str(tmp_path / "a.csv")]) == 5
    assert capsys.readouterr().err.count("\n") == 2
