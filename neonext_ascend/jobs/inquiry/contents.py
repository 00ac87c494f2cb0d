"""The one object that a report is made from: every part, and why one is not there."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neonext_ascend.artifacts.finding import beside, manifest_beside, with_its_data
from neonext_ascend.artifacts.manifest import Manifest, manifest_path
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.errors import ArtifactError, ToolchainError
from neonext_ascend.jobs.inquiry.file import file_facts
from neonext_ascend.jobs.inquiry.parts import MissingError, Parts
from neonext_ascend.jobs.verifying_file import file_warnings
from neonext_ascend.machine.environment import machine, versions
from neonext_ascend.runtimes.registry import Runtime, opener, runtime_for

VERSION = 1
MOST_FLIPS = 24  # shown; all are counted
# Long, and of no use to a reader: they are in the manifest.
_LEFT_OUT = ("points", "checksums", "reference", "labels")


def contents_of(parts: Parts, timed: bool) -> dict[str, Any]:
    """A part that is not there is ``null``, and ``missing`` tells why.

    Args:
        parts: of the artifact.
        timed: whether it is timed as well.

    Raises:
        NeoNextError: of the parts, but for a tool or a device that is missing.
    """
    manifest, watch = parts.manifest, parts.watch
    if manifest is None:
        unknown = "how it was made, its network and its pictures are not known"
        warnings = [f"no manifest {manifest_path(parts.path).name} beside it: {unknown}"]
    else:
        warnings = file_warnings(parts.path, manifest)
    if parts.absent:
        warnings.append(f"{parts.path.name} itself was not run here: {parts.absent}")
    if manifest is not None and not manifest.weights.trained:
        warnings.append("untrained weights: the answers mean nothing")
    for text in warnings:
        watch.warn(text)
    missing = {} if timed else {"speed": "it was not asked for: --benchmark"}

    def part(name: str, find: Callable[[], Any]) -> Any:
        try:
            return find()
        except (MissingError, ToolchainError) as reason:
            missing[name] = str(reason)
            return None

    if manifest is not None and manifest.command:
        parts.commands["the artifact"] = shlex.join(manifest.command)
    accuracy = part("accuracy", parts.accuracy)  # what a user gave is refused before the long work
    climbed, nodes, half = part("ladder", parts.ladder), part("nodes", parts.nodes), part("half", parts.half)
    speed, cost = part("speed", parts.speed) if timed else None, part("cost", parts.cost)
    told = {} if manifest is None else manifest.to_json()
    return {
        "report_version": VERSION,
        "artifact": parts.path.name,
        "graph": None if parts.graph is None else parts.graph[0].name,
        "verdict": _verdict(climbed, half),
        "warnings": warnings,
        "file": file_facts(parts.path, manifest),
        "manifest": {name: value for name, value in told.items() if name not in _LEFT_OUT} or None,
        "ladder": climbed,
        "nodes": nodes,
        "half": half,
        "flips": parts.flips[:MOST_FLIPS],
        "flipped": len(parts.flips),
        "accuracy": accuracy,
        "speed": speed,
        "cost": cost,
        "environment": {**{name: machine()[name] for name in ("cpu", "cores")}, **versions()},
        "commands": [{"part": name, "command": words} for name, words in parts.commands.items()],
        "missing": missing,
    }


def graph_of(path: Path, manifest: Manifest | None) -> tuple[Path, Manifest | None] | None:
    """The ONNX file that an artifact is, or was compiled from, with its manifest; ``None`` where it is not beside it.

    Raises:
        FileAccessError, ArtifactError: a file cannot be read, or is none.
    """
    if manifest is None or manifest.compilation is None:
        return with_its_data(path), manifest
    file = beside(path, manifest.compilation.onnx.name)
    described = manifest_beside(file)
    return (file, read_manifest(described)) if file.is_file() and described is not None else None


def why_absent(path: Path, runtime: Runtime, device: int, described: bool = True) -> str:
    """Why an artifact does not run here; empty where it does.

    Args:
        path, runtime, device: of the artifact.
        described: whether it has a manifest: a stranger's file need not be one that this package runs.

    Raises:
        ToolchainError: what ``runtime`` names is missing.
        NeoNextError: the file cannot be opened.
    """
    try:
        with opener(path, runtime_for(path, runtime), device)(()):
            return ""
    except ToolchainError as error:
        if runtime != "auto":
            raise
        return str(error)
    except ArtifactError as error:
        if described:
            raise
        return str(error)


def _verdict(climbed: dict[str, Any] | None, half: list[dict[str, Any]] | None) -> dict[str, Any]:
    """What the ladder comes to, else half precision alone; ``passed`` is ``null`` where neither is there."""
    if climbed is not None:
        blame = climbed["verdict"]
        if blame is None:
            return {"passed": True, "words": "every rung of the parity ladder holds"}
        at = f" at {blame['node']}" if blame["node"] else ""
        return {"passed": False, "words": f"{blame['rung']} fails{at}: {blame['cause']}"}
    if half:
        alarms = [alarm for way in half for alarm in way["alarms"]]
        if alarms:
            kind = f"{alarms[0]['kind']}s in fp16"
            return {"passed": False, "words": f"{alarms[0]['node']} {kind}; the ladder was not climbed"}
        return {"passed": None, "words": "nothing overflows in fp16; the ladder was not climbed"}
    return {"passed": None, "words": "not judged here"}
