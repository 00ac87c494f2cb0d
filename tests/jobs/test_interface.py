"""The Python interface: each name, twice; the command's checks, errors and results; silence."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from neonext_ascend import jobs
from neonext_ascend.cli.main import run
from neonext_ascend.errors import NeoNextError, ParityError, ToolchainError, UsageError
from neonext_ascend.jobs.making.onnx_file import ParityFailedError
from neonext_ascend.spec import TOLERANCES
from tests import ROOT

TWICE = """
from neonext_ascend import jobs
for _ in range(2):
    for name in jobs.__all__:
        assert callable(getattr(jobs, name)), (name, getattr(jobs, name))
"""


def test_each_name_is_itself_at_its_second_use() -> None:
    # In a fresh process: a name that is also a file's turns into the module once that file is imported.
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


def test_no_job_is_named_as_a_file_of_the_room() -> None:
    files = {path.stem for path in Path(str(jobs.__file__)).parent.glob("*.py")}
    assert not files & set(jobs.__all__)
    assert set(dir(jobs)) == set(jobs.__all__)


def test_an_export_is_the_commands_to_the_byte_and_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = jobs.export("neonext_nano", batch_size=2, opset=13, output=tmp_path / "job")
    assert capfd.readouterr() == ("", "")
    arguments = ["export", "neonext_nano", "--batch-size", "2", "--opset", "13", "--json", "-o", str(tmp_path / "cli")]
    assert run(arguments) == 0
    told = json.loads(capfd.readouterr().out)
    assert made.onnx.path.read_bytes() == Path(told["artifacts"][0]["path"]).read_bytes()
    ours = made.to_json()
    assert ours["artifacts"][0]["sha256"] == told["artifacts"][0]["sha256"]
    assert ours.keys() == told.keys()
    assert ours["artifacts"][0].keys() == told["artifacts"][0].keys()
    assert jobs.verify(made.onnx.path).verdict.passed


def test_a_watch_is_told_what_happens(tmp_path: Path) -> None:
    seen: list[object] = []
    watch = jobs.Watch(note=seen.append, warn=seen.append, made=seen.append)
    made = jobs.export("neonext_t", image_size=384, verify=False, output=tmp_path, watch=watch)
    assert seen == [
        "neonext_t at 384 keeps its shifts 1,1,1,0; the published 384 network is neonext_t_384 with 1,1,1,1",
        made.onnx,
    ]


# Calls, the command that says the same, and their error.
REFUSED = [
    (lambda: jobs.export(), ["export"], UsageError),
    (lambda: jobs.export("neonext_x"), ["export", "neonext_x"], UsageError),
    (lambda: jobs.export("neonext_t", opset=10), ["export", "neonext_t", "--opset", "10"], UsageError),
    (
        lambda: jobs.export("neonext_t", layout="chnw", lowering="kron"),
        ["export", "neonext_t", "--layout", "chnw", "--lowering", "kron"],
        UsageError,
    ),
    (
        lambda: jobs.export("neonext_nano", om=jobs.OmRequest("Ascend310P3", batch_gears=(1,))),
        ["export", "neonext_nano", "--format", "om", "--soc-version", "Ascend310P3", "--batch-gears", "1"],
        UsageError,
    ),
    (
        lambda: jobs.export("neonext_nano", om=jobs.OmRequest("Ascend310P3")),
        ["export", "neonext_nano", "--format", "om", "--soc-version", "Ascend310P3"],
        ToolchainError,
    ),
    (lambda: jobs.train("neonext_x", data="digits"), ["train", "neonext_x", "--data", "digits"], UsageError),
    (lambda: jobs.train("neonext_nano", data="absent"), ["train", "neonext_nano", "--data", "absent"], NeoNextError),
    (
        lambda: jobs.train("neonext_nano", data="digits", settings={"crop": 2.0}, recipe="absent.toml"),
        ["train", "neonext_nano", "--data", "digits", "--recipe", "absent.toml"],
        NeoNextError,
    ),
    (lambda: jobs.check_data("absent"), ["train", "--data", "absent", "--check-data"], NeoNextError),
    (lambda: jobs.verify("absent.onnx"), ["verify", "absent.onnx"], NeoNextError),
    (lambda: jobs.verify("a.onnx", seed=0), ["verify", "a.onnx", "--seed", "0"], UsageError),
    (lambda: jobs.verify("neonext_nano", dtype="fp16"), ["verify", "neonext_nano", "--dtype", "fp16"], UsageError),
    (lambda: jobs.verify("neonext_nano", runtime="acl"), ["verify", "neonext_nano", "--runtime", "acl"], UsageError),
]


@pytest.mark.parametrize(
    ("call", "arguments", "kind"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_job_refuses_as_its_command_does(
    call: object,
    arguments: list[str],
    kind: type[NeoNextError],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert callable(call)
    with pytest.raises(kind) as caught:
        call()
    assert run(arguments) == caught.value.exit_code
    assert capfd.readouterr().err == f"error: {caught.value}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_failed_check_raises_and_carries_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No rounding to fp16 is this exact.
    strict = {"fp16": replace(TOLERANCES["fp16"], max_relative=1e-9)}
    monkeypatch.setattr("neonext_ascend.jobs.making.request.TOLERANCES", strict)
    with pytest.raises(ParityFailedError) as caught:
        jobs.export("neonext_nano", output=tmp_path, dtype="fp16")
    assert not caught.value.verdict.passed
    assert isinstance(caught.value, ParityError)
    assert list(tmp_path.iterdir()) == []


def test_every_job_says_its_arguments_and_errors() -> None:
    for name in jobs.__all__:
        job = getattr(jobs, name)
        assert inspect.getdoc(job), name


def test_the_page_has_every_name_and_what_each_job_gives() -> None:
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `jobs\.(\w+)` \| `.+` \| (.+) \|$", page, re.MULTILINE))
    found = {name: getattr(jobs, name) for name in jobs.__all__}
    given = {name: inspect.signature(job).return_annotation for name, job in found.items() if inspect.isfunction(job)}
    assert rows.keys() == given.keys()
    for name, words in rows.items():
        assert f"`{'` or `'.join(re.findall('[A-Z][A-Za-z0-9]+', given[name]))}`" in words
    assert [name for name in found if f"`{name}`" not in page and f"jobs.{name}" not in page] == []
