"""Damaged files given to debug: every one ends in one line that says what is wrong with what."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.helper import make_node, make_tensor_value_info

from neonext_ascend.cli.main import run
from neonext_ascend.runtimes.steps import Steps
from tests.exporters.test_broken_graphs import BROKEN
from tests.support.atc_cases import FLOAT, model, op, step, tensor, with_function


def whole(**more: Any) -> ModelProto:
    """``y = Relu(x w + b)``."""
    constants = [tensor("w", 4, 2, dtype=np.float32), tensor("b", 2, dtype=np.float32)]
    nodes = (step("MatMul", "x w", "m"), step("Add", "m b", "a"), op("Relu", "a"))
    made = model(*nodes, dtype=FLOAT, constants=constants, ir_version=8, **more)
    made.graph.output[0].CopyFrom(make_tensor_value_info("y", FLOAT, (2, 2)))
    return made


def constant(**fields: Any) -> Callable[[ModelProto], None]:
    """The first constant with these fields in place of its own."""

    def change(made: ModelProto) -> None:
        (held, *_) = made.graph.initializer
        for name, value in fields.items():
            held.ClearField(name)
            if isinstance(value, list):
                getattr(held, name).extend(value)
            else:
                setattr(held, name, value)

    return change


def outside(location: str) -> Callable[[ModelProto], None]:
    def change(made: ModelProto) -> None:
        (held, *_) = made.graph.initializer
        held.ClearField("raw_data")
        held.data_location = TensorProto.EXTERNAL
        held.external_data.add(key="location", value=location)

    return change


def node(number: int, **fields: Any) -> Callable[[ModelProto], None]:
    def change(made: ModelProto) -> None:
        for name, value in fields.items():
            if isinstance(value, list):
                getattr(made.graph.node[number], name)[:] = value
            else:
                setattr(made.graph.node[number], name, value)

    return change


def shaped(*sizes: int, dtype: int = FLOAT) -> Callable[[ModelProto], None]:
    return lambda made: made.graph.input[0].CopyFrom(make_tensor_value_info("x", dtype, sizes))


def sequence(made: ModelProto) -> None:
    made.graph.node.append(make_node("SequenceConstruct", ["y"], ["s"], name="seq"))


def attribute(made: ModelProto) -> None:
    held = TensorProto(name="t", data_type=FLOAT, dims=[9], raw_data=bytes(4))
    made.graph.node.append(make_node("Constant", [], ["c"], name="held", value=held))


def again(made: ModelProto) -> None:
    made.graph.input.append(made.graph.input[0])


def twin(made: ModelProto) -> None:
    made.graph.initializer.append(made.graph.initializer[0])


def result(made: ModelProto) -> None:
    made.graph.output[0].name = "nowhere"


# What is done to a file, the status, and what the line says.
DAMAGED: dict[str, tuple[Callable[[ModelProto], None], int, str]] = {
    "raw data too short": (constant(raw_data=bytes(31)), 2, "w has 31 bytes; 4x2 of FLOAT takes 32"),
    "raw data too long": (constant(raw_data=bytes(33)), 2, "w has 33 bytes; 4x2 of FLOAT takes 32"),
    "no data": (constant(raw_data=b""), 2, "w has 0 bytes; 4x2 of FLOAT takes 32"),
    "typed data too short": (
        constant(raw_data=b"", float_data=[1.0]),
        2,
        "w has 1 entries of float_data; 4x2",
    ),
    "an unknown dtype": (constant(data_type=999), 2, "w is of dtype 999"),
    "no dtype": (constant(data_type=0), 2, "w is of UNDEFINED"),
    "a dtype of another width": (constant(data_type=TensorProto.DOUBLE), 2, "w has 32 bytes; 4x2 of DOUBLE takes 64"),
    "text for numbers": (constant(data_type=TensorProto.STRING), 2, "w has raw_data; STRING has string_data"),
    "a negative size": (constant(dims=[-4, -2]), 2, "w has the shape -4x-2"),
    "a huge size": (constant(dims=[2**62, 2]), 2, f"w has 32 bytes; {2**62}x2 of FLOAT takes"),
    "the folder above the folder above": (outside("../.."), 2, "'../..' lies outside its folder"),
    "a file above": (outside("../secret"), 2, "'../secret' lies outside its folder"),
    "a path from the root": (outside("/etc/hostname"), 2, "'/etc/hostname' lies outside its folder"),
    "an absent file": (outside("gone.bin"), 5, "'gone.bin' is missing; keep it beside the ONNX file"),
    "a short file": (outside("short.bin"), 5, "'short.bin' is too short; copy it again"),
    "a constant in a node": (attribute, 2, "t has 4 bytes; 9 of FLOAT takes 36"),
    "an input of an unknown dtype": (shaped(2, 4, dtype=999), 2, "input x is of no dtype"),
    "an input of whole numbers": (shaped(2, 4, dtype=TensorProto.INT32), 2, "input x is int32"),
    "an input of a negative size": (shaped(-2, 4), 2, "input x has the shape (-2, 4)"),
    "an input beyond all arrays": (shaped(2**62, 4), 2, f"input x has the shape ({2**62}, 4)"),
    "an input that does not fit": (shaped(2, 5), 2, "input x is 2x5 in one and x 2x4 in the other"),
    "a circle": (node(0, input=["y", "w"]), 2, "waits for itself through 3 nodes"),
    "a node that reads itself": (node(2, input=["y"]), 2, "the_Relu: waits for itself through 1 node"),
    "an input of nobody": (node(0, input=["q", "w"]), 2, "reads 'q', which no node, input or constant gives"),
    "an output of nobody": (result, 2, "its output is 'nowhere', which no node, input or constant gives"),
    "a tensor of two nodes": (node(1, output=["y"]), 2, "y: is given 2 times"),
    "a tensor of a node and a constant": (node(0, output=["w"]), 2, "w: is given 2 times"),
    "an input twice": (again, 2, "x: is given 2 times"),
    "a constant twice": (twin, 2, "w: is given 2 times"),
    "an unknown operator": (node(2, op_type="Reluu"), 2, "the_Relu (Reluu): onnxruntime cannot compute it"),
    "a result that is no tensor": (sequence, 2, "seq (SequenceConstruct): gives something else than tensors"),
}


# What is fed follows the first file alone.
FED = ("an input of a", "an input of whole", "an input beyond", "an input that does not fit")
CASES = [(what, second) for what in DAMAGED for second in (False, True) if not (second and what.startswith(FED))]


@pytest.mark.parametrize(("what", "second"), CASES)
def test_a_damaged_graph_ends_in_one_line(
    what: str, second: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, status, words = DAMAGED[what]
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(32))
    (folder / "short.bin").write_bytes(bytes(31))
    good, bad = folder / "good.onnx", folder / "bad.onnx"
    good.write_bytes(whole().SerializeToString())
    assert run(["debug", str(good), "--against", str(good)]) == 0
    made = whole()
    change(made)
    bad.write_bytes(made.SerializeToString())
    capsys.readouterr()
    assert run(["debug", str(good if second else bad), "--against", str(bad if second else good)]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line


@pytest.mark.parametrize("what", BROKEN)
def test_graphs_that_are_wired_wrongly_end_in_one_line(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, rule, *_ = BROKEN[what]
    path = tmp_path / "it.onnx"
    path.write_bytes(made.SerializeToString())
    # What is out of order is sorted, as in ONNX Runtime, and each name is looked for where it is read.
    computed = rule == "order" or what == "a name of the graph around, given in a branch"
    assert run(["debug", str(path), "--against", str(path)]) == (0 if computed else 2)
    assert capsys.readouterr().err.count("\n") <= 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: made.graph.ClearField("output"), "its output '' is not computed by a node"),
        (lambda made: setattr(made.graph.output[0], "name", "x"), "its output 'x' is not computed by a node"),
        (lambda made: setattr(made.graph.output[0], "name", "w"), "its output 'w' is not computed by a node"),
        (lambda made: made.graph.ClearField("input"), "reads 'x', which no node, input or constant gives"),
        (
            lambda made: made.graph.input.extend([make_tensor_value_info("z", FLOAT, [1])]),
            "it has 2 inputs; expected one",
        ),
        (constant(raw_data=bytes(31)), "w has 31 bytes; 4x2 of FLOAT takes 32"),
    ],
)
def test_a_rescue_of_a_graph_without_the_ends_that_it_needs_is_refused(
    change: Callable[[ModelProto], None], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = whole()
    change(made)
    (tmp_path / "it.onnx").write_bytes(made.SerializeToString())
    assert run(["debug", str(tmp_path / "it.onnx"), "--rescue"]) == 2
    assert words in capsys.readouterr().err


def test_an_order_that_can_be_mended_is_mended_quickly() -> None:
    """Ten thousand nodes from last to first: a search in rounds would take minutes."""
    chain = [step("Relu", f"t{i}" if i else "x", f"t{i + 1}") for i in range(10_000)]
    made = model(*chain[::-1], op("Relu", "t10000"))
    assert [one.name for one in Steps(made).steps] == [*(f"t{i + 1}" for i in range(10_000)), "the_Relu"]


def test_the_files_own_order_is_kept_where_it_holds() -> None:
    nodes = [step("Relu", "x", "d"), step("Relu", "x", "b"), step("Add", "d b", "a"), op("Add", "a", "d")]
    assert [one.name for one in Steps(model(*nodes, functions=with_function().functions)).steps] == [
        "d",
        "b",
        "a",
        "the_Add",
    ]


# A dump's file, and what the line says.
def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


DUMPS: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "no array": (lambda path: path.write_bytes(b"hello"), 2, "not an array that numpy can read"),
    "empty": (lambda path: path.write_bytes(b""), 5, "the array is truncated"),
    "cut off": (lambda path: path.write_bytes(npy(np.ones((2, 2)))[:-8]), 5, "the array is truncated"),
    "a pickle": (lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True), 2, "not an array"),
    "text": (lambda path: np.save(path, np.full((2, 2), "a")), 2, "holds no numbers"),
    "an archive": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(40)), 2, "not an array that numpy can read"),
    "a folder": (lambda path: path.mkdir(), 5, "is not a regular file"),
    "another size": (lambda path: np.save(path, np.ones(3)), 0, ""),
}


@pytest.mark.parametrize("what", DUMPS)
def test_a_damaged_dump_ends_in_one_line(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, status, words = DUMPS[what]
    (tmp_path / "good.onnx").write_bytes(whole().SerializeToString())
    (tmp_path / "dump").mkdir()
    np.save(tmp_path / "dump" / "a.npy", dict(steps_values(tmp_path / "good.onnx"))["a"])
    make(tmp_path / "dump" / "y.npy")
    assert run(["debug", str(tmp_path / "good.onnx"), "--against", str(tmp_path / "dump")]) == status
    assert words in capsys.readouterr().err


def steps_values(path: Path) -> Any:
    from neonext_ascend.verify.nodewise.nodes import values_of

    return values_of(Steps(path), {"x": np.random.RandomState(0).standard_normal((2, 4)).astype(np.float32)})


def test_external_data_beside_a_link_are_found(tmp_path: Path) -> None:
    made, folder = whole(), tmp_path / "run7"
    folder.mkdir()
    outside("w.bin")(made)
    (folder / "w.bin").write_bytes(numpy_helper.to_array(whole().graph.initializer[0]).tobytes())
    (folder / "x.onnx").write_bytes(made.SerializeToString())
    (tmp_path / "latest.onnx").symlink_to("run7/x.onnx")
    (tmp_path / "good.onnx").write_bytes(whole().SerializeToString())
    assert run(["debug", str(tmp_path / "latest.onnx"), "--against", str(tmp_path / "good.onnx")]) == 0


def test_values_whose_shape_depends_on_values_are_told_apart(tmp_path: Path) -> None:
    """NonZero finds other places where the values before it differ."""
    paths = []
    for name, shift in (("a", 0.0), ("b", 1.0)):
        made = model(step("Add", "x k", "s"), step("Relu", "s", "r"), op("NonZero", "r"), dtype=FLOAT,
                     constants=[numpy_helper.from_array(np.array(shift, np.float32), "k")], ir_version=8)  # fmt: skip
        made.graph.output[0].CopyFrom(make_tensor_value_info("y", TensorProto.INT64, (2, None)))
        paths.append(tmp_path / f"{name}.onnx")
        paths[-1].write_bytes(made.SerializeToString())
    assert onnx.load(paths[0]) != onnx.load(paths[1])
    assert run(["debug", str(paths[0]), "--against", str(paths[1]), "-o", str(tmp_path / "report")]) == 1
