"""A server that says on each connection what a test has written for it, byte for byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Script = Callable[[socket.socket], None]


@contextmanager
def talking(*scripts: Script, host: str = "127.0.0.1") -> Iterator[int]:
    """One script for each connection, in the order that they come; its port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:

        def serve() -> None:
            with suppress(OSError):  # the test is over
                for script in scripts:
                    connection = listening.accept()[0]
                    with connection:
                        connection.settimeout(30)
                        script(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def says(*answers: bytes) -> Script:
    """An answer for each request, which is read first; then it closes."""

    def script(connection: socket.socket) -> None:
        for answer in answers:
            got = b""
            while b"\r\n\r\n" not in got:
                more = connection.recv(65536)
                if not more:
                    return
                got += more
            connection.sendall(answer)

    return script
