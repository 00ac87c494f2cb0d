"""A server started by its command, as a user starts it, on ports of its own; ended whatever happens."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

NOTES = ("note: ", "warning: ", "  ")


class Answer(NamedTuple):
    """Of HTTP."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served(NamedTuple):
    """A running server."""

    process: subprocess.Popen[str]
    port: int
    grpc: str | None
    said: str

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=900)
        try:
            connection.request(method, path, body, headers or {})
            got = connection.getresponse()
            return Answer(got.status, got.headers, got.read())
        finally:
            connection.close()

    def devices(self) -> list[int]:
        """The process numbers of its devices' processes."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


def serving(*arguments: object, threads: int = 1) -> AbstractContextManager[Served]:
    """``neonext-ascend serve`` with these arguments."""
    words = ["neonext_ascend", "serve", *map(str, arguments), "--port", "0", "--threads", str(threads)]
    return started(words)


@contextmanager
def started(words: Sequence[str]) -> Iterator[Served]:
    """A server that a module of Python starts, named and told by ``words``; it says on a line where it listens."""
    command = [sys.executable, "-m", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    errors: list[str] = []
    assert process.stderr is not None
    assert process.stdout is not None
    reading = threading.Thread(target=lambda: errors.extend(process.stderr or ()))
    reading.start()
    try:
        line = process.stdout.readline()
        found = re.search(r"at https?://127\.0\.0\.1:(\d+)(?:, gRPC at (\S+))?", line)
        assert found, (line, errors)
        yield Served(process, int(found[1]), found[2], line)
    finally:
        process.terminate()
        process.wait(120)
        reading.join()
        process.stdout.close()
        process.stderr.close()
    # A line that is no JSON is a note to the user, before the server is ready.
    assert all(json.loads(line)["event"] != "bug" for line in errors if not line.startswith(NOTES)), errors
