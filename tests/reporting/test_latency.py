"""Latencies in words."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from neonext_ascend.reporting.latency import latency_table, machine_lines, ratio_lines
from neonext_ascend.reporting.words import WIDTH
from neonext_ascend.timing.entry import Contender, Entry, ratios_to_first
from neonext_ascend.timing.latency import Ratio, Timing


def entry(milliseconds: float, name: str = "x.onnx", ratio: Ratio | None = None) -> Entry:
    who = Contender(name, Path("/") / name, "fp32", 1, 1, "a runtime", lambda: nullcontext(int))
    return Entry(who, Timing([[[milliseconds / 1000] * 9]] * 6), ratio)


def in_batches(of: Entry, batch: int) -> Entry:
    return replace(of, of=replace(of.of, batch=batch))


def test_the_table_keeps_its_width_whatever_it_holds() -> None:
    huge = entry(123456.789, "long/" * 40 + "name.onnx")
    tiny = replace(in_batches(entry(0.0123), 65536), timing=Timing([[[1.23e-5] * 10**5]] * 60))
    lines = latency_table([huge, tiny])
    assert max(map(len, lines)) <= WIDTH
    assert lines[0].startswith("A  ...")
    assert lines[0].endswith("long/name.onnx")
    header, first, second = lines[-3:]
    assert len(header) == len(first) == len(second)
    assert second.split() == ["B", "fp32", "65536", "6000000", *["0.0123"] * 6, "5328130081"]


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        ((0.93, 0.91, 0.95), "B / A: 0.93 (95 % interval 0.91 to 0.95)"),
        ((1.004, 0.98, 1.02), "B / A: 1.00 (95 % interval 0.98 to 1.02): no difference seen"),
        ((0.98, 0.96, 0.9996), "B / A: 0.9800 (95 % interval 0.9600 to 0.9996)"),
        ((1.0012, 1.0008, 1.0021), "B / A: 1.001 (95 % interval 1.001 to 1.002)"),
        ((12.34, 10.0, 20.0), "B / A: 12.34 (95 % interval 10.00 to 20.00)"),
        ((1.0, 1.0, 1.0), "B / A: 1.00000 (95 % interval 1.00000 to 1.00000): no difference seen"),
    ],
)
def test_a_ratio_in_words(ratio: tuple[float, float, float], text: str) -> None:
    assert ratio_lines([entry(1), entry(1, ratio=Ratio(*ratio))]) == [text]


def test_a_ratio_between_batches_says_so() -> None:
    other = in_batches(entry(2, ratio=Ratio(2, 1.9, 2.1)), 8)
    assert ratio_lines([entry(1), other]) == ["B / A: 2.00 (95 % interval 1.90 to 2.10; of whole runs, batches differ)"]


def test_ratios_are_against_the_first() -> None:
    timings = [entry(ms).timing for ms in (2, 1, 3)]
    first, half, more = ratios_to_first(timings)
    assert first is None
    assert half is not None
    assert more is not None
    assert [half.median, more.median] == pytest.approx([0.5, 1.5])


def test_the_machine_in_words_is_at_most_80_wide() -> None:
    machine = {"cpu": "Some Very Long Processor Name (R) With Suffixes @ 2.00GHz" * 2, "cores": 1, "governor": None}
    lines = machine_lines({**machine, "load": 0.5}, {f"library{i}": "1.2.3" for i in range(9)})
    assert max(map(len, lines)) <= WIDTH
    assert "1 core, governor unknown, load 0.5" in " ".join(lines)
