"""From queues to devices: when a batch leaves, how large, and where it goes.

A batch leaves when enough rows wait for the best gear, or a device is idle and its oldest has waited ``max_delay``, or
one who waits would else go without an answer. A device computes one at a time; others are copied to it meanwhile only
when one is full, since a smaller one would still grow: one, or as many as keep it busy while the server is. Models take
turns by who has waited longest.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol

from neonext_ascend.serving.batching.gears import Gears
from neonext_ascend.serving.batching.work import Arrays, Batch, Queue, Work
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import Models
from neonext_ascend.serving.refusals import RefusedError

MOST_BATCHES = 8  # that a device has, with the one that it computes
MOST_DEATHS = 2
SPARE, SLOWER = 0.1, 2  # before a request is given up: seconds for its answer's way, and times what its batch takes


class Lane(Protocol):
    """A device as the dispatcher sees it."""

    ready: bool
    broken: bool
    inflight: list[Batch]
    gears: Sequence[Gears]

    def send(self, batch: Batch) -> None:
        """Copy it there."""


class Dispatcher:
    """All that waits, and the devices it waits for.

    Args:
        models: whose rows wait; each has a queue.
        lanes: the devices; filled by whoever starts them.
        limit: rows that may wait in all.
        max_delay: seconds that a batch may wait to grow.
        ahead: seconds of work that a device is given ahead; at least one batch, if that is full.
        metrics: told of each batch.
    """

    def __init__(self, models: Models, limit: int, max_delay: float, ahead: float, metrics: Metrics) -> None:
        self.lanes: list[Lane] = []
        self._models, self._limit, self._metrics = models, limit, metrics
        self._max_delay, self._ahead = max_delay, ahead
        self._queues = [Queue() for _ in models.all]
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return sum(queue.rows for queue in self._queues)

    def waiting_of(self, model: int) -> int:
        """Of them, a model's."""
        return self._queues[model].rows

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is computed."""
        return not self.waiting and not any(lane.inflight for lane in self.lanes)

    def submit(self, work: Work) -> None:
        """Take a request.

        Raises:
            RefusedError: 413 more rows than can ever wait; 429 too many wait; 503 no device answers.
        """
        if all(lane.broken for lane in self.lanes):
            raise RefusedError(503, "no device answers; see the server's log", 30)
        count = len(work.rows)
        if count > self._limit:
            raise RefusedError(413, f"a batch of {count}; expected at most {self._limit}: send it in parts")
        if self.waiting + count > self._limit:
            for queue in self._queues:
                queue.drop_over()
        if self.waiting + count > self._limit:
            raise RefusedError(
                429, f"{self.waiting} rows wait of {self._limit} that may; try again", self._retry_after()
            )
        self._queues[work.model].add(work)
        self.pump()

    def hurry(self) -> None:
        """From now on nothing waits for company: none will come."""
        self._max_delay = 0.0
        self.pump()

    def pump(self) -> None:
        """Send what can leave now, and wake up when the next can."""
        now, wake = asyncio.get_running_loop().time(), math.inf
        lanes = [lane for lane in self.lanes if lane.ready and self._takes_more(lane)]
        while lanes:
            # One batch at a time to who has fewest, so that no device gets ahead while another is idle.
            lane = min(lanes, key=lambda lane: len(lane.inflight))
            number, due = self._next(lane, now)
            if number is not None:
                self._send(lane, number, now)
            if number is None or not self._takes_more(lane):
                wake = min(wake, due if number is None else math.inf)
                lanes.remove(lane)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake < math.inf:
            self._timer = asyncio.get_running_loop().call_at(wake, self.pump)

    def _takes_more(self, lane: Lane) -> bool:
        waiting = lane.inflight[1:]
        seconds = sum(lane.gears[batch.model].seconds[batch.gear] for batch in waiting)
        return not waiting or (seconds < self._ahead and len(lane.inflight) < MOST_BATCHES)

    def _next(self, lane: Lane, now: float) -> tuple[int | None, float]:
        """The model whose rows leave for this device, the longest waiting first; or when one's will.

        A busy one is given none that would still grow, unless another model's would overtake it.
        """
        due, wake = None, math.inf
        heads = [
            (head.arrived, number, head) for number, q in enumerate(self._queues) if (head := q.head()) is not None
        ]
        for _, number, head in sorted(heads, key=lambda item: item[:2]):
            full = self._queues[number].rows >= lane.gears[number].best
            leaves = now if full else self._leaves(head, lane.gears[number])
            if due is None and now >= leaves:
                due = number
            if due is not None and (full or not lane.inflight):
                return due, now
            if not lane.inflight:
                wake = min(wake, leaves)
        return None, wake

    def _leaves(self, head: Work, gears: Gears) -> float:
        """When rows that are no full batch wait no longer for others; the first of them is the head's."""
        if not self._max_delay or head.deaths:
            return head.arrived
        queue, leaves = self._queues[head.model], head.arrived + self._max_delay
        if leaves <= queue.earliest - SPARE - SLOWER * gears.slowest:  # nearly always: it is asked with each request
            return leaves
        seconds = gears.seconds[gears.holding(queue.rows)]
        return min(leaves, queue.until() - SPARE - SLOWER * seconds)

    def _send(self, lane: Lane, number: int, now: float) -> None:
        queue, gears = self._queues[number], lane.gears[number]
        pieces = queue.take(gears.choose(queue.rows))
        rows = sum(piece.count for piece in pieces)
        gear = gears.holding(rows)
        for piece in pieces:
            if not piece.work.batch:
                piece.work.waited = now - piece.work.arrived
            piece.work.batch = rows
        model = self._models.all[number]
        self._metrics.batch.labels(model.name, model.version).observe(rows)
        self._metrics.gears.labels(model.name, model.version, str(gear)).inc()
        lane.send(Batch(number, gear, pieces))

    def answered(self, batch: Batch, outputs: Arrays, seconds: float) -> None:
        """A device has computed a batch."""
        at = 0
        for piece in batch.pieces:
            piece.work.computed = seconds
            piece.work.put(piece.first, [array[at : at + piece.count] for array in outputs])
            at += piece.count
        self.pump()

    def failed(self, batch: Batch, words: str) -> None:
        """A device could not compute a batch, and lives."""
        for piece in batch.pieces:
            piece.work.fail(RefusedError(500, f"the device gave no answer: {words}"))
        self.pump()

    def died(self, batches: Sequence[Batch]) -> None:
        """A device's process ended with these; the first is the one that it computed."""
        for batch in batches[:1]:
            for work in {id(piece.work): piece.work for piece in batch.pieces}.values():
                work.deaths += 1
                if work.deaths >= MOST_DEATHS:
                    work.fail(RefusedError(500, "the device's process ended twice while it computed this: refused"))
        for batch in reversed(batches):
            for piece in reversed(batch.pieces):
                if not piece.work.over:
                    self._queues[batch.model].give_back(piece)
        if all(lane.broken for lane in self.lanes):
            self.stop("no device answers; see the server's log")
        self.pump()

    def stop(self, words: str) -> None:
        """Answer all that waits with 503."""
        for queue in self._queues:
            for work in queue.clear():
                work.fail(RefusedError(503, words, 30))

    def _retry_after(self) -> int:
        """Seconds until about all that waits is computed."""
        lanes = [lane for lane in self.lanes if lane.ready]
        if not lanes:
            return 5
        gears = [lanes[0].gears[number] for number in range(len(self._queues))]
        work = sum(q.rows * g.seconds[g.best] / g.best for q, g in zip(self._queues, gears, strict=True))
        return max(1, math.ceil(work / len(lanes)))
