"""An OM behind the server, on the stand-in card: its gears, and pixels for the device to normalise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neonext_ascend import jobs
from neonext_ascend.client import Client
from neonext_ascend.data import sample_pictures
from neonext_ascend.runtimes.registry import open_runner
from tests import ROOT
from tests.support.om_commands import export
from tests.support.serving import serving


@pytest.mark.parametrize("more", [[], ["--aipp"]], ids=["tensors", "pixels"])
def test_an_om_is_served_in_its_gears(
    more: list[str],
    card: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    om, _, _ = export(capfd, tmp_path, "neonext_nano", "--batch-gears", "1,4", *more)
    with open_runner(om) as runner:
        spec = runner.inputs[0]
        shape = (3, *(int(n) for n in spec.shape[1:]))
        rows = np.random.RandomState(0).randint(0, 255, shape).astype(spec.dtype)
        filled = np.concatenate([rows, rows[-1:]])
        output = runner.outputs[0].name
        in_fours = runner.infer({spec.name: filled})[output][:3].astype(np.float32)
        in_ones = np.concatenate([runner.infer({spec.name: row[None]})[output] for row in rows]).astype(np.float32)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'tests' / 'standins' / 'site'}:{ROOT}")
    (told,) = jobs.predict(om, sample_pictures()[3], top=2)
    with serving(f"nano={om}") as up, Client(f"http://127.0.0.1:{up.port}") as client:
        assert client.metadata("nano")["platform"] == "ascend_om"
        # The same three rows in the same gear: the same bits. Which gear is faster was measured at the start.
        answer = client.infer("nano", rows).astype(np.float32)
        counts = up.ask("GET", "/metrics").body
        four = b'neonext_gear_total{gear="4",model="nano",version="1"} 1.0' in counts
        assert four or b'neonext_gear_total{gear="1",model="nano",version="1"} 3.0' in counts
        np.testing.assert_array_equal(answer, in_fours if four else in_ones)
        # As the stand-in of npu-smi tells: 1,852 of 21,527 MB.
        assert f'neonext_device_memory_bytes{{device="0",what="used"}} {1852 * 2**20:.9e}'.encode() in counts
        found = client.classify(sample_pictures()[3], top=2)
        assert [(guess.index, guess.label) for guess in found] == [(guess.index, guess.label) for guess in told.top]
        assert [guess.score for guess in found] == pytest.approx([guess.score for guess in told.top], abs=1e-3)
