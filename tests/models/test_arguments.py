"""Sizes, counts, names and files as callers give them, through every public function that takes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neonext_ascend
from neonext_ascend.errors import NeoNextError, UsageError
from neonext_ascend.exporters import export_onnx
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.kernels.lowerings import lower
from neonext_ascend.passes import prepare
from neonext_ascend.passes.pipeline import INPUT_SHAPE
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.registry import open_runner

SIZES: list[tuple[Any, tuple[int, int] | None]] = [
    (96, (96, 96)),
    (np.int64(96), (96, 96)),
    (np.uint16(96), (96, 96)),
    (torch.tensor(96), (96, 96)),
    ((96, 128), (96, 128)),
    ([128, 96], (128, 96)),
    (np.array([96, 128]), (96, 128)),
    (torch.Size([96, 128]), (96, 128)),
    ((np.int32(96), torch.tensor(128)), (96, 128)),
    (None, (96, 96)),
    ("96", None),
    (b"ab", None),
    ((96, 96, 3), None),
    ([96], None),
    ([], None),
    (96.0, None),
    (np.float32(96), None),
    ((96, 96.0), None),
    (True, None),
    (np.True_, None),
    ((96, True), None),
    ({"height": 96, "width": 96}, None),
    ({96, 128}, None),
    (0, None),
    (-96, None),
    (10**30, None),
    (-(10**5), None),
    (object(), None),
]


@pytest.mark.parametrize(("given", "meant"), SIZES)
@pytest.mark.parametrize(
    "sized",
    [
        lambda size: neonext_ascend.create("neonext_nano", image_size=size).config.image_size,
        lambda size: prepare(neonext_ascend.create("neonext_nano"), size, defer=True)[0].meta[INPUT_SHAPE][2:],
    ],
)
def test_an_image_size(sized: Callable[[Any], tuple[int, int]], given: Any, meant: tuple[int, int] | None) -> None:
    if meant is not None:
        assert sized(given) == meant
        assert [type(side) for side in sized(given)] == [int, int]
        return
    with pytest.raises(UsageError, match=r"^image_size .*: expected a number of pixels above 0, or \(height, width\)$"):
        sized(given)


@pytest.fixture(scope="module")
def prepared() -> Any:
    return prepare(neonext_ascend.create("neonext_nano"))[0]


@pytest.fixture
def export(prepared: Any, tmp_path: Path) -> Callable[..., Any]:
    return lambda **given: export_onnx(prepared, **{"path": tmp_path / "x.onnx", **given})


@pytest.mark.parametrize("kind", [tuple, list, np.array, torch.Size, iter])
def test_an_input_shape(kind: Any) -> None:
    network = neonext_ascend.create("neonext_nano")
    assert prepare(network, input_shape=kind([1, 3, 96, 96]), defer=True)[0].meta[INPUT_SHAPE] == (1, 3, 96, 96)


@pytest.mark.parametrize(
    "given",
    ["1x3", 5, (), (0, 3, 96, 96), (1.0, 3, 96, 96), (True, 3, 96, 96), (1, 3, 10**30, 1), (1, 3, 10**12, 10**12)],
)
def test_an_input_shape_that_is_none(given: Any) -> None:
    with pytest.raises(UsageError, match="shape"):
        prepare(neonext_ascend.create("neonext_nano"), input_shape=given)


@pytest.mark.parametrize(
    ("name", "given", "read", "meant"),
    [
        ("batch_size", np.int64(2), lambda made: made.inputs[0].shape[0], 2),
        ("batch_size", torch.tensor(2), lambda made: made.inputs[0].shape[0], 2),
        ("batch_size", None, lambda made: made.inputs[0].shape[0], "batch"),
        ("opset", np.int32(13), lambda made: made.opset, 13),
        ("external_data_above", np.int64(5), lambda made: len(made.files), 2),
        ("external_data_above", np.uint64(2**40), lambda made: len(made.files), 1),
        ("metadata", {"a": np.str_("b")}, lambda made: len(made.files), 1),
    ],
)
def test_an_exports_numbers(export: Callable[..., Any], name: str, given: Any, read: Any, meant: object) -> None:
    found = read(export(**{name: given}))
    assert found == meant
    assert type(found) is type(meant)


def test_an_exports_path_may_be_text_or_bytes(export: Callable[..., Any], tmp_path: Path) -> None:
    for given in (tmp_path / "a.onnx", str(tmp_path / "a.onnx"), bytes(tmp_path / "a.onnx")):
        assert export(path=given).files[0].path == tmp_path / "a.onnx"


NO_NUMBERS = ("2", 2.0, True, np.True_, [2], (1, 2, 3), -1, 10**30, object(), np.float64(2), torch.tensor(True))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *(("batch_size", given) for given in (*NO_NUMBERS, 0)),
        *(("opset", given) for given in (*NO_NUMBERS, "17", 17.0, None, 10, 19)),
        *(("external_data_above", given) for given in (*NO_NUMBERS, None)),
        *(("dtype", given) for given in ("float16", None, torch.float16, np.float16, ["fp16"], 16)),
        *(("path", given) for given in (5, None, "", "a\0b", ["x.onnx"], 1.5, "/")),
        *(("metadata", given) for given in ({"a": 1}, {1: "a"}, {"a": None}, {"a": b"c"}, {"a": "\ud800"}, "x", 5)),
        ("metadata", [("a", "b")]),
    ],
)
def test_what_no_export_can_mean(export: Callable[..., Any], name: str, given: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{name.replace('batch_size', 'batch size')} .*expected"):
        export(**{name: given})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", ["", "..", "x" * 300 + ".onnx"])
def test_a_path_that_the_system_refuses(export: Callable[..., Any], given: str, tmp_path: Path) -> None:
    with pytest.raises(NeoNextError):
        export(path=tmp_path / given)


@pytest.mark.parametrize("given", [np.int64(3), torch.tensor(3), np.uint8(3)])
def test_create_takes_numpys_numbers(given: Any) -> None:
    network = neonext_ascend.create("neonext_t", image_size=96, num_classes=given, seed=given)
    assert type(network.config.num_classes) is int
    want = neonext_ascend.create("neonext_t", image_size=96, num_classes=3, seed=3).state_dict()["head.fc.weight"]
    assert torch.equal(network.state_dict()["head.fc.weight"], want)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        *(
            ({"seed": seed}, "^seed .*expected a whole number")
            for seed in (-1, 2**63, 2**64, "1", True, None, 1.5, [1])
        ),
        *(({"num_classes": n}, "^num_classes .*expected") for n in (0, -1, "10", True, 10.0, 10**9, [10], np.nan)),
        *(
            ({"model": model}, "^model .*expected a name")
            for model in (5, b"neonext_t", ["neonext_t"], Path("neonext_t"))
        ),
        *(({"checkpoint": file}, "^checkpoint .*expected a path") for file in (5, ["a"], "", "a\0b", 1.5)),
    ],
)
def test_what_create_cannot_mean(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        neonext_ascend.create(**{"model": "neonext_t", **given})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        *(
            ({"layout": layout}, "^layout .*: expected nchw or chnw")
            for layout in ("NCHW", None, ["nchw"], 0, np.array(["nchw", "chnw"]))
        ),
        *(({"lowering": name}, "^lowering .*: expected blockdiag") for name in ("x", 5, ["kron"])),
        *(
            ({"lowering": lambda *_, name=name: name}, "^lowering .*: expected blockdiag")
            for name in ("x", None, ["kron"])
        ),
    ],
)
def test_what_no_form_can_be(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prepare(neonext_ascend.create("neonext_nano"), **given)


def test_an_unknown_lowering_of_one_cell() -> None:
    with pytest.raises(UsageError, match=r"^lowering 'fast': expected blockdiag"):
        lower("fast", Geometry.split(4, (2,), False), 4, 4)  # type: ignore[arg-type]


@pytest.fixture
def runner(export: Callable[..., Any]) -> Runner:
    return open_runner(str(export(batch_size=None).files[0].path))


X = np.zeros((1, 3, 96, 96), np.float32)


@pytest.mark.parametrize("image", [X, X.astype(np.float64), X.astype(np.uint8), X.tolist(), torch.zeros(1, 3, 96, 96)])
def test_a_feed_of_numbers(runner: Runner, image: Any) -> None:
    assert runner.infer({"image": image})["logits"].shape == (1, 10)


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        (X, "got ndarray; expected arrays by name: image float32"),
        (None, "got NoneType; expected arrays by name"),
        ([("image", X)], "got list; expected arrays by name"),
        ({}, "input 'image' is missing"),
        ({"image": X, 1: X, "mask": X}, "unknown input '1'"),
        ({"image": None}, "image is NoneType; expected an array of numbers"),
        ({"image": "picture.png"}, "image is str; expected an array of numbers"),
        ({"image": X.astype(complex)}, "expected an array of numbers"),
        ({"image": X.astype(object)}, "expected an array of numbers"),
        ({"image": [[1.0], [1.0, 2.0]]}, "image is list; expected an array of numbers"),
        ({"image": torch.zeros(1, 3, 96, 96, requires_grad=True)}, "image is Tensor; expected an array of numbers"),
        ({"image": X[0]}, "image has shape (3, 96, 96); expected image float32"),
        ({"image": X[:0]}, "image has shape (0, 3, 96, 96); expected image float32"),
    ],
)
def test_a_feed_that_is_none(runner: Runner, feeds: Any, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        runner.infer(feeds)


def test_a_number_that_python_does_not_print_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match=r"^seed of type int: expected a whole number"):
        neonext_ascend.create("neonext_t", seed=10**5000)
