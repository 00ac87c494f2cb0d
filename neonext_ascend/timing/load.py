"""A load on a server: when each request is meant to be sent, what became of it, and one server's result.

In a closed loop each client sends its next request when its last is answered. In an open loop requests are meant for
moments that do not depend on the server, and a latency counts from that moment: one that stalls cannot hide the
requests that it kept from being sent (G. Tene's *coordinated omission*).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any, Literal

import numpy as np

from neonext_ascend.timing.entry import Entry
from neonext_ascend.timing.latency import sign_interval

Arrivals = Literal["poisson", "fixed"]
Encoding = Literal["auto", "binary", "json"]  # of tensors; ``auto`` is binary where the server has it
# In each sitting, before what counts: a share of its seconds, within bounds.
_WARM_UP, _SHORTEST, _LONGEST = 0.2, 0.05, 2.0
KEEPS_UP = 0.9  # a server that answers a smaller share of what it was to be sent does not keep up
NOT_SENT = "not sent"  # the kind of error where no client was free, and the sitting long over
_LATEST = 0.2  # seconds after a sitting in which is sent what was meant for it, at least; else as long as it was


@dataclass(frozen=True, slots=True)
class Load:
    """How a server is asked.

    Args:
        clients: connections, each with one request under way.
        rate: requests a second in an open loop; ``None`` is a closed one.
        arrivals: in an open loop, at random (a Poisson process) or evenly.
        seed: of the random moments.
        timeout: seconds after which a client gives a request up.
    """

    clients: int = 1
    rate: float | None = None
    arrivals: Arrivals = "poisson"
    seed: int = 0
    timeout: float = 30.0

    def moments(self, span: float, sitting: int) -> list[float]:
        """When the requests of an open loop are meant to be sent, in seconds from when they count, for ``span`` more.

        Those below 0 warm up.
        """
        before, rate = warm_up_seconds(span), self.rate or 0.0
        if self.arrivals == "fixed":
            # 0.07 * 100 is a little more than 7, which is no eighth request.
            return [number / rate for number in range(-int(rate * before), math.ceil(round(rate * span, 6)))]
        lots = np.random.RandomState([self.seed, sitting])
        # Given their number, a Poisson process's moments are uniform.
        found: list[float] = np.sort(lots.uniform(-before, span, lots.poisson(rate * (before + span)))).tolist()
        return found

    def latest(self, span: float) -> float:
        """Seconds after a sitting from which on nothing more is sent of what was meant for it."""
        return min(self.timeout, max(_LATEST, span))

    def fewest(self, span: float, sittings: int) -> int:
        """Requests that count in that of an open loop's sittings which has fewest; ``span`` seconds of each count."""
        each = (self.moments(span, sitting) for sitting in range(sittings))
        return min(sum(moment >= 0 for moment in moments) for moments in each)

    def words(self) -> str:
        """For people."""
        clients = f"{self.clients} client{'' if self.clients == 1 else 's'}"
        if self.rate is None:
            return f"closed loop, {clients}"
        return f"open loop, {self.rate:g} requests a second ({self.arrivals}), {clients}"


def warm_up_seconds(seconds: float) -> float:
    """How long a sitting warms up that counts for so long."""
    return min(_LONGEST, max(_SHORTEST, _WARM_UP * seconds))


@dataclass(slots=True)
class LoadSitting:
    """What became of the requests that were meant for the part of a sitting that counts.

    Attributes:
        span: its seconds.
        latencies: of good answers, in seconds from the moment meant.
        answered: good answers that came within it, whenever they were asked for.
        errors: others, by HTTP status, or ``timeout`` (given up by the client), ``connection`` (none, or lost) and
            :data:`NOT_SENT`.
        words: of the first of each status, as the server said them.
        late: seconds from the moment meant until a client was free and sent it.
        client: the share of a core that this side took.
    """

    span: float
    latencies: list[float] = field(default_factory=list)
    answered: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    client: float = 0.0

    @property
    def answers_per_second(self) -> float:
        """Good ones."""
        return _over(self.answered, self.span)


@dataclass(frozen=True, slots=True)
class LoadEntry(Entry):
    """One server's result; ``timing`` has a round a sitting, ``ratio`` is of latencies against the first."""

    load: Load
    sittings: Sequence[LoadSitting]

    @property
    def answers_per_second(self) -> float:
        """Good ones, over all sittings."""
        return _over(sum(sitting.answered for sitting in self.sittings), self._span)

    @property
    def images_per_second(self) -> float:
        """Rows of good answers a second."""
        return _over(self.of.batch * sum(sitting.answered for sitting in self.sittings), self._span)

    @property
    def errors(self) -> Counter[str]:
        """By kind, most frequent first."""
        return Counter(dict(sum((sitting.errors for sitting in self.sittings), Counter[str]()).most_common()))

    @property
    def client(self) -> float:
        """The share of a core that this side took."""
        return fmean(sitting.client for sitting in self.sittings)

    @property
    def asked_per_second(self) -> float:
        """Requests that were meant to be sent, a second."""
        meant = sum(len(sitting.latencies) + sitting.errors.total() for sitting in self.sittings)
        return _over(meant, self._span)

    @property
    def _span(self) -> float:
        return math.fsum(sitting.span for sitting in self.sittings)

    @property
    def keeps_up(self) -> bool:
        """Whether about all that was meant to be sent in an open loop was answered meanwhile."""
        return self.load.rate is None or self.answers_per_second >= KEEPS_UP * self.asked_per_second

    def to_json(self) -> dict[str, Any]:
        """By name; intervals are of a sitting's figure."""
        told = Entry.to_json(self)
        per_second = [sitting.answers_per_second for sitting in self.sittings]
        intervals = {"answers_per_second": sign_interval(per_second)}
        for name in ("p50", "p99"):
            each = [1e3 * float(np.percentile(s.latencies, int(name[1:]))) for s in self.sittings]
            intervals[f"{name}_ms"] = sign_interval(each)
        late = [1e3 * seconds for sitting in self.sittings for seconds in sitting.late]
        return {
            **{name: told[name] for name in told if name not in ("path", "threads", "warm_up_runs", "runtime")},
            "server": self.of.where,
            "answers_per_second": self.answers_per_second,
            "median_of_sittings": round(median(per_second), 6),
            "intervals": {name: {"low": low, "high": high} for name, (low, high) in intervals.items()},
            "errors": dict(self.errors),
            "asked_per_second": self.asked_per_second,
            "keeps_up": self.keeps_up,
            "sent_late_ms": {"p50": float(np.percentile(late, 50)), "p99": float(np.percentile(late, 99))},
            "client_cores": self.client,
        }


def _over(count: int, span: float) -> float:
    """A second, without the last digits, which are rounding."""
    return round(count / span, 6)
