"""Reading a manifest: every value is checked, since a manifest comes from another machine or another hand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neonext_ascend.artifacts.finding import manifest_beside
from neonext_ascend.artifacts.manifest import VERSION, ArtifactFile, Compilation, Manifest, Weights, manifest_path
from neonext_ascend.errors import ArtifactError, FileAccessError
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.spec import LAYOUTS, Layout, TensorSpec

# What inputs and outputs of an artifact may be, by numpy's names.
DTYPES = ("float32", "float16", "float64", "uint8")


def manifest_of(artifact: Path) -> Manifest:
    """The manifest beside an artifact.

    Raises:
        FileAccessError: one of the two cannot be read.
        ArtifactError: the manifest is missing or damaged.
    """
    if not artifact.exists():
        raise FileAccessError(f"{artifact}: cannot read the artifact: No such file or directory")
    FileAccessError.refuse_special(artifact, "an artifact")
    beside = manifest_beside(artifact)
    if beside is None:
        name = manifest_path(artifact).name
        raise ArtifactError(f"{artifact}: its manifest {name} is missing; expected beside it: copy both files")
    return read_manifest(beside)


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest.

    Raises:
        FileAccessError: it cannot be read, or is cut off.
        ArtifactError: it is no manifest of a version that this program knows.
    """
    try:
        FileAccessError.refuse_special(path, "a manifest")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the manifest: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ArtifactError(f"{path}: not a manifest: it is not text") from None
    try:
        data = json.loads(text, parse_int=_bounded, parse_float=_finite, parse_constant=_finite)
    except json.JSONDecodeError as error:
        # A cut shows at the text's end, or at the start of a string that never ends.
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated") or not text.rstrip().endswith("}"):
            raise FileAccessError(f"{path}: the manifest is truncated; export again") from None
        raise ArtifactError(f"{path}: not a manifest: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: not a manifest: {error}") from None
    version = data.get("manifest_version") if isinstance(data, dict) else None
    if not isinstance(version, int):
        raise ArtifactError(f"{path}: not a manifest of neonext-ascend: it has no manifest_version")
    if version > VERSION:
        raise ArtifactError(f"{path}: manifest version {version}; this program knows {VERSION}: update neonext-ascend")
    try:
        return _parse(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise ArtifactError(f"{path}: the manifest is damaged: {what}; export again") from None


def _parse(data: Mapping[str, Any]) -> Manifest:
    artifact = data["artifact"]
    files = tuple(ArtifactFile(_bare(f["name"]), str(f["sha256"]), int(f["bytes"])) for f in artifact["files"])
    if not files:
        raise ValueError("it names no file")
    inputs, preprocessing = _specs(data["inputs"]), Preprocessing.from_json(data["preprocessing"])
    compilation = None if data.get("compilation") is None else _compilation(data["compilation"])
    height_first = 1 if preprocessing.normalised_on == "device" else 2
    if inputs[0].shape[height_first : height_first + 2] != preprocessing.image_size:
        raise ValueError(f"pictures of {preprocessing.image_size} pixels for the input {inputs[0]}")
    if (artifact["format"] == "om") != (compilation is not None):
        raise ValueError(f"format {artifact['format']!r} {'with' if compilation else 'without'} a compilation")
    reference = data["reference"]
    return Manifest(
        files=files,
        format=_one_of(artifact["format"], "onnx", "om"),
        dtype=_one_of(artifact["dtype"], "fp32", "fp16"),
        opset=int(artifact["opset"]),
        layout=_layout(artifact["layout"]),
        inputs=inputs,
        outputs=_specs(data["outputs"]),
        network=dict(data["network"]),
        weights=_weights(data["weights"]),
        preprocessing=preprocessing,
        labels=tuple(str(label) for label in data["labels"]),
        points={str(k): str(v) for k, v in data["points"].items()},
        checksums={str(k): str(v) for k, v in data["checksums"].items()},
        passes=dict(data["passes"]),
        parity=None if data["parity"] is None else dict(data["parity"]),
        reference=None if reference is None else dict(reference),
        tool=str(data["tool"]),
        environment={str(k): str(v) for k, v in data["environment"].items()},
        command=tuple(str(part) for part in data["command"]),
        compilation=compilation,
        layout_reason=str(artifact.get("layout_reason", "")),
    )


def _layout(value: object) -> Layout:
    found = next((layout for layout in LAYOUTS if layout == value), None)
    if found is None:
        raise ValueError(f"{value!r} is not one of {', '.join(LAYOUTS)}")
    return found


def _specs(data: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    specs = tuple(TensorSpec.from_json(spec) for spec in data)
    for spec in specs:
        _one_of(spec.dtype, *DTYPES)
        if not all(isinstance(n, str) or (type(n) is int and n >= 1) for n in spec.shape):
            raise ValueError(f"{spec.name} has shape {list(spec.shape)}")
    if not specs:
        raise ValueError("it has no inputs or no outputs")
    return specs


def _compilation(data: Mapping[str, Any]) -> Compilation:
    onnx, version, platform = data["onnx"], data["cann_version"], data["platform"]
    gears = tuple(int(n) for n in data["gears"])
    if gears and min(gears) < 1:
        raise ValueError(f"batch gears {gears}")
    for value in (version, platform):
        if value is not None and not isinstance(value, str):
            raise ValueError(f"its compilation names {value!r}")
    return Compilation(
        soc_version=str(data["soc_version"]),
        cann_version=version,
        precision=str(data["precision"]),
        flags=tuple(str(flag) for flag in data["flags"]),
        gears=gears,
        aipp=bool(data["aipp"]),
        keep_fp32=tuple(str(node) for node in data["keep_fp32"]),
        platform=platform,
        onnx=ArtifactFile(_bare(onnx["name"]), str(onnx["sha256"]), int(onnx["nbytes"])),
    )


def _weights(data: Mapping[str, Any]) -> Weights:
    source, file, digest, seed = data["source"], data["file"], data["sha256"], data["seed"]
    for value, kind in ((file, str), (digest, str), (seed, int)):
        if value is not None and type(value) is not kind:
            raise ValueError(f"its weights name {value!r}")
    if seed is not None and seed < 0:
        raise ValueError(f"seed {seed}")
    return Weights(_one_of(source, "checkpoint", "package", "seed"), file, digest, seed)


def _bounded(text: str) -> int:
    number = int(text)
    if abs(number) >= 2**63:
        raise ValueError(f"the number {text[:40]} is out of range")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is out of range")
    return number


def _bare(name: object) -> str:
    if not isinstance(name, str) or not name or Path(name).name != name or name in (".", ".."):
        raise ValueError(f"file name {name!r} leaves the manifest's folder")
    return name


def _one_of(value: object, *allowed: str) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
    return str(value)
