"""Why ATC made no OM: which error it is, in words, with ATC's own text and where its log is."""

from __future__ import annotations

import errno
import os
import re
import signal
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError, ToolchainError, UsageError
from neonext_ascend.exporters.om_file.codes import CODE, meaning
from neonext_ascend.exporters.om_file.process import Ended

SUCCESS, FAILED = "ATC run success", "ATC run failed"
_UNKNOWN_FLAG = re.compile(r"unknown command line flag '([^']*)'")
_FULL = os.strerror(errno.ENOSPC)
_TAIL_LINES = 20
_MOST_TEXT = 300
_LINE_BYTES = 1 << 16


@dataclass(slots=True)
class _Seen:
    """What a log holds, of each kind the first."""

    code: str | None = None
    text: str = ""
    unknown_flag: str | None = None
    full: bool = False
    success: bool = False
    failed: bool = False


def failure(model: str, log: Path, ended: Ended, kept: bool, empty: bool) -> NeoNextError:
    """The error for a run that left no usable OM.

    Args:
        model: the ONNX file's name.
        log: ATC's output.
        ended: how ATC ended.
        kept: whether the log stays there.
        empty: whether there is an OM of no bytes.
    """
    seen = _look(log)
    error, words = _verdict(model, ended, seen, empty)
    where = f"; the whole log is {log}" if kept else f"; the log could not be kept; it ends: {_end(log)}"
    return error(words + where)


def _verdict(model: str, ended: Ended, seen: _Seen, empty: bool) -> tuple[type[NeoNextError], str]:
    if ended.status is None:
        return ToolchainError, (
            f"{model}: atc did not end within {ended.seconds:.0f} s and was stopped with all that it had started; "
            "give it more by --time-limit, or see where it hangs"
        )
    if seen.full:
        return FileAccessError, f"{model}: {_FULL} while atc ran; nothing was left behind; make room and try again"
    if ended.signal is not None:
        name = signal.Signals(ended.signal).name if ended.signal in set(signal.Signals) else f"signal {ended.signal}"
        return ToolchainError, (
            f"{model}: atc was killed by {name} after {ended.seconds:.0f} s; if the system did it, memory was short: "
            "close other programs and try again"
        )
    if ended.status == 0:
        what = "an empty OM" if empty else "no OM"
        return ToolchainError, f"{model}: atc reports success (exit 0) but wrote {what}; mend this CANN installation"
    if seen.unknown_flag is not None:
        return UsageError, f"{model}: this toolkit's atc has no flag {seen.unknown_flag!r}; leave it out of --atc-arg"
    if seen.code is not None:
        known = meaning(seen.code)
        if known.internal:
            return ToolchainError, f"{model}: {known.says} ({seen.code}): {known.remedy}; it says: {seen.text}"
        return (
            ArtifactError,
            f"{model}: ATC refuses it ({seen.code}): {known.says}; {known.remedy}; it says: {seen.text}",
        )
    if seen.success or not seen.failed:
        claim = "claims success" if seen.success else "says neither success nor failure"
        return ToolchainError, f"{model}: atc {claim} but ended with exit {ended.status}; mend this CANN installation"
    return ArtifactError, f"{model}: ATC refuses it without a code (exit {ended.status}); read why in its log"


def lacks_precision_mode_v2(log: Path) -> bool:
    """Whether the toolkit does not know that flag, or not its value."""
    return any(
        "precision_mode_v2" in line and ("E10001" in line or _UNKNOWN_FLAG.search(line) is not None)
        for line in _lines(log)
    )


def tail_of(log: Path) -> tuple[str, ...]:
    """The last lines."""
    return tuple(deque(_lines(log), _TAIL_LINES))


def _look(log: Path) -> _Seen:
    seen = _Seen()
    for line in _lines(log):
        code, flag = CODE.search(line), _UNKNOWN_FLAG.search(line)
        if code is not None and seen.code is None:
            seen.code, seen.text = code[0], _short(line)
        if flag is not None and seen.unknown_flag is None:
            seen.unknown_flag = flag[1]
        seen.full |= _FULL in line
        seen.success |= SUCCESS in line
        seen.failed |= FAILED in line
    return seen


def _lines(log: Path) -> Iterator[str]:
    """One after the other, a very long one in pieces: a log may have 50 MB."""
    with log.open("rb") as file:
        while line := file.readline(_LINE_BYTES):
            yield line.decode("utf-8", "replace").rstrip("\r\n")


def _end(log: Path) -> str:
    return _short(" / ".join(line for line in tail_of(log) if line.strip()))


def _short(text: str) -> str:
    """One printable line."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."
