"""What an export made, in words."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from neonext_ascend.artifacts.manifest import Manifest, manifest_path
from neonext_ascend.artifacts.structs import struct
from neonext_ascend.errors import counted
from neonext_ascend.exporters.atc_rules.inspecting import Finding, alike
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.passes.base import Report
from neonext_ascend.reporting.words import (
    LABEL_WIDTH,
    bytes_text,
    form_lines,
    half_lines,
    labelled,
    network_lines,
    parity_lines,
)
from neonext_ascend.verify.parity import Verdict


def onnx_lines(
    path: str, manifest: Manifest, report: Report, verdict: Verdict | None, gated: object | None = None
) -> list[str]:
    """The network, its form, the files and the verdict."""
    first, *others = manifest.artifact.files
    lines = network_lines(struct(NetworkConfig, manifest.network), manifest.weights) + form_lines(manifest, report)
    if manifest.features is not None:
        lines += labelled("maps", ", ".join(map(str, manifest.outputs)))
    kept = len(manifest.artifact.keep_fp32)
    lines += labelled("fp32", f"{kept} nodes kept in fp32, with a Cast on each side") if kept else []
    lines += int8_lines(manifest.int8) if manifest.int8 else []
    lines += labelled("wrote", f"{path} ({bytes_text(first.bytes)}, opset {manifest.artifact.opset})")
    for extra in others:
        lines += labelled("", f"{extra.name} ({bytes_text(extra.bytes)}, external data: keep it beside)")
    lines += labelled("", manifest_path(Path(path)).name)
    unchecked = [] if manifest.int8 else labelled("parity", "not checked (--no-verify)")
    lines += verdict_lines(verdict) if verdict else unchecked
    lines += labelled("gate", str(gated)) if gated else []
    if not manifest.weights.trained:
        lines += labelled("note", "untrained weights: the file is right, its answers mean nothing")
    return lines


def int8_lines(int8: Mapping[str, Any]) -> list[str]:
    """What is int8, what is not and why, on which pictures, and how far the answers moved."""
    layers, kept, seen = int8["layers"], int8["kept"], int8["calibration"]
    products = len(layers) + sum(map(len, kept.values()))
    lines = labelled(
        "int8", f"{len(layers)} of {products} products, {int8['form']} form, calibrator {int8['calibrator']}"
    )
    for reason, names in kept.items():
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        lines += labelled("", f"{len(names)} stay: {reason}: {shown}")
    distance = "" if seen["distance"] is None else f", {seen['distance']:.2g} nats from BatchNorm's memory"
    lines += labelled("", f"calibrated on {seen['pictures']} pictures{distance}")
    lines += _rounding_lines(int8.get("rounding", {}))
    if found := int8.get("agreement"):
        like = "" if found["top1"] is None else f"top-1 as in fp32 on {100 * found['top1']:.1f} %, "
        on = f"on {found['pictures']} calibration pictures"
        lines += labelled("", f"{like}cosine {found['cosine']:.5f}, at least {found['least']:.5f}, {on}")
    return [*lines, *labelled("", f"record {int8['record']}")]


def quantised_lines(paths: Sequence[str], told: Mapping[str, Any]) -> list[str]:
    """The same of anybody's file."""
    lines = int8_lines({"form": "qdq", "record": Path(paths[-2]).name, **told})
    if found := told.get("deploy"):
        lines += labelled("", f"deploy form in integers: cosine {found['cosine']:.5f}, at least {found['least']:.5f}")
    return lines + labelled("wrote", paths[0]) + [line for path in paths[1:] for line in labelled("", path)]


def _rounding_lines(rounding: Mapping[str, Any]) -> list[str]:
    errors, nearest = sorted(rounding.get("errors", {}).values()), rounding.get("nearest", {})
    if not errors:
        return []
    middle, most = errors[len(errors) // 2], errors[-1]
    told = f"weights of {counted(len(errors), 'layer')} by AdaRound: squared errors of their outputs"
    lines = labelled("", f"{told} {middle:.2f} times those of nearest integers in the middle, {most:.2f} at most")
    for reason in dict.fromkeys(nearest.values()):
        names = ", ".join(name for name, why in nearest.items() if why == reason)
        lines += labelled("", f"to nearest integers, as {reason}: {names}")
    return lines


def verdict_lines(verdict: Verdict) -> list[str]:
    """The artifact's parity, and the twin's."""
    lines = parity_lines(verdict.artifact)
    if verdict.twin is not None:
        lines += labelled("twin", "untrained weights hide errors; the same network with weights of order 1")
        lines += parity_lines(verdict.twin, label="")
    return lines + half_lines(verdict.half)


def next_lines(path: str, maps: bool = False) -> list[str]:
    """What to do with an ONNX file, of classes or of maps."""
    if maps:
        return [
            *labelled("next", "time it here:"),
            _copied(f"neonext-ascend benchmark {quoted(path)}"),
        ]
    return [*labelled("next", "classify a picture:"), _copied(f"neonext-ascend predict {quoted(path)} PICTURE")]


def om_lines(
    path: str, manifest: Manifest, verdict: Verdict | None, unchecked: str, gated: object | None = None
) -> list[str]:
    """The OM and its verdict, or why there is none and where to get it."""
    compiled = manifest.compilation
    assert compiled is not None
    what = f"{bytes_text(manifest.artifact.files[0].bytes)}, {compiled.soc_version}, precision {compiled.precision}"
    lines = [*labelled("wrote", f"{path} ({what})"), *labelled("", manifest_path(Path(path)).name)]
    lines += labelled("gate", str(gated)) if gated else []
    if verdict is not None:
        return [*lines, *parity_lines(verdict.artifact, label="on npu")]
    lines += labelled("parity", f"of the OM: not checked ({unchecked}); on a {compiled.soc_version}:")
    return [*lines, _copied(f"neonext-ascend verify {quoted(path)}")]


def warning_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """The pre-check's warnings, equal ones together."""
    for first, *more in alike(findings):
        yield f"{first.rule}: {first.message}" + (f" ({1 + len(more)} nodes)" if more else "")


def bundle_lines(path: Path, nbytes: int, top: str, gated: object | None = None) -> list[str]:
    """The archive, and what to do with it on the other machine."""
    lines = labelled("packed", f"{path} ({bytes_text(nbytes)})")
    lines += labelled("gate", str(gated)) if gated else []
    lines += labelled("next", "on the machine with CANN, after sourcing its set_env.sh:")
    return [*lines, _copied(f"tar xzf {quoted(path.name)} && python3 {quoted(top)}/run.py")]


def triton_lines(path: str, repository: str, gears: Sequence[int], precision: str, replaced: bool) -> list[str]:
    """The model's folder, what the backend makes of it, what was there before, and what to start."""
    batches = f"gears of 1 to {max(gears)} rows" if gears else "a static graph"
    lines = labelled("triton", f"{path} ({batches}, precision {precision}; compiled when it is loaded)")
    lines += labelled("replaced", "the model that was there, with its ONNX file") if replaced else []
    where = f"mount {repository} at /models in a container of Triton with the backend npu_ge, and outside /models:"
    return [*lines, *labelled("next", where), _copied("tritonserver --model-repository /models")]


def quoted(path: str) -> str:
    """A path in a command for copying; one that begins like an option is told as a path."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def _copied(command: str) -> str:
    """A command for copying: never broken."""
    return f"{' ' * LABEL_WIDTH}{command}"
