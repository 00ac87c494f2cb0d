"""Small graphs of one input ``x`` and one output ``y``, made of rows of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Row = tuple[str, str, str] | tuple[str, str, str, dict[str, Any]]


def draw(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Weights that keep values near 1."""
    values = np.random.RandomState(seed).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    drawn: NDArray[np.float32] = values.astype(np.float32)
    return drawn


def graph(
    path: Path,
    rows: Sequence[Row],
    constants: Mapping[str, Any],
    shape: Sequence[int | str] = (2, 8),
    rename: Callable[[str], str] = lambda name: name,
    names: bool = True,
    dtype: int = TensorProto.FLOAT,
) -> Path:
    """Write a file of ``(operator, inputs, output[, attributes])``; every name but ``x`` and ``y`` is renamed."""

    def named(name: str) -> str:
        return name if name in ("", "x", "y") else rename(name)

    nodes = [
        helper.make_node(
            op,
            [named(name.strip()) for name in read.split(",")],
            [named(out)],
            rename(f"n_{out}") if names else "",
            **(more[0] if more else {}),
        )
        for op, read, out, *more in rows
    ]
    held = [numpy_helper.from_array(np.asarray(value), named(name)) for name, value in constants.items()]
    inputs = [helper.make_tensor_value_info("x", dtype, shape)]
    outputs = [helper.make_tensor_value_info("y", dtype, None)]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, held), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(model, path)
    return path
