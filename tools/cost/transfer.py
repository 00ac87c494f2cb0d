"""Carry the fit over to other chips by their platform figures, and say how far off it is where somebody measured.

python -m tools.cost.transfer

Rates of the vector unit go with cores x clock, those of memory and L2 with cores x clock x bytes a cycle, what fits in
L2 with its size, the cube's peak is the chip's own; what starting an operator costs, and shares of a peak, stay. A
chip's file is written where published figures name the chip, with an interval from their errors, widened: each network
counts once, and few of them know little of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import exp, sqrt

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.cost.timing import Fit, Parameters
from neonext_ascend.machine.chips import Soc, find_soc
from tools.cost.figures import Figure, Rows, read_figures, read_operators
from tools.cost.fit import COVERAGE, SOC, short, whole_fit, write

# Chip: how pages name it. Atlas 800T A2 does not say which 910B it holds; 910B3 is taken for it.
HELD: Mapping[str, tuple[str, ...]] = {
    "Ascend310B1": ("Ascend310B1", "Ascend310B"),
    "Ascend910B3": ("Ascend910B (Atlas 800T A2, one card)",),
}
_VECTOR = ("rate_", "pass_")  # of the vector unit


def transferred(parameters: Parameters, soc: Soc) -> dict[str, float]:
    """The parameters of :data:`SOC`, scaled to another chip with the same figures in its platform file."""
    base = find_soc(SOC)
    vector = _vector(soc) / _vector(base)
    scales = {
        "bandwidth": _bytes(soc, "ddr_bytes") / _bytes(base, "ddr_bytes"),
        "l2_bandwidth": _bytes(soc, "l2_bytes") / _bytes(base, "l2_bytes"),
        "l2_bytes": float(soc.l2_mib or 0) / float(base.l2_mib or 1),
    }
    scaled = {
        name: value / vector if name.startswith(_VECTOR) else value * scales.get(name, 1.0)
        for name, value in parameters.items()
    }
    if soc.family == "910B":  # its tiling passes rows through memory where a 310P fills blocks
        scaled.update(pass_ragged=0.0, pass_lines=1.0)
    return scaled


def _vector(soc: Soc) -> float:
    """Clock times cores with a vector unit: 910B has vector cores apart, the others one in each AI core."""
    cores = soc.vector_cores if soc.family == "910B" else soc.cube_cores
    return float((cores or 0) * (soc.cube_mhz or 0))


def _bytes(soc: Soc, name: str) -> float:
    return float((soc.cube_cores or 0) * (soc.cube_mhz or 0) * getattr(soc, name))


def held(fit: Fit, name: str) -> tuple[Fit, list[Figure], NDArray[np.float64]]:
    """A chip's fit, the figures that it is held against, and the logarithms of predicted over published speed."""
    soc = find_soc(name)
    assert soc.fp16_tflops is not None
    parameters = transferred(fit.parameters, soc)
    figures = [figure for figure in read_figures() if figure.chip in HELD[name]]
    rows = Rows(figures, read_operators())
    errors = rows.logs - rows.predicted(parameters, soc.fp16_tflops * 1e12 / 2)
    low, high = widened(errors, len({figure.network for figure in figures}), fit)
    factors = np.exp(np.abs(errors))
    made = replace(
        fit,
        soc=name,
        parameters={key: short(value) for key, value in parameters.items()},
        low=short(low),
        high=short(high),
        median_error=short(float(np.quantile(factors, 0.5))),
        ninth_decile_error=short(float(np.quantile(factors, 0.9))),
        models=len({figure.network for figure in figures}),
        rows=len(figures),
        transferred_from=fit.soc,
    )
    return made, figures, errors


def widened(errors: NDArray[np.float64], networks: int, fit: Fit) -> tuple[float, float]:
    """Around no error: as wide as what holds these figures, or the first chip's, whichever is wider.

    Each network is one draw, and n of them know little of others: the width grows by sqrt(1 + 1 / n).
    """
    missed = max(float(np.quantile(np.abs(errors), COVERAGE)), *np.abs(np.log([fit.low, fit.high])))
    width = missed * sqrt(1 + 1 / networks)
    return exp(-width), exp(width)


def main() -> None:
    """Write a file for each chip, and print the errors by network."""
    fit, _, _ = whole_fit()
    for name in HELD:
        made, figures, errors = held(fit, name)
        write(made)
        print(
            f"{name}: {made.rows} figures of {made.models} networks, median factor {made.median_error:.2f}, "
            f"ninth decile {made.ninth_decile_error:.2f}, interval x{made.low:.2f} to x{made.high:.2f}"
        )
        for network in dict.fromkeys(figure.network for figure in figures):
            told = [
                f"{figure.batch}: {exp(error):.2f}"
                for figure, error in zip(figures, errors, strict=True)
                if figure.network == network
            ]
            print(f"  {network}, predicted over published at each batch: {', '.join(told)}")


if __name__ == "__main__":
    main()
