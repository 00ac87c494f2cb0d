"""An artifact against the values that its manifest stores: no network and no other file is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.errors import ArtifactError
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.registry import Runtime
from neonext_ascend.spec import FileDtype, Tolerance, judged_as
from neonext_ascend.verify.own_answers import OwnAnswers, held_to
from neonext_ascend.verify.parity import OpenWithPoints, ParityReport, check_stored


def check_against_manifest(
    path: Path, manifest: Manifest, open_artifact: OpenWithPoints, bounds: Tolerance
) -> ParityReport:
    """Compare the logits, and of an ONNX file the points inside, with the stored ones.

    Raises:
        ArtifactError: the manifest stores none, or none of such an input.
    """
    if manifest.reference is None:
        cure = (
            f"give --checkpoint {manifest.weights.file} for the full check" if manifest.weights.file else "export again"
        )
        raise ArtifactError(f"{path}: exported with --no-verify, so its manifest stores no values; {cure}")
    stored_shape(path, manifest)
    with open_artifact(()) as candidate:
        return check_stored(candidate, open_artifact, manifest.reference, bounds, manifest.preprocessing)


def held_to_own(
    path: Path, manifest: Manifest, open_artifact: Callable[[Sequence[str]], AbstractContextManager[Runner]]
) -> OwnAnswers | None:
    """An int8 artifact beside its own answers; ``None``, and nothing is opened, where the manifest keeps none.

    Raises:
        ArtifactError: they cannot be read.
    """
    kept = (manifest.int8 or {}).get("answers")
    if kept is None:
        return None
    batch = stored_shape(path, manifest)[0]
    with open_artifact(()) as runner:
        try:
            return held_to(kept, runner, batch, manifest.preprocessing)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            words = f"{path}: its manifest's int8 answers cannot be read: {error!r}; export again"
            raise ArtifactError(words) from None


def stored_shape(path: Path, manifest: Manifest) -> tuple[int, ...]:
    """``(N, 3, H, W)`` behind the stored values: N is the artifact's, its smallest gear, or 1 where it is free.

    Raises:
        ArtifactError: the manifest's values are those of another.
    """
    batch = manifest.inputs[0].shape[0]
    if not isinstance(batch, int):
        batch = min(manifest.compilation.gears, default=1) if manifest.compilation else 1
    shape = (batch, 3, *manifest.preprocessing.image_size)
    if manifest.reference is not None and manifest.reference.get("input_shape") != list(shape):
        raise ArtifactError(
            f"{path}: its manifest's reference values are not those of an input {list(shape)}; export again"
        )
    return shape


def judged_on(manifest: Manifest, runtime: Runtime) -> FileDtype:
    """By which dtype's tolerance: what runs on the NPU computes in half precision, whatever its inputs are."""
    made = manifest.artifact
    on_chip = runtime in ("acl", "cann") and made.dtype != "int8"
    return "fp16" if on_chip else judged_as(made.dtype, made.gelu)
