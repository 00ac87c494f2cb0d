"""The JSON file beside each artifact: all that is needed to run it, to repeat it and to check it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from neonext_ascend.errors import FileAccessError
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.spec import OPTIONAL, Bounds, FileDtype, GeluForm, Layout, MapLayout, TensorSpec

VERSION = 4


# A file in the manifest's folder, never one outside; `$` alone would let a line's end pass.
_FileName = Annotated[
    str,
    Bounds(pattern=r"^(?!\.{1,2}$)[^/\x00-\x1f]+$(?!\n)", description="a name that stays in the manifest's folder"),
]
# Empty in a bundle, where ATC has still to make the file.
_Digest = Annotated[str, Bounds(pattern=r"^([0-9a-f]{64})?$(?!\n)", description="64 hexadecimal digits")]
_Whole = Annotated[int, Bounds(ge=0, le=2**63 - 1)]
_Specs = Annotated[tuple[TensorSpec, ...], Bounds(min_length=1)]


@dataclass(frozen=True)
class ArtifactFile:
    """One file of the artifact: its bare name, SHA-256 and size in bytes."""

    name: _FileName
    sha256: _Digest
    bytes: _Whole


@dataclass(frozen=True)
class OnnxSource:
    """The ONNX file that an OM is compiled from; version 1 calls its size ``nbytes``."""

    name: _FileName
    sha256: _Digest
    nbytes: _Whole


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What was made.

    Args:
        format, dtype, opset, layout: of the artifact; layout is that of the maps inside.
        layout_reason: why this layout was chosen; empty where it was asked for.
        keep_fp32: nodes of an fp16 ONNX file that compute in fp32; since version 2.
        gelu: how GELU is written; since version 3, before it always ``erf``.
        files: the artifact, then its external data if any.
    """

    format: Literal["onnx", "om"]
    dtype: FileDtype
    opset: Annotated[int, Bounds(ge=1, le=99)]
    layout: Layout
    layout_reason: str = field(default="", metadata=OPTIONAL)
    keep_fp32: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    gelu: GeluForm = field(default="erf", metadata=OPTIONAL)
    files: Annotated[tuple[ArtifactFile, ...], Bounds(min_length=1)]


@dataclass(frozen=True)
class Weights:
    """Where the weights come from: a checkpoint (file name and SHA-256), the package, or NeoInit with a seed.

    ``trained`` tells whether the answers mean anything.
    """

    source: Literal["checkpoint", "package", "seed"]
    file: str | None = None
    sha256: _Digest | None = None
    seed: _Whole | None = None
    trained: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trained", self.source != "seed")


@dataclass(frozen=True)
class Compilation:
    """How ATC made an OM.

    Args:
        soc_version: the chip that it runs on.
        cann_version: of the toolkit that made it; it runs there and on newer ones, never on an older one.
        precision: ATC's ``--precision_mode_v2``.
        flags: of ATC, without the folders of its work.
        gears: the batch sizes that it takes; empty where there is only one.
        aipp: whether the device normalises pixels itself.
        keep_fp32: nodes that stay in fp32.
        platform: such as ``linux_x86_64`` where ATC bound the file to one.
        onnx: the file that was compiled.
    """

    soc_version: str
    cann_version: str | None
    precision: str
    flags: tuple[str, ...]
    gears: tuple[Annotated[int, Bounds(ge=1, le=2**31 - 1)], ...]
    aipp: bool
    keep_fp32: tuple[str, ...]
    platform: str | None
    onnx: OnnxSource


@dataclass(frozen=True)
class FeatureMaps:
    """Of a file that gives the maps behind the stages in place of logits, one after the other as its outputs.

    Args:
        layout: order of a map's axes, ``(N, C, H, W)`` or ``(N, H, W, C)``.
        channels: of each map.
        strides: pixels of the picture to one of each map.
    """

    layout: MapLayout
    channels: tuple[Annotated[int, Bounds(ge=1, le=2**31 - 1)], ...]
    strides: tuple[Annotated[int, Bounds(ge=1, le=2**31 - 1)], ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The contents of a manifest, field by field as they stand in the file.

    Args:
        tool: what made it.
        artifact: its form and files.
        inputs, outputs: name, dtype, shape.
        network: the network's configuration (``NetworkConfig.to_json``).
        weights: their origin.
        preprocessing: from picture to input.
        labels: one for each class; none of a file that gives maps.
        points: tensor in the file -> module path in the original network.
        checksums: constant in the file -> CRC-32 of its bytes.
        passes: what preparation changed and refused.
        parity: the check's result, ``None`` where it was not made.
        reference: seeded inputs' expected values, ``None`` where they were not computed.
        environment, command: where and how it was made.
        compilation: how ATC made it; ``None`` for an ONNX file.
        features: what its maps are; ``None`` for a file that gives logits. Since version 4.
        int8: form, calibration, scales, what stayed in fp16, and what the int8 file itself answers; since version 4,
            ``None`` where nothing is int8.
    """

    manifest_version: Annotated[int, Bounds(ge=1, le=VERSION)] = VERSION
    tool: str
    artifact: Artifact
    inputs: _Specs
    outputs: _Specs
    network: Mapping[str, Any]
    weights: Weights
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    points: Mapping[str, str]
    checksums: Mapping[str, str]
    passes: Mapping[str, Any]
    parity: Mapping[str, Any] | None
    reference: Mapping[str, Any] | None
    environment: Mapping[str, str]
    command: tuple[str, ...] = ()
    compilation: Compilation | None = field(default=None, metadata=OPTIONAL)
    features: FeatureMaps | None = field(default=None, metadata=OPTIONAL)
    int8: Mapping[str, Any] | None = field(default=None, metadata=OPTIONAL)

    def write(self, path: Path) -> None:
        """Write the JSON file.

        Raises:
            FileAccessError: it cannot be written.
        """
        try:
            path.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise FileAccessError(f"{path}: cannot write the manifest: {error.strerror}") from None

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        absent = [name for name in ("compilation", "features", "int8") if getattr(self, name) is None]
        return {name: value for name, value in asdict(self).items() if name not in absent}


def manifest_path(artifact: Path) -> Path:
    """Where an artifact's manifest is: the same name ending in ``.json``; a name may hold further dots."""
    return artifact.with_name(artifact.name.removesuffix(artifact.suffix) + ".json")
