"""What the stand-in ``acl`` holds: things with their addresses, the calls made, faults to inject, and misuse seen.

No address is given twice, so that every use after the end is seen.
"""

from __future__ import annotations

import functools
import itertools
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

INVALID, UNINITIALISED, REPEATED, REFUSED, INJECTED = 100000, 100001, 100002, 500002, 500000
How = Literal["code", "raise", "none"]


class Misuse(Exception):  # noqa: N818 -- it is no error of the stand-in
    """A call that breaks the documented contract; recorded, and answered with a code."""


class Refused(Exception):  # noqa: N818
    """A call that is right and fails all the same."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


@dataclass
class Thing:
    """Anything with an address.

    Args:
        kind: ``context``, ``model``, ``desc``, ``dataset``, ``data buffer``, ``device memory`` or ``host memory``.
        address: or a model's number.
        size: in bytes, of memory.
        context: in which it was made, of memory and models.
        content: what it is about.
        written: bytes that hold data.
    """

    kind: str
    address: int
    size: int = 0
    context: int = 0
    content: Any = None
    written: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.address:#x}"


@dataclass
class State:
    """All of it."""

    soc: str | None = None
    initialised: bool = False
    devices: set[int] = field(default_factory=set)
    things: dict[int, Thing] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    current: dict[int, int] = field(default_factory=dict)
    stuck: set[tuple[str, int | None]] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    misuse: list[str] = field(default_factory=list)
    faults: list[tuple[int | str, How]] = field(default_factory=list)
    message: str = ""
    addresses: Any = field(default_factory=lambda: itertools.count(0x7F00_0000_0000, 0x1000_0000))

    def make(self, kind: str, **about: Any) -> int:
        thing = Thing(kind, next(self.addresses), **about)
        self.things[thing.address] = thing
        return thing.address

    def get(self, kind: str, address: object) -> Thing:
        if not isinstance(address, int):
            raise Misuse(f"{address!r} is no address of a {kind}")
        if address in self.ended:
            raise Misuse(f"{self.ended[address]} is used after its end")
        thing = self.things.get(address)
        if thing is None or thing.kind != kind:
            raise Misuse(f"{address:#x} is {thing or 'unknown'}; expected a {kind}")
        return thing

    def end(self, kind: str, address: object) -> Thing:
        thing = self.get(kind, address)
        self.ended[thing.address] = str(self.things.pop(thing.address))
        return thing

    def alive(self, *kinds: str, context: int | None = None) -> list[Thing]:
        """Those that should have been given back; what a failed release left is not counted."""
        return [
            thing
            for thing in self.things.values()
            if thing.kind in kinds
            and (context is None or thing.context == context)
            and (thing.kind, thing.address) not in self.stuck
        ]

    def none_alive(self, what: str, *kinds: str, context: int | None = None) -> None:
        if left := self.alive(*kinds, context=context):
            raise Misuse(f"{what} before {', '.join(map(str, left))}")

    def need_context(self) -> int:
        self.need_init()
        context = self.current.get(threading.get_ident())
        if context not in self.things:
            raise Misuse("this thread has no context")
        assert context is not None
        return context

    def need_init(self) -> None:
        if not self.initialised:
            raise Misuse("acl.init comes first")

    def fault(self, number: int, name: str) -> How | None:
        """The fault that is to be injected here, once."""
        for which, how in self.faults:
            if which in (number, name):
                self.faults.remove((which, how))
                return how
        return None


STATE = State()
# References to an object that only its holder has, as sys.getrefcount counts them.
_HOLDER = Thing("", 0, content=bytes(100_001))
_ALONE = sys.getrefcount(_HOLDER.content)


def dropped(owner: Thing) -> bool:
    """Whether nobody but the stand-in still holds the bytes behind a host pointer."""
    return sys.getrefcount(owner.content) <= _ALONE


def api(
    name: str, form: Literal["code", "value", "value, code"], *, ends: str | None = None, failed: Any = 0
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function a call of pyACL: recorded, open to faults, answering in its form.

    Args:
        name: as users write it.
        form: of the answer; the function itself returns its value or nothing.
        ends: the kind of thing whose end it is.
        failed: the value in place of one.
    """

    def answer(value: Any, code: int) -> Any:
        return {"code": code, "value": value, "value, code": (value, code)}[form]

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any) -> Any:
            number = len(STATE.calls)
            STATE.calls.append(name)
            how = STATE.fault(number, name)
            if how is not None:
                if ends is not None:
                    STATE.stuck.add((ends, args[0] if args else None))
                STATE.message = f"injected into call {number}"
                if how == "raise":
                    raise RuntimeError(STATE.message)
                return answer(failed, INJECTED) if how == "code" else {"value, code": (None, 0)}.get(form)
            try:
                return answer(function(*args), 0)
            except Misuse as error:
                STATE.misuse.append(f"{name}: {error}")
                STATE.message = str(error)
                return answer(failed, INVALID if STATE.initialised else UNINITIALISED)
            except Refused as error:
                STATE.message = str(error)
                return answer(failed, error.code)

        return call

    return wrap
