"""Running commands, and the tools that the container checks need."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

# Program -> Debian's package.
TOOLS = {"buildah": "buildah", "debootstrap": "debootstrap", "ip": "iproute2", "shellcheck": "shellcheck"}
# An own view of mounts, processes and network; all mounts and processes in it end with the first process.
NAMESPACES = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child")


class CannotRun(Exception):  # noqa: N818 (nothing is wrong with the images)
    """The checks cannot run on this machine; the message is the reason."""


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Standard output of a command; one that fails ends the checks with all it printed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}exit status {done.returncode}")
    return done.stdout


def attempt(*command: str | Path) -> str:
    """Likewise for what depends on the machine: :class:`CannotRun` with the last line where it fails."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, env=quiet)
    except OSError as error:
        raise CannotRun(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        last = ((done.stdout + done.stderr).strip().splitlines() or ["no message"])[-1]
        raise CannotRun(f"{' '.join(map(str, command))}: exit status {done.returncode}: {last}")
    return done.stdout


def need_tools() -> None:
    """Install what is missing of :data:`TOOLS`; :class:`CannotRun` where that is not possible."""
    if os.geteuid() != 0:
        raise CannotRun("mounting and chroot need root")
    missing = [package for program, package in TOOLS.items() if shutil.which(program) is None]
    if missing:
        print(f"container: installing {' '.join(missing)}", flush=True)
        attempt("apt-get", "--quiet", "update")
        attempt("apt-get", "--quiet", "install", "--yes", "--no-install-recommends", *missing)
    attempt(*NAMESPACES, "setpriv", "--no-new-privs", "true")


def beside_python(program: str) -> str:
    """A program of this Python's environment, or else on the PATH."""
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.exists() else shutil.which(program)
    if found is None:
        raise SystemExit(f"{program} is not installed: python -m pip install --group dev")
    return found
