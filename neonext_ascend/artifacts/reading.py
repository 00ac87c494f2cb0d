"""Reading a manifest: every value is checked, since a manifest comes from another machine or another hand."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neonext_ascend.artifacts.finding import manifest_beside
from neonext_ascend.artifacts.manifest import VERSION, Manifest, manifest_path
from neonext_ascend.artifacts.structs import below, shown, struct
from neonext_ascend.errors import ArtifactError, FileAccessError
from neonext_ascend.files.foreign import HEAD, describe

_MAX_DEPTH = 32  # a manifest has seven levels
_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can escape half a character, which no terminal prints


class _Refused(str):
    """Why a value may stand in no manifest; keeps its place until the path to it is known."""


def manifest_of(artifact: Path) -> Manifest:
    """The manifest beside an artifact.

    Raises:
        FileAccessError: one of the two cannot be read.
        ArtifactError: the manifest is missing or damaged, or the file another kind.
    """
    if not artifact.exists():
        raise FileAccessError(f"{artifact}: cannot read the artifact: No such file or directory")
    FileAccessError.refuse_special(artifact, "an artifact")
    beside = manifest_beside(artifact)
    if beside is None:
        _refuse_foreign(artifact)
        name = manifest_path(artifact).name
        # Whoever has an ONNX file of other hands learns what takes it all the same.
        others = "; a file made elsewhere has none: predict, eval, benchmark and debug --against do without"
        told = others if artifact.suffix == ".onnx" else ""
        raise ArtifactError(f"{artifact}: its manifest {name} is missing; expected beside it: copy both files{told}")
    return read_manifest(beside)


def _refuse_foreign(artifact: Path) -> None:
    """Raise for what ``export`` never wrote, which no manifest would help."""
    try:
        with artifact.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise FileAccessError(f"{artifact}: cannot read the artifact: {error.strerror}") from None
    if not head:
        raise FileAccessError(f"{artifact}: is empty; expected what export wrote; copy it again")
    what = describe(head, "what export wrote")
    if what is None and min(head) >= ord("\t"):  # an ONNX file's first byte is below, and an OM has zeros
        what = "text; give what export wrote"
    if what is not None:
        raise ArtifactError(f"{artifact}: is {what}")


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest.

    Raises:
        FileAccessError: it cannot be read, or is cut off.
        ArtifactError: it is no manifest of a version that this program knows.
    """
    from neonext_ascend.artifacts.strict import check

    data = _parsed(path)
    if not isinstance(data, dict) or "manifest_version" not in data:
        raise ArtifactError(f"{path}: not a manifest of neonext-ascend: it has no manifest_version")
    version = data["manifest_version"]
    if isinstance(version, int) and version > VERSION:
        raise ArtifactError(f"{path}: manifest version {version}; this program knows {VERSION}: update neonext-ascend")
    try:
        for refusal in _refusals(data):
            raise ValueError(refusal)
        manifest = struct(Manifest, check(Manifest, data))
        _check_agreement(manifest)
    except ValueError as error:
        raise ArtifactError(f"{path}: the manifest is damaged: {error}; export again") from None
    return manifest


def _check_agreement(manifest: Manifest) -> None:
    """What no field shows alone."""
    size, spec = manifest.preprocessing.image_size, manifest.inputs[0]
    height_first = 1 if manifest.preprocessing.normalised_on == "device" else 2
    if spec.shape[height_first : height_first + 2] != size:
        raise ValueError(f"preprocessing.image_size is {list(size)}; inputs[0] takes {spec}")
    form, compilation = manifest.artifact.format, manifest.compilation
    if (form == "om") != (compilation is not None):
        raise ValueError(f"artifact.format is {form!r} {'with' if compilation else 'without'} a compilation")


def _parsed(path: Path) -> Any:
    try:
        FileAccessError.refuse_special(path, "a manifest")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the manifest: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path}: not a manifest: it is not text from byte {error.start} on") from None
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_int=_whole, parse_float=_number, parse_constant=_number
        )
    except json.JSONDecodeError as error:
        # A cut shows at the text's end, or at the start of a string that never ends.
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated") or not text.rstrip().endswith("}"):
            raise FileAccessError(
                f"{path}: the manifest is truncated (line {error.lineno} column {error.colno}); export again"
            ) from None
        raise ArtifactError(f"{path}: not a manifest: {error}") from None
    except RecursionError:
        raise ArtifactError(f"{path}: not a manifest: it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = _Refused("stands twice") if key in found else value
    return found


def _whole(text: str) -> int | _Refused:
    return int(text) if len(text) < 20 and abs(int(text)) < 2**63 else _Refused(f"is {text[:40]}, out of range")


def _number(text: str) -> float | _Refused:
    return number if math.isfinite(number := float(text)) else _Refused(f"is {text[:40]}, out of range")


def _refusals(value: Any, where: str = "", depth: int = 0) -> Iterator[str]:
    """What is wrong with a manifest's values, whatever they mean."""
    if isinstance(value, _Refused):
        yield f"{where} {value}"
    elif isinstance(value, str) and _SURROGATE.search(value):
        yield f"{where} is {shown(value)}; expected whole characters"
    elif isinstance(value, (dict, list)) and depth > _MAX_DEPTH:
        yield f"{where[:60]}... is nested too deeply"
    elif isinstance(value, list):
        for index, held in enumerate(value):
            yield from _refusals(held, f"{where}[{index}]", depth + 1)
    elif isinstance(value, dict):
        for key, held in value.items():
            yield from _refusals(key, f"a key of {where}" if where else "a key", depth)
            yield from _refusals(held, below(where, key), depth + 1)
