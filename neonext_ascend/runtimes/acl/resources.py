"""What pyACL holds for us, and how it is given back: in reverse order, all of it, whatever fails on the way."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from neonext_ascend.errors import NeoNextError
from neonext_ascend.runtimes.acl.calls import REPEAT_INITIALIZE, AclCalls


class Releases:
    """The calls that give back what was taken, as a stack."""

    def __init__(self, calls: AclCalls) -> None:
        self._calls = calls
        self._stack: list[tuple[str, tuple[Any, ...]]] = []

    def push(self, name: str, *args: Any, beneath: int = 0) -> None:
        """Remember a call; it is made before those that are already here, but for the last ``beneath`` of them."""
        self._stack.insert(len(self._stack) - beneath, (name, args))

    def run(self) -> NeoNextError | None:
        """Make all calls, last first, and forget them; the first error, if any."""
        first = None
        while self._stack:
            name, args = self._stack.pop()
            try:
                self._calls(name, *args)
            except NeoNextError as error:
                first = first or error
        return first


class Process:
    """ACL's state in this process: initialised once, each device set once, however many runners are open.

    ``acl.finalize`` ends ACL for the whole process, and ``acl.rt.reset_device`` frees what others hold on the device:
    only the last runner makes these calls, hence the counts. ACL that somebody else initialised (torch_npu) is theirs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: Counter[int] = Counter()
        self._ours = False

    def enter(self, calls: AclCalls, device: int) -> None:
        """Initialise ACL and set the device where no runner has.

        Raises:
            ToolchainError: ACL does not start, or has no such device.
        """
        with self._lock:
            if not self._users and calls("acl.init") != REPEAT_INITIALIZE:
                self._ours = True
            try:
                if not self._users[device]:
                    calls("acl.rt.set_device", device)
            except BaseException:
                self._forget(device)
                self._end(calls)
                raise
            self._users[device] += 1

    def leave(self, calls: AclCalls, device: int) -> NeoNextError | None:
        """The last runner on a device resets it, the last of all ends ACL; the first error, if any."""
        with self._lock:
            self._users[device] -= 1
            last = self._forget(device)
            error = _tried(calls, "acl.rt.reset_device", device) if last and self._ours else None
            ended = self._end(calls)
            return error or ended

    def _forget(self, device: int) -> bool:
        """Drop the count of a device without users."""
        if self._users[device] > 0:
            return False
        del self._users[device]
        return True

    def _end(self, calls: AclCalls) -> NeoNextError | None:
        if self._users or not self._ours:
            return None
        error = _tried(calls, "acl.finalize")
        # ACL that did not end is still ours: the next runner finds it initialised, and ends it.
        self._ours = error is not None
        return error


def _tried(calls: AclCalls, name: str, *args: Any) -> NeoNextError | None:
    try:
        calls(name, *args)
    except NeoNextError as error:
        return error
    return None


PROCESS = Process()
