"""What the machine can do at most, measured in the same run as what is compared with it.

- GEMM peak: a large fp32 MatMul with a constant matrix in ONNX Runtime, multiply-accumulates a second at its fastest.
- GELU: ONNX files of one GELU each, of the sizes in the network.
- Copy bandwidth: one array copied onto another, bytes read plus bytes written in a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from benchmarks.measure.ort_run import Call, InPlace
from benchmarks.measure.timing import Spread
from neonext_ascend.exporters.onnx_file.export import export_onnx
from neonext_ascend.models.config import STAGES, NetworkConfig
from neonext_ascend.passes.pipeline import prepare

# Sides of the square matrices.
GEMM_SIDES = (768, 1024, 1536)
COPY_BYTES = 2**28  # far more than any cache
OPSET = 17


def gemms(folder: Path, threads: int) -> dict[str, Call]:
    """A run for each side, by name."""
    return {_gemm_name(side): _gemm(folder / f"gemm-{side}-{threads}.onnx", side, threads) for side in GEMM_SIDES}


def gemm_peak(seconds: Mapping[str, Sequence[float]]) -> float:
    """Multiply-accumulates a second of the fastest sample: what else the machine does can only hide the peak."""
    return max(side**3 / min(seconds[_gemm_name(side)]) for side in GEMM_SIDES)


def gelus(config: NetworkConfig, batch: int, folder: Path, threads: int) -> dict[str, Call]:
    """A run for each stage's GELU."""
    runs: dict[str, Call] = {}
    for stage in range(STAGES):
        shape = (batch, 4 * config.widths[stage], *config.stage_sizes()[stage])
        path = folder / f"gelu-{stage}-{batch}-{threads}.onnx"
        prepared, _ = prepare(nn.Sequential(nn.GELU()).eval(), input_shape=shape)
        export_onnx(prepared, path, batch_size=batch)
        runs[_gelu_name(stage)] = InPlace(path, _noise(shape), threads)
    return runs


def gelu_seconds(config: NetworkConfig, seconds: Mapping[str, Sequence[float]]) -> float:
    """Of all GELU of the network, by the medians."""
    return sum(config.depths[stage] * Spread.of(seconds[_gelu_name(stage)]).median for stage in range(STAGES))


def copy() -> Call:
    """One copy of a large array."""
    source, target = np.ones(COPY_BYTES // 4, np.float32), np.zeros(COPY_BYTES // 4, np.float32)
    return lambda: np.copyto(target, source)


def bandwidth(seconds: Sequence[float]) -> float:
    """Bytes a second, read and written, by the median."""
    return 2 * COPY_BYTES / Spread.of(seconds).median


def _gemm(path: Path, side: int, threads: int) -> InPlace:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [side, side]) for name in "xy"]
    weight = numpy_helper.from_array(_noise((side, side)), "w")
    graph = helper.make_graph([node], "gemm", values[:1], values[1:], [weight])
    save(graph, path)
    return InPlace(path, _noise((side, side)), threads)


def save(graph: onnx.GraphProto, path: Path) -> None:
    """As an ONNX file."""
    opset = helper.make_opsetid("", OPSET)
    version = helper.find_min_ir_version_for([opset])
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=version), path)


def _noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def _gemm_name(side: int) -> str:
    return f"GEMM {side}"


def _gelu_name(stage: int) -> str:
    return f"GELU, stage {stage + 1}"
