"""What runs in a device's process: it opens the artifacts, says what they are, and answers batches one by one.

Started by the server with a socket and a shared memory, which it is told by their numbers; it ends when the server's
end of the socket closes. The rows of a batch lie in the memory, everything else goes through the socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from neonext_ascend.artifacts.names import readable
from neonext_ascend.errors import NeoNextError
from neonext_ascend.serving.device.frames import frame, packed, receive
from neonext_ascend.serving.device.opening import Opened, open_checked

_PR_SET_PDEATHSIG = 1  # of prctl: the signal that comes when the parent ends


def main(arguments: list[str]) -> int:
    """Run until the server goes; ``arguments``: the numbers of the socket and of the memory."""
    # A computation that hangs never sees the socket close; it would keep the device from the next process.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Ctrl-C on a terminal reaches every process; the server decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    connection = socket.socket(fileno=int(arguments[0]))
    asked = receive(connection)
    if asked is None:
        return 0
    try:
        opened = [_opened(asked[0], model) for model in asked[0]["models"]]
    except NeoNextError as error:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server has gone
            connection.sendall(frame({"error": readable(str(error)), "exit_code": error.exit_code}))
        return error.exit_code
    try:
        connection.sendall(frame({"opened": [model.to_json() for model in opened]}))
        _answer(connection, int(arguments[1]), opened)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server has gone
    finally:
        for model in opened:
            model.runner.close()
    return 0


def _opened(asked: dict[str, Any], model: dict[str, Any]) -> Opened:
    path = Path(os.fsdecode(bytes.fromhex(model["path"])))  # a file's name need be no text, and a frame's words are
    return open_checked(path, asked["runtime"], asked["device"], asked["threads"], model["sha256"])


def _answer(connection: socket.socket, memory_number: int, opened: list[Opened]) -> None:
    memory: mmap.mmap | None = None
    while (asked := receive(connection)) is not None:
        batch = asked[0]
        # The server has sized the memory once it knew the gears, before the first batch.
        memory = memory or mmap.mmap(memory_number, 0)
        start = time.perf_counter()
        try:
            outputs = _run(opened[batch["model"]], memory, batch)
        except NeoNextError as error:
            connection.sendall(frame({"batch": batch["batch"], "error": readable(str(error))}))
            continue
        seconds = time.perf_counter() - start
        described, payload = packed(outputs)
        connection.sendall(frame({"batch": batch["batch"], "seconds": seconds, "outputs": described}, payload))


def _run(model: Opened, memory: mmap.mmap, batch: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    runner, rows, fed = model.runner, batch["rows"], batch["fed"]
    spec = runner.inputs[0]
    shape = (fed, *(int(n) for n in spec.shape[1:]))
    count = math.prod(shape)
    array = np.frombuffer(memory, spec.dtype, count, batch["offset"]).reshape(shape)
    array[rows:] = array[rows - 1]  # a gear is filled up with its last picture
    values = runner.infer({spec.name: array})
    return [np.ascontiguousarray(values[output.name][:rows]) for output in runner.outputs]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
