"""Operators of ONNX files, grouped and counted; estimates of files, ours and anybody's."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from neonext_ascend import jobs
from neonext_ascend.artifacts.nonzero import nonzero_counts
from neonext_ascend.artifacts.skim import skim_model
from neonext_ascend.checkpoints.loading import read_config
from neonext_ascend.cost.answer import FileCost
from neonext_ascend.cost.count import count_network
from neonext_ascend.cost.counting import Operator, operators
from neonext_ascend.cost.file_cost import cost_or_reason, file_cost
from neonext_ascend.cost.flow import Flow
from neonext_ascend.cost.layouts import is_passed_once_more
from neonext_ascend.errors import ArtifactError, NeoNextError
from neonext_ascend.kernels.lower_padded import ROWS
from neonext_ascend.machine.chips import SOCS
from neonext_ascend.reporting.operators import operator_lines
from neonext_ascend.reporting.speed import cost_lines
from neonext_ascend.reporting.words import WIDTH
from tests.support.readers import damage

P3, B4 = SOCS["Ascend310P3"], SOCS["Ascend910B4"]
FOREIGN = sorted(Path(onnx.__file__).parent.rglob("*.onnx"))


def model(
    nodes: Sequence[onnx.NodeProto], shape: Sequence[int | str], out: Sequence[int | str], **constants: Any
) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"{op.lower()}_{output}", **attributes)


def zeros(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape, np.float32)


def works(*nodes: onnx.NodeProto, shape: Sequence[int | str], batch: int = 1, **constants: Any) -> list[Operator]:
    found = operators(Flow(model(nodes, shape, ["?"] * len(shape), **constants), batch))
    return [operator for operator in found if operator.work.kind != "input"]


def test_a_convolution_takes_bias_batch_norm_sum_and_activation_with_it() -> None:
    found = works(
        node("Relu", "x", "r"),
        node("Conv", "r w", "c", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "c s s s s", "b"),
        node("Add", "b r", "a"),
        node("Relu", "a", "y"),
        shape=["N", 32, 8, 8],
        batch=2,
        w=zeros(32, 32, 3, 3),
        s=zeros(32),
    )
    assert [operator.nodes for operator in found] == [
        ("relu_r",),
        ("conv_c", "batchnormalization_b", "add_a", "relu_y"),
    ]
    work = found[1].work
    assert (work.kind, work.dense, work.cube) == ("conv", 2 * 64 * 32 * 32 * 9, 2 * 64 * 32 * 32 * 9)
    # The map that is convolved is also the one that is added: read once. Weights: the kernel and four vectors in one.
    assert (work.read, work.written, work.weights) == (2 * 2 * 32 * 64, 2 * 2 * 32 * 64, 2 * (32 * 32 * 9 + 32))


@pytest.mark.parametrize(
    ("weight", "groups", "kind", "cube"),
    [
        ((20, 20, 1, 1), 1, "pointwise", 64 * 32 * 32),  # 20 channels fill two blocks
        ((20, 1, 3, 3), 20, "depthwise", 2 * 64 * 16 * 9 * 16),  # 16 channels at once, zeros between
        ((40, 10, 3, 3), 2, "grouped", 64 * 32 * 9 * 48),  # two groups together: 20 inputs and 40 outputs
    ],
)
def test_a_convolution_fills_the_cube(weight: tuple[int, ...], groups: int, kind: str, cube: int) -> None:
    area = weight[2] * weight[3]
    found = works(
        node("Conv", "x w", "y", group=groups, pads=[area // 9] * 4),
        shape=[1, weight[1] * groups, 8, 8],
        w=zeros(*weight),
    )
    (work,) = (operator.work for operator in found)
    assert (work.kind, work.dense, work.cube) == (kind, 64 * weight[0] * weight[1] * area, cube)


def test_products_of_matrices_by_their_operands() -> None:
    found = works(
        node("MatMul", "x w", "m"),
        node("Add", "m b", "a"),
        node("MatMul", "a a", "y"),
        shape=["N", 10, 10],
        batch=3,
        w=zeros(10, 10),
        b=zeros(10),
    )
    linear, attention = (operator.work for operator in found)
    # All rows of the batch meet one matrix: 30 rows are two fractals. Two variables are a product an image.
    assert (linear.kind, linear.dense, linear.cube) == ("matmul", 30 * 10 * 10, 32 * 16 * 16)
    assert (attention.kind, attention.dense, attention.cube) == ("attention", 3 * 1000, 3 * 16**3)
    assert linear.weights == 2 * 110


def test_gelu_in_five_nodes_is_one_operator_and_shapes_cost_nothing() -> None:
    found = works(
        node("Div", "x root", "d"),
        node("Erf", "d", "e"),
        node("Add", "e one", "p"),
        node("Mul", "x p", "m"),
        node("Mul", "m half", "g"),
        node("Shape", "g", "s"),
        node("Gather", "s zero", "n"),
        node("Unsqueeze", "n axes", "u"),
        node("Concat", "u rest", "to", axis=0),
        node("Reshape", "g to", "y"),
        shape=["N", 4, 6],
        batch=5,
        root=np.float32(1.4142),
        one=np.float32(1),
        half=np.float32(0.5),
        zero=np.int64(0),
        axes=np.array([0]),
        rest=np.array([24]),
    )
    assert [(operator.what, len(operator.nodes)) for operator in found] == [("GELU", 5)]
    assert (found[0].work.elements, found[0].work.read, found[0].work.weights) == (120, 240, 0)


def test_layer_norm_with_its_mean_is_one_operator() -> None:
    found = works(
        node("ReduceMean", "x", "m", axes=[-1]),
        node("Sub", "x m", "d"),
        node("Pow", "d two", "q"),
        node("ReduceMean", "q", "v", axes=[-1]),
        node("Add", "v small", "a"),
        node("Sqrt", "a", "s"),
        node("Div", "d s", "n"),
        node("Mul", "n gain", "g"),
        node("Add", "g shift", "y"),
        shape=["N", 4, 16],
        two=np.float32(2),
        small=np.float32(1e-6),
        gain=zeros(16),
        shift=zeros(16),
    )
    assert [(operator.what, len(operator.nodes)) for operator in found] == [("LayerNorm", 9)]


def test_shapes_are_computed_as_the_opset_of_the_file_has_it() -> None:
    # Until opset 13 the axes of an Unsqueeze are an attribute.
    graph = model(
        [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n", axis=0),
            node("Unsqueeze", "n", "u", axes=[0]),
            node("Concat", "u rest", "to", axis=0),
            node("Reshape", "x to", "r"),
            node("Relu", "r", "y"),
        ],
        ["N", 4, 6],
        ["?", "?"],
        zero=np.int64(0),
        rest=np.array([24]),
    )
    graph.opset_import[0].version = 11
    (found,) = operators(Flow(graph, 5))
    assert (found.what, found.work.elements) == ("Relu", 120)


@pytest.mark.parametrize(("rows", "ragged", "lines"), [(64, 0, 0), (56, 2 * 3 * 56 * (56 + 48), 2 * 3 * 56 * 56)])
def test_matrices_that_fill_no_whole_blocks_are_told(rows: int, ragged: int, lines: int) -> None:
    (found,) = works(node("MatMul", "x w", "y"), shape=[3, rows, rows], w=zeros(rows, 48))
    assert (found.work.ragged, found.work.lines) == (ragged, lines)


def test_the_rows_that_910b_takes_as_they_lie_are_those_of_the_tiling() -> None:
    asked = (7, 12, 14, 24, 28, 56, 224)
    assert all(is_passed_once_more((96, row)) for row in asked)
    assert not any(is_passed_once_more((96, row)) for row in ROWS)


def test_only_maps_of_convolutions_lie_in_blocks_of_channels() -> None:
    found = works(
        node("Relu", "x", "r"),
        node("Conv", "r w", "c"),
        node("Transpose", "c", "t", perm=[0, 2, 3, 1]),
        node("Sigmoid", "t", "y"),
        shape=[1, 3, 8, 8],
        w=zeros(20, 3, 1, 1),
    )
    sizes = [(operator.what, operator.work.read, operator.work.written) for operator in found]
    assert sizes == [
        ("Relu", 2 * 16 * 64, 2 * 16 * 64),
        ("Conv", 2 * 16 * 64, 2 * 32 * 64),
        ("Transpose", 2 * 32 * 64, 2 * 20 * 64),
        ("Sigmoid", 2 * 20 * 64, 2 * 20 * 64),
    ]


def test_what_does_not_depend_on_the_input_is_folded() -> None:
    found = works(
        node("Mul", "w w", "c"), node("Transpose", "c", "t"), node("MatMul", "x t", "y"), shape=[4, 4], w=zeros(4, 4)
    )
    assert [operator.what for operator in found] == ["MatMul"]


def test_an_unknown_operator_is_counted_and_said() -> None:
    graph = model([helper.make_node("Mystery", ["x"], ["y"], domain="org.example")], [1, 4], [1, 4])
    graph.opset_import.add(domain="org.example", version=1)
    cost = file_cost(graph, P3, (1,))
    assert any("counted by their bytes alone: 1 Mystery" in note for note in cost.notes)


def test_a_free_side_cannot_be_estimated() -> None:
    graph = model([node("Relu", "x", "y")], ["N", 3, "H", "W"], ["N", 3, "H", "W"])
    with pytest.raises(ArtifactError, match="axis 2 is free; export it with a fixed size"):
        file_cost(graph, P3, (1,))
    assert cost_or_reason(graph, P3, (1,)).notes == (
        "no estimate: input 'x': axis 2 is free; export it with a fixed size",
    )


@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
def test_nano_is_estimated_at_each_batch_or_at_its_own(tmp_path: Path, free: bool) -> None:
    made = jobs.export("neonext_nano", output=tmp_path, batch_size="dynamic" if free else 4)
    found = jobs.inspect(made.onnx.path, soc_version="Ascend310P3", batch_sizes=(1, 8))
    assert isinstance(found, jobs.InspectedFile)
    estimates = found.to_json()["estimates"]
    assert [estimate["batch"] for estimate in estimates] == ([1, 8] if free else [4])
    for estimate in estimates:
        assert 0 < estimate["low"] < estimate["images_per_second"] < estimate["high"]
        assert estimate["coverage"] == 0.8
    whole = found.cost.batch / found.cost.estimates[-1].images_per_second
    # The operators' times and the start of a model are the whole.
    assert sum(one.microseconds for one in found.cost.timed) * 1e-6 < whole
    kinds = Counter(operator.work.kind for operator in found.cost.operators)
    assert kinds["gelu"] == 6
    assert kinds["unknown"] == 0


def test_a_chip_without_figures_has_counts_and_no_time(tmp_path: Path) -> None:
    made = jobs.export("neonext_nano", output=tmp_path)
    cost = file_cost(skim_model(made.onnx.path), B4, (1,))
    assert cost.estimates == ()
    assert cost.multiplications > 0
    assert cost.notes == ("no time is told: there are no published figures for Ascend910B4 to fit on",)


def all_told(path: Path) -> FileCost:
    """All that inspect says and gives of a file's cost."""
    cost = cost_or_reason(skim_model(path), P3, (1, 8), 10**9)
    json.dumps(cost.to_json(), allow_nan=False)
    assert max(map(len, [*cost_lines(cost), *operator_lines(cost)])) <= WIDTH
    return cost


def test_files_of_the_onnx_package_are_read() -> None:
    assert len(FOREIGN) >= 100
    noted = Counter(all_told(path).notes[0].split(":")[0] for path in FOREIGN if path.stat().st_size)
    # Most are followed to their end; of the others the reason is told.
    assert noted["no estimate"] < len(FOREIGN) / 4


def test_damaged_files_are_told_of_or_refused_in_words(tmp_path: Path) -> None:
    chance, path = random.Random(13), tmp_path / "it.onnx"
    ends: Counter[str] = Counter()
    for case, original in enumerate(chance.sample(FOREIGN, 60)):
        path.write_bytes(damage("onnx", case, original.read_bytes(), chance))
        try:
            ends["told" if all_told(path).listing else "reason"] += 1
        except NeoNextError:
            ends["refused"] += 1
    assert 10 < ends["told"] < 50


def test_each_operator_is_listed_with_the_rule_that_made_it_one(tmp_path: Path) -> None:
    made = jobs.export("neonext_nano", output=tmp_path, verify=False)
    cost = cost_or_reason(skim_model(made.onnx.path), P3, (1,))
    told = cost.to_json()
    assert {one["rule"] for one in told["operators"]} == set(told["rules"]) == {"input", "product", "function", "node"}
    assert all(rule["source"] for rule in told["rules"].values())
    nodes = [name for one in told["operators"] for name in one["nodes"]]
    graph = onnx.load(made.onnx.path).graph
    # Every node of the file once: in an operator, or as one that moves nothing.
    assert sorted([*nodes, *cost.free_names]) == sorted(node.name for node in graph.node)
    lines = operator_lines(cost)
    assert sum("GELU, 5 nodes; function" in line for line in lines) == 6
    for one, words in zip(cost.listing, lines[5::2], strict=False):
        assert words.split()[-1] == one.operator.work.kind
    whole = sum(one["share"] for one in told["operators"])
    assert 0.5 < whole < 1  # the rest is the start of a model
    assert told["shares"]["start"] == pytest.approx(1 - whole)


def test_the_dearest_of_a_file_without_figures_is_unknown(tmp_path: Path) -> None:
    made = jobs.export("neonext_nano", output=tmp_path, verify=False)
    cost = cost_or_reason(skim_model(made.onnx.path), B4, (1,))
    assert (cost.timed, cost.dearest, cost.advice, dict(cost.shares)) == ((), [], (), {})
    assert len(cost.listing) > 30
    assert {one.to_json()["microseconds"] for one in cost.listing} == {None}


CONFIG = """name = "even"
definition = "release"
depths = [1, 1, 1, 1]
widths = [8, 8, 12, 16]
cells = [[2, 4], [4, 8], [4], [2]]
shifts = [false, false, false, false]
num_classes = 5
image_size = 64
"""


def test_what_is_useful_is_what_the_configuration_says_where_cells_fit_the_maps(tmp_path: Path) -> None:
    (tmp_path / "even.toml").write_text(CONFIG)
    made = jobs.export(
        config=tmp_path / "even.toml", layout="chnw", lowering="blockdiag", output=tmp_path, verify=False
    )
    found = jobs.inspect(made.onnx.path, soc_version="Ascend310P3")
    assert isinstance(found, jobs.InspectedFile)
    count = count_network(read_config(tmp_path / "even.toml"))
    assert (found.cost.useful, found.cost.multiplications) == (count.sparse, count.dense)
    told = found.to_json()["cost"]
    assert sum(one["macs"]["useful"] for one in told["operators"]) == told["macs"]["useful"] == count.sparse


def test_zeros_are_counted_in_the_file_itself(tmp_path: Path) -> None:
    weight = np.arange(24, dtype=np.float32).reshape(4, 6)
    weight[1] = [0.0, -0.0, 1, 1, 1, 1]
    path = tmp_path / "it.onnx"
    names = dict.fromkeys(("w", "v"))
    for dtype, kept in ((np.float32, 21), (np.float16, 21), (np.int8, 21), (np.float64, None)):
        made = model([node("MatMul", "x w", "y")], [1, 4], [1, 6], w=weight.astype(dtype))
        onnx.save(made, path)
        assert nonzero_counts(path, names) == ({} if kept is None else {"w": kept})
    made.graph.initializer[0].CopyFrom(helper.make_tensor("w", TensorProto.FLOAT, (4, 6), weight.ravel().tolist()))
    onnx.save(made, path)
    assert nonzero_counts(path, names) == {}  # not as raw bytes
