"""What a device's process is told, and what the server makes of what it says; no process is started here."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from neonext_ascend.serving.batching.dispatcher import MOST_BATCHES
from neonext_ascend.serving.batching.work import Batch, Piece, Work
from neonext_ascend.serving.device import process as processes
from neonext_ascend.serving.device.frames import frame
from neonext_ascend.serving.device.process import Process
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.settings import Settings
from tests.serving.test_faults import Events

OPENED = [{"gears": [[1, 1.0], [2, 3.0]], "free": False}, {"gears": [[4, 0.5]], "free": True}]
DTYPES = ("float32", "uint8")
INNER = 2100  # of a row; some pages a batch


class Stand:
    """A process's place in the server, with a socket that keeps what is written."""

    def __init__(self, **settings: Any) -> None:
        self.told: list[Any] = []
        self.done: list[tuple[str, Any]] = []
        self.log = Events()
        models: Any = SimpleNamespace(
            all=[SimpleNamespace(input=SimpleNamespace(shape=("N", INNER), dtype=d)) for d in DTYPES]
        )
        desk: Any = SimpleNamespace(
            answered=lambda batch, outputs, _: self.done.append(("answered", (batch, outputs))),
            failed=lambda batch, words: self.done.append((words, batch)),
            died=lambda batches: self.done.append(("died", batches)),
        )
        self.process = Process(0, models, Settings(**settings), desk, Metrics(), self.log)
        self.process._memory_number = os.memfd_create("test")
        self.process._take_opened(OPENED)
        self.process._writer = SimpleNamespace(write=self._write, transport=self, wait_closed=self._closed)  # type: ignore[assignment] # all of it that is used

    def _write(self, frame: bytes) -> None:
        self.told.append(msgspec.json.decode(frame[8:]))

    def abort(self) -> None:
        self.done.append(("aborted", None))

    async def _closed(self) -> None:
        pass

    def send(self, model: int, gear: int, *rows: int) -> tuple[Batch, np.ndarray[Any, Any]]:
        """A batch of pieces; and its rows as they lie in the memory now, and later."""
        loop = asyncio.get_running_loop()
        lots = np.random.RandomState(len(self.told))
        works = [
            Work(model, lots.randint(0, 255, (n + 1, INNER)).astype(DTYPES[model]), 0.0, loop.create_future())
            for n in rows
        ]
        batch = Batch(model, gear, [Piece(work, 1, n) for work, n in zip(works, rows, strict=True)])
        self.process.send(batch)
        assert self.process._memory is not None
        shape = (sum(rows), INNER)
        there = np.frombuffer(self.process._memory, DTYPES[model], shape[0] * INNER, self.told[-1]["offset"]).reshape(
            shape
        )
        np.testing.assert_array_equal(there, np.concatenate([work.rows[1:] for work in works]))
        return batch, there


def test_each_batch_lies_in_a_place_of_its_own_until_it_is_answered() -> None:
    async def play() -> None:
        stood = Stand()
        sent = [stood.send(n % 2, (2, 4)[n % 2], *((1, 1), (3, 1))[n % 2]) for n in range(2 * MOST_BATCHES)]
        kept = [rows.copy() for _, rows in sent]
        # A filled gear writes beyond its rows, up to the largest.
        assert {(told["rows"], told["fed"]) for told in stood.told} == {(2, 2), (4, 4)}
        for (_, rows), before in zip(sent, kept, strict=True):
            np.testing.assert_array_equal(rows, before)
        assert [told["batch"] for told in stood.told] == list(range(1, 1 + 2 * MOST_BATCHES))
        outputs = [{"dtype": "float32", "shape": [2, 1]}, {"dtype": "uint8", "shape": [2, 2]}]
        payload = np.array([1, 2], np.float32).tobytes() + bytes([3, 4, 5, 6])
        stood.process._take_answer({"batch": 1, "outputs": outputs, "seconds": 0.0}, payload)
        ((what, (batch, values)),) = stood.done
        assert (what, batch) == ("answered", sent[0][0])
        assert [array.tolist() for array in values] == [[[1], [2]], [[3, 4], [5, 6]]]
        stood.send(0, 1, 1)
        assert stood.told[-1]["offset"] == stood.told[0]["offset"]
        for (_, rows), before in list(zip(sent, kept, strict=True))[1:]:
            np.testing.assert_array_equal(rows, before)
        number = stood.process._memory_number
        del rows, sent, before
        await stood.process._end()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)

    asyncio.run(play())


def test_who_computes_has_its_time_from_its_turn_on() -> None:
    async def play() -> None:
        stood, loop = Stand(hang=30.0), asyncio.get_running_loop()

        def left() -> float:
            assert stood.process._watch is not None
            return stood.process._watch.when() - loop.time()

        stood.send(0, 1, 1)
        stood.send(0, 2, 2)
        assert left() == pytest.approx(30, abs=5)
        said = {"outputs": [], "seconds": 0.0}
        stood.process._take_answer(said, b"")
        assert left() == pytest.approx(60, abs=5)  # 20 times what its gear takes
        stood.process._take_answer(said, b"")
        assert stood.process._watch is None
        await stood.process._end()

    asyncio.run(play())


def test_so_many_failures_in_a_row_end_it_and_no_others() -> None:
    async def play() -> None:
        stood = Stand()
        wrong, right = {"error": "words"}, {"outputs": [], "seconds": 0.0}
        ended = []
        for said in (wrong, wrong, right, wrong, wrong, wrong, wrong):
            stood.send(0, 1, 1)
            stood.process._take_answer(said, b"")
            ended.append(stood.log.seen["device ended"])
        assert ended == [0, 0, 0, 0, 0, 1, 1]
        assert [what for what, _ in stood.done] == ["words"] * 2 + ["answered"] + ["words"] * 4
        await stood.process._end()

    assert processes.FAILURES == 3
    asyncio.run(play())


def test_what_is_no_answer_is_a_device_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        stood = Stand()
        batch, _ = stood.send(0, 1, 1)
        stood.process._reader = asyncio.StreamReader()
        stood.process._reader.feed_data(
            frame({"outputs": [{"dtype": "float32", "shape": [3]}], "seconds": 0.0}, b"none")
        )

        async def again() -> None:
            raise asyncio.CancelledError

        monkeypatch.setattr(stood.process, "_open", again)
        with pytest.raises(asyncio.CancelledError):
            await stood.process._live()
        assert stood.done == [("aborted", None), ("died", [batch])]
        assert "ValueError" in stood.log.last["bug"]["traceback"]
        assert stood.log.seen["device lost"] == 1

    monkeypatch.setattr(processes, "_PAUSE", 0.0)
    asyncio.run(play())
