"""Where the time of NeoNeXt-T and ConvNeXt-T goes: ONNX Runtime's own profile, by kind of operator and stage.

    python -m benchmarks.measure.operators [--batches 1 8] [--quick] [--json FILE]

One thread. ConvNeXt-T is the form that torch exports. Profiling itself costs a few microseconds a node.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.measure.machine import describe_machine, machine_text
from benchmarks.measure.networks import RIVAL, T
from benchmarks.measure.timing import Spread
from benchmarks.outcome import conclude, parser_for, positive
from benchmarks.rivals.table import build_rival, export_rival
from neonext_ascend.exporters.onnx_file.export import export_onnx
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.passes.pipeline import prepare

RUNS, QUICK_RUNS, WARM_UP = 12, 2, 2
POINTWISE, MIXING, GELU, MOVING, NORM, ADDING, EDGES = (
    "pointwise products",
    "NeoCell or 7x7 depthwise",
    "GELU",
    "reorder, transpose, reshape",
    "LayerNorm",
    "residual sum, layer scale",
    "stem, down-sampling, head",
)
KINDS = (POINTWISE, MIXING, GELU, MOVING, NORM, ADDING, EDGES)
_BY_NAME = {
    **dict.fromkeys(("Gelu", "BiasGelu", "FastGelu", "Erf"), GELU),
    **dict.fromkeys(("ReorderInput", "ReorderOutput", "Transpose", "Reshape"), MOVING),
    **dict.fromkeys(("LayerNormalization", "SkipLayerNormalization"), NORM),
}
HEAD = "head"

Event = Mapping[str, Any]


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = parser_for("operators", __doc__)
    parser.add_argument("--batches", type=positive, nargs="+", default=[1, 8])
    options = parser.parse_args()
    machine = describe_machine()
    print(machine_text(machine))
    rows: list[dict[str, Any]] = []
    for batch in options.batches:
        for name in (T.title, RIVAL):
            found = profile(name, batch, QUICK_RUNS if options.quick else RUNS)
            rows += [{"batch": batch, "network": name, **row} for row in found]
            for row in found:
                print(f"{batch:3} {name:<26}{row['kind']:<28}{row['stage']:<6}{row['seconds'] * 1e3:9.3f} ms")
    return conclude("operators", machine, {"quick": options.quick, "operators": rows}, [], options.json)


def profile(name: str, batch: int, runs: int) -> list[dict[str, Any]]:
    """Seconds of one run by kind of operator and stage, the median of the runs, and the operators of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        if name == T.title:
            network = build(T.config)
            redraw_at_order_one(network)
            export_onnx(prepare(network, defer=True)[0], path, batch_size=batch)
        else:
            export_rival(build_rival(name), path, batch)
        executions = _profiled(path, batch, runs)
    by_cell: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * len(executions))
    operators: dict[str, set[str]] = defaultdict(set)
    for number, events in enumerate(executions):
        for event in events:
            kind, stage = place(event, batch)
            operators[kind].add(event["args"]["op_name"])
            by_cell[kind, stage][number] += event["dur"] * 1e-6
    order = sorted(by_cell, key=lambda cell: (KINDS.index(cell[0]), cell[1]))
    return [
        {"kind": k, "stage": s, "operators": sorted(operators[k]), "seconds": Spread.of(by_cell[k, s]).median}
        for k, s in order
    ]


def place(event: Event, batch: int) -> tuple[str, str]:
    """Kind and stage (``1`` to ``4``, ``stem`` counted to stage 1, or ``head``) of a node's event."""
    args = event["args"]
    inputs, output = _shapes(args["input_type_shape"]), _shapes(args["output_type_shape"])[0]
    stage = _stage(output, batch)
    if stage is None:
        return EDGES, HEAD
    operator, width = args["op_name"], T.config.widths[stage]
    return _kind(operator, inputs, output, width), str(stage + 1)


def _kind(operator: str, inputs: Sequence[Sequence[int]], output: Sequence[int], width: int) -> str:
    if operator in _BY_NAME:
        return _BY_NAME[operator]
    if operator in ("Conv", "FusedConv"):
        _, group_inputs, rows, _ = inputs[1]
        return POINTWISE if rows == 1 else MIXING if group_inputs == 1 else EDGES
    if operator in ("MatMul", "FusedMatMul", "Gemm"):
        # A constant matrix for each channel: (C, H', H) or (C, W, W').
        return MIXING if any(len(shape) == 3 and shape[0] == width for shape in inputs) else POINTWISE
    # What is left of an unfused GELU works on the wide inner maps.
    return GELU if 4 * width in output else ADDING


def _stage(shape: Sequence[int], batch: int) -> int | None:
    """Which stage's maps have as many pixels as this tensor; its channels may stand anywhere."""
    elements, config = int(np.prod(shape)), T.config
    for stage, (height, width) in enumerate(config.stage_sizes()):
        channels, pixels = config.widths[stage], batch * height * width
        for factor in (1, 4):
            if elements == factor * channels * pixels and factor * channels in shape:
                return stage
    return None


def _profiled(path: Path, batch: int, runs: int) -> list[list[Event]]:
    """The nodes' events of each run behind the warm-up."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.enable_profiling, options.profile_file_prefix = True, str(path.with_suffix(""))
    session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).standard_normal((batch, 3, *T.config.image_size), dtype=np.float32)
    for _ in range(WARM_UP + runs):
        session.run(None, {session.get_inputs()[0].name: image})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    spans = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e["name"] == "model_run")[WARM_UP:]
    nodes = [e for e in events if e["cat"] == "Node" and e["name"].endswith("_kernel_time")]
    return [[e for e in nodes if start <= e["ts"] < end] for start, end in spans]


def _shapes(listed: Sequence[Mapping[str, Sequence[int]]]) -> list[Sequence[int]]:
    """Of the tensors in an event: each is a dtype with its shape."""
    return [shape for entry in listed for shape in entry.values()]


if __name__ == "__main__":
    sys.exit(main())
