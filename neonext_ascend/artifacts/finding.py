"""What lies beside an artifact, also where its name is a link: to another run's file, or into a cache made of links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from neonext_ascend.artifacts.manifest import manifest_path

_MAX_HOPS = 40  # as the kernel counts (path_resolution(7)); a circle ends here


def names_of(path: Path) -> Iterator[Path]:
    """``path`` as it is given, then each name that its links lead to; a circle ends."""
    yield path
    for _ in range(_MAX_HOPS):
        try:
            path = path.parent / path.readlink()
        except OSError:  # no link, or nothing there
            return
        yield path


def manifest_beside(artifact: Path) -> Path | None:
    """The manifest of an artifact: beside its name, else beside what its name is a link to; ``None`` without one.

    A link that leads nowhere counts: reading it tells why.
    """
    return next(filter(os.path.lexists, map(manifest_path, names_of(artifact))), None)


def beside(artifact: Path, name: str) -> Path:
    """The file ``name`` beside an artifact, or beside what its name is a link to; the former where absent."""
    places = [place.with_name(name) for place in names_of(artifact)]
    return next(filter(os.path.lexists, places), places[0])


def with_its_data(model: Path) -> Path:
    """The name of an ONNX file beside which its external data lie, which ONNX Runtime looks for beside a link itself.

    Raises:
        FileAccessError, ArtifactError: the file cannot be read, or is no ONNX model.
    """
    if not model.is_symlink():
        return model
    data = external_data(model)
    whole = (place for place in names_of(model) if all(place.parent.joinpath(name).exists() for name in data))
    return next(whole, model)


def external_data(model: Path) -> set[str]:
    """The names of the files beside an ONNX file in which its weights lie.

    Raises:
        FileAccessError, ArtifactError: the file cannot be read, or is no ONNX model.
    """
    from neonext_ascend.artifacts.skim import skim_model

    return {
        entry.value
        for tensor in skim_model(model).graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
