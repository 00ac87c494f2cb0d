"""The three forms of a decision; deploy form and record bit for bit those of a second writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from neonext_ascend import jobs
from neonext_ascend.artifacts.int8_twins import scales_of
from neonext_ascend.errors import ArtifactError, UsageError
from neonext_ascend.exporters.atc_rules.inspecting import inspect_onnx
from neonext_ascend.exporters.atc_rules.operators import REGISTERED
from neonext_ascend.exporters.int8.deploy import deploy_model, packed
from neonext_ascend.exporters.int8.qdq import jittered, qdq_model
from neonext_ascend.exporters.int8.record import record_text
from neonext_ascend.exporters.om_file.options import Precision
from neonext_ascend.machine.chips import find_soc
from neonext_ascend.precision.int8.deciding import Settings
from tests.exporters.test_vendor_signatures import new
from tests.support.amct_writer import deploy_form, described, record_of
from tests.support.int8_graphs import decide, drawn, every_kind, graph

PLAIN = Settings("minmax", balance=False, correct_bias=False)


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> ModelProto:
    return onnx.load(str(jobs.export("neonext_nano", output=tmp_path_factory.mktemp("n"), verify=False).onnx.path))


@pytest.mark.parametrize("which", ["nano", "every kind"])
def test_the_deploy_form_is_a_second_writers_bit_for_bit(which: str, nano: ModelProto) -> None:
    model = nano if which == "nano" else every_kind()
    made = decide(model, PLAIN)
    record = record_of(record_text(made.decision))
    assert len(record) == (17 if which == "nano" else 5)
    ours, theirs = (described(one) for one in (deploy_model(made.model, made.decision), deploy_form(model, record)))
    assert ours["nodes"] == theirs["nodes"]
    assert ours["constants"] == theirs["constants"]
    assert ours["ends"] == theirs["ends"]


def test_every_operator_is_registered_and_every_signature_taken_or_named(nano: ModelProto, tmp_path: Path) -> None:
    made = decide(nano, PLAIN)
    path = tmp_path / "deploy.onnx"
    onnx.save(deploy_model(made.model, made.decision), path)
    assert all(17 in REGISTERED[node.op_type] for node in onnx.load(str(path)).graph.node)
    assert {operator for operator, _ in new(path)} == {"AscendQuant", "AscendDequant"}
    precisions: tuple[Precision, ...] = ("fp16", "origin")
    for precision in precisions:
        found = inspect_onnx(path, find_soc("Ascend310P3"), precision)
        assert {finding.rule for finding in found.findings} == {"gelu-erf", "int8-chip"}
    onnx.save(qdq_model(made.model, made.decision), path)
    assert not inspect_onnx(path, find_soc("Ascend310P3")).accepted


def test_scales_are_packed_as_bits() -> None:
    scales = drawn(5)
    assert (scales_of(packed(scales)) == scales).all()
    assert packed(scales[:1] * 0 + 1).tolist() == [0x3F800000]


def test_qdq_is_valid_onnx_at_every_opset_that_it_has() -> None:
    for opset in range(13, 18):
        model = every_kind()
        model.opset_import[0].version = opset
        made = decide(model, PLAIN)
        onnx.checker.check_model(qdq_model(made.model, made.decision), full_check=True)
    model.opset_import[0].version = 12
    with pytest.raises(UsageError, match="opset 12: int8 needs 13 to 18"):
        qdq_model(model, made.decision)


def test_what_rounds_otherwise_has_other_constants_and_the_same_powers() -> None:
    """To the power of 3.000001 a negative number is NaN, and any answer were as good as another."""
    constants = {"w": drawn(3, 4), "three": np.asarray(3, np.float32), "shape": np.asarray([4, 3])}
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Pow", ["x", "three"], "cube", {}),
        ("MatMul", ["cube", "w"], "product", {}),
        ("Reshape", ["product", "shape"], "y", {}),
    ]
    model = graph(nodes, constants, (3, 3))
    moved = {one.name: numpy_helper.to_array(one) for one in jittered(model).graph.initializer}
    assert float(moved["three"]) == 3
    assert moved["shape"].tolist() == [4, 3]
    off = moved["w"] / constants["w"] - 1
    assert 1e-7 < np.abs(off).max() < 1.2e-6  # 1e-6, and float32's rounding


def test_a_graph_that_is_not_the_decisions_is_refused() -> None:
    made = decide(every_kind(), PLAIN)
    other = graph([("Relu", ["x"], "y", {})], {}, (1, 4))
    with pytest.raises(ArtifactError, match="c1: the graph has no such node"):
        deploy_model(other, made.decision)
    taken = every_kind()
    taken.graph.node[1].output[0] = taken.graph.node[2].input[0] = "c1.quant"
    taken.graph.node[2].input[0] = "c1.quant"
    with pytest.raises(ArtifactError, match="has this name already"):
        deploy_model(taken, made.decision)


def test_nodes_without_names_and_constants_in_nodes_are_no_matter() -> None:
    model = every_kind()
    for node in model.graph.node:
        node.name = ""
    held = model.graph.initializer[0]
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], [held.name], value=held))
    model.graph.initializer.remove(held)
    made = decide(model, PLAIN)
    assert len(made.decision.layers) == 5
    onnx.checker.check_model(qdq_model(made.model, made.decision), full_check=True)
