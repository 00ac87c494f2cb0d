"""Int8 of anybody's ONNX file: the same decision and forms, without a network to hold them against.

What a manifest says of our own files stands in ``NAME-int8.decision.json``: there is no manifest without a network.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neonext_ascend.artifacts.finding import manifest_beside
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.artifacts.staging import staged
from neonext_ascend.errors import ArtifactError, FileAccessError, UsageError
from neonext_ascend.exporters.int8.deploy import deploy_model
from neonext_ascend.exporters.int8.qdq import qdq_model
from neonext_ascend.exporters.int8.record import record_text
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.jobs.checking import checked, checked_fields
from neonext_ascend.jobs.int8.acceptance import facts_of, refused
from neonext_ascend.jobs.int8.calibration import Pictures, input_files, read_calibration, read_inputs
from neonext_ascend.jobs.int8.deciding import decided_on
from neonext_ascend.jobs.int8.dropping import measured
from neonext_ascend.jobs.int8.given import taken
from neonext_ascend.jobs.int8.judging import check_agreement, check_deploy
from neonext_ascend.jobs.int8.request import Int8Request
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.chips import find_soc
from neonext_ascend.runtimes.ort import OrtRunner


@dataclass(frozen=True)
class Int8Files:
    """What was made of a file.

    Args:
        paths: QDQ, the deploy form if it was asked for, the record, the decision.
        told: the decision: scales, what stayed and why, the calibration, how far the answers moved.
    """

    paths: tuple[Path, ...]
    told: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        return {"files": [str(path.absolute()) for path in self.paths], "int8": self.told}


@checked
def quantise(artifact: str | Path, int8: Int8Request, *, output: str | Path = ".", watch: Watch = SILENT) -> Int8Files:
    """Make int8 of an ONNX file whose products are Conv, Gemm and MatMul; all files appear or none.

    Args:
        artifact: float32, opset 13 to 18, one input, floating-point outputs; a free batch is taken one by one.
        int8: its calibration is of pictures, for an input ``(N, 3, H, W)``, prepared as a manifest beside the file
            says, else as ImageNet's networks take them; or of inputs as they are fed, ``NAME.npy`` in float32.
        output: folder; created where absent.
        watch: told of each long step.

    Raises:
        UsageError, ArtifactError: a file or pictures that will not do.
        ParityError: the deploy form is another function as the chip rounds.
        FileAccessError: a file cannot be read or written.
    """
    path, request = Path(artifact), checked_fields(int8)
    soc = None if request.deploy is None else find_soc(request.deploy)
    model, shape = taken(path)
    rows = shape[0] if isinstance(shape[0], int) else None
    if soc is not None and not all(isinstance(size, int) for size in shape):
        raise UsageError(f"{path}: the deploy form has a static shape only; export it with its batch size")
    constants = {one.name for one in model.graph.initializer}
    constants |= {node.output[0] for node in model.graph.node if node.op_type == "Constant"}
    if soc is not None and (fixed := next((one.name for one in model.graph.output if one.name in constants), "")):
        raise ArtifactError(f"{path}: its output {fixed} is a constant, which the deploy form cannot give; take it out")
    pictures = _pictures(path, shape, Path(request.calibration), watch)
    with OrtRunner(path) as tried:  # refuses what onnxruntime cannot run, or gives other than floating-point numbers
        tried.infer({tried.inputs[0].name: next(iter(pictures.batches(rows, 1)))})
    facts = facts_of(pictures)
    refused(pictures, facts, anyway=request.anyway, watch=watch)
    with _named(path):
        found, how = decided_on(pictures, facts, model, rows, request, watch)
        costs = measured(found, pictures, rows, watch) if request.sensitivity else None
    told: dict[str, Any] = {"of": path.name, **how, "sensitivity": costs, **found.decision.to_json()}
    name = f"{path.name.removesuffix('.onnx').removesuffix('-fp32')}-int8"
    with _named(path), staged(Path(output)) as stage:
        qdq, deploy = (stage.folder / f"{name}{end}.onnx" for end in ("", f"-{soc.name}" if soc is not None else ""))
        qdq.write_bytes(qdq_model(found.model, found.decision).SerializeToString(deterministic=True))
        with watch.working(f"checking {qdq.name}"):
            told["agreement"] = check_agreement(qdq, found.model, pictures, rows, watch, "see --sensitivity")
        if soc is not None:
            deploy.write_bytes(deploy_model(found.model, found.decision).SerializeToString(deterministic=True))
            with watch.working(f"computing {deploy.name} in integers"):
                told["deploy"] = check_deploy(deploy, found.model, pictures, rows, soc)
        texts = {
            f"{name}.record.txt": record_text(found.decision),
            f"{name}.decision.json": json.dumps(told, indent=1) + "\n",
        }
        for file, text in texts.items():
            (stage.folder / file).write_text(text, encoding="utf-8")
        names = dict.fromkeys((qdq.name, deploy.name, *texts))
        return Int8Files(tuple(stage.publish(*names)), told)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name before what is said of its nodes."""
    try:
        yield
    except UsageError as error:
        raise ArtifactError(f"{path}: {error}") from None


def _pictures(path: Path, shape: Sequence[Any], folder: Path, watch: Watch) -> Pictures:
    if not folder.exists():
        raise FileAccessError(f"--calibration {folder}: no such folder; expected pictures, or inputs as NAME.npy")
    if input_files(folder):
        return read_inputs(folder, shape[1:])
    if len(shape) != 4 or shape[1] != 3:
        raise UsageError(
            f"--calibration {folder}: {path.name} takes {tuple(shape)}, no pictures (N, 3, H, W); give its inputs as "
            "NAME.npy, each one row of float32"
        )
    beside = manifest_beside(path)
    prepared = Preprocessing((shape[2], shape[3])) if beside is None else read_manifest(beside).preprocessing
    if beside is None:
        watch.warn(
            f"{path.name}: no manifest beside it: assuming ImageNet's resize, crop, mean and std; another preparation: "
            "give inputs as NAME.npy"
        )
    return read_calibration(folder, prepared, watch)
