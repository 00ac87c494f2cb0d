"""Fit what int8 adds to the cost model on the published int8 figures, and say how far off it is.

python -m tools.cost.int8

The fit in fp16 stays as it is. Two constants come to it, for products in int8 alone: how much faster the cube unit is
(the platform file: twice), and what moving a byte around them costs of what it does in fp16. With pages few and
networks fewer, errors are told of both: of figures whose page, and whose network, was left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.cost.timing import Fit, Parameters, find_fit
from neonext_ascend.machine.chips import find_soc
from tools.cost.figures import INT8_FIGURES, INT8_OPERATORS, Figure, Rows, read_figures, read_operators
from tools.cost.fit import SOC, short, solved, write
from tools.cost.transfer import widened

# Parameter: where the fit starts from, and how far it may go, on the logarithm.
PRIORS: Mapping[str, tuple[float, float]] = {
    "int8_cube": (2.0, 0.1),  # times the rate of fp16: a fractal of 16 x 32 x 16 in the place of 16 x 16 x 16
    "int8_moving": (1.0, 0.5),  # of what a byte costs in fp16
}
_MEANS, _WIDTHS = (np.array([prior[i] for prior in PRIORS.values()]) for i in (0, 1))


class Int8:
    """The published int8 figures, and the fit in fp16 that stands."""

    def __init__(self) -> None:
        soc, fit = find_soc(SOC), find_fit(SOC)
        assert fit is not None  # it is committed
        assert soc.fp16_tflops is not None
        self.half, self.peak = fit, soc.fp16_tflops * 1e12 / 2
        self.figures, self._graphs = read_figures(INT8_FIGURES), read_operators(INT8_OPERATORS)

    def named(self, logs: NDArray[np.float64]) -> Parameters:
        """All parameters, of the logarithms of int8's over their priors."""
        found = dict(zip(PRIORS, (_MEANS * np.exp(logs)).tolist(), strict=True))
        return {**self.half.parameters, **found}

    def fitted(self, figures: Sequence[Figure]) -> Parameters:
        """On these."""
        return self.named(solved(self._rows(figures), self.peak, self.named, _WIDTHS))

    def errors(self, figures: Sequence[Figure], parameters: Parameters) -> NDArray[np.float64]:
        """Logarithms of predicted over published speed."""
        rows = self._rows(figures)
        return np.asarray(rows.logs - rows.predicted(parameters, self.peak))

    def left_out(self, key: Callable[[Figure], str]) -> NDArray[np.float64]:
        """The same, of each figure by a fit without those that share its key."""
        found = np.zeros(len(self.figures))
        for name in {key(figure) for figure in self.figures}:
            out = np.array([key(figure) == name for figure in self.figures])
            seen = [figure for figure in self.figures if key(figure) != name]
            found[out] = self.errors([figure for figure in self.figures if key(figure) == name], self.fitted(seen))
        return found

    def _rows(self, figures: Sequence[Figure]) -> Rows:
        return Rows(figures, self._graphs)


def int8_fit() -> tuple[Fit, Int8]:
    """The fit on all rows, its errors and its interval those of networks that were left out."""
    int8 = Int8()
    parameters, errors = int8.fitted(int8.figures), int8.left_out(lambda figure: figure.network)
    factors, networks = np.exp(np.abs(errors)), len({figure.network for figure in int8.figures})
    low, high = widened(errors, networks, int8.half)
    fit = replace(
        int8.half,
        parameters={name: short(parameters[name]) for name in PRIORS},
        low=short(low),
        high=short(high),
        median_error=short(float(np.quantile(factors, 0.5))),
        ninth_decile_error=short(float(np.quantile(factors, 0.9))),
        models=networks,
        rows=len(int8.figures),
    )
    return fit, int8


def main() -> None:
    """Fit, write the constants, and print the errors."""
    fit, int8 = int8_fit()
    write(fit, ".int8")
    told = ", ".join(f"{name} {value:.3g}" for name, value in fit.parameters.items())
    pages = len({figure.source for figure in int8.figures})
    print(f"{fit.rows} int8 figures of {fit.models} networks on {pages} pages: {told}")
    fitted = int8.errors(int8.figures, {**int8.half.parameters, **fit.parameters})
    for name, errors in (
        ("of the fit itself", fitted),
        ("without its page", int8.left_out(lambda figure: figure.source)),
        ("without its network", int8.left_out(lambda figure: figure.network)),
    ):
        middle, decile = np.exp(np.quantile(np.abs(errors), (0.5, 0.9)))
        print(f"{name}: {middle:.2f} in the middle, {decile:.2f} at the ninth decile")
    print(f"interval x{fit.low:.2f} to x{fit.high:.2f}")
    print("predicted over published at each batch, by the fit itself:")
    for source in dict.fromkeys(figure.source for figure in int8.figures):
        shown = [
            f"{figure.batch}: {np.exp(error):.2f}"
            for figure, error in zip(int8.figures, fitted, strict=True)
            if figure.source == source
        ]
        print(f"  {source.split('/')[-2]}, {', '.join(shown)}")


if __name__ == "__main__":
    main()
