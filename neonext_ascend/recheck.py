"""Check an artifact again, perhaps on another machine: against its network or stored values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from neonext_ascend.errors import ArtifactError, UsageError
from neonext_ascend.exporters.stream import checksum
from neonext_ascend.files import sha256_of
from neonext_ascend.manifest import Manifest, manifest_of
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.models.loading import LoadedNetwork, load
from neonext_ascend.models.neonext import NeoNeXt
from neonext_ascend.runtimes.ort import OrtRunner
from neonext_ascend.spec import TOLERANCES, TensorSpec, Tolerance
from neonext_ascend.verify.against_network import ReferenceDtype, check_artifact, check_prepared, twin_of
from neonext_ascend.verify.parity import Verdict, check_stored


@dataclass(frozen=True)
class Recheck:
    """A verdict, what it was reached against, and what the user should know."""

    verdict: Verdict
    against: str
    warnings: tuple[str, ...]


def recheck_artifact(
    path: Path,
    *,
    checkpoint: Path | None = None,
    reference_dtype: ReferenceDtype = "fp32",
    atol: float | None = None,
    rtol: float | None = None,
) -> Recheck:
    """Check an ONNX file that has its manifest beside it.

    Args:
        path: of the artifact.
        checkpoint: its weights, for the full check where they were not packaged or drawn from a seed.
        reference_dtype: in which the reference network computes.
        atol, rtol: of each element, in place of the bounds for the artifact's dtype.

    Raises:
        ArtifactError: there is nothing to compare with, or the manifest is damaged.
        FileAccessError: a file cannot be read.
    """
    manifest = manifest_of(path)
    _check_tensors(path, manifest)
    warnings = _file_warnings(path, manifest)
    bounds = bounds_for(manifest.dtype, atol, rtol)
    changed = _changed_constants(path, manifest) if warnings else ()
    loaded = _network(manifest, checkpoint)
    if loaded is None:
        if manifest.reference is None:
            raise ArtifactError(
                f"{path}: exported with --no-verify, so its manifest stores no values; give --checkpoint "
                f"{manifest.weights.file} for the full check"
            )
        _check_input_shape(manifest.reference, manifest.inputs[0])
        with OrtRunner(path) as candidate:
            report = check_stored(
                candidate, lambda names: OrtRunner(path, extra_outputs=names), manifest.reference, bounds
            )
        return Recheck(
            Verdict(replace(report, changed=changed), None), "the values stored in the manifest", tuple(warnings)
        )
    if checkpoint is not None and loaded.weights.sha256 != manifest.weights.sha256:
        warnings.append(f"{checkpoint}: not the checkpoint that the manifest names ({manifest.weights.file})")
    _check_points(manifest, loaded.network)
    batch = manifest.inputs[0].shape[0]
    report = check_artifact(
        path,
        loaded.network,
        dict(manifest.points),
        batch if isinstance(batch, int) else None,
        manifest.preprocessing,
        bounds,
        reference_dtype,
    )
    return Recheck(
        Verdict(replace(report, changed=changed), None),
        f"the unfolded network in PyTorch, {reference_dtype}",
        tuple(warnings),
    )


def check_model(
    loaded: LoadedNetwork, reference_dtype: ReferenceDtype, atol: float | None = None, rtol: float | None = None
) -> Recheck:
    """The prepared network against the unfolded one, both in PyTorch; with a twin where untrained."""
    bounds = bounds_for("fp32", atol, rtol)
    verdict = Verdict(
        check_prepared(loaded.network, reference_dtype, bounds),
        None if loaded.weights.trained else check_prepared(twin_of(loaded.network), reference_dtype, bounds),
    )
    return Recheck(verdict, f"the unfolded network in PyTorch, {reference_dtype}", loaded.notes)


def bounds_for(dtype: str, atol: float | None, rtol: float | None) -> Tolerance:
    """The bounds for a dtype; where a user gives one of the two for each element, the other is fp32's."""
    default = TOLERANCES[dtype]
    if atol is None and rtol is None:
        return default
    element = TOLERANCES["fp32"]
    return replace(
        default,
        atol=element.atol if atol is None else atol,
        rtol=element.rtol if rtol is None else rtol,
    )


def _changed_constants(path: Path, manifest: Manifest) -> tuple[str, ...]:
    """Constants whose bytes are not those that were exported; ones that are gone or new are another program's."""
    import onnx
    from onnx import TensorProto, numpy_helper

    def differs(constant: TensorProto, expected: str) -> bool:
        try:
            return checksum(numpy_helper.to_array(constant).tobytes()) != expected
        except Exception:  # one that nothing uses loads, whatever onnx finds wrong with it
            return True

    try:
        present = {constant.name: constant for constant in onnx.load(str(path)).graph.initializer}
    except Exception:  # onnxruntime has loaded it, but onnx is stricter
        return ()
    return tuple(
        name for name, expected in manifest.checksums.items() if name in present and differs(present[name], expected)
    )


def _file_warnings(path: Path, manifest: Manifest) -> list[str]:
    warnings = []
    expected = manifest.files[0]
    if expected.name != path.name:
        warnings.append(f"{path.name}: its manifest describes {expected.name}")
    for file in manifest.files:
        actual = path if file is expected else path.with_name(file.name)
        if actual.exists() and sha256_of(actual) != file.sha256:
            warnings.append(f"{actual.name}: changed since its export (its SHA-256 differs from the manifest's)")
    return warnings


def _check_tensors(path: Path, manifest: Manifest) -> None:
    """Refuse a file with other inputs or outputs than its manifest's before anything of their size is made."""
    with OrtRunner(path) as runner:
        for found, wanted in ((runner.inputs, manifest.inputs), (runner.outputs, manifest.outputs)):
            if list(map(_form, found)) != list(map(_form, wanted)):
                raise ArtifactError(
                    f"{path}: not the file that its manifest describes: it has {', '.join(map(str, found))}, expected "
                    f"{', '.join(map(str, wanted))}; export again"
                )


def _form(spec: TensorSpec) -> tuple[object, ...]:
    """What must agree; a dynamic dimension's name need not."""
    return spec.name, spec.dtype, [n if isinstance(n, int) else None for n in spec.shape]


def _check_input_shape(reference: Mapping[str, Any], spec: TensorSpec) -> None:
    shape = [n if isinstance(n, int) else 1 for n in spec.shape]
    if reference.get("input_shape") != shape:
        raise ArtifactError(f"the manifest's reference values are not those of an input {shape}; export again")


def _check_points(manifest: Manifest, network: NeoNeXt) -> None:
    if network.config.image_size != manifest.preprocessing.image_size:
        raise ArtifactError("the manifest's network has another image size than its pictures; export again")
    # A list of parameters is a module to PyTorch, but computes nothing.
    known = {name for name, module in network.named_modules() if not isinstance(module, nn.ParameterList)}
    for point, module in manifest.points.items():
        if module not in known:
            raise ArtifactError(f"the manifest's point {point!r} is of {module!r}, which the network lacks")


def _network(manifest: Manifest, checkpoint: Path | None) -> LoadedNetwork | None:
    """The network that the artifact was made from, or ``None`` where only its values are at hand."""
    try:
        config = NetworkConfig.from_json(manifest.network)
    except UsageError as error:
        raise ArtifactError(f"the manifest's network cannot be built: {error}") from None
    if checkpoint is not None:
        return load(config, checkpoint=checkpoint)
    if manifest.weights.source == "checkpoint":
        return None
    return load(config, seed=manifest.weights.seed or 0)
