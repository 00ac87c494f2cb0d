"""What int8 takes in ONNX Runtime on the CPU: the QDQ file over the float32 file, one thread.

    python -m benchmarks.measure.int8 [--batches 1 8] [--quick] [--json FILE]

Weights of order 1, scales from noise: speed does not ask about them. Both files run in turns; a ratio is the median of
pairwise ratios with its quartiles. Nothing has to hold: int8 is for the card.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.measure.machine import describe_machine, machine_text
from benchmarks.measure.ort_run import Call, Network
from benchmarks.measure.timing import Spread, interleaved, ratios
from benchmarks.outcome import conclude, parser_for, positive
from neonext_ascend.artifacts.tensors import load_model
from neonext_ascend.exporters.int8.qdq import qdq_model
from neonext_ascend.exporters.onnx_file.export import export_onnx
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.models.variants import find_variant
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.precision.int8.deciding import Settings
from neonext_ascend.precision.int8.quantising import quantised

MODELS = ("neonext_nano", "neonext_t")
REPEATS, QUICK_REPEATS = {"neonext_nano": 100, "neonext_t": 15}, 2


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = parser_for("int8", __doc__)
    parser.add_argument("--batches", type=positive, nargs="+", default=[1, 8])
    options = parser.parse_args()
    machine = describe_machine()
    print(machine_text(machine))
    rows = []
    for model in MODELS:
        for batch in options.batches:
            rows.append(measured(model, batch, QUICK_REPEATS if options.quick else REPEATS[model]))
            times = "  ".join(f"{form} {rows[-1]['seconds'][form]['median'] * 1e3:.2f} ms" for form in ("fp32", "int8"))
            print(f"{model:<14}{batch:3}  {times}   {Spread(**rows[-1]['ratio'])}")
    return conclude("int8", machine, {"quick": options.quick, "rows": rows}, [], options.json)


def measured(model: str, batch: int, repeats: int) -> dict[str, Any]:
    """Seconds of both files, and int8's over float32's."""
    config, dice = find_variant(model).config, np.random.default_rng(0)
    image = dice.standard_normal((batch, 3, *config.image_size), dtype=np.float32)
    with tempfile.TemporaryDirectory() as name:
        fp32, int8 = Path(name) / "fp32.onnx", Path(name) / "int8.onnx"
        network = build(config)
        redraw_at_order_one(network)
        export_onnx(prepare(network, defer=True)[0], fp32, batch_size=batch)
        found = quantised(load_model(fp32), lambda: [image], Settings("minmax", balance=False))
        onnx.save(qdq_model(found.model, found.decision), int8)
        runs: dict[str, Call] = {form: Network(path, image, 1) for form, path in (("fp32", fp32), ("int8", int8))}
        seconds = interleaved(runs, repeats)
    return {
        "model": model,
        "batch": batch,
        "repeats": repeats,
        "seconds": {form: asdict(Spread.of(taken)) for form, taken in seconds.items()},
        "ratio": asdict(ratios(seconds["int8"], seconds["fp32"])),
    }


if __name__ == "__main__":
    sys.exit(main())
