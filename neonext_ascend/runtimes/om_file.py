"""An OM looked at before the driver is touched: whether it is there, and whether this machine is the one it is for.

An OM is bound to its SoC; it runs on the CANN version that built it and on newer ones, never on an older one; a file
that ATC has named after an operating system and processor is bound to those as well.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

from neonext_ascend.artifacts.finding import manifest_beside
from neonext_ascend.artifacts.manifest import Compilation, Manifest
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.errors import ArtifactError, FileAccessError
from neonext_ascend.machine.cann import Cann, find_cann, version_key


def check_om_file(path: Path, cann: Cann | None = None, manifest: Manifest | None = None) -> Manifest | None:
    """The manifest beside an OM, ``None`` where it has none, after refusing what cannot run here.

    Args:
        path: of the OM.
        cann: what this machine has; looked for where it is needed and ``None``.
        manifest: read from beside the OM where ``None``.

    Raises:
        FileAccessError: the file or its manifest cannot be read, or is empty.
        ArtifactError: a damaged manifest, or an OM for another SoC, a newer CANN or another platform.
    """
    try:
        FileAccessError.refuse_special(path, "an OM")
        with path.open("rb") as file:
            if not file.read(1):
                raise FileAccessError(f"{path}: the file is empty; expected an OM; export it again")
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the OM: {error.strerror}") from None
    if manifest is None:
        beside = manifest_beside(path)
        if beside is None:
            return None
        manifest = read_manifest(beside)
    if manifest.compilation is not None:
        reasons = _refusals(manifest.compilation, find_cann() if cann is None else cann)
        for reason in reasons:
            raise ArtifactError(f"{path}: {reason}")
    return manifest


def soc_refusal(compilation: Compilation, soc_version: str) -> str | None:
    """Why an OM cannot run on this SoC, ``None`` where it can."""
    if compilation.soc_version == soc_version:
        return None
    return f"it was compiled for {compilation.soc_version}, this is a {soc_version}; " + _again(soc_version)


def _refusals(compilation: Compilation, cann: Cann) -> Iterator[str]:
    """What is unknown on either side is not compared."""
    if cann.soc_version is not None and (words := soc_refusal(compilation, cann.soc_version)):
        yield words
    made, here = compilation.cann_version, cann.version
    if made and here and _is_newer(made, here):
        yield (
            f"it was compiled by CANN {made}, this is the older {here}; "
            "update CANN here, or export with an older toolkit"
        )
    machine = f"{platform.system().lower()}_{platform.machine()}"
    if compilation.platform not in (None, machine):
        yield f"ATC bound it to {compilation.platform}, this is {machine}; export on a machine like this one"


def _is_newer(made: str, here: str) -> bool:
    try:
        return version_key(made) > version_key(here)
    except ValueError:  # a version that we cannot read says nothing
        return False


def _again(soc_version: str) -> str:
    return f"export again with --soc-version {soc_version}"
