"""An artifact opened to be served: it answers as its manifest says, in every gear, or it is not served."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.artifacts.finding import with_its_data
from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.errors import ArtifactError, ParityError
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.classifying import recipe_of
from neonext_ascend.runtimes.registry import Runtime, open_runner, opener, runtime_for
from neonext_ascend.spec import TOLERANCES, Tolerance
from neonext_ascend.verify.compare import compare_outputs
from neonext_ascend.verify.feeds import Feed, infer_feed, noise_feed
from neonext_ascend.verify.stored import compare_stored
from neonext_ascend.verify.vouched import check_against_manifest, held_to_own, judged_on, stored_shape

# A free batch is tried in these sizes, until one gives fewer images a second than this share of the best before.
SIZES, PAYS = (1, 2, 4, 8, 16, 32, 64), 0.8
_RUNS, _SECONDS = 5, 0.5  # of the measurement of one size, whichever ends first


@dataclass(frozen=True)
class Opened:
    """What serves.

    Attributes:
        sha256: of the file, whatever the manifest says.
        gears: batch size -> seconds that it takes.
        free: whether it takes any batch up to the largest gear; else a smaller one is filled up.
        doubts: what a user should know, in words.
        largest: magnitude of the values to which its answers were right.
    """

    runner: Runner
    sha256: str
    gears: dict[int, float]
    free: bool
    doubts: str | None
    largest: float

    def to_json(self) -> dict[str, Any]:
        """For the server."""
        return {
            "gears": list(self.gears.items()),
            "free": self.free,
            "largest": self.largest,
            "told": {"sha256": self.sha256, **({"doubts": self.doubts} if self.doubts else {})},
            "timed": {"gear_ms": {n: round(1e3 * s, 3) for n, s in self.gears.items()}, "where": self.runner.where},
        }


def open_checked(path: Path, runtime: Runtime, device: int, threads: int, described: str) -> Opened:
    """Open an artifact, hold its answers against the manifest's, and time its gears.

    Args:
        path, runtime, device, threads: as of :func:`~neonext_ascend.runtimes.registry.open_runner`.
        described: SHA-256 of the artifact in the manifest that the server has read.

    Raises:
        ParityError: it answers otherwise than when it was exported.
        ArtifactError: it is not its manifest's, or the manifest has changed since it was read or stores no answer.
        FileAccessError, ToolchainError: as of ``open_runner``.
    """
    manifest = manifest_of(path)
    if manifest.artifact.files[0].sha256 != described:
        raise ArtifactError(f"{path}: its manifest has changed since the server read it; send SIGHUP to load it anew")
    bounds = TOLERANCES[judged_on(manifest, runtime_for(path, runtime))]
    found = [(sha256_of(file), made.sha256) for file, made in _files(path, manifest)]
    if any(here != there for here, there in found):
        _check_inside(path, manifest, runtime, device, bounds)
    runner = open_runner(path, runtime=runtime, device=device, threads=threads)
    try:
        _check_form(path, manifest, runner)
        if (own := held_to_own(path, manifest, lambda _: nullcontext(runner))) is not None and not own.passed:
            raise _wrong(path, [own.reason])
        assumed = None if manifest.features is not None else recipe_of(path, runner).assumed
        untrained = None if manifest.weights.trained else "untrained weights: its answers mean nothing"
        doubts = "; ".join(filter(None, [assumed, untrained])) or None
        gears, largest = _timed_gears(path, runner, manifest, bounds)
    except BaseException:
        runner.close()
        raise
    return Opened(runner, found[0][0], gears, _is_free(runner), doubts, largest)


def _files(path: Path, manifest: Manifest) -> list[tuple[Path, Any]]:
    files = [(path, manifest.artifact.files[0])]
    return files + [(path.with_name(made.name), made) for made in manifest.artifact.files[1:]]


def _check_inside(path: Path, manifest: Manifest, runtime: Runtime, device: int, bounds: Tolerance) -> None:
    """A changed file: LayerScale may hide a wrong matrix from every answer, but not from what is inside."""
    with opener(path, runtime, device)(()) as runner:
        _check_form(path, manifest, runner)
    report = check_against_manifest(path, manifest, opener(path, runtime, device), bounds)
    reasons = report.reasons()
    if not reasons and manifest.artifact.format == "onnx":
        from neonext_ascend.exporters.onnx_file.constants import changed_constants

        reasons = [
            f"constant {name} is not the one that was exported"
            for name in changed_constants(with_its_data(path), manifest)
        ]
    if reasons:
        raise _wrong(path, reasons)


def _check_form(path: Path, manifest: Manifest, runner: Runner) -> None:
    """What requests are read by, and answers named by; an OM's has been held against it when it was opened."""
    for verb, said, found in (("takes", manifest.inputs, runner.inputs), ("gives", manifest.outputs, runner.outputs)):
        has = [(spec.name, spec.dtype, spec.shape[1:]) for spec in found]
        if manifest.artifact.format == "onnx" and has != [(spec.name, spec.dtype, spec.shape[1:]) for spec in said]:
            is_it, says = ", ".join(map(str, found)), ", ".join(map(str, said))
            raise ArtifactError(f"{path}: {verb} {is_it}, and by its manifest {says}; copy both files again")


def _wrong(path: Path, reasons: Sequence[str]) -> ParityError:
    return ParityError(
        f"{path}: not served, it answers otherwise than when it was exported: {reasons[0]}; export again, or see "
        "neonext-ascend verify"
    )


def _is_free(runner: Runner) -> bool:
    return not isinstance(runner.inputs[0].shape[0], int) and not runner.gears


def _timed_gears(path: Path, runner: Runner, manifest: Manifest, bounds: Tolerance) -> tuple[dict[int, float], float]:
    """Each gear's answers are right, and so are its seconds: measured on the very rows; and their largest magnitude."""
    stored = manifest.reference
    if stored is None:
        raise ArtifactError(
            f"{path}: exported with --no-verify, so its manifest stores no answer to check; export again"
        )
    feed = noise_feed(
        stored_shape(path, manifest), manifest.preprocessing if stored.get("pixels") else None, int(stored["seed"])
    )
    rows = feed.for_input(runner.inputs[0])
    want = _wanted(path, runner, feed, stored, bounds)
    fixed = runner.inputs[0].shape[0]
    gears: dict[int, float] = {}
    for size in (fixed,) if isinstance(fixed, int) else runner.gears or SIZES:
        gears[size] = _timed(path, runner, _tiled(rows, size), {n: _tiled(w, size) for n, w in want.items()}, bounds)
        best = max((n / seconds for n, seconds in list(gears.items())[:-1]), default=0.0)
        if _is_free(runner) and size / gears[size] < PAYS * best:
            del gears[size]
            break
    return gears, float(np.abs(rows).max())


def _wanted(
    path: Path, runner: Runner, feed: Feed, stored: Mapping[str, Any], bounds: Tolerance
) -> dict[str, NDArray[Any]]:
    """Every output for the stored rows: logits as stored; of maps a sample is, and here what agrees with it."""
    if not stored.get("maps"):
        logits = np.asarray(stored["logits"], np.float64)
        if logits.ndim != 2:
            raise ArtifactError(f"{path}: its manifest's reference values are no logits; export again")
        return {runner.outputs[0].name: logits}
    compared = compare_stored(runner, feed, stored, bounds)
    if failures := [f"{found.what}: {words}" for found in compared for words in found.failures]:
        raise _wrong(path, failures)
    return {name: values.astype(np.float64) for name, values in infer_feed(runner, feed).items()}


def _tiled(rows: NDArray[Any], size: int) -> NDArray[Any]:
    return np.ascontiguousarray(rows[np.arange(size) % len(rows)])


def _timed(
    path: Path, runner: Runner, rows: NDArray[Any], want: Mapping[str, NDArray[Any]], bounds: Tolerance
) -> float:
    feeds = {runner.inputs[0].name: rows.astype(runner.inputs[0].dtype)}
    got = runner.infer(feeds)
    for name, values in want.items():
        found = compare_outputs(f"batch {len(rows)}", name, got[name], values, bounds)
        if not found.passed:
            raise _wrong(path, [f"{found.what}: {failure}" for failure in found.failures])
    seconds: list[float] = []
    while len(seconds) < _RUNS and sum(seconds) < _SECONDS:
        start = time.perf_counter()
        runner.infer(feeds)
        seconds.append(time.perf_counter() - start)
    return min(seconds)  # what others do on the machine meanwhile only adds
