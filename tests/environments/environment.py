"""A virtual environment of its own, with this project in it as a user installs it, and commands run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "neonext_ascend")
SECONDS = 600
# Nothing of the caller's Python may leak in, nor what this project itself sets.
_OWN_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "TORCH_DEVICE_BACKEND_AUTOLOAD")


class CannotRun(Exception):  # noqa: N818 (nothing is wrong with the program)
    """The packages cannot be had here; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    command: str
    status: int
    out: str
    err: str

    def expect(self, status: int, *words: str) -> Done:
        """Itself, if it ended so and said all of the words."""
        said = " ".join((self.out + self.err).split())
        missing = [word for word in words if word not in said]
        if self.status != status or missing:
            lacking = f", without {missing}" if missing else ""
            raise SystemExit(f"{self.command}: exit status {self.status}, expected {status}{lacking}\n{said[-3000:]}")
        return self


class Environment:
    """A virtual environment in ``folder``, made where it is missing.

    Args:
        folder: its own.
        python: the interpreter it is made with.
        over: another whose packages it has as well, behind its own.
    """

    def __init__(self, folder: Path, *, python: str = sys.executable, over: Environment | None = None) -> None:
        self.folder = folder
        self._bin = folder / "venv" / "bin"
        if folder.is_dir():
            return
        folder.mkdir(parents=True)
        subprocess.run([python, "-m", "venv", str(folder / "venv")], check=True)
        if over is not None:
            (self.packages / "over.pth").write_text(f"{over.packages}\n", encoding="utf-8")

    @property
    def packages(self) -> Path:
        """Its ``site-packages``."""
        (found,) = (self.folder / "venv" / "lib").glob("python*/site-packages")
        return found

    def install(self, *packages: str, dependencies: bool = True) -> None:
        """From the index, through pip's own cache; :class:`CannotRun` where it does not have them."""
        flags = ["--quiet", "--disable-pip-version-check", *([] if dependencies else ["--no-deps"])]
        try:
            done = self._run([str(self._bin / "python"), "-m", "pip", "install", *flags, *packages])
        except subprocess.TimeoutExpired:
            raise CannotRun(f"pip did not install {' '.join(packages)} in {SECONDS} s") from None
        if done.status:
            last = (done.err.strip().splitlines() or ["no message"])[-1]
            raise CannotRun(f"pip cannot install {' '.join(packages)}: {last}")

    def install_project(self, *, dependencies: bool = True) -> None:
        """From a copy: building in the checkout would leave its litter there."""
        copy = self.folder / "source"
        copy.mkdir()
        for name in SOURCES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        self.install(str(copy), dependencies=dependencies)

    def python(self, code: str) -> Done:
        """Run a piece of Python."""
        return self._run([str(self._bin / "python"), "-c", code])

    def script(self, path: Path, *arguments: object) -> Done:
        """Run a file of Python."""
        return self._run([str(self._bin / "python"), str(path), *map(str, arguments)])

    def neonext(self, *arguments: str) -> Done:
        """Run ``neonext-ascend``."""
        return self._run([str(self._bin / "neonext-ascend"), *arguments])

    def show(self, arguments: Sequence[str], *, cwd: Path, seconds: int) -> int:
        """Run Python elsewhere with its output shown; the exit status."""
        command = [str(self._bin / "python"), *arguments]
        return subprocess.run(command, cwd=cwd, env=_environ(), timeout=seconds, check=False).returncode

    def _run(self, command: Sequence[str]) -> Done:
        # Not in the checkout, whose neonext_ascend would come first.
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=_environ(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Done(" ".join([Path(command[0]).name, *command[1:]]), done.returncode, done.stdout, done.stderr)


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
