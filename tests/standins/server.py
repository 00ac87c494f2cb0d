"""A server of the Open Inference Protocol that does as a test says: slow, silent, with another status."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 3]}
ANSWER = {"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [0.5]}]}


@dataclass
class Standing:
    """What it does.

    Attributes:
        url: where it is.
        infer: the number of an inference, from 0, to its status; it may take its time.
        paths: of other answers than the usual ones: a status and JSON, or text.
        bodies: of inferences, with their headers.
        others: paths and bodies of other posts.
    """

    url: str = ""
    infer: Callable[[int], int] = lambda _: 200
    paths: dict[str, tuple[int, Any]] = field(default_factory=dict)
    bodies: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    others: list[tuple[str, bytes]] = field(default_factory=list)

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        usual: dict[str, tuple[int, Any]] = {
            "/v2": (200, {"name": "stand-in", "version": "9", "extensions": ["binary_tensor_data"]}),
            "/v2/health/ready": (200, {}),
            "/v2/repository/index": (200, [{"name": "m"}]),
            "/v2/models/m": (200, {"name": "m", "inputs": [TENSOR]}),
            **self.paths,
        }
        if path.endswith("/infer"):
            self.bodies.append((headers, body))
            status = self.infer(len(self.bodies) - 1)
            return status, ANSWER if status == 200 else {"error": "as the test has it"}
        if body:
            self.others.append((path, body))
        return usual.get(path, (404, {"error": f"unknown {path}"}))


@contextmanager
def standing(**how: Any) -> Iterator[Standing]:
    """One in a thread, on a free port."""
    stand, one_by_one = Standing(**how), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with one_by_one:
                status, told = stand.answer(self.path, dict(self.headers), body)
            text = told.encode() if isinstance(told, str) else json.dumps(told).encode()
            if status == 0:  # no answer
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # of 5 a burst of clients is dropped, and tries again after seconds

    with Server(("127.0.0.1", 0), Handler) as server:
        stand.url = f"http://127.0.0.1:{server.server_port}"
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients come and go
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stand
        finally:
            server.shutdown()
            thread.join()


def stalls(every: int, seconds: float) -> Callable[[int], int]:
    """All is answered; one in so many only after a pause, in which no other is."""

    def infer(number: int) -> int:
        if number % every == every - 1:
            time.sleep(seconds)
        return 200

    return infer
