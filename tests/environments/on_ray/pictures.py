"""20,000 pictures on two nodes: what one machine finds, to the last digit, killed and resumed once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from neonext_ascend import jobs
from neonext_ascend.errors import FileAccessError, UsageError
from tests.environments.on_ray import HELD
from tests.environments.on_ray.cluster import two_nodes
from tests.support import digits

COPIES, KILLED_AFTER = 16, 3000  # of 1,250 digits


def main(folder: str) -> None:
    """Raise where anything differs."""
    place = Path(folder)
    artifact = jobs.export("neonext_nano", batch_size=8, output=place).onnx.path
    data = digits.write(digits.mnist(4), place / "data")
    for picture in sorted(data.glob("*/*.png")):
        for copy in range(1, COPIES):
            os.link(picture, picture.with_name(f"{picture.stem}-{copy}.png"))
    (data / "3" / "text.png").write_text("no picture")
    (data / "5" / "cut.png").write_bytes(next((data / "5").glob("0*.png")).read_bytes()[:60])
    evaluation = ["eval", str(artifact), str(data), "--per-class", "--json"]
    want = _told(_finished(evaluation, 5))
    assert want["artifacts"][0]["images"] == COPIES * 1250
    assert [Path(failure["path"]).name for failure in want["failures"]] == ["text.png", "cut.png"]
    with jobs.predict(artifact, data / "7", top=2) as here:
        classified = list(here)
    with two_nodes() as (cluster, _):
        import ray

        there, journal = ["--ray", cluster.address], place / "answers.jsonl"
        resumed = [*evaluation, *there, "--resume", str(journal)]
        _killed(resumed, journal)
        known = len(journal.read_text().splitlines()) - 1
        told = _finished(resumed, 5)
        asked = json.loads(told)["speed"]["images"]
        print(f"{HELD}killed with {known} known; {asked} asked by the second run")
        assert KILLED_AFTER <= known < COPIES * 1250
        assert 0 <= COPIES * 1250 - known - asked <= 1  # a cut line is asked again
        assert _told(told) == want
        names = [json.loads(line)[0] for line in journal.read_text().splitlines()[1:]]
        assert len(names) == len(set(names)) == COPIES * 1250
        # A program that has joined by itself; the second time from the file alone.
        ray.init(cluster.address, log_to_driver=False)
        for _ in range(2):
            with jobs.predict(artifact, data / "7", top=2, resume=place / "7.jsonl", ray=cluster.address) as found:
                assert list(found) == classified
        for given, error in ((place / "none.onnx", FileAccessError), (data / "3" / "text.png", UsageError)):
            with pytest.raises(error, match=given.name):
                jobs.evaluate(given, data, ray=cluster.address)
        ray.shutdown()
        for patched, words in (
            ("ray.__version__ = '2.59.0'", "Ray: 2.59.0"),
            ("neonext_ascend.jobs.cluster.describing.__version__ = '0.0.1'", "on a worker, 0.0.1 here"),
        ):
            _refused_as_another(patched, [*evaluation, *there], words)
    _finished(["eval", str(artifact), str(data), *there], 3, "no cluster answers there")


def _told(text: str) -> dict[str, Any]:
    """All but how long it took."""
    told: dict[str, Any] = json.loads(text)
    told.pop("speed")
    return told


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "neonext_ascend", *arguments]


def _finished(arguments: list[str], status: int, words: str = "") -> str:
    done = subprocess.run(_command(arguments), capture_output=True, text=True, check=False)
    assert (done.returncode, words in done.stderr) == (status, True), (arguments, done.returncode, done.stderr[-3000:])
    return done.stdout


def _refused_as_another(patched: str, arguments: list[str], words: str) -> None:
    """As from a machine with another version, which a patch makes of this one: a line, no traceback."""
    run = "runpy.run_module('neonext_ascend', run_name='__main__', alter_sys=True)"
    code = f"import runpy, sys, ray, neonext_ascend.jobs.cluster.describing; {patched}; {run}"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    line = done.stderr.strip().splitlines()[-1]
    assert (done.returncode, words in line, "Traceback" in done.stderr) == (3, True, False), done.stderr[-3000:]
    print(f"{HELD}{line}")


def _killed(arguments: list[str], journal: Path) -> None:
    process = subprocess.Popen(_command(arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    last = time.monotonic() + 240
    while time.monotonic() < last:
        if journal.is_file() and journal.read_bytes().count(b"\n") > KILLED_AFTER:
            break
        assert process.poll() is None, "ended before it was killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
