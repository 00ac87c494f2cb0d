"""That an artifact is the same on every machine of a cluster, byte for byte; else its numbers are of several."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from neonext_ascend.artifacts.finding import beside, external_data, manifest_beside
from neonext_ascend.artifacts.manifest import manifest_path
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.errors import OF_EXIT_CODE, ArtifactError, NeoNextError
from neonext_ascend.runtimes.registry import is_om

Digests = Mapping[str, str]  # of files, by the names that they have beside the artifact


def weights_digests(path: Path) -> dict[str, str]:
    """SHA-256 of an artifact, and of the files beside it in which its weights lie.

    Raises:
        FileAccessError, ArtifactError: a file cannot be read, or is no ONNX model.
    """
    data = set() if is_om(path) else external_data(path)
    return {path.name: sha256_of(path), **{name: sha256_of(beside(path, name)) for name in sorted(data)}}


def digests(path: Path) -> dict[str, str]:
    """The same, and of its manifest where it has one: what decides about each answer.

    Raises:
        FileAccessError, ArtifactError: likewise.
    """
    manifest = manifest_beside(path)
    return weights_digests(path) | ({} if manifest is None else {manifest_path(path).name: sha256_of(manifest)})


def refuse_another(path: Path, expected: Digests | None) -> dict[str, str]:
    """The digests on this node; all are good where none are ``expected``.

    Raises:
        ArtifactError: a file is another, or is missing, or is there and should not be.
        FileAccessError: one cannot be read.
    """
    node = f"on node {socket.gethostname()}"
    try:
        found = digests(path)
    except NeoNextError as error:
        raise OF_EXIT_CODE[error.exit_code](f"{node}: {error}") from None
    wanted = found if expected is None else expected
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            is_it, was = (f"SHA-256 {each[name][:12]}" if name in each else "no file" for each in (found, wanted))
            raise ArtifactError(
                f"{path.parent / name}: is another {node}: {is_it} there, expected {was}; copy the same artifact, with "
                "what lies beside it, to every node"
            )
    return found
