"""What happens in the server, one JSON object a line on standard error."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from neonext_ascend.errors import NeoNextError

Log = Callable[..., None]


def log(event: str, **details: Any) -> None:
    """One line; who reads them may have gone."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **details}
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(json.dumps(line, default=str) + "\n")
        sys.stderr.flush()


class _Line(logging.Handler):
    """What a library has to say, as one of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            words: object = record.getMessage()
        except Exception:  # its arguments do not fit; whoever says it is not to fall over that
            words = record.msg
        said = {"level": record.levelname.lower(), "by": record.name, "words": words}
        if record.exc_info:
            said["traceback"] = logging.Formatter().formatException(record.exc_info)
        log("library", **said)


@contextlib.contextmanager
def libraries_logged() -> Iterator[None]:
    """Warnings and errors of libraries become lines of this log, where the program has set up no other."""
    kept, logging.lastResort = logging.lastResort, _Line(logging.WARNING)
    try:
        yield
    finally:
        logging.lastResort = kept


@contextlib.contextmanager
def told(event: str) -> Iterator[None]:
    """What ends with an error is told in one line too, for whoever catches it prints pages."""
    try:
        yield
    except NeoNextError as error:
        log(event, error=str(error))
        raise
