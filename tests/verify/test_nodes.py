"""Two graphs node by node: the node that makes an error is named, what it hands on is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper

from neonext_ascend import create, exporters, jobs, passes
from neonext_ascend.cli.main import run
from neonext_ascend.errors import ArtifactError, UsageError
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.verify.feeds import noise
from neonext_ascend.verify.nodewise.nodes import values_of


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nano") / "nano.onnx"
    exporters.export_onnx(passes.prepare(create("neonext_nano"))[0], path)
    return path


def changed(path: Path, folder: Path, change: Callable[[ModelProto], None]) -> Path:
    model = onnx.load(str(path))
    change(model)
    onnx.save(model, str(folder / "changed.onnx"))
    return folder / "changed.onnx"


def with_constant(name: str, change: Callable[[Any], Any]) -> Callable[[ModelProto], None]:
    def apply(model: ModelProto) -> None:
        (constant,) = (i for i in model.graph.initializer if i.name == name)
        constant.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(numpy_helper.to_array(constant))), name))

    return apply


def drop_residual(model: ModelProto) -> None:
    (add,) = (node for node in model.graph.node if node.name == "stage3.block1")
    add.op_type = "Identity"
    del add.input[1:]


def tanh_gelu(model: ModelProto) -> None:
    (erf,) = (node for node in model.graph.node if node.name == "stage2.block0.act.erf")
    erf.op_type = "Tanh"


FAULTS = [
    ("stage2.block1.neocell", with_constant("stage2.block1.neocell.right", lambda a: a.swapaxes(-1, -2))),
    ("stage1.block0.fc1", with_constant("stage1.block0.fc1.weight", lambda a: np.roll(a, 1, axis=0))),
    ("stage2.block0.act.erf", tanh_gelu),
    ("stage3.block1", drop_residual),
    ("logits", with_constant("head.fc.weight", lambda a: a[::-1])),
]


@pytest.mark.parametrize(("node", "fault"), FAULTS, ids=[name for name, _ in FAULTS])
def test_the_node_that_makes_an_error_is_named_and_shown_alone(
    nano: Path, tmp_path: Path, node: str, fault: Callable[[ModelProto], None]
) -> None:
    found = jobs.debug(changed(nano, tmp_path, fault), against=nano, output=tmp_path / "report")
    assert found.first_made is not None
    assert found.first_made.name == node
    # Everything behind it is wrong as well, but makes no error of its own.
    assert [one.name for one in found.nodes if one.made] == [node]
    assert found.subgraph is not None
    assert len(onnx.load(str(found.subgraph)).graph.node) == 1
    shown = subprocess.run(
        [sys.executable, "run.py"], cwd=found.subgraph.parent, capture_output=True, text=True, check=True
    )
    assert float(shown.stdout) == pytest.approx(found.first_made.own, rel=1e-3)


def test_names_are_no_matter(nano: Path, tmp_path: Path) -> None:
    def rename(model: ModelProto) -> None:
        FAULTS[0][1](model)
        names: dict[str, str] = {}
        for holder in (*model.graph.initializer, *model.graph.input, *model.graph.output):
            holder.name = names.setdefault(holder.name, f"v{len(names)}")
        for node in model.graph.node:
            node.name = f"n_{node.name[::-1]}"
            node.input[:] = [names.setdefault(name, f"v{len(names)}") for name in node.input]
            node.output[:] = [names.setdefault(name, f"v{len(names)}") for name in node.output]

    found = jobs.debug(changed(nano, tmp_path, rename), against=nano)
    assert found.first_made is not None
    assert found.first_made.name == f"n_{FAULTS[0][0][::-1]}"
    assert (found.matched, dict(found.matched_by), found.unmatched) == (67, {"structure": 67}, ())


def test_the_same_file_and_its_own_network_make_no_error(tmp_path: Path) -> None:
    made = jobs.export("neonext_nano", output=tmp_path).onnx
    same = jobs.debug(made.path, against=made.path)
    assert (same.first_made, max(node.relative for node in same.nodes)) == (None, 0.0)
    own = jobs.debug(made.path)
    assert own.against == "its own network, written once more"
    assert (own.first_made, own.matched, own.cause) == (None, 67, None)


def test_a_fault_between_two_known_values_is_shown_with_the_nodes_between(nano: Path, tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.mkdir()
    for name, value in values_of(Steps(nano), {"image": noise((1, 3, 96, 96), 0)}):
        if name in ("stage2.block0", "stage2.block1.fc2"):
            np.save(dump / f"{name}.npy", value)
    found = jobs.debug(changed(nano, tmp_path, FAULTS[0][1]), against=dump, output=tmp_path / "report")
    assert found.first_made is not None
    assert found.first_made.name == "stage2.block1.fc2"
    assert found.subgraph is not None
    inside = [node.name for node in onnx.load(str(found.subgraph)).graph.node]
    assert inside[:2] == ["stage2.block1.neocell.left_product", "stage2.block1.neocell"]


def test_a_dump_of_inner_values_is_a_reference(nano: Path, tmp_path: Path) -> None:
    steps = Steps(nano)
    values = dict(values_of(steps, {"image": noise((1, 3, 96, 96), 0)}))
    dump = tmp_path / "dump"
    dump.mkdir()
    for name in ("stem.conv", "stage2.block1.neocell", "logits"):
        np.save(dump / f"{name}.npy", values[name].astype(np.float16))
    assert jobs.debug(nano, against=dump).first_made is None
    np.save(dump / "stage2.block1.neocell.npy", np.multiply(values["stage2.block1.neocell"], np.float32(1.1)))
    found = jobs.debug(nano, against=dump)
    assert found.first_made is not None
    assert found.first_made.name == "stage2.block1.neocell"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.onnx.export itself
def test_foreign_graphs_with_bodies_and_free_sizes_are_walked(tmp_path: Path) -> None:
    class Foreign(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(8, 16), torch.nn.Linear(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.softmax(self.second(torch.relu(self.first(x))), -1)

    torch.manual_seed(0)
    torch.onnx.export(Foreign().eval(), (torch.zeros(2, 8),), str(tmp_path / "a.onnx"), dynamo=False)
    found = jobs.debug(
        changed(tmp_path / "a.onnx", tmp_path, with_constant("first.weight", lambda a: a * 1.001)),
        against=tmp_path / "a.onnx",
    )
    assert found.first_made is not None
    assert found.first_made.operator == "Gemm"
    inner = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["twice"])], "then", [], [helper.make_tensor_value_info("twice", 1, [2])]
    )
    other = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["less"])], "else", [], [helper.make_tensor_value_info("less", 1, [2])]
    )
    node = helper.make_node("If", ["yes"], ["y"], "branch", then_branch=inner, else_branch=other)
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    held = numpy_helper.from_array(np.array(True), "yes")
    graph = helper.make_graph([node], "g", tensors[:1], tensors[1:], [held])
    steps = Steps(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert dict(values_of(steps, {"x": np.ones(2, np.float32)}))["y"].tolist() == [2, 2]


def test_the_command_says_it_and_its_status(nano: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = changed(nano, tmp_path, FAULTS[0][1])
    assert run(["debug", str(broken), "--against", str(nano), "--json"]) == 1
    told = json.loads(capfd.readouterr().out)
    assert told["first_made"] == FAULTS[0][0]
    assert (told["matched"], told["unmatched"], told["subgraph"]) == (67, [], None)
    assert run(["debug", str(nano), "--against", str(nano)]) == 0
    assert "no node makes an error" in capfd.readouterr().out
    assert run(["debug", str(tmp_path / "absent.onnx")]) == 5


def test_what_cannot_be_compared_is_refused(nano: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"its manifest nano\.json is missing"):
        jobs.debug(nano)
    with pytest.raises(UsageError, match="an OM shows no nodes"):
        jobs.debug(tmp_path / "x.om")
    with pytest.raises(UsageError, match="both --against"):
        jobs.debug(nano, against=nano, checkpoint=nano)
    with pytest.raises(ArtifactError, match=r"none of its 0 \.npy files"):
        jobs.debug(nano, against=tmp_path)


def test_the_errors_by_depth_are_drawn_where_a_plot_is_asked_for(nano: Path, tmp_path: Path) -> None:
    wrong = changed(nano, tmp_path, FAULTS[0][1])
    found = jobs.debug(wrong, against=nano, plot=tmp_path / "errors.svg")
    drawn = (tmp_path / "errors.svg").read_text(encoding="utf-8")
    assert f"largest {max(node.relative for node in found.nodes):.3g}" in drawn
    assert f"of {len(found.nodes)} nodes" in drawn
    with pytest.raises(UsageError, match=r"ends in \.svg"):
        jobs.debug(wrong, against=nano, plot=tmp_path / "errors.png")
