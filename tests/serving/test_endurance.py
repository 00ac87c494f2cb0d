"""The long runs are by hand; what they hold is held here to be able to fail."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.serving.endurance import faults


@pytest.mark.parametrize(
    ("answers", "kills", "grown", "wrong"),
    [
        ({"right": 100}, 0, 9.9, []),
        ({"right": 99, "500": 1}, 2, -20.0, []),
        ({"right": 100}, 2, 29.0, []),
        ({"right": 100}, 2, 31.0, ["the server's memory grew from 60.0 to 91.0 MB"]),
        ({"right": 99, "500": 1}, 0, 0.0, ["1 refused with 0 kills"]),
        ({"right": 99, "500": 1}, 1, 0.0, ["1 refused with 1 kills"]),
        ({"503": 100}, 20, 0.0, ["100 503"]),
        ({"right": 98, "wrong": 1, "lost": 1}, 20, 0.0, ["1 wrong", "1 lost"]),
        ({"right": 99}, 0, 0.0, ["99 answers to 100 requests"]),
        ({"right": 100}, 0, 10.1, ["the server's memory grew from 60.0 to 70.1 MB"]),
        ({"right": 100}, 0, float("nan"), ["the server's memory grew from 60.0 to nan MB"]),
    ],
)
def test_a_run_that_is_wrong_says_so(answers: dict[str, int], kills: int, grown: float, wrong: list[str]) -> None:
    memory = [(part, {"server": 60.0 + (grown if part == 10 else 0.0)}) for part in range(1, 11)]
    assert faults(Counter(answers), 100, kills, memory) == wrong
