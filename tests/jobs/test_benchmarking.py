"""``jobs.benchmark``: typed arguments and results, silence, and the command's checks and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from neonext_ascend import jobs
from neonext_ascend.cli.main import run
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError, ToolchainError, UsageError
from tests.support.pictures import texts_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [value], [output])
    path = tmp_path / "it.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_what_was_measured_comes_typed_and_in_silence(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []

    @contextmanager
    def counting(total: int) -> Iterator[Callable[[], None]]:
        told.append(f"of {total}")
        yield lambda: told.append("sitting")

    plot = file.parent / "new" / "it.svg"
    numbers: dict[str, Any] = {"repeats": np.int64(6), "batch_size": np.int32(2)}
    result = jobs.benchmark([file, str(file)], **numbers, sittings=8, plot=plot, counting=counting)
    assert capfd.readouterr() == ("", "")
    assert isinstance(result, jobs.Benchmark)
    assert told == ["of 6", *["sitting"] * 6]
    first, second = result.entries
    assert (first.of.path, first.of.batch, first.of.threads, first.of.dtype) == (file, 2, 1, "fp32")
    assert first.ratio is None
    assert second.ratio is not None
    assert result.settings["sittings"] == result.settings["repeats"] == 6
    assert result.settings["seconds"] is None
    data = result.to_json()
    assert [artifact["runs"] for artifact in data["artifacts"]] == [6, 6]
    assert result.plot == plot
    assert any(text.endswith(file.name) for text in texts_of(plot.read_text(encoding="utf-8")))


def test_the_usual_seconds_are_told(file: Path) -> None:
    result = jobs.benchmark([file], seconds=0.01, sittings=6)
    assert (result.settings["seconds"], result.settings["repeats"]) == (0.01, None)
    assert result.plot is None


REFUSED: list[tuple[dict[str, Any], type[NeoNextError], str]] = [
    (
        {"artifacts": "neonext_nano"},
        UsageError,
        "artifacts 'neonext_nano': expected a list of at least one, each a path",
    ),
    ({"artifacts": []}, UsageError, "artifacts []: expected a list of at least one, each a path"),
    ({"artifacts": ["neonext_nano"] * 27}, UsageError, "27 artifacts; at most 26"),
    ({"artifacts": [Path("neonext_nano")]}, FileAccessError, "neonext_nano: cannot read the model"),
    ({"artifacts": ["broken.onnx"]}, ArtifactError, "broken.onnx"),
    ({"seconds": 1.0, "repeats": 9}, UsageError, "both --seconds 1.0 and --repeats 9"),
    ({"seconds": float("nan")}, UsageError, "seconds nan: expected a number of at least 0.001"),
    ({"seconds": "soon"}, UsageError, "seconds 'soon': expected a number of at least 0.001"),
    ({"seconds": -1}, UsageError, "seconds -1: expected a number of at least 0.001"),
    ({"repeats": 5}, UsageError, "repeats 5: expected a whole number from 6 to"),
    ({"repeats": 6.5}, UsageError, "repeats 6.5: expected a whole number"),
    ({"sittings": 1001}, UsageError, "sittings 1001: expected a whole number from 6 to 1000"),
    ({"threads": 0}, UsageError, "threads 0: expected a whole number from 1 to 1024"),
    ({"batch_size": 2**17}, UsageError, "batch_size 131072: expected a whole number from 1 to 65536"),
    ({"device": -1}, UsageError, "device -1: expected a whole number from 0 to 1023"),
    ({"runtime": "tpu"}, UsageError, "runtime 'tpu': expected one of auto, ort, cann, acl, npu"),
    ({"plot": "it.png"}, UsageError, "give a file name that ends in .svg"),
    ({"plot": "/proc/no/it.svg"}, FileAccessError, "cannot create this folder"),
]


@pytest.mark.parametrize(("arguments", "kind", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_what_is_refused(
    arguments: dict[str, Any], kind: type[NeoNextError], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.onnx").write_text("# A text\n")
    with pytest.raises(kind) as caught:
        jobs.benchmark(**{"artifacts": ["neonext_nano"], **arguments})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.onnx"]


def test_a_plot_without_matplotlib_is_refused_before_anything_is_loaded(
    file: Path, monkeypatch: pytest.MonkeyPatch, no_matplotlib: None, capfd: pytest.CaptureFixture[str]
) -> None:
    def loaded(*_: object) -> None:
        raise AssertionError("loaded before it was known whether a plot can be drawn")

    monkeypatch.setattr("neonext_ascend.jobs.benchmarking.contender_of", loaded)
    plot = file.parent / "new" / "it.svg"
    with pytest.raises(ToolchainError, match=r"pip install '\.\[report\]'"):
        jobs.benchmark([file], plot=plot)
    assert run(["benchmark", str(file), "--plot", str(plot)]) == 3
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"error: --plot {plot}: plots need matplotlib")
    assert err.count("\n") == 1
    assert list(file.parent.iterdir()) == [file]
    # What is wrong with the words goes before what is missing.
    assert run(["benchmark", "neonext_nana", "--plot", str(plot)]) == 2


def test_without_matplotlib_the_rest_works(no_matplotlib: None, file: Path) -> None:
    assert len(jobs.benchmark([file], repeats=6).entries) == 1
