"""Fit the cost model on the committed figures, and say how far off it is on networks that it has not seen.

python -m tools.cost.fit
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

import neonext_ascend.cost
from neonext_ascend.cost.counting import Work
from neonext_ascend.cost.timing import Fit, Parameters
from neonext_ascend.machine.chips import find_soc
from tools.cost.figures import Figure, Rows, read_figures, read_operators

SOC = "Ascend310P3"
FITS = Path(neonext_ascend.cost.__file__).parent / "fits"
FOLDS, COVERAGE = 10, 0.8
_ERROR = 0.3  # of a figure, on the logarithm; larger ones count less and less
_DIGITS = 4
MOST_MISSED = 8
# fmt: off
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "ResNet and its kin": (
        "resnet", "wide_resnet", "resnext", "res2net", "tresnet", "regnet", "repvgg", "vgg", "vovnet", "hrnet",
        "alignedreid", "reid",
    ),
    "with squeeze and excitation": ("legacy_se", "seresnext", "efficientnet", "mobilenetv3"),
    "depthwise": ("mobilenet_v2", "mnasnet", "spnasnet", "xception", "shufflenet", "convmixer"),
    "with branches": ("inception", "googlenet", "squeezenet", "densenet", "dpn", "nasnet", "pnasnet", "alexnet"),
    "transformers": ("vit_", "swin_", "twins_", "tnt_", "xcit_"),
}
# fmt: on

# Parameter: where the fit starts from, and how far it may go, on the logarithm.
PRIORS: Mapping[str, tuple[float, float]] = {
    "model": (90e-6, 0.3),  # seconds to start a model, of the trials that docs/decisions.md names
    "operator": (3e-6, 0.3),  # seconds to start an operator
    "share_conv": (0.8, 0.2),  # of the cube's peak
    "share_pointwise": (0.7, 0.3),
    "share_depthwise": (0.25, 0.5),
    "share_grouped": (0.3, 0.5),
    "share_matmul": (0.6, 0.4),
    "share_attention": (0.35, 0.5),
    "bandwidth": (170e9, 0.2),  # bytes a second; the platform file's 144e9 and the press's 204e9 lie around it
    "l2_bandwidth": (1e12, 0.5),  # the platform file: 114 bytes a cycle of each of 8 cores
    "l2_bytes": (10e6, 0.5),  # the platform file: 16 MiB, of all that lies there
    "write": (0.8, 0.4),  # what writing costs of what reading does
    "sharpness": (2.5, 0.3),  # 1: computing and moving one after the other; large: the longer alone
    "rate_elementwise": (3e-12, 0.7),  # seconds an element
    "rate_function": (1e-11, 0.7),
    "rate_gelu": (2e-11, 0.7),
    "rate_norm": (4e-11, 0.7),
    "rate_softmax": (2e-11, 0.7),
    "rate_reduce": (1e-11, 0.7),
    "rate_pool": (2e-12, 0.7),  # of each pixel of a window
    "rate_epilogue": (2e-11, 0.7),  # a function on a product's way out
    "pass_transpose": (1e-11, 0.7),  # seconds a byte, read and written
    "pass_copy": (5e-12, 0.7),
    "pass_ragged": (1e-11, 0.7),  # of matrices around a product that fill no whole fractals
    "small_channel": (0.4, 0.5),  # of the first convolution, where few channels are not filled up
    "fast_sigmoid": (0.7, 0.5),  # of a function on the way out, in its high-performance form
}
# What is known beforehand and fitted nowhere: no row of these chips speaks for it.
FIXED: Mapping[str, float] = {"pass_lines": 0.0}
_CERTAIN = 0.7  # the priors' widths are taken this much narrower; so wide networks left out are met best
_MEANS, _WIDTHS = (np.array([prior[i] for prior in PRIORS.values()]) for i in (0, 1))
_WIDTHS = _CERTAIN * _WIDTHS


def fitted(rows: Rows, peak: float, start: NDArray[np.float64] | None = None) -> dict[str, float]:
    """Parameters that fit these rows best, with their priors."""
    return named(solved(rows, peak, named, _WIDTHS, start))


def solved(
    rows: Rows,
    peak: float,
    named: Callable[[NDArray[np.float64]], Parameters],
    widths: NDArray[np.float64],
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Logarithms over the priors that fit these rows best.

    Args:
        rows: figures, and the work behind each.
        peak: as of :func:`~neonext_ascend.cost.timing.seconds`.
        named: parameters of such logarithms.
        widths: of the priors.
        start: where to begin; at the priors by default.
    """
    first = np.zeros(len(widths)) if start is None else start

    def residuals(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        errors = (rows.predicted(named(logs), peak) - rows.logs) / _ERROR
        return np.concatenate([errors, logs / widths])

    def loss(squares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of figures a soft absolute value, as some are wrong; of priors the square."""
        count, root = len(rows.logs), np.sqrt(1 + squares)
        data = np.array([2 * (root - 1), 1 / root, -0.5 / root**3])
        plain = np.array([squares, np.ones_like(squares), np.zeros_like(squares)])
        return np.concatenate([data[:, :count], plain[:, count:]], axis=1)

    return np.asarray(least_squares(residuals, first, loss=loss, max_nfev=60).x)


def named(logs: NDArray[np.float64]) -> dict[str, float]:
    """Parameters by name, of their logarithms over the priors."""
    return {**dict(zip(PRIORS, (_MEANS * np.exp(logs)).tolist(), strict=True)), **FIXED}


def folds(figures: Sequence[Figure]) -> Iterator[list[bool]]:
    """Which figures are left out: ten times a tenth of the networks, all figures of each."""
    networks = sorted({figure.network for figure in figures})
    np.random.default_rng(0).shuffle(networks)
    for fold in range(FOLDS):
        left_out = set(networks[fold::FOLDS])
        yield [figure.network in left_out for figure in figures]


def errors_of_unseen(
    figures: Sequence[Figure], graphs: Mapping[tuple[str, int], Sequence[Work]], peak: float, whole: Mapping[str, float]
) -> NDArray[np.float64]:
    """Logarithm of predicted over published speed of each figure, by a fit without its network."""
    start = np.log(np.array([whole[name] for name in PRIORS]) / _MEANS)
    errors = np.zeros(len(figures))
    for out in folds(figures):
        seen = Rows([figure for figure, left in zip(figures, out, strict=True) if not left], graphs)
        unseen = Rows([figure for figure, left in zip(figures, out, strict=True) if left], graphs)
        errors[out] = unseen.logs - unseen.predicted(fitted(seen, peak, start), peak)
    return errors


def interval(errors: NDArray[np.float64]) -> tuple[float, float]:
    """Factors on a predicted speed between which the share :data:`COVERAGE` of the figures lies."""
    outside = (1 - COVERAGE) / 2
    low, high = np.quantile(-errors, [outside, 1 - outside])
    return float(np.exp(low)), float(np.exp(high))


def covered(figures: Sequence[Figure], errors: NDArray[np.float64]) -> float:
    """Share of the figures within an interval that was made without their fold."""
    inside = 0
    for out in folds(figures):
        left = np.array(out)
        low, high = interval(errors[~left])
        inside += int(np.sum((np.exp(-errors[left]) >= low) & (np.exp(-errors[left]) <= high)))
    return inside / len(figures)


def whole_fit() -> tuple[Fit, list[Figure], NDArray[np.float64]]:
    """The fit on all rows, the rows, and the errors on networks that were left out."""
    soc = find_soc(SOC)
    assert soc.fp16_tflops is not None
    peak, graphs = soc.fp16_tflops * 1e12 / 2, read_operators()
    figures = [figure for figure in read_figures() if figure.fitted]
    parameters = fitted(Rows(figures, graphs), peak)
    errors = errors_of_unseen(figures, graphs, peak, parameters)
    factors = np.exp(np.abs(errors))
    low, high = interval(errors)
    fit = Fit(
        soc=SOC,
        parameters={name: short(value) for name, value in parameters.items()},
        low=short(low),
        high=short(high),
        coverage=COVERAGE,
        median_error=short(float(np.quantile(factors, 0.5))),
        ninth_decile_error=short(float(np.quantile(factors, 0.9))),
        models=len({figure.network for figure in figures}),
        rows=len(figures),
    )
    return fit, figures, errors


def short(value: float) -> float:
    """As many digits as are written."""
    return float(f"{value:.{_DIGITS}g}")


def families(figures: Sequence[Figure]) -> dict[str, list[bool]]:
    """Which figures are of which chip, family of networks, and batch."""
    return {
        f"{SOC} alone": [figure.chip == SOC for figure in figures],
        **{family: [figure.network.startswith(names) for figure in figures] for family, names in FAMILIES.items()},
        **{f"batch {batch}": [figure.batch == batch for figure in figures] for batch in (1, 4, 8, 16, 32, 64)},
    }


def write(fit: Fit, precision: str = "") -> None:
    """A chip's file, in fp16 or another precision."""
    (FITS / f"{fit.soc.lower()}{precision}.json").write_text(json.dumps(asdict(fit), indent=2) + "\n", "utf-8")


def main() -> None:
    """Fit, write the parameters, and print the errors."""
    fit, figures, errors = whole_fit()
    write(fit)
    print(f"{fit.rows} figures of {fit.models} networks, each predicted by a fit without its network:")
    print(f"median factor {fit.median_error:.3f}, ninth decile {fit.ninth_decile_error:.3f}")
    print(f"interval x{fit.low:.2f} to x{fit.high:.2f}, holds {covered(figures, errors):.1%} of figures left out")
    for name, among in families(figures).items():
        middle, decile = np.exp(np.quantile(np.abs(errors[among]), (0.5, 0.9)))
        print(f"{name}: {sum(among)} figures, {middle:.2f} {decile:.2f}")
    print("the networks missed most, predicted over published in the middle of their batches:")
    medians = {
        network: float(np.exp(np.median(errors[[figure.network == network for figure in figures]])))
        for network in {figure.network for figure in figures}
    }
    for network, missed in sorted(medians.items(), key=lambda item: (-abs(np.log(item[1])), item[0]))[:MOST_MISSED]:
        print(f"  {network} {missed:.2f}")


if __name__ == "__main__":
    main()
