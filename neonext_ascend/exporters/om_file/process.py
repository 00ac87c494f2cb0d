"""A child in a process group of its own: its output goes to a file, its time is limited, its group ends with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_POLL_S = 0.05
# Between the wish to end and the order.
_GRACE_S = 5.0
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Args:
        status: its exit status, negative for the signal that killed it; ``None`` where the time limit did.
        seconds: that it ran.
    """

    status: int | None
    seconds: float

    @property
    def signal(self) -> int | None:
        """That killed it; a shell around it tells so by a status above 128."""
        if self.status is None or 0 <= self.status <= 128 or self.status > 128 + signal.SIGRTMAX:
            return None
        return -self.status if self.status < 0 else self.status - 128


def run_process(
    argv: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    log: Path,
    time_limit_s: float,
    on_line: Callable[[str], None],
) -> Ended:
    """Run a program; whatever ends the wait, an interrupt included, ends its whole process group.

    Args:
        argv: the program and its arguments.
        folder: in which it runs.
        environ: all its variables.
        log: takes all it prints; nothing of it is held in memory.
        time_limit_s: seconds.
        on_line: given each line as it comes.

    Raises:
        OSError: it cannot be started, or the log cannot be written.
    """
    start = time.monotonic()
    with log.open("wb") as out, log.open("rb") as written:
        child = subprocess.Popen(
            argv,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        timed_out = True
        try:
            lines = _Lines(written, on_line)
            while time.monotonic() - start < time_limit_s:
                if _has_ended(child):
                    timed_out = False
                    break
                lines.read()
                time.sleep(_POLL_S)
            lines.read()
        finally:
            _end_group(child)
    return Ended(None if timed_out else child.returncode, time.monotonic() - start)


class _Lines:
    """The lines that a growing file got since the last look."""

    def __init__(self, file: BinaryIO, on_line: Callable[[str], None]) -> None:
        self.file, self.on_line, self.rest = file, on_line, b""

    def read(self) -> None:
        while chunk := self.file.read(_CHUNK):
            *whole, rest = (self.rest + chunk).split(b"\n")
            # A line without an end must not fill the memory either.
            self.rest = rest[-_CHUNK:]
            for line in whole:
                self.on_line(line.decode("utf-8", "replace").rstrip("\r"))


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether it has, without collecting it: its number, which is its group's, stays taken until then."""
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(child: subprocess.Popen[bytes]) -> None:
    try:
        if not _has_ended(child):
            _signal(child, signal.SIGTERM)
            deadline = time.monotonic() + _GRACE_S
            while not _has_ended(child) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
    finally:
        # What the child started and left, or what does not heed the wish.
        _signal(child, signal.SIGKILL)
        child.wait()


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
