"""Rescue: the nodes of anybody's ONNX file that must compute in fp32 where the rest computes in half precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from neonext_ascend.artifacts.finding import manifest_beside
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.artifacts.staging import staged
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.om_file.options import KEEP_FILE
from neonext_ascend.jobs.checking import checked
from neonext_ascend.jobs.debugging import load_steps, noise_for
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.chips import Soc, find_soc
from neonext_ascend.precision.half import overflows_of
from neonext_ascend.precision.modes import HalfMode
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.spec import Bounds
from neonext_ascend.verify.feeds import Feed, feeds_for
from neonext_ascend.verify.rescue import Rescue, no_fp32_words, rescaling, rescue


@dataclass(frozen=True)
class Rescuing:
    """What was found.

    Args:
        artifact: the ONNX file.
        soc: the chip; without one both ways of overflowing are tried.
        found: the nodes, none where half precision holds the file as it is.
        refusal: why the chip cannot have them in fp32, and what helps in its place; empty where it can.
        keep_file: ATC's ``--keep_dtype`` file; ``None`` where none was asked for or needed.
    """

    artifact: str
    soc: Soc | None
    found: Rescue
    refusal: str
    keep_file: Path | None

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        return {
            "artifact": self.artifact,
            "soc": None if self.soc is None else self.soc.name,
            **self.found.to_json(),
            "refusal": self.refusal or None,
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
        UsageError, ArtifactError: wrong usage, or a file that cannot be computed.
        FileAccessError: a file cannot be read or written.
    """
    path, soc = Path(artifact), None if soc_version is None else find_soc(soc_version)
    if path.suffix == ".om":
        raise UsageError(f"{path}: an OM shows no nodes; give its ONNX file")
    with watch.working(f"reading {path.name}"):
        steps = load_steps(path)
        feeds, mode = _feeds(path, steps, seed)
    overflows, refusal, keep_file = overflows_of(soc), "", None
    with watch.working("looking for the nodes that need fp32"):
        found = rescue(steps, feeds, overflows, mode)
        if soc is not None and found.products and "fp32" not in soc.cube_dtypes:
            refusal = no_fp32_words(soc, found, *rescaling(steps, found, feeds, overflows))
    if output is not None and found.keep and not refusal:
        with staged(Path(output)) as stage:
            (stage.folder / KEEP_FILE).write_text("".join(f"{name}\n" for name in found.keep), encoding="utf-8")
            stage.publish(KEEP_FILE)
        keep_file = Path(output) / KEEP_FILE
    return Rescuing(str(path), soc, found, refusal, keep_file)


def _feeds(path: Path, steps: Steps, seed: int) -> tuple[Sequence[Feed], HalfMode]:
    """What is fed, and what the file keeps in fp32 already, as its manifest tells."""
    name, _ = steps.ends()
    beside = manifest_beside(path)
    if beside is None:
        return [Feed("noise", noise_for(steps, path, seed)[name].astype("float32"))], HalfMode()
    manifest = read_manifest(beside)
    feeds = feeds_for(manifest.inputs[0].shape, manifest.preprocessing, sample_pictures())
    return list(feeds), HalfMode(keep=manifest.artifact.keep_fp32)
