"""What signals ask for while a server starts, serves and ends."""

from __future__ import annotations

import signal
import time

import pytest

from neonext_ascend.serving.life import Life, hearing
from tests.serving.conftest import Nano
from tests.support.serving import serving

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


class _Asked(Life):
    """Only notes what it is asked."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def stop(self) -> None:
        self.seen.append("stop")

    def reload(self) -> None:
        self.seen.append("reload")


def test_each_part_of_its_life_has_its_own_answer_to_a_signal() -> None:
    kept, life = [signal.getsignal(number) for number in SIGNALS], _Asked()
    with hearing() as wishes:
        signal.raise_signal(signal.SIGHUP)
        for number in (signal.SIGTERM, signal.SIGINT):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
        assert life.seen == []
        wishes.heed(life)
        assert life.seen == ["reload"]
        for number in SIGNALS:
            signal.raise_signal(number)
        assert life.seen == ["reload", "reload", "stop", "stop"]
        wishes.over()
        for number in SIGNALS:
            signal.raise_signal(number)
    assert life.seen == ["reload", "reload", "stop", "stop"]
    assert [signal.getsignal(number) for number in SIGNALS] == kept


def test_a_hangup_at_any_moment_of_its_end_changes_nothing(nano: Nano) -> None:
    with serving(f"nano={nano.one}") as up:
        up.process.send_signal(signal.SIGTERM)
        while up.process.poll() is None:
            up.process.send_signal(signal.SIGHUP)
            time.sleep(0.001)
        assert up.process.returncode == 0
