"""A graph node by node: who is who without names, which numbers are computed, what is told of sizes and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from neonext_ascend import jobs
from neonext_ascend.cli.main import run
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import ArtifactError, FileAccessError, counted, with_article
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.verify.nodewise.nodes import values_of
from tests.support.graphs import draw, graph

LARGE = {"w": draw(8, 8), "k": np.float32(1e6), "j": np.float32(1e-6)}
ROWS = [("Mul", "x,k", "a"), ("Mul", "a,j", "b"), ("MatMul", "b,w", "y")]


@pytest.mark.parametrize("name", ["", "same", "b"])
def test_a_node_without_a_name_of_its_own_is_called_by_its_output(name: str, tmp_path: Path) -> None:
    path = graph(tmp_path / "it.onnx", ROWS, LARGE)
    model = onnx.load(str(path))
    for node in model.graph.node[: 1 if name == "b" else 3]:
        node.name = name
    onnx.save(model, path)
    steps = Steps(path).steps
    assert [step.name for step in steps] == (["a", "n_b", "n_y"] if name == "b" else ["a", "b", "y"])
    assert jobs.rescue_nodes(path).found.keep[0] == "a"


def test_bfloat16_and_float64_are_computed(tmp_path: Path) -> None:
    weight = draw(8, 8)
    path = graph(tmp_path / "it.onnx", [("MatMul", "x,w", "y")], {"w": weight}, dtype=TensorProto.BFLOAT16)
    model = onnx.load(str(path))
    rounded = numpy_helper.to_array(onnx.helper.make_tensor("w", TensorProto.BFLOAT16, (8, 8), weight.reshape(-1)))
    model.graph.initializer[0].CopyFrom(helper.make_tensor("w", TensorProto.BFLOAT16, (8, 8), weight.reshape(-1)))
    onnx.save(model, path)
    fed = draw(2, 8, seed=1)
    (got,) = (value for _, value in values_of(Steps(path), {"x": fed}))
    # A sum in another order.
    assert np.abs(np.subtract(got, fed @ rounded.astype(np.float32))).max() < 1e-6
    assert jobs.debug(path, against=path).first_inside is None
    double = graph(tmp_path / "d.onnx", [("MatMul", "x,w", "y")], {"w": weight.astype("f8")}, dtype=TensorProto.DOUBLE)
    single = graph(tmp_path / "s.onnx", [("MatMul", "x,w", "y")], {"w": weight})
    assert jobs.debug(double, against=single).first_inside is None
    assert jobs.debug(single, against=double).first_inside is None
    with pytest.raises(ArtifactError, match="input x is float64; half precision is judged against fp32"):
        jobs.rescue_nodes(double)


def test_too_little_memory_is_told_by_the_jobs(tmp_path: Path) -> None:
    path = graph(tmp_path / "it.onnx", [("Relu", "x", "y")], {}, (1, 3, 2**25, 2**25))
    for job in (lambda: jobs.debug(path, against=path), lambda: jobs.rescue_nodes(path)):
        with pytest.raises(FileAccessError, match="not enough memory"):
            job()


def test_a_free_height_and_width_are_taken_from_the_other_file_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("Conv", "x,w", "a"), ("GlobalAveragePool", "a", "b"), ("Flatten", "b", "y")]
    free = graph(tmp_path / "free.onnx", rows, {"w": draw(4, 3, 3, 3)}, ("n", 3, "h", "w"))
    fixed = graph(tmp_path / "fixed.onnx", rows, {"w": draw(4, 3, 3, 3)}, (1, 3, 9, 9))
    assert jobs.debug(free, against=fixed).first_inside is None
    model = onnx.load(str(free))
    model.graph.output[0].type.tensor_type.shape.CopyFrom(
        helper.make_tensor_type_proto(TensorProto.FLOAT, ("n", 4)).tensor_type.shape
    )
    onnx.save(model, free)
    for words in (["debug", str(free), "--against", str(free)], ["predict", str(free), str(sample_pictures()[0])]):
        assert run(words) == 2
        assert "takes pictures of any size (x: ?x3x?x?); give it one: python -m onnxruntime" in capsys.readouterr().err


def test_the_script_of_a_subgraph_runs_from_anywhere(tmp_path: Path) -> None:
    right = graph(tmp_path / "right.onnx", ROWS, LARGE)
    it = graph(tmp_path / "it.onnx", ROWS, {**LARGE, "w": draw(8, 8, seed=1)})
    found = jobs.debug(it, against=right, output=tmp_path / "report")
    script = str(tmp_path / "report" / "run.py")
    done = subprocess.run([sys.executable, script], cwd="/", capture_output=True, text=True, check=True)
    assert found.first_made is not None
    assert float(done.stdout) == pytest.approx(found.first_made.own, rel=1e-3)


def test_numbers_and_articles_agree_with_their_words() -> None:
    assert [counted(1, "node"), counted(2, "node"), counted(2, "entry"), counted(2, "class")] == [
        "1 node", "2 nodes", "2 entries", "2 classes",
    ]  # fmt: skip
    words = ["MatMul", "Identity", "Add", "LSTM", "GRU", "Unsqueeze", "Erf"]
    assert [with_article(word).split()[0] for word in words] == ["a", "an", "an", "an", "a", "an", "an"]
