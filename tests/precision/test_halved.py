"""A graph in half precision beside itself: what overflows, what underflows, where, and nothing else."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from neonext_ascend import create, exporters, passes
from neonext_ascend.precision.groups import find_groups
from neonext_ascend.precision.halved import halved
from neonext_ascend.precision.modes import HalfMode
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.verify.feeds import noise
from tests.support.injection import PLANTED, largest_values, plant

NANO = {"image": noise((1, 3, 96, 96), 0)}


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> ModelProto:
    path = tmp_path_factory.mktemp("nano") / "nano.onnx"
    exporters.export_onnx(passes.prepare(create("neonext_nano"))[0], path)
    return onnx.load(str(path))


def small(*nodes: onnx.NodeProto, **constants: npt.ArrayLike) -> Steps:
    """``x (1, 4)`` to ``y``; constants in float32, but for those that are float16."""
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    held = [
        numpy_helper.from_array(value if value.dtype == np.float16 else value.astype(np.float32), name)
        for name, value in arrays.items()
    ]
    graph = helper.make_graph(list(nodes), "g", tensors[:1], tensors[1:], held)
    return Steps(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def test_a_network_that_fp16_holds_raises_no_alarm_and_has_its_answers(nano: ModelProto) -> None:
    for report in halved(Steps(nano), NANO):
        assert report.alarms == report.warnings == ()
        assert [node.name for node in report.nodes] == [node.name for node in nano.graph.node]
        got, want = report.outputs["logits"], report.reference["logits"]
        # 11 bits, rounded some 60 times in a row: far below a hundredth, above a single rounding.
        assert 2**-13 < np.abs(np.subtract(got, want)).max() / np.abs(want).max() < 2**-8


@pytest.mark.parametrize("up", [True, False], ids=["overflow", "underflow"])
def test_what_is_planted_at_any_node_is_found_there_in_both_ways(nano: ModelProto, up: bool) -> None:
    largest = largest_values(nano, NANO)
    for node in nano.graph.node:
        for report in halved(Steps(plant(nano, node.name, largest[node.name], up)), NANO):
            where = f"{node.name}, {report.overflow}"
            assert [alarm.node for alarm in report.alarms] == [PLANTED], where
            assert report.alarms[0].kind == ("overflow" if up else "underflow"), where


def test_fp16_cannot_hold_a_constant() -> None:
    steps = small(helper.make_node("Mul", ["x", "big"], ["y"], "scale"), big=np.full((1, 4), 1e5))
    x = {"x": np.full((1, 4), 1e-3, np.float32)}
    (saturated, ieee) = halved(steps, x)
    assert str(ieee.alarms[0]) == "scale reads the constant big, which overflows in fp16: 1e+05 is beyond 65504"
    assert saturated.outputs["y"][0, 0] == pytest.approx(65.5, rel=1e-3)  # and says nothing of itself
    # Each way gives what it gives alone.
    assert not np.isfinite(np.asarray(ieee.outputs["y"], np.float64)).any()
    (alone,) = halved(steps, x, ["ieee"])
    np.testing.assert_array_equal(alone.outputs["y"], ieee.outputs["y"])
    bounds = small(helper.make_node("Clip", ["x", "low", "high"], ["y"], "clip"), low=-3.4e38, high=3.4e38)
    for report in halved(bounds, x):
        assert report.alarms == ()
        assert [(warning.node, warning.constant) for warning in report.warnings] == [("clip", "low")]


FAR = np.array([0, 0, -1, -1], np.float32)


@pytest.mark.parametrize(
    ("far", "way"),
    [*itertools.product([1e9, 3.4e38, np.inf], ["added", "chosen", "exponent"]), (1e9, "multiplied")],
)
def test_a_mask_that_masks_in_fp16_as_well_is_no_alarm(far: float, way: str) -> None:
    below = np.float32(-far)
    mask = np.where(FAR < 0, np.float32(-far), np.float32(0))
    nodes = {
        "added": [helper.make_node("Add", ["x", "mask"], ["m"], "mask")],
        "chosen": [
            helper.make_node("Less", ["far", "zero"], ["c"], "hidden"),
            helper.make_node("Where", ["c", "below", "x"], ["m"], "mask"),
        ],
        "multiplied": [
            helper.make_node("Mul", ["hidden", "below"], ["h"], "scaled"),
            helper.make_node("Add", ["x", "h"], ["m"], "mask"),
        ],
        "exponent": [
            helper.make_node("Add", ["x", "mask"], ["s"], "mask"),
            helper.make_node("Exp", ["s"], ["m"], "exp"),
        ],
    }[way]
    chosen = helper.make_node(
        *(("Softmax", ["m"], ["y"], "choice") if way != "exponent" else ("Abs", ["m"], ["y"], "y"))
    )
    held: dict[str, npt.ArrayLike] = {"mask": mask, "far": FAR, "zero": np.float32(0), "below": below, "hidden": -FAR}
    steps = small(*nodes, chosen, **held)
    saturated, ieee = halved(steps, {"x": np.array([[1, 2, 3, 4]], np.float32)})
    assert saturated.alarms == ()
    # 0 times infinity is no mask, but NaN.
    assert [alarm.constant for alarm in ieee.alarms] == (["below"] if way == "multiplied" else [])


def test_a_mask_that_leaves_nothing_to_choose_from_is_one_where_infinity_is() -> None:
    steps = small(
        helper.make_node("Add", ["x", "mask"], ["m"], "mask"),
        helper.make_node("Softmax", ["m"], ["y"], "choice"),
        mask=np.full((1, 4), -1e9),
    )
    saturated, ieee = halved(steps, {"x": np.zeros((1, 4), np.float32)})
    assert saturated.alarms == ()
    assert (ieee.alarms[0].node, ieee.alarms[0].constant) == ("mask", "mask")


def test_a_mask_that_something_else_reads_too_is_one() -> None:
    steps = small(
        helper.make_node("Add", ["x", "mask"], ["m"], "mask"),
        helper.make_node("Softmax", ["m"], ["s"], "choice"),
        helper.make_node("Mul", ["m", "s"], ["y"], "both"),
        mask=np.where(FAR < 0, -1e9, 0),
    )
    for report in halved(steps, {"x": np.ones((1, 4), np.float32)}):
        assert [alarm.node for alarm in report.alarms] == ["mask"], report.overflow


def gelu(scale: float) -> Steps:
    """GELU of ``scale x``, in five nodes behind a Mul."""
    return small(
        helper.make_node("Mul", ["x", "scale"], ["u"], "scale"),
        helper.make_node("Div", ["u", "root"], ["d"], "scaled"),
        helper.make_node("Erf", ["d"], ["e"], "erf"),
        helper.make_node("Add", ["e", "one"], ["g"], "gate"),
        helper.make_node("Mul", ["u", "g"], ["h"], "gated"),
        helper.make_node("Mul", ["h", "half"], ["y"], "gelu"),
        scale=np.float32(scale),
        root=np.sqrt(np.float32(2)),
        one=np.float32(1),
        half=np.float32(0.5),
    )


def test_an_overflow_inside_gelu_alone_is_a_warning() -> None:
    # x (1 + erf) is beyond fp16, its half is not.
    steps = gelu(40000)
    (group,) = find_groups(steps)
    assert (group.kind, [steps.steps[n].name for n in group.numbers]) == (
        "GELU",
        ["scaled", "erf", "gate", "gated", "gelu"],
    )
    for report in halved(steps, {"x": np.ones((1, 4), np.float32)}):
        assert report.alarms == ()
        assert [warning.node for warning in report.warnings] == ["gated"]
        assert report.outputs["y"].tolist() == [[40000.0] * 4]
    beyond = halved(gelu(70000), {"x": np.ones((1, 4), np.float32)})
    assert {report.alarms[0].node for report in beyond} == {"scale"}


def test_a_decomposed_layer_norm_is_one_group(tmp_path: Path) -> None:
    path = tmp_path / "nano.onnx"
    exporters.export_onnx(passes.prepare(create("neonext_nano"))[0], path, opset=11)
    kinds = [group.kind for group in find_groups(Steps(path))]
    assert (kinds.count("GELU"), kinds.count("LayerNorm")) == (6, 1)


def test_nodes_that_stay_in_fp32_are_not_judged(nano: ModelProto) -> None:
    largest = largest_values(nano, NANO)
    name = "stage2.block0.fc1"
    broken = plant(nano, name, largest[name], up=True)
    around = [node.name for node in broken.graph.node if node.name.startswith(PLANTED)]
    for report in halved(Steps(broken), NANO, mode=HalfMode(keep=around)):
        assert report.alarms == ()
    assert all(report.passed for report in halved(Steps(broken), NANO, mode=HalfMode("origin")))
    # Only products are rounded: what is planted behind one is none.
    assert all(report.passed for report in halved(Steps(broken), NANO, mode=HalfMode("mixed_float16")))


def test_what_a_product_reads_in_fp16_must_fit_even_where_nothing_else_is_rounded() -> None:
    steps = small(
        helper.make_node("Mul", ["x", "big"], ["u"], "scale"),
        helper.make_node("MatMul", ["u", "w"], ["y"], "product"),
        big=np.float32(1e6),
        w=np.eye(4),
    )
    saturated, ieee = halved(steps, {"x": np.ones((1, 4), np.float32)}, mode=HalfMode("cube_fp16in_fp32out"))
    assert [report.alarms[0].node for report in (saturated, ieee)] == ["product", "product"]
    assert np.isfinite(np.asarray(saturated.outputs["y"], np.float64)).all()
    assert not np.isfinite(np.asarray(ieee.outputs["y"], np.float64)).all()


def test_a_branch_too_small_for_fp16_is_no_alarm_where_it_is_added_to_more() -> None:
    steps = small(
        helper.make_node("Mul", ["x", "gain"], ["u"], "branch"),
        helper.make_node("Add", ["u", "x"], ["y"], "sum"),
        gain=np.float32(2e-8),
    )
    steps_back = small(
        helper.make_node("Mul", ["x", "low"], ["u"], "down"),
        helper.make_node("Mul", ["u", "low"], ["v"], "further"),
        helper.make_node("Mul", ["v", "high"], ["y"], "up"),
        low=np.float32(2.0**-13),
        high=np.float32(2.0**13),
    )
    x = {"x": np.ones((1, 4), np.float32)}
    assert all(report.alarms == () or report.alarms[0].node == "branch" for report in halved(steps, x))
    assert {report.alarms[0].node for report in halved(steps_back, x)} == {"further"}


def cast(source: str, target: str, dtype: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], f"to_{target}", to=dtype)


def test_a_file_that_holds_both_dtypes_says_itself_what_is_fp16() -> None:
    # x 1e6 and back in fp32, doubled in fp16 between.
    def steps(factor: float) -> Steps:
        return small(
            helper.make_node("Mul", ["x", "large"], ["u"], "up"),
            helper.make_node("Mul", ["u", "small"], ["v"], "down"),
            cast("v", "h", TensorProto.FLOAT16),
            helper.make_node("Mul", ["h", "two"], ["w"], "doubled"),
            cast("w", "y", TensorProto.FLOAT),
            two=np.float16(factor),
            large=np.float32(1e6),
            small=np.float32(1e-6),
        )

    x = {"x": np.full((1, 4), 3, np.float32)}
    for report in halved(steps(2), x):
        assert report.alarms == ()
        assert report.by_types
        assert [node.name for node in report.nodes] == ["to_h", "doubled"]
        assert report.outputs["y"].tolist() == [[6.0] * 4]
    for report in halved(steps(40000), x):
        assert [alarm.node for alarm in report.alarms] == ["doubled"]
    # The cast itself is where a value leaves fp16.
    over = small(
        helper.make_node("Mul", ["x", "large"], ["u"], "up"),
        cast("u", "h", TensorProto.FLOAT16),
        cast("h", "y", TensorProto.FLOAT),
        large=np.float32(1e6),
    )
    assert {report.alarms[0].node for report in halved(over, x)} == {"to_h"}
    # As ATC does by default, whatever the file says.
    assert {report.alarms[0].node for report in halved(steps(2), x, mode=HalfMode("fp16"))} == {"up"}
    # An fp32 file is taken as ATC compiles it.
    (fp32,) = halved(small(helper.make_node("Mul", ["x", "large"], ["y"], "up"), large=np.float32(1e6)), x, ["ieee"])
    assert (fp32.by_types, fp32.alarms[0].node) == (False, "up")


def test_a_nan_that_signals_is_a_value_like_another_and_no_warning() -> None:
    """Of a damaged weight; a cast of one to another width sets the processor's flag."""
    factor = np.array([1.0, 0.0, 2.0, 3.0], np.float32)
    factor.view(np.uint32)[1] = 0x7F800001
    steps = small(helper.make_node("Mul", ["x", "f"], ["y"], "multiply"), f=factor)
    for report in halved(steps, {"x": np.ones((1, 4), np.float32)}):
        assert [alarm.node for alarm in report.alarms] == ["multiply"]
