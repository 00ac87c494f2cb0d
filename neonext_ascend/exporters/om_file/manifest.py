"""The manifest of an OM, from that of the ONNX file that it is compiled from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from neonext_ascend.artifacts.manifest import ArtifactFile, Compilation, Manifest, OnnxSource
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.exporters.om_file.options import AtcOptions
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.spec import BATCH, TensorSpec


def om_name(onnx_name: str, options: AtcOptions) -> str:
    """``neonext_t-224-b1-fp16-Ascend310P3.om`` for ``neonext_t-224-b1-fp32.onnx``; ``int8`` of a deploy form.

    Gears make ``b1-2-4``; AIPP, an fp16 ONNX file (``in16``) and nodes kept in fp32 (``keep2``) are marked as well, so
    that two different OMs have two names.
    """
    model, size, batch, dtype = onnx_name.removesuffix(".onnx").removesuffix(f"-{options.soc.name}").rsplit("-", 3)
    if options.gears:
        batch = "b" + "-".join(map(str, options.gears))
    marks = [
        *(["aipp"] if options.aipp else []),
        *(["in16"] if dtype == "fp16" else []),
        *([f"keep{len(options.keep_fp32)}"] if options.keep_fp32 else []),
    ]
    # The deploy form is fp16 but for its products, and fp16 is ATC's default.
    precision = [options.precision] if dtype != "int8" or options.precision != "fp16" else []
    int8 = ["int8"] if dtype == "int8" else []
    return "-".join([model, size, batch, *int8, *precision, *marks, options.soc.name]) + ".om"


def om_preprocessing(manifest: Manifest, options: AtcOptions) -> Preprocessing:
    """The pictures' preparation for the OM: with AIPP the device normalises."""
    return replace(manifest.preprocessing, normalised_on="device" if options.aipp else "host")


def stored_shape(manifest: Manifest, options: AtcOptions) -> tuple[int, ...]:
    """``(N, C, H, W)`` of the values that the OM's manifest stores: its batch, or its smallest gear."""
    batch, *rest = manifest.inputs[0].shape
    rows = batch if isinstance(batch, int) else min(options.gears, default=1)
    return (rows, *(int(n) for n in rest))


def om_manifest(
    onnx: Manifest, name: str, options: AtcOptions, reference: Mapping[str, Any] | None, command: Sequence[str]
) -> Manifest:
    """The manifest before ATC has run; :func:`compiled_manifest` adds what only then is known.

    Args:
        onnx: of the ONNX file, with the OM's batch or a dynamic one for gears.
        name: of the OM file.
        options: of ATC.
        reference: expected values, as of :func:`neonext_ascend.verify.parity.stored_reference`.
        command: that made it.
    """
    preprocessing = om_preprocessing(onnx, options)
    dtype = onnx.artifact.dtype if options.precision == "origin" or onnx.int8 else "fp16"
    return replace(
        onnx,
        artifact=replace(onnx.artifact, format="om", dtype=dtype, files=(ArtifactFile(name, "", 0),)),
        inputs=(_input(onnx.inputs[0], options),),
        outputs=tuple(replace(spec, shape=(_rows(spec, options), *spec.shape[1:])) for spec in onnx.outputs),
        preprocessing=preprocessing,
        # What is inside an OM has other names, and other numbers of its own.
        points={},
        checksums={},
        parity=None,
        reference=reference,
        command=tuple(command),
        compilation=Compilation(
            soc_version=options.soc.name,
            cann_version=None,
            precision=options.precision,
            flags=(),
            gears=tuple(options.gears),
            aipp=options.aipp,
            keep_fp32=tuple(options.keep_fp32),
            platform=None,
            onnx=OnnxSource(*astuple(onnx.artifact.files[0])),
        ),
    )


def compiled_manifest(
    manifest: Manifest, om: Path, *, cann_version: str | None, argv: Sequence[str], platform: str | None
) -> Manifest:
    """The manifest of the OM that ATC has written.

    Args:
        manifest: from :func:`om_manifest`.
        om: the file.
        cann_version: of the toolkit.
        argv: ATC's command line.
        platform: that ATC bound the file to, if any.
    """
    assert manifest.compilation is not None
    file = ArtifactFile(manifest.artifact.files[0].name, sha256_of(om), om.stat().st_size)
    return replace(
        manifest,
        artifact=replace(manifest.artifact, files=(file,)),
        compilation=replace(
            manifest.compilation, cann_version=cann_version, flags=tuple(map(_bare, argv[1:])), platform=platform
        ),
    )


def _input(spec: TensorSpec, options: AtcOptions) -> TensorSpec:
    rows, (channels, height, width) = _rows(spec, options), spec.shape[1:]
    if options.aipp:
        return TensorSpec(spec.name, "uint8", (rows, height, width, channels))
    return replace(spec, shape=(rows, channels, height, width))


def _rows(spec: TensorSpec, options: AtcOptions) -> int | str:
    return BATCH if options.gears else spec.shape[0]


def _bare(flag: str) -> str:
    """A flag without the folder that its file had during the work."""
    name, equals, value = flag.partition("=")
    return f"{name}={Path(value).name}" if equals and value.startswith("/") else flag
