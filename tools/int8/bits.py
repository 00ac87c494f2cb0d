"""QDQ in ONNX Runtime against the integer reference, each difference counted; and what int8 answers beside float32.

    python -m tools.int8.bits [neonext_t] [--pictures 8] [--answers 256] [--calibration 256]

A network without packaged weights gets weights of order 1. Each layer of the deploy form is given what QDQ had there:
the int8 that both make of it, the int32 sums of the same int8, and the fp16 that comes of them.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from neonext_ascend import jobs
from neonext_ascend.artifacts.int8_twins import DEQUANT, QUANT, scales_of
from neonext_ascend.jobs.int8.calibration import read_calibration
from neonext_ascend.jobs.int8.judging import integers
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.models.variants import find_variant
from neonext_ascend.precision.int8.sensitivity import agreement, answers
from neonext_ascend.runtimes.integer.runner import IntegerRunner
from neonext_ascend.runtimes.ort import session_of
from tools.int8.sets import mnist, training_digits

SOC = "Ascend310P3"
Array = NDArray[Any]


def main() -> int:
    """Export, count and print."""
    parser = argparse.ArgumentParser(prog="tools.int8.bits", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default="neonext_nano")
    parser.add_argument("--pictures", type=int, default=8, help="whose integers are counted")
    parser.add_argument("--answers", type=int, default=256, help="pictures whose answers are compared with float32's")
    parser.add_argument("--calibration", type=int, default=256)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to leave the files")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        kept: Path = options.keep or folder / "made"
        own = options.model == "neonext_nano"
        calibration = (training_digits if own else mnist)(folder / "calibration", options.calibration)
        plain, qdq, deploy = export(options.model, None if own else folder / "weights.pt", calibration, kept)
        others = mnist(folder / "others", options.answers, skip=7)
        pictures = read_calibration(others, plain.manifest.preprocessing, jobs.Watch())
        counts: Counter[str] = Counter()
        with integers(deploy.path, "saturate") as runner:
            model = onnx.load(str(qdq.path))
            for array in pictures.batches(1, options.pictures):
                counts.update(counted(model, onnx.load(str(deploy.path)), runner, array))
        print(f"{options.model}, {options.pictures} pictures")
        for what, count in counts.items():
            print(f"  {count:>14,}  {what}")
        want = answers(onnx.load(str(plain.path)), pictures.batches(1))
        print(f"  {qdq.path.name}: {agreement(answers(onnx.load(str(qdq.path)), pictures.batches(1)), want)}")
    return 0


def export(model: str, weights: Path | None, calibration: Path, folder: Path) -> list[Any]:
    """The float32 file, QDQ and the deploy form."""
    if weights is not None:
        network = build(find_variant(model).config)
        redraw_at_order_one(network)
        torch.save(network.state_dict(), weights)
    plain = jobs.export(model, checkpoint=weights, output=folder, verify=False)
    request = jobs.Int8Request(calibration, anyway=weights is not None, deploy=SOC)
    made = jobs.export(model, checkpoint=weights, dtype="int8", int8=request, output=folder)
    return [*plain.artifacts, *made.artifacts]


def counted(qdq: ModelProto, deploy: ModelProto, runner: IntegerRunner, array: Array) -> Counter[str]:
    """What agrees and what does not, on one input."""
    counts: Counter[str] = Counter()
    values = everything(qdq, array)
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in qdq.graph.initializer}
    scales = {node.name: held[node.input[1]] for node in qdq.graph.node if node.op_type == "QuantizeLinear"}
    for quant, *products, dequant in layers(deploy):
        x, theirs = values[quant.input[0]], values[quant.output[0]]
        ours = runner.computed(quant, {quant.input[0]: x})
        divided = np.clip(np.rint(x / scales[quant.name]), -128, 127)
        counts["int8"] += ours.size
        counts["int8 that differ"] += int((ours != theirs).sum())
        counts["of them by more than 1"] += int((np.abs(ours.astype(int) - theirs) > 1).sum())
        counts["that a float32 division does not explain"] += int((divided != theirs).sum())
        known: dict[str, Array] = {quant.output[0]: theirs}
        for node in products:
            known[node.output[0]] = runner.computed(node, known)
        sums = known[dequant.input[0]]
        z = values[dequant.output[0]].astype(np.float64)
        (parameter,) = (numpy_helper.to_array(one) for one in deploy.graph.initializer if one.name == dequant.input[1])
        shape = (1, -1, 1, 1) if products[0].op_type == "Conv" else (-1,)
        scale = scales_of(parameter).astype(np.float64).reshape(shape)
        off = np.abs(z / scale - sums)
        counts["int32 sums"] += sums.size
        counts["that QDQ's float32 rounds to another"] += int((off >= 0.5).sum())
        counts["of them beyond 1 + 2^-20 of the sum"] += int((off > 1 + np.abs(sums) * 2.0**-20).sum())
        with np.errstate(over="ignore"):
            half = runner.computed(dequant, known).astype(np.float16)
            steps = np.abs(ordered(half) - ordered(z.astype(np.float16)))
        counts["fp16"] += half.size
        counts["fp16 that differ"] += int((steps > 0).sum())
        counts["of them by more than one step"] += int((steps > 1).sum())
    return counts


def ordered(value: NDArray[np.float16]) -> NDArray[np.int64]:
    """Numbers that are one apart where two fp16 are neighbours."""
    bits = value.view(np.int16).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFF), bits)


def layers(deploy: ModelProto) -> Iterator[list[NodeProto]]:
    """Each layer's nodes: AscendQuant, its product, an Add where one is, AscendDequant."""
    readers = {name: node for node in deploy.graph.node for name in node.input}
    for node in deploy.graph.node:
        if node.op_type == QUANT:
            found = [node]
            while found[-1].op_type != DEQUANT:
                found.append(readers[found[-1].output[0]])
            yield found


def everything(model: ModelProto, array: Array) -> dict[str, Array]:
    """All values of QDQ, as they are written."""
    copy = ModelProto()
    copy.CopyFrom(model)
    given = {value.name for value in copy.graph.output}
    for name in (name for node in copy.graph.node for name in node.output):
        if name not in given:
            copy.graph.output.add(name=name)
    session = session_of(copy.SerializeToString(), as_written=True)
    names = [value.name for value in session.get_outputs()]
    taken = session.get_inputs()[0].name
    return {taken: array, **dict(zip(names, session.run(names, {taken: array}), strict=True))}


if __name__ == "__main__":
    sys.exit(main())
