"""Graphs that are wired wrongly: what is told names node and tensor, and agrees with onnx.checker."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.helper import make_graph, make_node, make_tensor_value_info

from neonext_ascend.cli.main import run
from neonext_ascend.data import sample_pictures
from neonext_ascend.exporters.atc_rules.inspecting import Finding, inspect_onnx
from neonext_ascend.machine.chips import SOCS
from tests.support.atc_cases import HALF, INT, model, op, step, tensor, with_axis, with_function

CONDITION = tensor("c", dtype=np.bool_)
# Of the rules, those that onnx.checker has too.
CHECKED = frozenset(
    [
        "domain-missing",
        "input-of-nobody",
        "output-of-nobody",
        "written-twice",
        "cycle",
        "order",
        "operator-form",
        "attribute-unknown",
        "attribute-form",
        "constant-data",
    ]
)


def branch(*nodes: onnx.NodeProto, gives: str = "z") -> onnx.ModelProto:
    """An If, both of whose bodies are these nodes, behind a Relu that gives ``r``; then a Relu that gives ``after``."""
    body = make_graph(list(nodes), "body", [], [make_tensor_value_info(gives, HALF, None)])
    around = op("If", "c", then_branch=body, else_branch=body)
    return model(step("Relu", "x", "r"), around, step("Relu", "x", "after"), constants=[CONDITION])


def loop(*names: str) -> onnx.ModelProto:
    """A Loop whose body has inputs of these names."""
    kinds = dict(zip(names, (onnx.TensorProto.INT64, onnx.TensorProto.BOOL, HALF), strict=True))
    inputs = [make_tensor_value_info(name, kind, None) for name, kind in kinds.items()]
    if len(set(names)) < len(names):
        inputs.append(inputs[0])
    nodes = [make_node("Identity", [names[1]], ["still"]), make_node("Relu", [names[2]], ["next"])]
    outputs = [make_tensor_value_info("still", onnx.TensorProto.BOOL, None), make_tensor_value_info("next", HALF, None)]
    return model(op("Loop", "n", "c", "x", body=make_graph(nodes, "body", inputs, outputs)),
                 constants=[CONDITION, tensor("n", dtype=np.int64)])  # fmt: skip


def changed(made: onnx.ModelProto, field: str, *names: str) -> onnx.ModelProto:
    """With further inputs or outputs, of these names."""
    getattr(made.graph, field).extend(make_tensor_value_info(name, HALF, (2, 4)) for name in names)
    return made


def changed_data(**fields: Any) -> onnx.TensorProto:
    """A constant of 2x4 half numbers that holds these fields."""
    return onnx.TensorProto(name="k", dims=[2, 4], data_type=HALF, **fields)


def held(constant: onnx.TensorProto) -> onnx.ModelProto:
    return model(op("Add", "x", "k"), constants=[constant])


def circling_function() -> onnx.ModelProto:
    made = with_function()
    made.functions[0].node[0].input[1] = "b"
    return made


# What is wrong, the rule, the node that it names, and what its message holds.
BROKEN: dict[str, tuple[onnx.ModelProto, str, str, str]] = {
    "an input of nobody": (model(op("Add", "x", "z")), "input-of-nobody", "the_Add", "Add reads 'z'"),
    "an input of nobody, node without a name": (
        model(make_node("Add", ["x", "z"], ["y"])),
        "input-of-nobody",
        "Add #0 -> y",
        "'z'",
    ),
    "an input of nobody in a branch": (
        branch(step("Add", "x q", "z")),
        "input-of-nobody",
        "the_If/then_branch/z",
        "'q'",
    ),
    "what a branch gives, read outside": (
        model(
            op(
                "If", "c", then_branch=(b := branch(step("Relu", "x", "z")).graph.node[1].attribute[0].g), else_branch=b
            ),
            step("Relu", "z", "t"),
            constants=[CONDITION],
        ),
        "input-of-nobody",
        "t",
        "'z'",
    ),
    "a circle of two": (
        model(step("Add", "b x", "a"), step("Relu", "a", "b"), op("Relu", "b")),
        "cycle",
        "a",
        "'b': a <- b <- a",
    ),
    "a node that reads itself": (model(op("Add", "x", "y")), "cycle", "the_Add", "'y': the_Add <- the_Add"),
    "a circle through a branch": (
        branch(step("Relu", "y", "z")),
        "cycle",
        "the_If",
        "'y': the_If <- the_If",
    ),
    "a circle in a branch": (
        branch(step("Add", "x w", "z"), step("Relu", "z", "w")),
        "cycle",
        "the_If/then_branch/z",
        "'w'",
    ),
    "a circle in a function": (circling_function(), "cycle", "function Twice/Add #0 -> b", "'b'"),
    "a tensor of two nodes": (model(step("Relu", "x", "y"), op("Sigmoid")), "written-twice", "the_Sigmoid", "is y"),
    "a tensor twice in one node": (
        model(make_node("Split", ["x"], ["y", "y"], name="s", axis=0)),
        "written-twice",
        "s",
        "'y' is given a second time",
    ),
    "a node's tensor that is a constant": (
        model(op("Relu"), constants=[tensor("y", 2, 4)]),
        "written-twice",
        "the_Relu",
        "the first is a constant",
    ),
    "a node's tensor that is an input": (
        model(step("Relu", "x", "x"), op("Relu")),
        "written-twice",
        "x",
        "the first is an input",
    ),
    "an input twice": (changed(model(op("Relu")), "input", "x"), "written-twice", "x", "the first is an input"),
    "a constant twice": (
        model(op("Add", "x", "k"), constants=[tensor("k"), tensor("k")]),
        "written-twice",
        "k",
        "the first is a constant",
    ),
    "a name of the graph around, given in a branch": (
        branch(step("Relu", "x", "r"), gives="r"),
        "written-twice",
        "the_If/then_branch/r",
        "the first is r",
    ),
    "an output of nobody": (model(step("Relu", "x", "t")), "output-of-nobody", "y", "the output 'y'"),
    "one of two outputs of nobody": (
        changed(model(op("Relu")), "output", "w"),
        "output-of-nobody",
        "w",
        "the output 'w'",
    ),
    "a branch that gives what is around it": (
        branch(step("Relu", "x", "t"), gives="x"),
        "output-of-nobody",
        "the_If/then_branch/x",
        "the output 'x'",
    ),
    "an order that cannot run": (
        model(op("Relu", "a"), step("Relu", "x", "a")),
        "order",
        "the_Relu",
        "reads 'a' before a gives it",
    ),
    "a branch that reads what comes later": (
        branch(step("Relu", "after", "z")),
        "order",
        "the_If",
        "reads 'after' before after gives it",
    ),
    "too few inputs": (model(op("Add", "x")), "operator-form", "the_Add", "has 1 input; expected 2"),
    "too many inputs": (model(op("Relu", "x", "x")), "operator-form", "the_Relu", "has 2 inputs; expected 1"),
    "an input left out that is needed": (
        model(op("Add", "x", "")),
        "operator-form",
        "the_Add",
        "has no name for its input B",
    ),
    "no output": (
        model(op("Relu"), make_node("Relu", ["x"], [], name="blind")),
        "operator-form",
        "blind",
        "has 0 outputs; expected 1",
    ),
    "an attribute left out that is needed": (
        model(op("Cast")),
        "operator-form",
        "the_Cast",
        "has no attribute to",
    ),
    "an attribute of another kind": (
        model(op("Concat", "x", "x", axis=0.0)),
        "operator-form",
        "the_Concat",
        "FLOAT in its attribute axis; expected INT",
    ),
    **{
        f"an attribute with {what}": (with_axis(**fields), "attribute-form", "the_Concat", words)
        for what, fields, words in (
            (
                "another value than it says",
                {"type": INT, "floats": [1.0]},
                "axis says that it is INT",
            ),
            ("two values", {"type": INT, "i": 1, "f": 1.0}, "axis says that it is INT, and holds FLOAT"),
            ("no type", {"i": 1}, "axis has no type"),
        )
    },
    **{
        f"a constant with {what}": (held(constant), "constant-data", "k", words)
        for what, constant, words in (
            ("bytes too few", changed_data(raw_data=bytes(15)), "has 15 bytes; 2x4 of FLOAT16 takes 16"),
            ("no numbers", changed_data(), "has 0 bytes; 2x4 of FLOAT16 takes 16"),
            (
                "entries too few",
                changed_data(int32_data=[0] * 7),
                "has 7 entries of int32_data; 2x4 of FLOAT16 takes 8",
            ),
            ("numbers twice", changed_data(raw_data=bytes(16), int32_data=[0] * 8), "has raw_data and int32_data"),
            ("another dtype's field", changed_data(float_data=[0.0] * 8), "has float_data; FLOAT16 has int32_data or"),
            ("numbers here and outside", changed_data(raw_data=bytes(16), data_location=1), "is in another file, and"),
        )
    },
    "an attribute of another operator": (
        model(op("Relu", alpha=1.0)),
        "attribute-unknown",
        "the_Relu",
        "has alpha",
    ),
    "a domain without an opset": (
        model(op("NPUMish", domain="npu")),
        "domain-missing",
        "the_NPUMish",
        "domain 'npu'",
    ),
}
RIGHT: dict[str, onnx.ModelProto] = {
    "an optional input left out": model(op("Clip", "x", "", "k"), constants=[tensor("k")]),
    "a constant that nobody reads": model(op("Relu"), constants=[tensor("k")]),
    "an output that is an input": changed(model(op("Relu")), "output", "x"),
    "an output that is a constant": changed(model(op("Relu"), constants=[tensor("k", 2, 4)]), "output", "k"),
    "an input with a default": model(op("Add", "x", "w"), inputs=("x", "w"), constants=[tensor("w", 2, 4)]),
    "a branch that reads what is around it": branch(step("Add", "r x", "z")),
    "branches that give the same name": branch(step("Relu", "x", "z")),
    "a loop": loop("i", "go", "carried"),
    "a tensor that nobody reads": model(op("Relu"), step("Relu", "x", "t")),
    "two nodes without names": model(make_node("Relu", ["x"], ["a"]), make_node("Relu", ["a"], ["y"])),
    "a function": with_function(),
    "no node": changed(model(), "output", "x"),
}
del RIGHT["no node"].graph.output[0]


def findings(made: onnx.ModelProto, folder: Path) -> list[Finding]:
    (folder / "it.onnx").write_bytes(made.SerializeToString())
    return [f for f in inspect_onnx(folder / "it.onnx", SOCS["Ascend310P3"]).findings if f.rule in CHECKED]


def accepted_by_onnx(made: onnx.ModelProto) -> bool:
    """What these small models leave out, onnx.checker minds first."""
    whole = onnx.ModelProto()
    whole.CopyFrom(made)
    whole.ir_version = 8
    for info in whole.graph.output:
        info.CopyFrom(make_tensor_value_info(info.name, HALF, ()))
    try:
        onnx.checker.check_model(whole)
    except onnx.checker.ValidationError:
        return False
    return True


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_told_with_node_and_tensor(what: str, tmp_path: Path) -> None:
    made, rule, node, words = BROKEN[what]
    assert not accepted_by_onnx(made)
    found = findings(made, tmp_path)
    assert {f.rule for f in found} == {rule}
    assert found[0].node in (node, node.replace("then_branch", "else_branch"))
    assert words in found[0].message


@pytest.mark.parametrize("what", RIGHT)
def test_what_is_right_is_let_pass(what: str, tmp_path: Path) -> None:
    assert accepted_by_onnx(RIGHT[what])
    assert findings(RIGHT[what], tmp_path) == []


def test_random_wirings_get_onnx_checkers_verdict(tmp_path: Path) -> None:
    dice, verdicts, struck = random.Random(11), Counter[bool](), Counter[str]()
    for _ in range(1000):
        names = ["x", "k", *"abcdef"[: dice.randrange(1, 7)]]
        nodes = []
        for name in names[2:]:
            ready = names[: names.index(name)]
            inputs = [dice.choice(ready if dice.random() < 0.9 else [*names, "z"]) for _ in range(2)]
            nodes.append(step("Add", " ".join(inputs), name if dice.random() < 0.95 else dice.choice(names)))
        if dice.random() < 0.1:
            dice.shuffle(nodes)
        made = model(*nodes, constants=[tensor("k")])
        made.graph.output[0].name = dice.choice(names)
        found = findings(made, tmp_path)
        assert bool(found) != accepted_by_onnx(made), (found, made)
        verdicts[bool(found)] += 1
        struck.update({f.rule for f in found})
    assert min(verdicts.values()) > 300
    assert set(struck) == {"input-of-nobody", "output-of-nobody", "written-twice", "cycle", "order"}


def test_a_long_chain_and_a_wide_circle_are_quick(tmp_path: Path) -> None:
    """Ten thousand nodes, deeper than Python's stack: a walk by recursion would end here."""
    chain = [step("Relu", f"t{i}", f"t{i + 1}") for i in range(10_000)]
    found = findings(model(*chain[::-1], step("Relu", "t10000", "t0"), op("Relu", "t5")), tmp_path)
    assert [f.rule for f in found] == ["cycle"]
    assert found[0].message.endswith("<- ... <- t10000")


@pytest.mark.parametrize(
    "what", ["an input of nobody", "a circle of two", "a tensor of two nodes", "an output of nobody"]
)
def test_the_commands_refuse_it_in_one_line(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, rule, node, _ = BROKEN[what]
    path = tmp_path / "it.onnx"
    path.write_bytes(made.SerializeToString())
    assert run(["inspect", str(path), "--soc-version", "Ascend310P3", "--json"]) == 1
    errors = [f for f in json.loads(capsys.readouterr().out)["findings"] if f["severity"] == "error"]
    assert [(f["rule"], f["node"]) for f in errors] == [(rule, node)]
    for command in (["predict", str(path), str(sample_pictures()[0])], ["benchmark", str(path), "--repeats", "6"]):
        assert run(command) == 2
        assert capsys.readouterr().err.startswith(f"error: {path}: onnxruntime cannot load it: ")
