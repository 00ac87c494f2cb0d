"""Intervals and tests against published worked examples; the gate against truths that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neonext_ascend.evaluate import paired
from neonext_ascend.evaluate.accuracy import Answer, Share, Tally
from neonext_ascend.evaluate.paired import Pair, drop_of
from neonext_ascend.reporting.accuracy import gate_text


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998),
    # table I, method 3: Wilson's score interval without continuity correction.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(right: int, images: int, low: float, high: float) -> None:
    assert Share(right, images).interval == pytest.approx((low, high), abs=5e-5)  # four digits are printed
    mirrored = Share(images - right, images).interval
    assert mirrored == pytest.approx((1 - Share(right, images).interval[1], 1 - Share(right, images).interval[0]))


def test_wilsons_bounds_are_the_shares_that_the_score_test_just_allows() -> None:
    for bound in Share(7, 50).interval:
        assert abs(7 / 50 - bound) == pytest.approx(1.959963984540054 * math.sqrt(bound * (1 - bound) / 50))
    assert Share(50, 50).interval[1] == 1.0


def test_mcnemars_exact_p_value_is_the_published_one() -> None:
    # P. Armitage and G. Berry, Statistical Methods in Medical Research (1994), p. 127, as StatsDirect's manual computes
    # it: 50 sputa on two media, 12 growing on A alone and 2 on B alone; P (two sided) = 0.0129.
    pair = Pair(0, 1, 12, 2, 50)
    assert pair.test == "exact"
    assert pair.p_value == pytest.approx(0.0129, abs=5e-5)
    # M. W. Fagerland, S. Lydersen, P. Laake, BMC Medical Research Methodology 13:91 (2013): 1 and 7 of 21, 0.070.
    assert Pair(0, 1, 1, 7, 21).p_value == pytest.approx(0.070, abs=5e-4)
    assert Pair(0, 1, 4, 4, 100).p_value == Pair(0, 1, 0, 0, 100).p_value == 1.0


def test_mcnemars_corrected_p_value_is_the_published_one() -> None:
    # The user guide of mlxtend, "McNemar's test": 25 and 15 discordant, chi-squared 2.025, p 0.155.
    pair = Pair(0, 1, 25, 15, 10_000)
    assert pair.test == "continuity-corrected"
    assert pair.p_value == pytest.approx(0.155, abs=5e-4)
    # The same statistic on Armitage and Berry's counts, 5.785714 and 0.0162, where it is not used here.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paired, "_FEW", 0)
        assert Pair(0, 1, 12, 2, 50).p_value == pytest.approx(0.0162, abs=5e-5)


def test_the_form_of_the_test_changes_at_25_discordant_pictures() -> None:
    assert [Pair(0, 1, n, 12, 100).test for n in (12, 13)] == ["exact", "continuity-corrected"]


def test_the_drops_interval_is_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # M. W. Fagerland, S. Lydersen, P. Laake, Statistics in Medicine 33 (2014), the same 21 children: Tango's 95 %
    # interval, two-sided, is -0.517 to -0.026.
    monkeypatch.setattr(paired, "_Z", 1.959963984540054)
    drop = drop_of(1, 7, 21)
    assert (drop.points, drop.low, drop.high) == pytest.approx((-100 * 6 / 21, -51.7, -2.6), abs=0.05)


def test_the_drops_interval_is_the_textbooks_where_pictures_are_many() -> None:
    n = 10**8
    drop, spread = drop_of(6e5, 3e5, n), 100 * 1.6448536 * math.sqrt(9e5 - 9e10 / n) / n
    assert (drop.low, drop.high) == pytest.approx((0.3 - spread, 0.3 + spread), rel=1e-4)
    for b, c in ((0, 0), (5, 0), (0, 5)):  # as wide as three in n may be, where the textbook's has no width
        drop = drop_of(b, c, 5)
        assert -100 <= drop.low <= drop.points <= drop.high <= 100
        assert drop.high - drop.low > 50


def refusals(rng: np.random.Generator, drop: float, most: float, trials: int = 2000) -> tuple[float, float]:
    """How often a true drop in points is refused, and how often it passes as decided; 4 % of 5,000 discordant."""
    chances = [0.02 + drop / 200, 0.02 - drop / 200, 0.96]
    gates = [Pair(0, 1, int(b), int(c), 5000).gate(most) for b, c, _ in rng.multinomial(5000, chances, trials)]
    return (
        sum(gate.refused for gate in gates) / trials,
        sum(gate.decided and not gate.refused for gate in gates) / trials,
    )


def test_the_gate_errs_at_the_stated_rate() -> None:
    rng = np.random.default_rng(0)
    error = 3 * math.sqrt(0.05 * 0.95 / 2000)  # three standard deviations of a rate of 5 % over 2,000 trials
    refused, passed = refusals(rng, drop=1.0, most=1.0)  # the drop is what may be lost, exactly
    assert refused == pytest.approx(0.05, abs=error)
    assert passed == pytest.approx(0.05, abs=error)


def test_the_gate_refuses_a_drop_that_is_there_and_passes_one_that_is_chance() -> None:
    rng = np.random.default_rng(1)
    assert refusals(rng, drop=2.5, most=1.0)[0] > 0.99
    refused, passed = refusals(rng, drop=0.0, most=1.0)
    assert refused < 0.001
    assert passed > 0.9
    # By a bare comparison of the two shares every second one that loses just as much as it may would be refused.
    assert refusals(rng, drop=0.8, most=1.0)[0] < 0.05


def test_as_many_pictures_as_are_said_to_be_needed_decide() -> None:
    for b, c, n, most in ((40, 25, 1000, 2.0), (0, 0, 360, 0.2), (10, 4, 500, 0.2)):
        needed = Pair(0, 1, b, c, n).gate(most).pictures_needed
        assert needed is not None
        for pictures, decides in ((needed + 1, True), (needed - 1, False)):
            drop = drop_of(b * pictures / n, c * pictures / n, pictures)
            assert (drop.low > most or drop.high <= most) is decides
    equal = Pair(0, 1, 40, 10, 1000).gate(3.0)
    assert (equal.refused, equal.decided, equal.pictures_needed) == (False, False, None)


def test_the_gate_in_words() -> None:
    assert gate_text(Pair(0, 1, 90, 10, 1000), 2) == "REFUSED: drops by more than 2 points, at least 6.48"
    assert gate_text(Pair(0, 1, 5, 5, 10_000), 2) == "passed: drops by less than 2 points, at most 0.06"
    assert gate_text(Pair(0, 1, 0, 0, 360), 0.2) == "passed, not decided: about 1400 pictures are needed"
    assert gate_text(Pair(0, 1, 40, 10, 1000), 3).endswith("no number of pictures decides it")


def test_a_tally_counts_each_class_and_each_two() -> None:
    tally = Tally(2)
    for label, first, second in (("a", 1, 1), ("a", 1, 3), ("b", 6, 1), ("b", 5, 1), ("b", 2, 2)):
        tally.add(label, (Answer(0, first), Answer(0, second)))
    assert (tally.images, tally.classes) == (5, ["a", "b"])
    assert [tally.top1(i).right for i in (0, 1)] == [2, 3]
    assert [tally.top5(i).right for i in (0, 1)] == [4, 5]
    assert tally.only(0, 1) == (1, 2)
    assert [tally.top1(1, label) for label in "ab"] == [Share(1, 2), Share(2, 3)]
    assert tally.per_class(2)["b"]["images"] == 3
