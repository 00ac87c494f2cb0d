"""``python -m tests.environments.versions [TORCH...]``: the tests of five rooms on the versions that users have.

Each torch in a virtual environment of its own, which is kept in ``.versions/`` for the next time; the newest also on
the other Pythons that are declared. Where a version cannot be installed it says why and counts as passed, or as failed
with ``NEONEXT_REQUIRE_VERSIONS=1``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.environments.environment import ROOT, CannotRun, Environment

# The declared range: its first release, one with an NPU's CANN that many have, and the newest.
TORCHES = ("2.7.1", "2.8.0", "2.13.0")
PYTHONS = ("3.11", "3.12", "3.13")
ROOMS = ("kernels", "models", "passes", "runtimes", "checkpoints")
# Of the development group, what these tests use.
TOOLS = ("hypothesis", "onnxscript", "pytest", "pytest-xdist")
KEPT = ROOT / ".versions"
HERE = "{}.{}".format(*sys.version_info)
SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Version:
    """A torch on a Python."""

    torch: str
    python: str

    def __str__(self) -> str:
        return f"torch {self.torch}, Python {self.python}"


def main(arguments: list[str]) -> int:
    """Exit status: 0 all passed or nothing could run; 1 a test failed, or a version could not run and had to."""
    if unknown := sorted(set(arguments) - set(TORCHES)):
        raise SystemExit(f"versions: no torch {', '.join(unknown)}: one or more of {', '.join(TORCHES)}")
    failed = skipped = False
    for version in declared():
        if arguments and version.torch not in arguments:
            continue
        start = time.monotonic()
        try:
            environment = kept(version)
        except CannotRun as reason:
            print(f"versions: {version}: skipped: {reason}", flush=True)
            skipped = True
            continue
        passed = run_tests(environment)
        failed |= not passed
        print(f"versions: {version}: {'ok' if passed else 'FAILED'} {time.monotonic() - start:6.1f} s", flush=True)
    return int(failed or (skipped and os.environ.get("NEONEXT_REQUIRE_VERSIONS") == "1"))


def declared() -> list[Version]:
    """Every torch on this Python, the newest on the others too."""
    others = [Version(TORCHES[-1], python) for python in PYTHONS if python != HERE]
    return [*(Version(torch, HERE) for torch in TORCHES), *others]


def kept(version: Version) -> Environment:
    """The kept environment, made where it is missing, half made, or made of other packages.

    Raises:
        CannotRun: the Python or a package cannot be had.
    """
    folder = KEPT / f"torch-{version.torch}-python-{version.python}"
    packages = [f"torch=={version.torch}", *requirements()]
    stamp, wanted = folder / "complete", "\n".join(packages)
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        environment = Environment(folder, python=find_python(version.python))
        environment.install(*packages)
        stamp.write_text(wanted, encoding="utf-8")
    return Environment(folder)


def requirements() -> list[str]:
    """What ``pyproject.toml`` declares, with its range for torch, and what the tests need."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tools = [line for line in data["dependency-groups"]["dev"] if line.partition(">=")[0] in TOOLS]
    return [*data["project"]["dependencies"], *tools]


def find_python(version: str) -> str:
    """The interpreter of a version such as 3.12: this one, one on the path, or one of pyenv.

    Raises:
        CannotRun: there is none.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [sys.executable, f"python{version}", *map(str, pyenv.glob(f"versions/{version}.*/bin/python"))]
    for candidate in candidates:
        try:
            code = "import sys; print('{}.{}'.format(*sys.version_info))"
            done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        except OSError:
            continue
        if done.stdout.strip() == version:
            return candidate
    raise CannotRun(f"there is no Python {version} here")


def run_tests(environment: Environment) -> bool:
    """The rooms' tests on the checkout, their output as it comes; whether all passed."""
    workers = min(os.cpu_count() or 1, 4)
    rooms = [f"tests/{room}" for room in ROOMS]
    command = ["-m", "pytest", "-q", "-n", str(workers), "-p", "no:cacheprovider", "--show-capture=no", *rooms]
    return environment.show(command, cwd=ROOT, seconds=SECONDS) == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
