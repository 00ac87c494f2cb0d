"""Rescue: the nodes of anybody's ONNX file that must compute in fp32 where the rest computes in half precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from neonext_ascend.artifacts.finding import manifest_beside
from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.artifacts.staging import staged
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import ArtifactError, UsageError
from neonext_ascend.exporters.om_file.options import KEEP_FILE
from neonext_ascend.jobs.checking import checked
from neonext_ascend.jobs.debugging import load_steps
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.chips import Soc, find_soc
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.spec import Bounds
from neonext_ascend.verify.feeds import Feed, feeds_for
from neonext_ascend.verify.nodewise.graph_feeds import memory_for, noise_for
from neonext_ascend.verify.rescue import Rescue
from neonext_ascend.verify.rescued import rescued


@dataclass(frozen=True)
class Rescuing:
    """What was found.

    Args:
        artifact: the ONNX file.
        soc: the chip; without one both ways of overflowing are tried.
        found: the nodes, none where half precision holds the file as it is.
        refusal: why the chip cannot have them in fp32, and what helps in its place; empty where it can.
        remedy: how to keep them so; empty where none is needed or possible.
        keep_file: ATC's ``--keep_dtype`` file; ``None`` where none was asked for or needed.
    """

    artifact: str
    soc: Soc | None
    found: Rescue
    refusal: str
    remedy: str
    keep_file: Path | None

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        return {
            "artifact": self.artifact,
            "soc": None if self.soc is None else self.soc.name,
            **self.found.to_json(),
            "refusal": self.refusal or None,
            "remedy": self.remedy or None,
            "keep_file": None if self.keep_file is None else str(self.keep_file.absolute()),
        }


@checked
def rescue_nodes(
    artifact: str | Path,
    *,
    soc_version: str | None = None,
    output: str | Path | None = None,
    seed: Annotated[int, Bounds(ge=0, le=2**32 - 1)] = 0,
    watch: Watch = SILENT,
) -> Rescuing:
    """Find the smallest set of nodes in fp32 with which half precision holds an ONNX file.

    Args:
        artifact: the ONNX file, of one input; with a manifest beside it sample pictures are fed as well.
        soc_version: the chip, such as ``Ascend310P3``.
        output: folder for ATC's keep-dtype file.
        seed: of the noise that is fed.
        watch: told of each long step.

    Raises:
        ParityError: half precision does not hold the file whatever is kept.
        UsageError, ArtifactError: wrong usage, a file that cannot be computed, or nodes that no keep-dtype file names.
        FileAccessError: a file cannot be read or written.
    """
    path, soc = Path(artifact), None if soc_version is None else find_soc(soc_version)
    if path.suffix == ".om":
        raise UsageError(f"{path}: an OM shows no nodes; give its ONNX file")
    with watch.working(f"reading {path.name}"), memory_for(path):
        steps = load_steps(path)
        if steps.int8:
            raise ArtifactError(
                f"{path}: holds int8; a rescue looks for the fp32 nodes of a file in fp32 or fp16. Which layers int8 "
                "costs most, export --dtype int8 finds with --gate DATASET, and keeps them in fp16"
            )
        manifest = None if (beside := manifest_beside(path)) is None else read_manifest(beside)
        feeds = feeds_of(path, steps, manifest, seed)
    with watch.working("looking for the nodes that need fp32"), memory_for(path):
        found, refusal = rescued(steps, feeds, soc)
    remedy, keep_file = "" if refusal or not found.keep else _remedy(steps, found, manifest), None
    if output is not None and found.keep and not refusal:
        if reason := _unnameable(steps, found):
            raise ArtifactError(f"{path}: {KEEP_FILE} cannot say it: {reason}")
        with staged(Path(output)) as stage:
            (stage.folder / KEEP_FILE).write_text("".join(f"{name}\n" for name in found.keep), encoding="utf-8")
            stage.publish(KEEP_FILE)
        keep_file = Path(output) / KEEP_FILE
    return Rescuing(str(path), soc, found, refusal, remedy, keep_file)


def feeds_of(path: Path, steps: Steps, manifest: Manifest | None, seed: int) -> Sequence[Feed]:
    """Noise and sample pictures, where the file's manifest tells how they are prepared; else noise alone."""
    name, _ = steps.ends()
    (dtype,) = (dtype for known, dtype, _ in steps.tensors() if known == name)
    if dtype == "float64":
        raise ArtifactError(
            f"{path}: input {name} is float64; half precision is judged against fp32: export it in that"
        )
    if manifest is None:
        return [Feed("noise", noise_for(steps, path, seed)[name].astype("float32"))]
    return list(feeds_for(manifest.inputs[0].shape, manifest.preprocessing, sample_pictures()))


def _remedy(steps: Steps, found: Rescue, manifest: Manifest | None) -> str:
    """What takes the nodes: an export of this program, ATC, or whatever writes the file."""
    half = found.verdicts[0].report.by_types
    if manifest is not None:
        names = ",".join((*manifest.artifact.keep_fp32, *found.keep))
        return f"export --dtype fp16 --keep-fp32 {names}{'' if half else ', or with --format om in place of --dtype'}"
    if reason := _unnameable(steps, found):
        return f"compute them in fp32 in what writes the file, with a Cast on each side: {reason}"
    return f"atc --keep_dtype={KEEP_FILE}, which holds one name a line (-o DIR writes it)"


def _unnameable(steps: Steps, found: Rescue) -> str:
    """Why ATC's keep-dtype file cannot keep these nodes in fp32; empty where it can."""
    if found.verdicts[0].report.by_types:
        return "ATC keeps a node in the file's dtype, and they are fp16 in this file"
    times = Counter(step.node.name for step in steps.steps)
    kept = [step for step in steps.steps if step.name in found.keep]
    without = [step for step in kept if not step.node.name or times[step.node.name] > 1]
    if not without:
        return ""
    more = f" and {len(without) - 1} more" if len(without) > 1 else ""
    return f"the {without[0].node.op_type} that gives {without[0].outputs[0]}{more} has no name of its own in the file"
