"""``export FILE.onnx --dtype int8``: anybody's file of Conv, Gemm and MatMul."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from neonext_ascend import jobs
from neonext_ascend.cli.main import run
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


def of(*nodes: Any, shape: tuple[int, ...] = (1, 3, 16, 16), opset: int = 17, **constants: Any) -> Any:
    return lambda: graph(nodes, constants, shape, opset)


CONV: Any = ("Conv", ["x", "w"], "a", {})
REFUSED: dict[str, tuple[Any, list[str], str]] = {
    "another dtype": (squeezed, ["--dtype", "fp16"], "of a file export makes int8 alone; give --dtype int8"),
    "no set": (squeezed, ["--dtype", "int8"], "give --dtype int8 --calibration FOLDER with it"),
    "a model's option": (squeezed, ["--batch-size", "2"], "--batch-size: is of a model"),
    "an OM": (squeezed, ["--format", "om"], "--format om: is of a model; make the deploy form of"),
    "a free batch": (lambda: squeezed(batch="n"), ["--format", "deploy", "--soc-version", SOC], "a static shape only"),
    "two inputs": (two_inputs, [], "has 2 inputs or another than float32"),
    "opset 12": (lambda: squeezed(opset=12), [], "opset 12: int8 needs 13 to 18"),
    "opset 19": (lambda: squeezed(opset=19), [], "opset 19: int8 needs 13 to 18"),
    "quantised": (of(("QuantizeLinear", ["x", "s"], "q", {}), ("DequantizeLinear", ["q", "s"], "y", {}),
                     s=np.float32(1)), [], "holds QuantizeLinear already"),
    "an operator of theirs": (of(CONV, ("Foo", ["a"], "y", {}), w=drawn(4, 3, 3, 3)), [], "onnxruntime cannot load it"),
    "a value from nowhere": (of(("Conv", ["no", "w"], "y", {}), w=drawn(4, 3, 3, 3)), [], "onnxruntime cannot load it"),
    "doubles": (of(("Conv", ["x", "w"], "y", {}), w=drawn(4, 3, 3, 3).astype(float)), [], "onnxruntime cannot load it"),
    "fp16 inside": (of(("Cast", ["x"], "h", {"to": 10}), ("Conv", ["h", "w"], "a", {}), ("Cast", ["a"], "y", {"to": 1}),
                       w=drawn(4, 3, 3, 3).astype(np.float16)), [], "its constant is FLOAT16; int8 takes"),
    "no channel": (of(CONV, w=drawn(0, 3, 3, 3)), [], "its constant is empty"),
    "classes": (of(CONV, ("ArgMax", ["a"], "y", {}), w=drawn(4, 3, 3, 3)), [], "expected floating-point tensors"),
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
    (folder / "0.npy").write_bytes(b"no array")
    assert run(command) == 5
    assert "0.npy: cannot be read as a NumPy array" in capfd.readouterr().err


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
