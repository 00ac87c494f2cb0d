"""``jobs.inspect``: typed arguments and results, silence, and the command's checks and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from neonext_ascend import jobs
from neonext_ascend.cli.main import run
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError, ToolchainError, UsageError
from neonext_ascend.models.variants import VARIANTS
from tests.support.pictures import texts_of

P3 = "Ascend310P3"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Gelu", ["x"], ["y"], name="it")], "g", [value], [output])
    path = tmp_path / "it.onnx"
    path.write_bytes(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]).SerializeToString()
    )
    return path


def test_a_file_is_held_against_the_rules_in_silence(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for subject in (file, str(file)):
        found = jobs.inspect(subject, soc_version=P3)
        assert isinstance(found, jobs.InspectedFile)
        assert (found.path, found.soc.name, found.precision) == (file, P3, "fp16")
        assert not found.inspection.accepted
    assert capfd.readouterr() == ("", "")
    assert run(["inspect", str(file), "--soc-version", P3, "--json"]) == 1
    assert json.loads(capfd.readouterr().out) == found.to_json()


def test_a_model_is_counted_in_silence(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # numpy's numbers are numbers, a number that stands twice counts once.
    batches: list[Any] = [np.int64(8), 1, 8]
    found = jobs.inspect(
        "neonext_nano", soc_version=P3, batch_sizes=batches, image_size=128, layout="chnw", plot="a.svg"
    )
    assert isinstance(found, jobs.InspectedModel)
    assert capfd.readouterr() == ("", "")
    assert found.config.image_size == (128, 128)
    assert [(row.batch, row.layout, row.chosen) for row in found.networks] == [(8, "chnw", True), (1, "chnw", True)]
    assert found.plot == Path("a.svg")
    assert {"batch 1", "batch 8"} <= set(texts_of(Path("a.svg").read_text(encoding="utf-8")))
    options = ["--batch-size", "8,1,8", "--image-size", "128", "--layout", "chnw", "--plot", "a.svg", "--json"]
    assert run(["inspect", "neonext_nano", "--soc-version", P3, *options]) == 0
    assert json.loads(capfd.readouterr().out) == found.to_json()


def test_a_configuration_is_a_model(tmp_path: Path) -> None:
    by_name = jobs.inspect("neonext_nano", soc_version=P3)
    assert jobs.inspect(VARIANTS["neonext_nano"].config, soc_version=P3) == by_name


REFUSED: list[tuple[dict[str, Any], type[NeoNextError], str]] = [
    ({"subject": "neonext_nano", "soc_version": "Ascend9"}, UsageError, "soc version 'Ascend9'"),
    ({"subject": None}, UsageError, "neither FILE nor MODEL"),
    ({"subject": Path("neonext_nana")}, FileAccessError, "neonext_nana: no such file; expected an ONNX file"),
    ({"subject": "neonext_nano", "precision": "fp16"}, UsageError, "--precision belongs to a FILE"),
    ({"config": "absent.toml", "precision": "fp16"}, UsageError, "absent.toml is a model, counted in fp16"),
    ({"subject": "a.onnx", "layout": "nchw"}, UsageError, "a.onnx is a file; --layout belongs to a MODEL"),
    ({"subject": "a.onnx", "image_size": 96}, UsageError, "a.onnx is a file; --image-size belongs to a MODEL"),
    ({"subject": "neonext_nano", "memory": 24}, UsageError, "--memory belongs to a FILE"),
    ({"subject": "neonext_nano", "measured": "a.csv"}, UsageError, "--measured belongs to a FILE"),
    ({"subject": "broken.onnx", "memory": -1}, UsageError, "memory -1: expected a number of at least 0"),
    ({"subject": "broken.onnx", "plot": "a.png"}, UsageError, "give a file name that ends in .svg"),
    ({"subject": "broken.onnx", "plot": "a.svg", "soc_version": "Ascend310P1"}, UsageError, "so no roof; take A"),
    ({"subject": "a.onnx", "precision": "fp64"}, UsageError, "precision 'fp64': expected one of fp16, origin, "),
    ({"subject": "neonext_nano", "layout": "nhwc"}, UsageError, "layout 'nhwc': expected one of nchw, chnw, auto"),
    ({"subject": "neonext_nano", "batch_sizes": [0]}, UsageError, "batch_sizes 0: expected a whole number from 1 to"),
    ({"subject": "neonext_nano", "batch_sizes": [1.5]}, UsageError, "batch_sizes 1.5: expected a whole number"),
    ({"subject": "neonext_nano", "batch_sizes": ["8"]}, UsageError, "batch_sizes '8': expected a whole number"),
    ({"subject": "neonext_nano", "image_size": (96, 97)}, UsageError, "97"),
    ({"subject": "neonext_nano", "plot": "a.png"}, UsageError, "give a file name that ends in .svg"),
    ({"subject": "neonext_nano", "plot": "/proc/no/a.svg"}, FileAccessError, "cannot create this folder"),
    ({"subject": "neonext_nano", "plot": "a.svg", "soc_version": "Ascend310P1"}, UsageError, "so no roof; take Asc"),
    ({"subject": "broken.onnx"}, ArtifactError, "not an ONNX model"),
]


@pytest.mark.parametrize(("arguments", "kind", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_what_is_refused(
    arguments: dict[str, Any], kind: type[NeoNextError], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.onnx").write_text("# A text\n")
    with pytest.raises(kind) as caught:
        jobs.inspect(**{"soc_version": P3, **arguments})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.onnx"]


def test_a_plot_without_matplotlib_is_refused_before_anything_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_matplotlib: None, capfd: pytest.CaptureFixture[str]
) -> None:
    def counted(*_: object) -> None:
        raise AssertionError("counted before it was known whether a plot can be drawn")

    monkeypatch.setattr("neonext_ascend.jobs.inspection.forms.network_rows", counted)
    plot = tmp_path / "new" / "it.svg"
    with pytest.raises(ToolchainError, match=r"pip install '\.\[report\]'"):
        jobs.inspect("neonext_nano", soc_version=P3, plot=plot)
    assert run(["inspect", "neonext_nano", "--soc-version", P3, "--plot", str(plot)]) == 3
    said = "plots need matplotlib, which is not installed; pip install '.[report]' in the checkout"
    assert capfd.readouterr() == ("", f"error: --plot {plot}: {said}\n")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_rest_works(no_matplotlib: None, file: Path) -> None:
    assert isinstance(jobs.inspect("neonext_nano", soc_version=P3), jobs.InspectedModel)
    assert isinstance(jobs.inspect(file, soc_version=P3), jobs.InspectedFile)


def test_a_file_has_a_roofline_where_it_has_an_estimate(tmp_path: Path, file: Path) -> None:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [64, 64])
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [64, 64])
    nodes = [onnx.helper.make_node("MatMul", ["x", "x"], ["z"]), onnx.helper.make_node("Relu", ["z"], ["y"])]
    path, plot = tmp_path / "two.onnx", tmp_path / "two.svg"
    opset = onnx.helper.make_opsetid("", 17)
    made = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [value], [output]), opset_imports=[opset])
    path.write_bytes(made.SerializeToString())
    found = jobs.inspect(path, soc_version=P3, plot=plot)
    assert isinstance(found, jobs.InspectedFile)
    assert found.to_json()["plot"] == str(plot)
    assert "attention: z" in texts_of(plot.read_text(encoding="utf-8"))
    plot.unlink()
    free = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, "H"])
    made.graph.input[0].CopyFrom(free)
    path.write_bytes(made.SerializeToString())
    with pytest.raises(UsageError, match=r"--plot: there is no estimate of .*: input 'x': axis 1 is free"):
        jobs.inspect(path, soc_version=P3, plot=plot)
    assert not plot.exists()
