"""What differs inside and is undone behind it is a note; numbers that are none count where one side has them alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neonext_ascend import jobs
from neonext_ascend.cli.main import run
from neonext_ascend.spec import TOLERANCES
from neonext_ascend.verify.compare import compare_logits, relative_error, smallest_passing, summarize
from tests.support.graphs import Row, draw, graph

W, V = draw(8, 8), draw(8, 8, seed=1)
CHAIN: list[Row] = [("MatMul", "x,w", "a"), ("Relu", "a", "b"), ("MatMul", "b,v", "y")]
NORM: list[Row] = [("MatMul", "x,w", "a"), ("Mul", "a,s", "b"), ("Add", "b,t", "c"), ("MatMul", "c,v", "y")]
SCALE, SHIFT = np.float32(3), draw(1, 8, seed=2)
# What is done to a right graph without a change of what it gives, and the first node that differs.
SAME: dict[str, tuple[list[Row], dict[str, Any], dict[str, Any], str]] = {
    "a power of two moved on": (CHAIN, {"w": W, "v": V}, {"w": np.ldexp(W, -3), "v": np.ldexp(V, 3)}, "n_a"),
    "a factor moved on": (CHAIN, {"w": W, "v": V}, {"w": W * 3, "v": V / 3}, "n_a"),
    "a normalisation split otherwise": (
        NORM,
        {"w": W, "v": V, "s": SCALE, "t": SHIFT},
        {"w": W * 2, "v": V, "s": SCALE / 2, "t": SHIFT},
        "n_a",
    ),
}


@pytest.mark.parametrize("what", SAME)
def test_an_error_that_is_undone_is_a_note(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, held, moved, first = SAME[what]
    right, it = graph(tmp_path / "right.onnx", rows, held), graph(tmp_path / "it.onnx", rows, moved)
    found = jobs.debug(it, against=right, output=tmp_path / "report")
    assert (found.agree, found.first_made, found.cause, found.subgraph) == (True, None, None, None)
    assert found.first_inside is not None
    assert found.first_inside.name == first
    assert run(["debug", str(it), "--against", str(right)]) == 0
    said = capsys.readouterr().out
    assert "differs inside, the outputs agree" in said
    assert f"the first is {first}" in said


def test_an_error_that_a_softmax_hides_is_none_that_is_undone(tmp_path: Path) -> None:
    rows: list[Row] = [("MatMul", "x,w", "a"), ("Mul", "a,s", "b"), ("Softmax", "b", "y")]
    right = graph(tmp_path / "right.onnx", rows, {"w": W, "s": np.float32(1e4)})
    found = jobs.debug(graph(tmp_path / "it.onnx", rows, {"w": W * 1.01, "s": np.float32(1e4)}), against=right)
    assert found.first_made is not None
    assert found.first_made.name == "n_a"


def test_a_node_that_only_the_other_file_has_makes_the_outputs_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = graph(tmp_path / "right.onnx", [*CHAIN[:2], ("Mul", "b,s", "y")], {"w": W, "s": SCALE})
    it = graph(tmp_path / "it.onnx", [CHAIN[0], ("Relu", "a", "y")], {"w": W})
    assert run(["debug", str(it), "--against", str(right)]) == 1
    assert "the outputs differ: the other has what this lacks: n_y" in " ".join(capsys.readouterr().out.split())


# Both sides, and the relative error.
NUMBERS = [
    ([1, np.inf, np.nan], [1, np.inf, np.nan], 0.0),
    ([1.5, -np.inf], [1, -np.inf], 0.5),
    ([1, np.inf], [1, -np.inf], np.inf),
    ([1, np.inf], [1, 2], np.inf),
    ([1, 2], [1, np.nan], np.inf),
    ([np.nan], [np.nan], 0.0),
]


@pytest.mark.parametrize(("got", "want", "error"), NUMBERS)
def test_the_same_infinity_at_the_same_place_is_no_difference(
    got: list[float], want: list[float], error: float
) -> None:
    assert relative_error(np.array(got, np.float32), np.array(want, np.float32))[0] == error


def test_a_mask_is_no_fault_and_an_infinity_of_one_side_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[Row] = [("MatMul", "x,w", "a"), ("Add", "a,m", "b"), ("Softmax", "b", "y")]
    mask = np.where(np.arange(8) < 4, 0, -np.inf).astype(np.float32)
    right = graph(tmp_path / "right.onnx", rows, {"w": W, "m": mask})
    assert run(["debug", str(right), "--against", str(right)]) == 0
    capsys.readouterr()
    it = graph(tmp_path / "it.onnx", rows, {"w": W, "m": np.roll(mask, 1)})
    assert run(["debug", str(it), "--against", str(right)]) == 1
    assert "n_b (Add) makes an infinite error" in capsys.readouterr().out


def test_no_tolerance_passes_what_fails_by_class_or_cosine() -> None:
    want = np.array([[10.0, 9.0, -10.0]], np.float32)
    exact = replace(TOLERANCES["fp16"], top1="exact", min_cosine=None)
    other_class = compare_logits("x", np.array([[8.9, 9.0, -10.0]], np.float32), want, exact)
    assert "the first class changes" in str(other_class.failures)
    assert smallest_passing([other_class], exact) is None
    far = compare_logits("x", want * np.array([1, 0.1, 1], np.float32), want, TOLERANCES["fp16"])
    assert "cosine" in str(far.failures)
    assert smallest_passing([far], TOLERANCES["fp16"]) is None


@pytest.mark.parametrize("order", [1, -1])
def test_no_order_hides_an_output_without_numbers(order: int) -> None:
    right = np.array([[9.0, 1.0, 0.0]], np.float32)
    both = [compare_logits("x", got, right, TOLERANCES["fp16"]) for got in (right, right * np.float32(np.nan))]
    assert np.isnan(summarize(both[::order])["cosine"])
