"""Requests under way: each has its time, and the server's end waits for all of them."""

from __future__ import annotations

import asyncio
from types import TracebackType

from neonext_ascend.serving.refusals import RefusedError

_LATE = (504, "not computed in time: given up")


class UnderWay:
    """Those of every door.

    Attributes:
        draining: whether the server is ending: what comes now is refused.
    """

    def __init__(self) -> None:
        self.draining, self._bounds = False, set[_Bound]()

    @property
    def count(self) -> int:
        """Requests, those whose body still comes as well."""
        return len(self._bounds)

    def bound(
        self, until: float | None = None, late: tuple[int, str] = _LATE, kind: type[RefusedError] = RefusedError
    ) -> _Bound:
        """Around a request, or a part of its way.

        Args:
            until: on the loop's clock, when it is given up.
            late: status and words of the refusal that it then raises.
            kind: of the refusal that it raises with 503: the server is ending, or has waited long enough.
        """
        return _Bound(self, self._bounds, until, late, kind)

    def give_up(self) -> None:
        """Answer them with 503."""
        for bound in self._bounds:
            bound.give_up()


class _Bound:
    """One of them; no generator, which would cost every request some microseconds more."""

    __slots__ = ("_all", "_bounds", "_given_up", "_kind", "_late", "_time")

    def __init__(
        self,
        among: UnderWay,
        bounds: set[_Bound],
        until: float | None,
        late: tuple[int, str],
        kind: type[RefusedError],
    ) -> None:
        self._all, self._bounds, self._late, self._kind = among, bounds, late, kind
        self._time, self._given_up = asyncio.timeout_at(until), False

    def give_up(self) -> None:
        """Its time is over now."""
        if not self._time.expired():
            self._given_up = True
            self._time.reschedule(asyncio.get_running_loop().time())

    async def __aenter__(self) -> None:
        if self._all.draining:
            raise self._kind(503, "the server is ending; ask another", 1)
        await self._time.__aenter__()
        self._bounds.add(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bounds.discard(self)
        try:
            await self._time.__aexit__(kind, error, traceback)
        except TimeoutError:
            if self._given_up:
                raise self._kind(503, "given up: the server is ending; ask another", 1) from None
            raise RefusedError(*self._late) from None
