"""Which gear, which rows: decided by what was measured, and by who waits."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from neonext_ascend.serving.batching.gears import Gears
from neonext_ascend.serving.batching.work import Piece, Queue, Work

# Seconds far above what a batch costs beside.
PAYING = Gears({1: 1.0, 2: 1.2, 4: 1.6, 8: 4.0})


@pytest.mark.parametrize(("waiting", "gear"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 4), (7, 4), (100, 4)])
def test_the_gear_that_answers_most_rows_a_second_is_taken(waiting: int, gear: int) -> None:
    assert PAYING.choose(waiting) == gear


def test_the_best_gear_is_the_quickest_a_row_and_of_those_about_equal_the_smallest() -> None:
    assert (PAYING.best, PAYING.largest) == (4, 8)
    assert Gears({1: 1.0, 8: 100.0}).best == 1
    assert Gears({8: 1.0}).choose(1) == 8
    # A larger batch keeps its rows longer: for 4 % more rows a second it is not taken, for 6 % it is.
    assert (Gears({8: 1.0, 16: 1.92}).best, Gears({8: 1.0, 16: 1.88}).best) == (8, 16)


def test_what_a_batch_costs_beside_counts_where_it_is_a_third_of_it_and_not_where_it_is_a_twentieth() -> None:
    # Twice as long for twice the rows: the larger one saves that cost alone, 40 % and 2 % of the rate.
    assert Gears({1: 0.0004, 2: 0.0008}).choose(2) == 2
    assert Gears({1: 0.004, 2: 0.008}).choose(2) == 1


def test_only_a_gear_is_filled_up() -> None:
    assert Gears({4: 1.0}).fed(4, 3) == 4
    assert Gears({4: 1.0}, free=True).fed(4, 3) == 3


def work(rows: int) -> Work:
    return Work(0, np.zeros((rows, 1)), 0.0, asyncio.get_running_loop().create_future())


def test_rows_leave_in_their_order_and_a_large_request_in_parts() -> None:
    async def play() -> None:
        queue, first, second = Queue(), work(3), work(4)
        queue.add(first)
        queue.add(second)
        taken = queue.take(5)
        assert [(p.work, p.first, p.count) for p in taken] == [(first, 0, 3), (second, 0, 2)]
        assert queue.rows == 2
        second.put(0, [np.array([[1.0], [2.0]])])
        assert not second.over
        (rest,) = queue.take(5)
        assert (rest.first, rest.count, queue.rows) == (2, 2, 0)
        second.put(2, [np.array([[3.0], [4.0]])])
        assert second.answer.result()[0].ravel().tolist() == [1, 2, 3, 4]

    asyncio.run(play())


def test_what_nobody_waits_for_is_left_out_and_what_ended_a_process_travels_alone() -> None:
    async def play() -> None:
        queue, gone, blamed, other = Queue(), work(1), work(1), work(1)
        for each in (gone, blamed, other):
            queue.add(each)
        gone.answer.cancel()
        blamed.deaths = 1
        assert [piece.work for piece in queue.take(3)] == [blamed]
        assert [piece.work for piece in queue.take(3)] == [other]
        assert queue.head() is None
        assert queue.rows == 0
        # Behind another, too; its own pieces may go together.
        queue.add(other)
        for first in (0, 1):
            queue._pieces.append(Piece(blamed, first, 1))
        assert [piece.work for piece in queue.take(3)] == [other]
        assert [piece.first for piece in queue.take(3)] == [0, 1]

    asyncio.run(play())


def test_who_has_gone_is_answered_nothing_and_takes_no_room() -> None:
    async def play() -> None:
        queue, first, gone, last = Queue(), work(1), work(2), work(3)
        for each in (first, gone, last):
            queue.add(each)
        gone.answer.cancel()
        gone.put(0, [np.zeros((2, 1))])
        gone.fail(ValueError())
        assert gone.answer.cancelled()
        assert queue.rows == 6  # it stands between others
        queue.drop_over()
        assert queue.rows == 4
        assert queue.clear() == [first, last]
        assert (queue.rows, queue.head()) == (0, None)
        last.fail(ValueError("words"))
        with pytest.raises(ValueError, match="words"):
            last.answer.result()

    asyncio.run(play())
