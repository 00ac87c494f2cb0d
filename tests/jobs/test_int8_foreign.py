"""``export FILE.onnx --dtype int8``: anybody's file of Conv, Gemm and MatMul."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from neonext_ascend import jobs
from neonext_ascend.artifacts.int8_twins import is_quantised
from neonext_ascend.cli.main import run
from neonext_ascend.jobs.int8.calibration import read_inputs
from neonext_ascend.precision.int8.sensitivity import agreement, answers
from tests.support.int8_graphs import drawn, every_kind, graph
from tests.support.om_commands import SOC


def squeezed(*, batch: int | str = 1, opset: int = 17) -> onnx.ModelProto:
    """A fire module, BatchNorm, Resize, Gemms both ways; a Conv in groups, one without bias, a weight for two."""
    nodes: list[Any] = [
        ("Conv", ["x", "w1"], "c1", {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("Relu", ["c1"], "r1", {}),
        ("Conv", ["r1", "w2", "b"], "c2", {"group": 8, "pads": [1, 1, 1, 1]}),
        ("BatchNormalization", ["c2", "one", "b", "b", "one"], "bn", {}),
        ("Relu", ["bn"], "r2", {}),
        ("Conv", ["r2", "w3", "b"], "e1", {}),
        ("Conv", ["r2", "w4", "b4"], "e3", {"pads": [1, 1, 1, 1]}),
        ("Concat", ["e1", "e3"], "cat", {"axis": 1}),
        ("Resize", ["cat", "", "twice"], "large", {"mode": "nearest"}),
        ("GlobalAveragePool", ["large"], "mean", {}),
        ("Flatten", ["mean"], "flat", {}),
        ("Gemm", ["flat", "w5", "b5"], "g1", {"transB": 0}),
        ("MatMul", ["g1", "shared"], "m1", {}),
        ("MatMul", ["m1", "shared"], "m2", {}),
        ("Gemm", ["m2", "w6"], "y", {"transB": 1}),
    ]
    constants = {
        "w1": drawn(8, 3, 3, 3, seed=1), "w2": drawn(8, 1, 3, 3, seed=2), "b": drawn(8, seed=3),
        "one": np.ones(8, np.float32),
        "w3": drawn(8, 8, 1, 1, seed=4), "w4": drawn(4, 8, 3, 3, seed=5), "b4": drawn(4, seed=6),
        "twice": np.array([1, 1, 2, 2], np.float32), "w5": drawn(12, 6, seed=7), "b5": drawn(6, seed=8),
        "shared": drawn(6, 6, seed=9), "w6": drawn(5, 6, seed=10),
    }  # fmt: skip
    return graph(nodes, constants, (batch, 3, 16, 16), opset)  # type: ignore[arg-type] # a free batch has a name


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty smooth pictures of two sizes, grey and coloured."""
    folder, dice = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(40):
        small = dice.integers(0, 256, (4, 5, 3) if number % 2 else (5, 4)).astype(np.uint8)
        Image.fromarray(small).resize((40, 32), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


def saved(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


def test_a_strangers_file_in_every_form(pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = saved(squeezed(), tmp_path / "theirs.onnx")
    command = ["export", str(path), "--dtype", "int8", "--calibration", str(pictures), "--sensitivity", "--json"]
    assert run([*command, "--format", "deploy", "--soc-version", SOC, "-o", str(tmp_path / "out")]) == 0
    out, err = capfd.readouterr()
    assert "assuming ImageNet's resize, crop, mean and std" in err
    made = json.loads(out)
    names = [Path(file).name for file in made["files"]]
    assert names == [f"theirs-int8{end}" for end in (".onnx", f"-{SOC}.onnx", ".record.txt", ".decision.json")]
    told = made["int8"]
    assert told == json.loads(Path(made["files"][-1]).read_text())
    # b and shared are read by several; each has its own.
    assert list(told["layers"]) == ["c1", "c2", "e1", "e3", "g1", "m1", "m2", "y"]
    assert told["kept"] == {}
    assert set(told["sensitivity"]) == set(told["layers"])
    assert (told["agreement"]["top1"] > 0.9, told["deploy"]["least"] > 0.99) == (True, True)
    onnx.checker.check_model(onnx.load(made["files"][0]), full_check=True)
    assert run(["inspect", made["files"][1], "--soc-version", SOC]) == 0


def test_inputs_as_they_are_fed_and_a_free_batch(tmp_path: Path, pictures: Path) -> None:
    folder = tmp_path / "inputs"
    folder.mkdir()
    for number in range(20):
        np.save(folder / f"{number}.npy", drawn(2, 4, 6, 7, seed=number))  # two rows each
    made = jobs.quantise(saved(every_kind(), tmp_path / "it.onnx"), jobs.Int8Request(folder), output=tmp_path / "out")
    assert made.told["calibration"]["pictures"] == 40
    rows = [drawn(1, 4, 6, 7, seed=number) for number in range(50, 60)]
    got, want = (answers(onnx.load(str(one)), rows) for one in (made.paths[0], tmp_path / "it.onnx"))
    assert agreement(got, want).least > 0.99
    free = saved(squeezed(batch="n"), tmp_path / "free.onnx")
    assert len(jobs.quantise(free, jobs.Int8Request(pictures), output=tmp_path / "out").paths) == 3


def two_inputs() -> onnx.ModelProto:
    model = squeezed()
    model.graph.input.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, (1,)))
    return model


def edited(change: Callable[[Any], Any]) -> Callable[[], onnx.ModelProto]:
    def made() -> onnx.ModelProto:
        model = squeezed()
        change(model.graph)
        return model

    return made


def free(*shape: int | str) -> onnx.ModelProto:
    return graph([("MatMul", ["x", "w"], "y", {})], {"w": drawn(3, 3)}, shape)  # type: ignore[arg-type] # sizes by name


def branch(name: str) -> onnx.GraphProto:
    result = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)]
    return onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], [name])], name, [], result)


def sparse() -> onnx.ModelProto:
    model = graph([CONV], {"w": np.ones((4, 3, 3, 3), np.float32)}, (1, 3, 16, 16))
    held = model.graph.initializer.pop()
    places = onnx.numpy_helper.from_array(np.arange(108), "places")
    values = onnx.numpy_helper.from_array(np.ones(108, np.float32), held.name)
    model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, places, held.dims))
    return model


def with_function(first: str) -> onnx.ModelProto:
    """A Conv, inside a local function, behind another node."""
    model = graph([("Identity", ["x"], "y", {})], {"w": drawn(4, 3, 3, 3), "s": drawn(1)}, (1, 3, 16, 16))
    model.graph.node[0].CopyFrom(onnx.helper.make_node("Mine", ["x", "w", "s"], ["y"], domain="mine"))
    model.graph.output[0].ClearField("type")
    nodes = [onnx.helper.make_node(first, ["x", "s"], ["a"]), onnx.helper.make_node("Conv", ["a", "w"], ["y"])]
    opsets = [onnx.helper.make_opsetid("", 17)]
    model.functions.append(onnx.helper.make_function("mine", "Mine", ["x", "w", "s"], ["y"], nodes, opsets))
    model.opset_import.append(onnx.helper.make_opsetid("mine", 1))
    return model


CONV: Any = ("Conv", ["x", "w"], "a", {})


def of(*nodes: Any, shape: tuple[int, ...] = (1, 3, 16, 16), opset: int = 17, **constants: Any) -> Any:
    return lambda: graph(nodes, constants, shape, opset)


REFUSED: dict[str, tuple[Any, list[str], str]] = {
    "another dtype": (squeezed, ["--dtype", "fp16"], "of a file export makes int8 alone; give --dtype int8"),
    "no set": (squeezed, ["--dtype", "int8"], "give --dtype int8 --calibration FOLDER with it"),
    "a model's option": (squeezed, ["--batch-size", "2"], "--batch-size: is of a model"),
    "an OM": (squeezed, ["--format", "om"], "--format om: is of a model; make the deploy form of"),
    "a free batch": (lambda: squeezed(batch="n"), ["--format", "deploy", "--soc-version", SOC], "a static shape only"),
    "two inputs": (two_inputs, [], "it.onnx: has 2 inputs (x, z); int8 takes a graph of one"),
    "an input in fp16": (edited(lambda g: setattr(g.input[0].type.tensor_type, "elem_type", 10)), [],
                         "it.onnx: its input x is FLOAT16; int8 is made of float32"),
    "no shape": (edited(lambda g: g.input[0].type.tensor_type.ClearField("shape")), [], "its input x has no shape"),
    "any size": (lambda: free(1, 3, "h", "w"), [],
                 "it.onnx: takes pictures of any size (x: 1x3x?x?); give it one: python -m onnxruntime.tools"),
    "any length": (lambda: free("n", "t", 3), [], "takes inputs of any size (x: ?x?x3); give it one: python -m"),
    "a body": (of(("If", ["c"], "y", {f"{way}_branch": branch(way) for way in ("then", "else")}), c=np.array(True)), [],
               "it.onnx: y (If) has a body of its own; int8 takes plain graphs alone"),
    "sparse": (sparse, [], "it.onnx: its constant w is sparse; int8 takes dense ones"),
    "places in the input": (of(("Conv", ["x", "w"], "a", {}), ("ArgMax", ["x"], "y", {}), w=drawn(4, 3, 3, 3)), [],
                            "its output y is INT64; int8 is held against FLOAT or FLOAT16 or DOUBLE: take it out"),
    "no products": (of(("Relu", ["x"], "y", {})), [], "it.onnx: no product of this graph can be int8: it has none"),
    "bfloat16": (of(CONV, ("Cast", ["a"], "y", {"to": 16}), w=drawn(4, 3, 3, 3)), [],
                 "its output y is BFLOAT16; int8 is held against FLOAT or FLOAT16 or DOUBLE: cut Cast off: "),
    "opset 12": (lambda: squeezed(opset=12), [], "opset 12: int8 needs 13 to 18"),
    "opset 19": (lambda: squeezed(opset=19), [], "opset 19: int8 needs 13 to 18"),
    "quantised": (of(("QuantizeLinear", ["x", "s"], "q", {}), ("DequantizeLinear", ["q", "s"], "y", {}),
                     s=np.float32(1)), [], "holds QuantizeLinear already"),
    "quantised in a function": (lambda: with_function("QuantizeLinear"), [], "it.onnx: holds QuantizeLinear already"),
    "the vendor's": (of(("AscendQuant", ["x"], "y", {"scale": 1.0})), [], "it.onnx: holds AscendQuant already"),
    "ONNX Runtime's": (of(("QLinearAdd", ["x"], "y", {})), [], "holds QLinearAdd already"),
    "an operator of theirs": (of(CONV, ("Foo", ["a"], "y", {}), w=drawn(4, 3, 3, 3)), [], "onnxruntime cannot load it"),
    "a value from nowhere": (of(("Conv", ["no", "w"], "y", {}), w=drawn(4, 3, 3, 3)), [], "onnxruntime cannot load it"),
    "doubles": (of(("Conv", ["x", "w"], "y", {}), w=drawn(4, 3, 3, 3).astype(float)), [], "onnxruntime cannot load it"),
    "fp16 inside": (of(("Cast", ["x"], "h", {"to": 10}), ("Conv", ["h", "w"], "a", {}), ("Cast", ["a"], "y", {"to": 1}),
                       w=drawn(4, 3, 3, 3).astype(np.float16)), [], "its constant is FLOAT16; int8 takes"),
    "no channel": (of(CONV, w=drawn(0, 3, 3, 3)), [], "its constant is empty"),
    "classes": (of(CONV, ("ArgMax", ["a"], "y", {}), w=drawn(4, 3, 3, 3)),
                [], "its output y is INT64; int8 is held against FLOAT or FLOAT16 or DOUBLE: cut ArgMax off: "),
    "a bias beyond int32": (of(("Conv", ["x", "w", "b"], "y", {}), w=drawn(4, 3, 3, 3), b=drawn(4) * np.float32(1e9)),
                            [], "no product of this graph can be int8: int32 does not hold its bias"),
    "tiny weights": (of(("Conv", ["x", "w", "b"], "y", {}), w=drawn(4, 3, 3, 3) * np.float32(1e-42), b=drawn(4)),
                     [], "no product of this graph can be int8: int32 does not hold its bias"),
    "no number": (of(CONV, ("Log", ["a"], "y", {}), w=drawn(4, 3, 3, 3)), [], "y: holds what is no number"),
    "no pictures": (every_kind, [], "takes (1, 4, 6, 7), no pictures (N, 3, H, W); give its inputs as NAME.npy"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_will_not_do_is_refused_and_leaves_nothing(
    what: str, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, options, words = REFUSED[what]
    command = ["export", str(saved(model(), tmp_path / "it.onnx")), "-o", str(tmp_path / "out")]
    command += options if "--dtype" in options else ["--dtype", "int8", "--calibration", str(pictures), *options]
    assert run(command) == 2
    assert words in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_inputs_of_another_shape_or_that_are_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, folder = saved(every_kind(), tmp_path / "it.onnx"), tmp_path / "inputs"
    folder.mkdir()
    command = ["export", str(path), "--dtype", "int8", "--calibration", str(folder), "-o", str(tmp_path / "out")]
    np.save(folder / "0.npy", drawn(4, 7, 6))
    assert run(command) == 2
    assert "holds float32 (4, 7, 6); expected float32 of (4, 6, 7), or rows of it" in capfd.readouterr().err
    np.save(folder / "0.npy", drawn(0, 4, 6, 7))
    assert run([*command, "--calibration-anyway"]) == 2
    assert "its files hold no row; expected inputs of (4, 6, 7)" in capfd.readouterr().err


def test_no_file_stays_open_and_no_row_beyond_the_most_is_kept(tmp_path: Path) -> None:
    for number in range(60):
        np.save(tmp_path / f"{number:02}.npy", drawn(5, 4, 6, 7, seed=number))
    kept = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len([*Path("/dev/fd").iterdir()]) + 30, kept[1]))
    try:
        found = read_inputs(tmp_path, (4, 6, 7))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, kept)
    assert (found.found, found.pixels.shape) == (60, (256, 4, 6, 7))
    np.testing.assert_array_equal(found.pixels[251:], [*drawn(5, 4, 6, 7, seed=50)[1:], drawn(5, 4, 6, 7, seed=51)[0]])


@pytest.mark.parametrize(
    ("operators", "quantised"),
    [
        ("QuantizeLinear DequantizeLinear DynamicQuantizeLinear DynamicQuantizeLSTM QLinearConv QOrderedMatMul", True),
        ("QGemm QAttention QMoE ConvInteger MatMulIntegerToFloat MatMulInteger16 MatMulNBits MatMulBnb4", True),
        ("GatherBlockQuantized FakeQuantize AscendQuant AscendDequant AscendWeightQuant AscendAntiQuant", True),
        ("QRDecomposition IntegerDivide QuickGelu QuantizeMyWay MyQuantizeLinear Conv MatMul Query", False),
    ],
)
def test_which_operators_are_quantised(operators: str, quantised: bool) -> None:
    assert {one: is_quantised(one) for one in operators.split()} == dict.fromkeys(operators.split(), quantised)


def cut(path: Path) -> None:
    np.save(path, drawn(4, 6, 7))
    path.write_bytes(path.read_bytes()[:-100])


def archive(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), x=drawn(4, 6, 7))
    path.with_suffix(".npz").rename(path)


NO_INPUTS: dict[str, tuple[Callable[[Path], Any], int, str]] = {
    "cut off": (cut, 5, "0.npy: the array is truncated; save or copy it again"),
    "empty": (Path.touch, 5, "0.npy: the array is truncated"),
    "a folder": (Path.mkdir, 5, "0.npy: is not a regular file; expected an array"),
    "a pipe": (os.mkfifo, 5, "0.npy: is not a regular file; expected an array"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), 5, "0.npy: cannot read the array: No such file"),
    "text": (lambda path: path.write_text("no array"), 2, "0.npy: not an array that numpy can read; save it with"),
    "objects": (lambda path: np.save(path, np.array([{}])), 2, "0.npy: not an array that numpy can read"),
    "an archive": (archive, 2, "0.npy: not an array that numpy can read"),
    "texts": (lambda path: np.save(path, np.array(["a"])), 2, "0.npy: holds no numbers; expected one array of them"),
    "doubles": (
        lambda path: np.save(path, drawn(4, 6, 7).astype(float)),
        2,
        "0.npy: holds float64 (4, 6, 7); expected",
    ),
    "NaN": (lambda path: np.save(path, drawn(4, 6, 7) * np.nan), 2, "0.npy: holds NaN or infinity; expected numbers"),
}


@pytest.mark.parametrize("what", NO_INPUTS)
def test_one_input_that_will_not_do_is_named(what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, status, words = NO_INPUTS[what]
    path, folder = saved(every_kind(), tmp_path / "it.onnx"), tmp_path / "inputs"
    folder.mkdir()
    np.save(folder / "1.npy", drawn(40, 4, 6, 7))
    make(folder / "0.npy")
    command = ["export", str(path), "--dtype", "int8", "--calibration", str(folder), "-o", str(tmp_path / "out")]
    assert run(command) == status
    assert words in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def with_topk() -> onnx.ModelProto:
    ends: Any = (CONV, ("GlobalAveragePool", ["a"], "g", {}), ("Flatten", ["g"], "f", {}))
    model: onnx.ModelProto = of(*ends, w=drawn(4, 3, 3, 3))()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2]), "k"))
    model.graph.node.append(onnx.helper.make_node("TopK", ["f", "k"], ["best", "places"]))
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in ("best", "places"))
    return onnx.shape_inference.infer_shapes(model)


ODD = """a"'`b`$HOME\\"""
ENDS: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "TopK": (with_topk, "f"),
    "a name that a shell reads": (
        of(("Conv", ["x", "w"], ODD, {}), ("ArgMax", [ODD], "y", {}), w=drawn(4, 3, 3, 3)),
        ODD,
    ),
    "ArgMax": (of(CONV, ("ArgMax", ["a"], "b", {}), ("Squeeze", ["b"], "y", {}), w=drawn(4, 3, 3, 3)), "a"),
    "a constant first": (
        of(
            ("Constant", [], "two", {"value_int": 2}),
            CONV,
            ("ArgMax", ["a"], "b", {}),
            ("Mul", ["two", "b"], "y", {}),
            w=drawn(4, 3, 3, 3),
        ),
        "a",
    ),
}


@pytest.mark.parametrize("what", ENDS)
def test_a_file_that_ends_in_places_is_taken_once_it_is_cut_as_was_said(
    what: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model, kept = ENDS[what]
    monkeypatch.chdir(tmp_path)
    saved(model(), tmp_path / "IN.onnx")
    command = ["--dtype", "int8", "--calibration", str(pictures)]
    assert run(["export", "IN.onnx", *command]) == 2
    _, said = capfd.readouterr().err.strip().split(" python -c ")
    code = subprocess.run(["sh", "-c", f"printf %s {said}"], check=True, capture_output=True, text=True).stdout
    assert code == f'import onnx; onnx.utils.extract_model("IN.onnx", "OUT.onnx", ["x"], {json.dumps([kept])})'
    exec(code, {})
    assert run(["export", "OUT.onnx", *command]) == 0


def test_products_in_functions_and_pads_by_name_and_one_file_of_inputs(tmp_path: Path) -> None:
    """The deploy form's pads are those of ONNX Runtime: by what is left over, before or behind."""
    np.save(tmp_path / "inputs.npy", drawn(40, 3, 16, 15))
    request = jobs.Int8Request(tmp_path / "inputs.npy", anyway=True, deploy=SOC)
    for auto in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        how = {"auto_pad": auto, "strides": [2, 1]}
        model = of(("Conv", ["x", "w"], "y", how), w=drawn(4, 3, 4, 2), shape=(1, 3, 16, 15))()
        told = jobs.quantise(saved(model, tmp_path / "it.onnx"), request, output=tmp_path / "out").told
        assert told["deploy"]["least"] > 0.999
    np.save(tmp_path / "inputs.npy", drawn(40, 3, 16, 16))
    made = jobs.quantise(saved(with_function("Add"), tmp_path / "it.onnx"), request, output=tmp_path / "out")
    assert (len(made.told["layers"]), made.told["deploy"]["least"] > 0.999) == (1, True)


def test_constants_that_are_inputs_or_outputs_too(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = of(("Conv", ["x", "w", "b"], "y", {}), w=drawn(4, 3, 3, 3), b=drawn(4))()
    for tensor in model.graph.initializer:
        value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(value)
    path, request = saved(model, tmp_path / "it.onnx"), jobs.Int8Request(pictures, deploy=SOC)
    told = jobs.quantise(path, request, output=tmp_path / "out").told
    assert list(told["layers"]) == ["y"]
    assert told["deploy"]["least"] > 0.99
    assert told["agreement"]["top1"] is None
    model.graph.output.append(value)
    command = ["export", str(saved(model, path)), "--dtype", "int8", "--calibration", str(pictures)]
    assert run([*command, "-o", str(tmp_path / "qdq")]) == 0
    assert run([*command, "-o", str(tmp_path / "no"), "--format", "deploy", "--soc-version", SOC]) == 2
    assert "its output b is a constant, which the deploy form cannot give" in capfd.readouterr().err
