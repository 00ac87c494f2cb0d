"""Headless Chromium by the DevTools protocol, over a pipe: messages are JSON that ends in a zero byte."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # A request to another host is seen, and goes nowhere.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)
SECONDS = 30.0
# A page is at rest when this long nothing was on its way.
QUIET_SECONDS = 0.3


@dataclass
class Visit:
    """What the browser saw since the last :meth:`Browser.open`."""

    requested: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


class Browser:
    """One tab, and the workers that its pages start."""

    def __init__(self, write: IO[bytes], read: int) -> None:
        self._write, self._read, self._rest = write, read, b""
        self._next = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._on_the_way: set[str] = set()
        self._last_event = 0.0
        self._loaded = False
        self.visit = Visit()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._tab = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._watch(self._tab)
        for domain in ("Page", "Log"):
            self.tab(f"{domain}.enable")

    def open(self, url: str, width: int, height: int = 900, dark: bool = False) -> Visit:
        """Load a page in a window of this size and wait until nothing more is on its way."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tab("Emulation.setEmulatedMedia", features=[scheme])
        self.tab(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.visit, self._loaded = Visit(), False
        self._on_the_way.clear()
        self.tab("Page.navigate", url=url)
        self.wait(lambda: self._loaded)
        self.settle()
        return self.visit

    def settle(self) -> None:
        """Wait until no request is on its way and none has just been."""
        self.wait(lambda: not self._on_the_way and time.monotonic() > self._last_event + QUIET_SECONDS)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited where it is a promise."""
        done = self.tab("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(f"{script}: {done['exceptionDetails']}")
        return done["result"].get("value")

    def press(self, text: str) -> None:
        """Type into whatever has the focus."""
        self.tab("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        """What the window shows, as PNG."""
        path.write_bytes(base64.b64decode(self.tab("Page.captureScreenshot")["data"]))

    def tab(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the tab."""
        return self.call(method, self._tab, **parameters)

    def call(self, method: str, session: str = "", /, **parameters: Any) -> dict[str, Any]:
        """Call a method and wait for its result."""
        number = self._send(method, session, parameters)
        self.wait(lambda: number in self._answers)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def wait(self, until: Callable[[], bool]) -> None:
        """Take messages in until a condition holds; an error after :data:`SECONDS`."""
        deadline = time.monotonic() + SECONDS
        while not until():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the browser did not answer; on the way: {sorted(self._on_the_way)}")
            if select.select([self._read], [], [], 0.05)[0]:
                self._take(os.read(self._read, 1 << 20))

    def _send(self, method: str, session: str, parameters: dict[str, Any]) -> int:
        self._next += 1
        message = {"id": self._next, "method": method, "params": parameters} | (
            {"sessionId": session} if session else {}
        )
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        return self._next

    def _watch(self, session: str) -> None:
        """Not waited for: a worker that is at its start answers only once it runs."""
        follow = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self._send("Network.enable", session, {})
        self._send("Runtime.enable", session, {})
        self._send("Target.setAutoAttach", session, follow)
        self._send("Runtime.runIfWaitingForDebugger", session, {})

    def _take(self, data: bytes) -> None:
        if not data:
            raise RuntimeError("the browser has ended")
        *messages, self._rest = (self._rest + data).split(b"\0")
        for text in messages:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._event(message["method"], message["params"])

    def _event(self, method: str, it: dict[str, Any]) -> None:
        match method:
            case "Target.attachedToTarget" if it["waitingForDebugger"]:
                self._watch(it["sessionId"])
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self.visit.requested.append(it["request"]["url"])
                self._on_the_way.add(it["requestId"])
            case "Network.responseReceived" if it["response"]["status"] >= 400:
                self.visit.failed.append(f"{it['response']['url']}: {it['response']['status']}")
            case "Network.loadingFailed" if not it.get("canceled"):
                self.visit.failed.append(f"{it['type']}: {it['errorText']}")
            case "Runtime.consoleAPICalled" if it["type"] in ("error", "assert"):
                self.visit.said.append(" ".join(str(part.get("value", part.get("description"))) for part in it["args"]))
            case "Runtime.exceptionThrown":
                details = it["exceptionDetails"]
                self.visit.said.append(details.get("exception", {}).get("description", details["text"]))
            case "Log.entryAdded" if it["entry"]["level"] == "error":
                self.visit.said.append(it["entry"]["text"])
        if method.startswith("Network."):
            self._last_event = time.monotonic()
        if method in ("Network.loadingFinished", "Network.loadingFailed"):
            self._on_the_way.discard(it["requestId"])


@contextlib.contextmanager
def browser(program: str) -> Iterator[Browser]:
    """A browser with an empty profile, gone at the end."""
    to_browser, from_browser = os.pipe(), os.pipe()
    # The browser reads from descriptor 3 and writes to 4; ours are moved out of the way of those.
    inside = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_browser[0], from_browser[1])]
    os.close(to_browser[0])
    os.close(from_browser[1])
    with tempfile.TemporaryDirectory(prefix="neonext-pages-", ignore_cleanup_errors=True) as profile:
        command = ["bash", "-c", f'exec "$@" 3<&{inside[0]} 4>&{inside[1]}', "browser", program]
        command += [*FLAGS, f"--user-data-dir={profile}"]
        child = subprocess.Popen(command, pass_fds=inside, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for fd in inside:
            os.close(fd)
        try:
            with open(to_browser[1], "wb") as write:  # noqa: PTH123 (a descriptor)
                tab = Browser(write, from_browser[0])
                yield tab
                with contextlib.suppress(RuntimeError):
                    tab.call("Browser.close")
        finally:
            os.close(from_browser[0])
            child.terminate()
            child.wait()


__all__ = ["Browser", "Visit", "browser"]
