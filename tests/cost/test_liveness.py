"""Peak of activations against a replay that is written otherwise: names are taken and given back as nodes run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from neonext_ascend import jobs
from neonext_ascend.artifacts.skim import skim_model
from neonext_ascend.cost.file_cost import file_cost
from neonext_ascend.cost.flow import Flow
from neonext_ascend.cost.liveness import SHARING, chip_need, file_need
from neonext_ascend.cost.room import MOST, largest_batch
from neonext_ascend.machine.chips import SOCS

SIZES = {TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2, TensorProto.INT64: 8, TensorProto.BOOL: 1}


def replay(model: onnx.ModelProto) -> int:
    """The largest number of bytes that are held at once, running node after node.

    Each name counts its uses that are still to come; a name of the same store as another passes its uses on to it. No
    folding: the graphs here have none to do.
    """
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    bytes_of = {
        value.name: SIZES[value.type.tensor_type.elem_type]
        * prod(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in [*inferred.input, *inferred.value_info, *inferred.output]
    }
    constants = {tensor.name for tensor in inferred.initializer}
    store: dict[str, str] = {}
    for node in inferred.node:
        for name in node.output:
            store[name] = store.get(node.input[0], node.input[0]) if node.op_type in SHARING else name
    for value in inferred.input:
        store[value.name] = value.name
    largest: dict[str, int] = {}
    for name, place in store.items():
        largest[place] = max(largest.get(place, 0), bytes_of.get(name, 0))
    uses = Counter(store[name] for node in inferred.node for name in set(node.input) if name and name not in constants)
    uses.update(store[value.name] for value in inferred.output)  # held by who asked
    held = {value.name: largest[value.name] for value in inferred.input if value.name not in constants}
    peak = 0
    for node in inferred.node:
        held.update({store[name]: largest[store[name]] for name in node.output if name})
        peak = max(peak, sum(held.values()))
        for name in {name for name in node.input if name and name not in constants}:
            uses[store[name]] -= 1
        for place in [place for place in held if not uses[place]]:
            del held[place]
    return peak


def replay_on_the_chip(model: onnx.ModelProto, operators: Sequence[Sequence[str]], free: Sequence[str]) -> int:
    """The same, operator after operator: in fp16, and nothing kept of what lies inside.

    Maps of convolutions, and what is made of them number by number, are filled up to 16 channels.

    Args:
        model: with a name for each node.
        operators: names of the nodes of each, in order.
        free: names of nodes whose output is their input.
    """
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    size, convolved = {}, set[str]()
    for _ in inferred.node:  # as often as it takes to go on from node to node
        for node in inferred.node:
            here = {*node.input, *node.output}
            if node.op_type == "Conv" or (here & convolved and node.op_type in ("Add", "Mul", "Div", "Erf")):
                convolved |= here
    for value in [*inferred.input, *inferred.value_info, *inferred.output]:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if value.name in convolved and len(shape) == 4:
            shape[1] += -shape[1] % 16
        size[value.name] = 2 * prod(shape)
    nodes = {node.name: node for node in inferred.node}
    constants = {tensor.name for tensor in inferred.initializer}
    store = {value.name: value.name for value in inferred.input}
    for node in inferred.node:
        (made,) = node.output
        variable = [name for name in node.input if name in store]
        store[made] = store[variable[0]] if node.name in free else made
    largest = {place: max(size[name] for name in store if store[name] == place) for place in store.values()}
    reads, makes = [], []
    for names in operators:
        made = {name for one in names for name in nodes[one].output}
        inside = {name for one in names for name in nodes[one].input} & made
        outside = {name for other, node in nodes.items() if other not in names for name in node.input}
        outside |= {value.name for value in inferred.output}
        reads.append({store[n] for one in names for n in nodes[one].input if n and n not in constants | made})
        makes.append({store[name] for name in made if name not in inside or name in outside})
    left = Counter(place for each in reads for place in each)
    left.update(store[value.name] for value in inferred.output)
    held, peak = {store[value.name] for value in inferred.input if value.name not in constants}, 0
    for read, made in zip(reads, makes, strict=True):
        held |= made
        peak = max(peak, sum(largest[place] for place in held))
        left.subtract(read)
        held = {place for place in held if left[place] > 0}
    return peak


def graph(
    nodes: Sequence[onnx.NodeProto], outputs: Sequence[str], shape: Sequence[int] = (2, 8, 4, 4), **constants: object
) -> onnx.ModelProto:
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    asked = [onnx.ValueInfoProto(name=name) for name in outputs]
    made = helper.make_model(
        helper.make_graph(list(nodes), "g", given, asked, held),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    inferred = onnx.shape_inference.infer_shapes(made, data_prop=True)
    found = {value.name: value for value in [*inferred.graph.value_info, *inferred.graph.output]}
    del made.graph.output[:]
    made.graph.output.extend(found[name] for name in outputs)
    return made


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), name=outputs.split()[0], **attributes)


GRAPHS = {
    "chain": graph([node("Relu", "x", "a"), node("Exp", "a", "b"), node("Sin", "b", "y")], ["y"]),
    "branches": graph(
        [
            node("Relu", "x", "a"),
            node("Conv", "a w", "big"),
            node("GlobalAveragePool", "big", "small"),
            node("Mul", "big small", "c"),
            node("Conv", "c v", "d"),
            node("Add", "d a", "y"),
        ],
        ["y"],
        w=np.zeros((24, 8, 1, 1), np.float32),
        v=np.zeros((8, 24, 1, 1), np.float32),
    ),
    "read twice by one node": graph([node("Exp", "x", "a"), node("Mul", "a a", "b"), node("Sin", "b", "y")], ["y"]),
    "an output that is read inside": graph(
        [node("Exp", "x", "a"), node("Sin", "a", "b"), node("Cos", "b", "c"), node("Tan", "c", "y")], ["a", "y"]
    ),
    "an output of a node that nobody reads": graph(
        [node("Split", "x", "a b c", axis=1), node("Sin", "a", "d"), node("Add", "d c", "y")],
        ["y"],
        shape=(2, 12, 4, 4),
    ),
    "another shape of the same numbers": graph(
        [
            node("Exp", "x", "a"),
            node("Reshape", "a to", "b"),
            node("Sin", "b", "c"),
            node("Flatten", "a", "d"),
            node("Reshape", "c back", "e"),
            node("Add", "d e", "y"),
        ],
        ["y"],
        to=np.array([2, 8, 16]),
        back=np.array([2, 128]),
    ),
    "three names of one store": graph(
        [
            node("Exp", "x", "a"),
            node("Reshape", "a to", "b"),
            node("Squeeze", "a", "c"),
            node("ReduceMax", "b", "m"),
            node("ReduceMin", "c", "n"),
            node("Add", "m n", "y"),
        ],
        ["y"],
        shape=(1, 8, 4, 4),
        to=np.array([8, 16]),
    ),
    "the input to the end": graph([node("Exp", "x", "a"), node("Sin", "a", "b"), node("Add", "b x", "y")], ["y"]),
    "integers and booleans": graph(
        [
            node("ArgMax", "x", "most", axis=1),
            node("Cast", "most", "real", to=TensorProto.FLOAT),
            node("Greater", "x real", "more"),
            node("Where", "more x real", "y"),
        ],
        ["most", "y"],
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_peak_node_by_node_is_that_of_a_replay(name: str) -> None:
    assert file_need(Flow(GRAPHS[name])).activations == replay(GRAPHS[name])


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("layout", ["nchw", "chnw"])
def test_the_peak_of_an_export_is_that_of_a_replay(tmp_path: Path, layout: Literal["nchw", "chnw"], batch: int) -> None:
    made = jobs.export("neonext_nano", batch_size=batch, layout=layout, verify=False, output=tmp_path)
    model = onnx.load(made.onnx.path)
    flow = Flow(skim_model(made.onnx.path))
    need = file_need(flow)
    assert need.activations == replay(model)
    read = {name for node in model.graph.node for name in node.input}
    floats = [t for t in model.graph.initializer if t.name in read and t.data_type == TensorProto.FLOAT]
    assert need.weights == sum(4 * prod(t.dims) for t in floats if prod(t.dims) > 1)
    assert chip_need(flow).weights == need.weights // 2
    cost = file_cost(skim_model(made.onnx.path), SOCS["Ascend310P3"], (1,))
    operators = [one.nodes for one in cost.operators if one.nodes]  # without the conversion of the input
    assert chip_need(flow).activations == replay_on_the_chip(model, operators, cost.free_names)


def test_on_the_chip_groups_are_one_and_what_is_free_takes_no_room() -> None:
    # 16 channels fill their block. GELU reads and writes, its own steps are nowhere; Reshape is the same store.
    steps = [
        node("Div", "x root", "d"),
        node("Erf", "d", "e"),
        node("Add", "e one", "p"),
        node("Mul", "x p", "m"),
        node("Mul", "m half", "g"),
        node("Reshape", "g to", "y"),
    ]
    constants = {"root": np.float32(1.4), "one": np.float32(1), "half": np.float32(0.5), "to": np.array([2, 256])}
    flow = Flow(graph(steps, ["y"], (2, 16, 4, 4), **constants))
    need = chip_need(flow)
    assert (need.activations, need.weights, need.at) == (2 * 2 * (2 * 16 * 16), 0, "d")
    assert file_need(flow).activations == 3 * 4 * (2 * 16 * 16)  # x, and d and e, e and p, p and m


def test_parts_of_a_concat_are_written_where_they_belong() -> None:
    steps = [node("Exp", "x", "a"), node("Sin", "x", "b"), node("Concat", "a b", "y", axis=1)]
    size = 2 * (2 * 16 * 16)  # of a part in fp16
    assert chip_need(Flow(graph(steps, ["y"], (2, 16, 4, 4)))).activations == size + 2 * size
    # 8 channels are no whole block: the parts are copied, and lie there beside the whole.
    assert chip_need(Flow(graph(steps, ["y"], (2, 8, 4, 4)))).activations == (1 + 1 + 2) * size // 2


def test_channels_of_a_pools_maps_are_filled_up_on_the_chip() -> None:
    pooled = [node("MaxPool", "x", "a", kernel_shape=[1, 1]), node("Sin", "a", "y")]
    assert chip_need(Flow(graph(pooled, ["y"], (1, 3, 4, 4)))).activations == 2 * (2 * 16 * 16)
    plain = [node("Exp", "x", "a"), node("Sin", "a", "y")]
    assert chip_need(Flow(graph(plain, ["y"], (1, 3, 4, 4)))).activations == 2 * (2 * 3 * 16)


@pytest.mark.parametrize("room", [*range(0, 40), 97, 100, 101, 10**9])
def test_the_largest_batch_is_the_last_that_fits(room: int) -> None:
    def need(batch: int) -> int:
        return 7 + max(3 * batch, 5 * batch - 20)  # another operator is the peak from 10 images on

    fitting = [batch for batch in range(1, MOST + 1) if need(batch) <= room]
    assert largest_batch(need, room) == max(fitting, default=0)


def test_the_search_for_a_batch_counts_few_graphs() -> None:
    asked: list[int] = []

    def need(batch: int) -> int:
        asked.append(batch)
        return 1000 + 77 * batch

    assert largest_batch(need, 10**6) == (10**6 - 1000) // 77
    assert len(asked) == 4
