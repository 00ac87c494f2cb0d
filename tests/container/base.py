"""A base image from Debian packages: Debian 12 with Python 3.11, as the Dockerfile's own base for a CPU has it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from tests.container.commands import CannotRun, attempt, run

SUITE = "bookworm"
INCLUDED = ("ca-certificates", "python3", "python3-venv")
CACHE_VARIABLE = "NEONEXT_CONTAINER_CACHE"


def base_archive(scratch: Path) -> Path:
    """A tar file of the base's root; kept in the folder that ``NEONEXT_CONTAINER_CACHE`` names, where it is set."""
    folder = Path(os.environ.get(CACHE_VARIABLE) or scratch)
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{SUITE}-{platform.machine()}-{'-'.join(INCLUDED)}.tar"
    if archive.exists():
        return archive
    root = scratch / "base"
    attempt("debootstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}", SUITE, root, mirror())
    unfinished = archive.with_suffix(f".{os.getpid()}")
    # Packages and their lists are of no use in an image.
    run("tar", "-C", root, "--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "-cf", unfinished, ".")
    unfinished.rename(archive)
    run("rm", "-rf", "--one-file-system", root)
    return archive


def mirror() -> str:
    """The Debian mirror that this machine's apt is set to."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    for line in attempt("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)").splitlines():
        found, component, address = line.split()
        if (found, component) == (release, "main"):
            return address
    raise CannotRun("apt has no Debian mirror here")
