"""Requests one after the other, each of which must get its answer."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter

from neonext_ascend.data import sample_pictures


class Load:
    """Clients that each ask for one digit after the other until the end; every request is counted once."""

    def __init__(self, port: int, clients: int) -> None:
        self.answers: Counter[str] = Counter()
        self.longest, self.begun = 0.0, 0
        self._port, self._lock, self._over = port, threading.Lock(), False
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, count: int) -> None:
        """So many answers."""
        last = time.monotonic() + 240
        while self.answers.total() < count and time.monotonic() < last:
            time.sleep(0.01)

    def end(self) -> None:
        """What has begun is answered."""
        self._over = True
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        pictures = [path.read_bytes() for path in sample_pictures()]
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._over:
            with self._lock:
                self.begun += 1
                digit = self.begun % 10
            start = time.monotonic()
            try:
                connection.request("POST", "/classify?top=1", pictures[digit])
                got = connection.getresponse()
                body = got.read()
                right = got.status == 200 and json.loads(body)["top"][0]["label"] == str(digit)
                answer = "right" if right else f"{got.status} {body[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                answer = repr(error)
                connection.close()
            with self._lock:
                self.answers[answer] += 1
                self.longest = max(self.longest, time.monotonic() - start)
        connection.close()
