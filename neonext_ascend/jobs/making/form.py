"""Which layout and which lowerings a network is exported in, where that is left to the cost model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neonext_ascend.cost.choice import GraphForm, LayoutChoice, LoweringChoice, fastest
from neonext_ascend.cost.timing import Fit, find_fit
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.machine.chips import Soc
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.spec import LAYOUTS, Layout, LoweringName

_FEWEST_UNKNOWNS = "nchw and block-diagonal, the form with the fewest unknowns"


def choose_form(
    config: NetworkConfig, layout: LayoutChoice, lowering: LoweringChoice, soc: Soc | None, batch_size: int | None
) -> GraphForm:
    """The form of this network for a chip, or for the CPU where ``soc`` is ``None``.

    What is left open goes by the estimates of whole graphs. Forms within the estimate's error are a tie: then nchw,
    then block-diagonal.

    Args:
        config: the network.
        layout, lowering: as asked for.
        soc: the target.
        batch_size: the largest that is planned; ``None`` where it is free.

    Raises:
        UsageError: the network cannot take its image size.
    """
    if layout != "auto" and lowering != "auto":
        return GraphForm(layout, lowering)
    if lowering == "kron":
        return GraphForm("nchw", lowering, "kron needs the pixels of a channel side by side")
    fit = None if soc is None else find_fit(soc.name)
    if soc is None or fit is None:
        named: LoweringName = "blockdiag" if lowering == "auto" else lowering
        reason = "on the CPU convolutions are faster than products in chnw (docs/benchmarks.md)"
        if soc is not None:
            reason = f"nothing is published to estimate {soc.name} by: {_FEWEST_UNKNOWNS}"
        return GraphForm("nchw", named, reason) if layout == "auto" else GraphForm(layout, named)
    batch = batch_size or 1
    times = {form: _seconds(config, form, soc, batch) for form in _candidates(layout, lowering, soc, batch)}
    chosen = fastest(times, fit.median_error)
    asked = layout != "auto" and chosen is next(iter(times))
    return GraphForm(chosen.layout, chosen.lowering, "" if asked else _reason(chosen, times, fit, batch))


@dataclass(frozen=True, slots=True)
class Cheapest:
    """Names for each NeoCell the lowering that is estimated to be fastest; block-diagonal where it is a tie."""

    batch: int
    layout: Layout
    soc: Soc

    def __call__(self, geometry: Geometry, height: int, width: int) -> LoweringName:
        """Of a NeoCell on a map of ``height x width`` pixels."""
        from neonext_ascend.jobs.making.graphs import cell_costs

        fit = find_fit(self.soc.name)
        if fit is None:
            return "blockdiag"
        costs = cell_costs(geometry, height, width, self.batch, self.layout, self.soc)
        # By itself padded pays a Pad and a Slice, which a whole network does not: there it is tried as a whole.
        times = {name: cost.microseconds for name, cost in costs.items() if name != "padded"}
        return fastest(times, fit.median_error)


def _candidates(layout: LayoutChoice, lowering: LoweringChoice, soc: Soc, batch: int) -> list[GraphForm]:
    layouts = LAYOUTS if layout == "auto" else (layout,)
    if lowering != "auto":
        return [GraphForm(each, lowering) for each in layouts]
    names: tuple[LoweringName, ...] = ("blockdiag", "padded")
    named = [GraphForm(each, name) for name in names for each in layouts]
    return [*named, *(GraphForm(each, Cheapest(batch, each, soc)) for each in layouts)]


def _seconds(config: NetworkConfig, form: GraphForm, soc: Soc, batch: int) -> float:
    from neonext_ascend.jobs.making.graphs import network_cost

    (estimate,) = network_cost(config, form.layout, form.lowering, soc, batch).estimates
    return batch / estimate.images_per_second


def _reason(chosen: GraphForm, times: Mapping[GraphForm, float], fit: Fit, batch: int) -> str:
    """The chosen form beside the fastest in the other layout, if that was open."""
    others = [form for form in times if form.layout != chosen.layout] or [form for form in times if form is not chosen]
    other = min(others, key=times.__getitem__)
    reason = f"an estimate of {1e3 * times[chosen]:.3g} ms at batch {batch}, {1e3 * times[other]:.3g} ms "
    reason += f"in {_text(other)}"
    error = f"the estimate's error, a factor of {fit.median_error:.2f}"
    if chosen is next(iter(times)):
        within = max(times[chosen] / times[other], times[other] / times[chosen]) <= fit.median_error
        return f"{reason}: a tie within {error}; {_text(chosen)} has fewer unknowns" if within else reason
    return f"{reason}: more than {error}"


def _text(form: GraphForm) -> str:
    if form.lowering == "blockdiag":
        return form.layout
    return f"{form.layout}, {form.lowering if isinstance(form.lowering, str) else 'each cell its own lowering'}"
