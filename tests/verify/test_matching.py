"""Nodes are matched by what they compute: branches of one shape, equal blocks, names that lie, an order of its own."""

from __future__ import annotations

import random
from hashlib import md5
from pathlib import Path

import numpy as np
import onnx
import pytest

from neonext_ascend import jobs
from tests.support.graphs import Row, draw, graph

BLOCKS, WIDTH = 2, 8


def other(name: str) -> str:
    return "z" + md5(name.encode(), usedforsecurity=False).hexdigest()[:8]


def attention(
    path: Path, *, changed: bool = False, order: int | None = None, faults: tuple[str, ...] = (), ulps: bool = False
) -> Path:
    """Two blocks of three branches that differ by their weights alone; renamed where ``changed``."""
    constants, rows = {}, list[Row]()
    for block in range(BLOCKS):
        for place, branch in enumerate("qkvf"):
            weight = draw(WIDTH, WIDTH, seed=4 * block + place)
            weight = weight[:, ::-1].copy() if f"{branch}{block}" in faults else weight
            constants[f"w{branch}{block}"] = np.nextafter(weight, np.float32(9)) if ulps else weight
        last, after = ("x" if block == 0 else f"c{block - 1}"), ("y" if block == BLOCKS - 1 else f"c{block}")
        for branch in "qkv":
            rows += [
                ("MatMul", f"{last},w{branch}{block}", f"{branch}{block}"),
                ("Relu", f"{branch}{block}", f"{branch}r{block}"),
            ]
        rows += [
            ("Transpose", f"kr{block}", f"kt{block}", {"perm": [1, 0]}),
            ("MatMul", f"qr{block},kt{block}", f"s{block}"),
            ("Softmax", f"s{block}", f"p{block}"),
            ("MatMul", f"p{block},vr{block}", f"o{block}"),
            ("MatMul", f"o{block},wf{block}", f"f{block}"),
            ("Add", f"{last},f{block}", after),
        ]
    if order is not None:
        chance, done, left, rows = random.Random(order), {"x", "", *constants}, rows, list[Row]()
        while left:
            row = chance.choice([row for row in left if {*row[1].split(",")} <= done])
            rows.append(row)
            left.remove(row)
            done.add(row[2])
    return graph(path, rows, constants, (6, WIDTH), other if changed else str)


@pytest.mark.parametrize("order", range(3))
@pytest.mark.parametrize("ulps", [False, True])
def test_other_names_and_another_order_raise_no_alarm(order: int, ulps: bool, tmp_path: Path) -> None:
    right = attention(tmp_path / "right.onnx")
    found = jobs.debug(attention(tmp_path / "it.onnx", changed=True, order=order, ulps=ulps), against=right)
    assert (found.first_inside, found.unmatched, found.missing) == (None, (), ())
    assert found.matched_by == {"structure": 12 * BLOCKS}


@pytest.mark.parametrize(
    "faults", [("q0",), ("k1",), ("v0", "f1"), ("q0", "k0", "v0"), ("q0", "k0", "v0", "f0", "q1", "k1", "v1")]
)
def test_each_fault_is_named_among_branches_of_one_shape(faults: tuple[str, ...], tmp_path: Path) -> None:
    right = attention(tmp_path / "right.onnx")
    found = jobs.debug(attention(tmp_path / "it.onnx", changed=True, order=1, faults=faults), against=right)
    assert {node.name for node in found.nodes if node.made} == {other(f"n_{fault}") for fault in faults}
    assert found.cause is not None
    assert "permuted" in found.cause.what


def test_names_that_two_branches_have_exchanged_are_no_matter(tmp_path: Path) -> None:
    def exchanged(name: str) -> str:
        return name.translate(str.maketrans("qv", "vq"))

    right = attention(tmp_path / "right.onnx")
    model = onnx.load(str(right))
    for holder in (*model.graph.initializer, *model.graph.node):
        holder.name = exchanged(holder.name)
    for node in model.graph.node:
        node.input[:], node.output[:] = map(exchanged, node.input), map(exchanged, node.output)
    onnx.save(model, tmp_path / "it.onnx")
    found = jobs.debug(tmp_path / "it.onnx", against=right)
    assert (found.first_inside, found.unmatched) == (None, ())


def test_a_name_of_another_operator_is_no_counterpart(tmp_path: Path) -> None:
    """What is called ``a`` in one file is called ``b`` in the other, which has another node of the name."""
    held = {"w": draw(8, 8), "v": draw(8, 8, seed=1)}
    right = graph(
        tmp_path / "right.onnx",
        [("MatMul", "x,w", "a"), ("Tanh", "a", "b"), ("MatMul", "b,v", "y")],
        held,
    )
    it = graph(tmp_path / "it.onnx", [("MatMul", "x,w", "b"), ("Tanh", "b", "a"), ("MatMul", "a,v", "y")], held)
    found = jobs.debug(it, against=right)
    assert (found.first_inside, found.matched_by) == (None, {"structure": 3})


def test_a_constant_is_held_to_that_of_its_own_slot(tmp_path: Path) -> None:
    """A sum may have its constant first, and a bias may be absent: no other constant is compared in its place."""
    held = {"w": draw(4, 8), "b": draw(4, 1)[:, 0], "k": draw(1, 4, seed=3)}
    rows: list[Row] = [("Gemm", "x,w,b", "a", {"transB": 1}), ("Add", "a,k", "y")]
    right = graph(tmp_path / "right.onnx", rows, held)
    turned = graph(tmp_path / "turned.onnx", [rows[0], ("Add", "k,a", "y")], {**held, "k": held["k"] + 1})
    found = jobs.debug(turned, against=right)
    assert found.cause is not None
    assert (found.cause.node, "constant k" in found.cause.what) == ("n_y", True)
    without = graph(tmp_path / "without.onnx", [("Gemm", "x,w", "a", {"transB": 1}), rows[1]], {**held})
    found = jobs.debug(without, against=right)
    assert found.cause is not None
    assert (found.cause.node, found.cause.what) == ("n_a", "it reads 2 inputs in place of 3")


def test_texts_are_told_apart_and_not_compared(tmp_path: Path) -> None:
    """A file may look words up: what is no number is no difference of numbers."""
    rows: list[Row] = [("Gather", "words,at", "a"), ("Relu", "x", "y")]
    held = {"words": np.array(["cat", "dog"]), "at": np.array([0])}
    right = graph(tmp_path / "right.onnx", rows, held)
    for words in (["cat", "dog"], ["cow", "dog"]):
        it = graph(tmp_path / "it.onnx", rows, {**held, "words": np.array(words)})
        assert jobs.debug(it, against=right).first_inside is None
    numbers = graph(tmp_path / "numbers.onnx", rows, {**held, "words": np.arange(2, dtype=np.float32)})
    assert jobs.debug(numbers, against=right).first_inside is None
    assert jobs.debug(right, against=numbers).first_inside is None
