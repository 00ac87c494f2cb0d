"""``debug`` on graphs that are not ours: two networks that the onnx package ships, a fault planted, names changed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from neonext_ascend import jobs

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
# Their weights are all alike, so that the package stays small; alike weights would hide a fault.
RANDOM = np.random.RandomState(0)


def network(name: str) -> ModelProto:
    """The network with weights that differ, of a size that keeps its values near 1."""
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    shapes = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(int(n) for n in shapes[node.input[0]])
        spread = np.sqrt(2 / max(int(np.prod(shape[1:])), 1)) if len(shape) > 1 else 0.1
        value = (RANDOM.standard_normal(shape) * spread + (len(shape) == 1)).astype(np.float32)
        model.graph.initializer.append(
            numpy_helper.from_array(np.abs(value) if len(shape) == 1 else value, node.output[0])
        )
    del model.graph.node[:]
    model.graph.node.extend(kept)
    # An initializer may stand among the inputs too; those are no inputs to be fed.
    held = {t.name for t in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in held]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return model


def swapped_branches(model: ModelProto) -> str:
    """One Concat joins its parts the other way round."""
    node = [node for node in model.graph.node if node.op_type == "Concat"][3]
    node.input[:] = list(node.input)[::-1]
    return str(node.output[0])


def other_epsilon(model: ModelProto) -> str:
    """One BatchNormalization takes another epsilon."""
    node = [node for node in model.graph.node if node.op_type == "BatchNormalization"][20]
    node.attribute.append(helper.make_attribute("epsilon", 0.05))  # in place of the operator's own 1e-5
    return str(node.output[0])


def renamed(model: ModelProto, value: str) -> str:
    """Every node and value bears another name; the new one of ``value``."""
    names: dict[str, str] = {}
    for holder in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        holder.name = names.setdefault(holder.name, f"v{len(names)}")
    for number, node in enumerate(model.graph.node):
        node.name = f"node_{number}"
        node.input[:] = [names.setdefault(name, f"v{len(names)}") for name in node.input]
        node.output[:] = [names.setdefault(name, f"v{len(names)}") for name in node.output]
    del model.graph.value_info[:]
    return names[value]


@pytest.mark.parametrize(
    ("name", "fault", "other_names"), [("squeezenet", swapped_branches, False), ("shufflenet", other_epsilon, True)]
)
def test_the_planted_node_is_found_and_shown_alone(
    name: str, fault: Callable[[ModelProto], str], other_names: bool, tmp_path: Path
) -> None:
    model = network(name)
    onnx.save(model, tmp_path / "good.onnx")
    wrong = fault(model)
    wrong = renamed(model, wrong) if other_names else wrong
    onnx.save(model, tmp_path / "wrong.onnx")
    found = jobs.debug(tmp_path / "wrong.onnx", against=tmp_path / "good.onnx", output=tmp_path / "report")
    first = found.first_made
    assert first is not None
    outputs = {node.name or node.output[0]: node.output[0] for node in model.graph.node}
    assert outputs[first.name] == wrong
    assert sum(node.made for node in found.nodes) == 1
    assert (found.matched, found.unmatched) == (len(model.graph.node), ())
    # What was written shows the fault by itself, without this package.
    assert found.subgraph is not None
    script = found.subgraph.with_name("run.py")
    done = subprocess.run([sys.executable, script.name], cwd=script.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 1e-3
