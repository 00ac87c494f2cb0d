"""The JSON file beside each artifact: all that is needed to run it, to repeat it and to check it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from neonext_ascend.errors import FileAccessError
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.spec import Layout, TensorSpec

VERSION = 1


@dataclass(frozen=True)
class ArtifactFile:
    """One file of the artifact: its bare name, SHA-256 and size in bytes."""

    name: str
    sha256: str
    nbytes: int


@dataclass(frozen=True)
class Weights:
    """Where the weights come from: a checkpoint (file name and SHA-256), the package, or NeoInit with a seed."""

    source: str
    file: str | None = None
    sha256: str | None = None
    seed: int | None = None

    @property
    def trained(self) -> bool:
        """Whether the answers mean anything."""
        return self.source != "seed"


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
    gears: tuple[int, ...]
    aipp: bool
    keep_fp32: tuple[str, ...]
    platform: str | None
    onnx: ArtifactFile

    def to_json(self) -> dict[str, Any]:
        """The form in the manifest."""
        return asdict(self)


@dataclass(frozen=True)
class Manifest:
    """The contents of a manifest.

    Args:
        files: the artifact, then its external data if any.
        format, dtype, opset, layout: of the artifact; layout is that of the maps inside.
        inputs, outputs: name, dtype, shape.
        network: the network's configuration (``NetworkConfig.to_json``).
        weights: their origin.
        preprocessing: from picture to input.
        labels: one for each class.
        points: tensor in the file -> module path in the original network.
        checksums: constant in the file -> CRC-32 of its bytes.
        passes: what preparation changed and refused.
        parity: the check's result, ``None`` where it was not made.
        reference: seeded inputs' expected values, ``None`` where they were not computed.
        tool, environment, command: what made it, where and how.
        compilation: how ATC made it; ``None`` for an ONNX file.
        layout_reason: why this layout was chosen; empty where it was asked for.
    """

    files: tuple[ArtifactFile, ...]
    format: str
    dtype: str
    opset: int
    layout: Layout
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    network: Mapping[str, Any]
    weights: Weights
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    points: Mapping[str, str]
    checksums: Mapping[str, str]
    passes: Mapping[str, Any]
    parity: Mapping[str, Any] | None
    reference: Mapping[str, Any] | None
    tool: str
    environment: Mapping[str, str]
    command: tuple[str, ...] = field(default=())
    compilation: Compilation | None = None
    layout_reason: str = ""

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
        return {
            "manifest_version": VERSION,
            "tool": self.tool,
            "artifact": {
                "format": self.format,
                "dtype": self.dtype,
                "opset": self.opset,
                "layout": self.layout,
                "layout_reason": self.layout_reason,
                "files": [{"name": f.name, "sha256": f.sha256, "bytes": f.nbytes} for f in self.files],
            },
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "network": dict(self.network),
            "weights": {**asdict(self.weights), "trained": self.weights.trained},
            "preprocessing": self.preprocessing.to_json(),
            "labels": list(self.labels),
            "points": dict(self.points),
            "checksums": dict(self.checksums),
            "passes": dict(self.passes),
            "parity": self.parity,
            "reference": self.reference,
            "environment": dict(self.environment),
            "command": list(self.command),
            **({} if self.compilation is None else {"compilation": self.compilation.to_json()}),
        }


def manifest_path(artifact: Path) -> Path:
    """Where an artifact's manifest is: the same name ending in ``.json``; a name may hold further dots."""
    return artifact.with_name(artifact.name.removesuffix(artifact.suffix) + ".json")
