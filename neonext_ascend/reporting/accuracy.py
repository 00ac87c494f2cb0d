"""Accuracy in words: shares with their intervals, each two artifacts, and what was the limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neonext_ascend.evaluate.accuracy import Accuracy, Share
from neonext_ascend.evaluate.paired import Pair
from neonext_ascend.images.pace import Pace
from neonext_ascend.reporting.words import LETTERS, labelled

_TESTS = {"exact": "McNemar, exact", "continuity-corrected": "McNemar, continuity-corrected"}


def accuracy_lines(results: Sequence[Accuracy], classes: str, failed: int) -> list[str]:
    """Each artifact's shares; then what they were counted on."""
    lines = []
    for letter, result in zip(LETTERS, results, strict=False):
        lines += labelled("artifact" if len(results) == 1 else letter, str(result.artifact))
        lines += labelled("top-1", share_text(result.top1))
        lines += labelled("top-5", share_text(result.top5))
        if result.published is not None:
            low, high = result.top1.interval
            place = "within" if 100 * low <= result.published.top1 <= 100 * high else "outside"
            told = f"{result.published.top1:.2f} % ({result.published.source}): {place} the interval"
            lines += labelled("", f"published for ImageNet's 50,000 validation pictures: {told}")
    left_out = f"; {failed} could not be read" if failed else ""
    return [*lines, *labelled("pictures", f"{results[0].top1.images}{left_out}; classes by {classes}")]


def share_text(share: Share) -> str:
    """``98.61 % (95 % interval 96.79 to 99.41), 355 of 360``."""
    low, high = share.interval
    interval = f"95 % interval {100 * low:.2f} to {100 * high:.2f}"
    return f"{100 * share.value:.2f} % ({interval}), {share.right} of {share.images}"


def pair_lines(pair: Pair, most: float | None) -> list[str]:
    """Discordant pictures, the test, the drop; and the gate's word, where there is a bound."""
    first, second = LETTERS[pair.first], LETTERS[pair.second]
    verdict = "" if pair.p_value < 0.05 else ": no difference seen"
    test = f"{_TESTS[pair.test]}: p = {pair.p_value:.2g}{verdict}"
    lines = labelled(
        f"{first}, {second}", f"{pair.only_first} right only in {first}, {pair.only_second} only in {second}; {test}"
    )
    drop = pair.drop
    bounds = f"one-sided 95 % bounds {drop.low:.2f} and {drop.high:.2f}"
    lines += labelled("", f"drop from {first} to {second}: {drop.points:.2f} points ({bounds})")
    return lines if most is None or pair.first else lines + labelled("gate", gate_text(pair, most))


def gate_text(pair: Pair, most: float) -> str:
    """Whether the second artifact passes."""
    gate = pair.gate(most)
    if gate.refused:
        return f"REFUSED: drops by more than {most:g} points, at least {pair.drop.low:.2f}"
    if gate.decided:
        return f"passed: drops by less than {most:g} points, at most {pair.drop.high:.2f}"
    if gate.pictures_needed is None:
        return f"passed, not decided: the drop seen is {most:g} points itself; no number of pictures decides it"
    return f"passed, not decided: about {_rounded_up(gate.pictures_needed)} pictures are needed"


def class_lines(per_class: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table: pictures and top-1 in percent of each class, the worst of the first artifact first."""
    rows = sorted(per_class.items(), key=lambda row: (row[1]["top1"][0]["value"], row[0]))
    letters = LETTERS[: len(rows[0][1]["top1"])]
    lines = ["", f"{'pictures':>8} {' '.join(letter.rjust(6) for letter in letters)}  class"]
    for label, found in rows:
        shares = " ".join(f"{100 * share['value']:6.2f}" for share in found["top1"])
        lines.append(f"{found['images']:8d} {shares}  {label}")
    return lines


def pace_lines(pace: Pace) -> list[str]:
    """How fast it went, and what was the limit."""
    if not pace.images:
        return labelled("speed", "every answer was known already")
    waited = 100 * pace.decoding
    limit = "decoding was the limit" if waited > 50 else "the model was the limit"
    shares = f"{100 - waited:.0f} % of the time in the model, {waited:.0f} % waiting for pictures"
    return labelled("speed", f"{pace.images_per_second:.0f} images a second, {shares}: {limit}")


def _rounded_up(number: int) -> int:
    """To two digits: an estimate of an estimate."""
    step: int = 10 ** max(len(str(number)) - 2, 0)
    return -(-number // step) * step
