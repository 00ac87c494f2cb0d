"""Check an artifact again, perhaps on another machine: against its network, another file or stored values.

Without PyTorch the stored values and other files remain: a machine that only runs an OM needs no more.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neonext_ascend.artifacts.finding import beside, names_of, with_its_data
from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import ArtifactError, ToolchainError, UsageError
from neonext_ascend.jobs.verifying import Options, Verification
from neonext_ascend.precision.half import OVERFLOWS
from neonext_ascend.precision.modes import HalfMode
from neonext_ascend.runtimes.registry import opener, runtime_for
from neonext_ascend.spec import Dtype, TensorSpec, Tolerance
from neonext_ascend.verify.feeds import DYNAMIC_BATCHES, feeds_for
from neonext_ascend.verify.parity import OpenWithPoints, ParityReport, Verdict, check_parity
from neonext_ascend.verify.vouched import check_against_manifest, held_to_own, judged_on

if TYPE_CHECKING:  # it loads onnx, which a machine that only runs an OM lacks
    from neonext_ascend.verify.half import HalfVerdict


def verify_file(path: Path, against: Path | None, checkpoint: Path | None, options: Options) -> Verification:
    """Check an ONNX or OM file with its manifest beside it; arguments and errors as of :func:`~.verifying.verify`."""
    runtime = runtime_for(path, options.runtime)
    manifest = manifest_of(path)
    open_artifact = opener(path, runtime, options.device)
    where = check_tensors(path, manifest, open_artifact)
    warnings = file_warnings(path, manifest)
    if manifest.features is not None and (options.atol, options.rtol) != (None, None):
        raise UsageError(f"{path}: --atol and --rtol are of logits; maps are held to a share of their largest number")
    bounds = options.bounds(judged_on(manifest, runtime))
    changed: tuple[str, ...] = ()
    if options.accumulation == "fp16" and (manifest.artifact.format, manifest.artifact.dtype) != ("onnx", "fp16"):
        told = f"{path.name} is {'an OM' if manifest.artifact.format == 'om' else 'fp32'} and was not computed in fp16"
        warnings.append(f"--accumulation fp16 is of an fp16 ONNX file: {told}")
    if warnings and manifest.artifact.format == "onnx":
        from neonext_ascend.exporters.onnx_file.constants import changed_constants

        changed = changed_constants(with_its_data(path), manifest)
    if against is not None:
        warnings += _against_warnings(against, manifest)
        report = _check_against(open_artifact, against, manifest, bounds)
        what = f"{against} in ONNX Runtime on the CPU"
    elif has_network(manifest, checkpoint):
        from neonext_ascend.jobs.verifying_network import check_with_network

        report, more = check_with_network(manifest, checkpoint, open_artifact, bounds, options.reference)
        warnings += more
        what = f"the unfolded network in PyTorch, {options.reference}"
    else:
        report = check_against_manifest(path, manifest, open_artifact, bounds)
        what = "the values stored in the manifest"
    own = held_to_own(path, manifest, open_artifact)
    verdict = Verdict(
        replace(report, changed=changed, own=own), half=_judged_half(path, manifest, options.accumulation)
    )
    return Verification(str(path), verdict, what, where, tuple(warnings))


def _judged_half(path: Path, manifest: Manifest, accumulation: Dtype) -> tuple[HalfVerdict, ...]:
    """An fp16 ONNX file as chips may compute it, in both ways of overflowing; an OM's graph is not to be seen.

    Of int8 the deploy form is one: what stands between its integers is fp16.
    """
    if manifest.artifact.format != "onnx" or manifest.inputs[0].dtype != "float16":
        return ()
    from neonext_ascend.verify.half import judge_half

    feeds = feeds_for(manifest.inputs[0].shape, manifest.preprocessing, sample_pictures())
    return judge_half(with_its_data(path), feeds, OVERFLOWS, HalfMode(accumulation=accumulation))


def has_network(manifest: Manifest, checkpoint: Path | None) -> bool:
    """Whether the unfolded network can be built here."""
    torch = importlib.util.find_spec("torch") is not None
    if checkpoint is not None and not torch:
        raise ToolchainError("--checkpoint needs PyTorch, which is not installed; leave it out, or give --against FILE")
    return torch and (checkpoint is not None or manifest.weights.source != "checkpoint")


def _check_against(open_artifact: OpenWithPoints, against: Path, manifest: Manifest, bounds: Tolerance) -> ParityReport:
    """The artifact against an ONNX file; outputs alone, since two files need not have the same inner tensors."""
    with open_artifact(()) as candidate, opener(against, "ort")(()) as reference:
        ours, theirs = (
            [[n if isinstance(n, int) else 0 for n in one.shape[1:]] for one in runner.outputs]
            for runner in (candidate, reference)
        )
        if ours != theirs:
            gives, other = (", ".join(map(str, runner.outputs)) for runner in (candidate, reference))
            raise ArtifactError(f"{against}: gives {other}; the artifact gives {gives}: they have nothing to compare")
        batch = candidate.inputs[0].shape[0]
        feeds = feeds_for(
            (batch, 3, *manifest.preprocessing.image_size),
            manifest.preprocessing,
            sample_pictures(),
            batches=candidate.gears or DYNAMIC_BATCHES,
        )
        return check_parity(candidate, open_artifact, reference, feeds, [], bounds).report


def _against_warnings(against: Path, manifest: Manifest) -> list[str]:
    compiled = manifest.compilation
    if compiled is None or sha256_of(against) == compiled.onnx.sha256:
        return []
    return [f"{against.name}: not the ONNX file that was compiled ({compiled.onnx.name}, by its SHA-256)"]


def file_warnings(path: Path, manifest: Manifest) -> list[str]:
    """Files that are not those that were exported, by name or SHA-256."""
    warnings = []
    expected = manifest.artifact.files[0]
    if all(name.name != expected.name for name in names_of(path)):
        warnings.append(f"{path.name}: its manifest describes {expected.name}")
    for file in manifest.artifact.files:
        actual = path if file is expected else beside(path, file.name)
        if actual.exists() and sha256_of(actual) != file.sha256:
            warnings.append(f"{actual.name}: changed since its export (its SHA-256 differs from the manifest's)")
    return warnings


def check_tensors(path: Path, manifest: Manifest, open_artifact: OpenWithPoints) -> str:
    """Refuse a file with other inputs or outputs than its manifest's before anything of their size is made.

    Gives what it runs on.
    """
    with open_artifact(()) as runner:
        for found, wanted in ((runner.inputs, manifest.inputs), (runner.outputs, manifest.outputs)):
            if _forms(found, manifest) != _forms(wanted, manifest):
                raise ArtifactError(
                    f"{path}: not the file that its manifest describes: it has {', '.join(map(str, found))}, expected "
                    f"{', '.join(map(str, wanted))}; export again"
                )
        return runner.where


def _forms(specs: Sequence[TensorSpec], manifest: Manifest) -> list[tuple[object, ...]]:
    """What must agree: a dynamic dimension's name need not, nor does it matter how ATC keeps floating numbers."""
    floating = manifest.artifact.format == "om"
    return [
        (
            s.name,
            s.dtype.startswith("float") if floating else s.dtype,
            [n if isinstance(n, int) else None for n in s.shape],
        )
        for s in specs
    ]
