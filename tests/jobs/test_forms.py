"""The form of a network where it is left open: by the estimates of its graphs, a tie within their error."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neonext_ascend.cost.choice import GraphForm, fastest
from neonext_ascend.cost.timing import Fit, find_fit
from neonext_ascend.jobs.making import form, graphs
from neonext_ascend.jobs.making.form import Cheapest, choose_form
from neonext_ascend.jobs.making.graphs import cell_costs, network_cost
from neonext_ascend.machine.chips import SOCS
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.spec import LAYOUTS, Layout, LoweringName

NANO, T, P3 = VARIANTS["neonext_nano"].config, VARIANTS["neonext_t"].config, SOCS["Ascend310P3"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"a": 10, "b": 12}, "a"),
        ({"a": 10, "b": 8.5}, "a"),  # a tie: the first has the fewest unknowns
        ({"a": 10, "b": 8}, "b"),
        ({"a": 10, "b": 8.5, "c": 8}, "c"),
        ({"a": 10, "b": 8, "c": 7}, "c"),
    ],
)
def test_only_more_than_the_error_decides(seconds: dict[str, float], expected: str) -> None:
    assert fastest(seconds, 1.2) == expected


def exact(soc: str) -> Fit | None:
    """The fit as if it did not err: the smallest estimate wins."""
    found = find_fit(soc)
    return None if found is None else replace(found, median_error=1.0)


@pytest.fixture
def without_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "find_fit", exact)


@pytest.mark.parametrize("batch", [1, 8, 32])
def test_t_on_310p3_takes_nchw_block_diagonal(batch: int) -> None:
    chosen = choose_form(T, "auto", "auto", P3, batch)
    assert (chosen.layout, chosen.lowering) == ("nchw", "blockdiag")
    assert chosen.reason.startswith("an estimate of ")
    assert f"at batch {batch}, " in chosen.reason
    assert ("a tie within the estimate's error" in chosen.reason) == (batch > 1)


@pytest.mark.usefixtures("without_error")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_an_error_a_cell_takes_the_smallest_estimate(layout: Layout) -> None:
    for stage, size in enumerate(T.stage_sizes()):
        geometry = T.geometry(stage)
        costs = cell_costs(geometry, *size, 32, layout, P3)
        times = {name: cost.microseconds for name, cost in costs.items() if name != "padded"}
        assert Cheapest(32, layout, P3)(geometry, *size) == min(times, key=lambda name: times[name])


@pytest.mark.usefixtures("without_error")
def test_without_an_error_the_network_takes_the_smallest_estimate() -> None:
    chosen = choose_form(NANO, "auto", "auto", P3, 8)
    forms: list[tuple[Layout, LoweringName | Cheapest]] = [(each, Cheapest(8, each, P3)) for each in LAYOUTS]
    forms += [(each, name) for each in LAYOUTS for name in ("blockdiag", "padded")]
    least = max(network_cost(NANO, *each, P3, 8).estimates[0].images_per_second for each in forms)
    (estimate,) = network_cost(NANO, chosen.layout, chosen.lowering, P3, 8).estimates
    assert estimate.images_per_second == least


def test_a_clear_gain_is_taken_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = {"nchw": 2e-3, "chnw": 1e-3}
    monkeypatch.setattr(
        form, "_seconds", lambda config, it, soc, batch: slow[it.layout] * (1 + (it.lowering == "padded"))
    )
    chosen = choose_form(NANO, "auto", "auto", P3, None)
    assert chosen.layout == "chnw"
    assert chosen.reason.startswith("an estimate of 1 ms at batch 1, 2 ms in nchw")
    assert "more than the estimate's error" in chosen.reason


def test_padded_is_taken_where_it_is_clearly_cheaper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "_seconds", lambda config, it, soc, batch: 0.5 if it.lowering == "padded" else 1.0)
    assert choose_form(NANO, "nchw", "auto", P3, 8).lowering == "padded"


def test_what_is_named_is_not_chosen() -> None:
    assert choose_form(NANO, "chnw", "packed", P3, 8) == GraphForm("chnw", "packed")
    assert choose_form(NANO, "auto", "patchwise", None, 8).lowering == "patchwise"
    assert choose_form(NANO, "auto", "kron", P3, 8).layout == "nchw"
    assert choose_form(NANO, "chnw", "auto", None, 8) == GraphForm("chnw")
    assert choose_form(NANO, "chnw", "auto", P3, 8).reason == ""


def test_on_the_cpu_and_without_figures_it_is_the_form_with_the_fewest_unknowns() -> None:
    on_cpu, bare = (choose_form(NANO, "auto", "auto", soc, 8) for soc in (None, SOCS["Ascend310P1"]))
    assert (on_cpu.layout, on_cpu.lowering) == (bare.layout, bare.lowering) == ("nchw", "blockdiag")
    assert "on the CPU" in on_cpu.reason
    assert "nothing is published to estimate Ascend310P1 by" in bare.reason


def test_a_graph_is_made_once_for_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs._network_graph.cache_clear()
    for batch in (1, 2, 4):
        choose_form(NANO, "auto", "auto", P3, batch)
    assert graphs._network_graph.cache_info().misses == 6
