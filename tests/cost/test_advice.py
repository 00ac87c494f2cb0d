"""What would help: each piece against the estimate of the graph in which it is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from neonext_ascend import jobs
from neonext_ascend.artifacts.skim import skim_model
from neonext_ascend.cost.advice import Advice, advise
from neonext_ascend.cost.answer import FileCost
from neonext_ascend.cost.file_cost import cost_or_reason
from neonext_ascend.cost.timing import find_fit
from neonext_ascend.machine.chips import SOCS

P3 = SOCS["Ascend310P3"]


@pytest.fixture(scope="module")
def cost(tmp_path_factory: pytest.TempPathFactory) -> FileCost:
    made = jobs.export("neonext_nano", batch_size="dynamic", verify=False, output=tmp_path_factory.mktemp("nano"))
    return cost_or_reason(skim_model(made.onnx.path), P3, (32,), 10**9)


def one(cost: FileCost, about: str) -> Advice:
    (found,) = (advice for advice in cost.advice if advice.about == about)
    return found


def test_gelu_goes_first_and_is_a_bound(cost: FileCost) -> None:
    advice = cost.advice[0]
    assert advice.about == "gelu"
    assert "in 6 operators" in advice.words
    assert "high-performance" in advice.more
    # Not faster than if it took no time at all.
    assert 1 < advice.factor < 1 / (1 - cost.shares["gelu"])


def test_the_best_batch_is_that_of_the_estimates(cost: FileCost) -> None:
    best = max(cost.ladder, key=lambda estimate: estimate.images_per_second)
    advice = one(cost, "batch")
    assert advice.images_per_second == best.images_per_second
    assert advice.factor == pytest.approx(best.images_per_second / cost.estimates[0].images_per_second)
    assert f"batch {best.batch} in place of 32" in advice.words


def test_images_by_aipp_take_the_conversion_away(cost: FileCost) -> None:
    taken = sum(timed.share for timed in cost.timed if timed.operator.work.kind == "input")
    assert one(cost, "input").factor == pytest.approx(1 / (1 - taken))
    assert one(cost, "input").within_error


def test_nothing_is_advised_of_what_is_not_there(cost: FileCost) -> None:
    fit = find_fit(P3.name)
    assert fit is not None
    kinds = ("gelu", "input")
    bare = replace(cost, listing=tuple(t for t in cost.timed if t.operator.work.kind not in kinds), ladder=())
    assert advise(bare, P3, fit) == ()


def test_whether_it_fits_and_at_which_batch(cost: FileCost, tmp_path: Path) -> None:
    (memory,) = cost.memory
    assert memory.fits
    assert cost.largest_batch is not None
    made = jobs.export("neonext_nano", batch_size="dynamic", verify=False, output=tmp_path)
    model = skim_model(made.onnx.path)
    at, beyond = (cost_or_reason(model, P3, (cost.largest_batch + more,), 10**9).memory[0] for more in (0, 1))
    assert at.chip.total <= 10**9 < beyond.chip.total
    assert (at.fits, beyond.fits) == (True, False)
    assert cost_or_reason(model, P3, (1,), 1000).largest_batch == 0
    assert cost_or_reason(model, P3, (1,)).largest_batch is None
