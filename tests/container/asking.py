"""In a container, by the image's own Python: ``asking.py READY LIVE COMMAND...`` starts a server, asks it, ends it.

READY and LIVE are the addresses of its probes. Standard output: one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from urllib.parse import urljoin

import httpx

from neonext_ascend.client import Client
from neonext_ascend.data import sample_pictures

SECONDS = 120


def main(ready: str, live: str, *command: str) -> int:
    """Exit status: the server's, or 1 where it is never ready."""
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        while not _holds(ready):
            if server.poll() is not None or time.monotonic() > started + SECONDS:
                server.kill()
                return 1
            time.sleep(0.1)
        seconds = time.monotonic() - started
        with Client(urljoin(ready, "/"), timeout=SECONDS) as client:
            named = {picture.stem: client.classify(picture, top=1)[0].label for picture in sample_pictures()}
        alive = _holds(live)
        server.terminate()
        status = server.wait(SECONDS)
    print(json.dumps({"named": named, "alive": alive, "seconds": round(seconds, 1)}))
    return status


def _holds(probe: str) -> bool:
    try:
        return httpx.get(probe, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
