"""Fit the cost model again with operator times that msprof measured on a card, beside the published figures.

python -m tools.cost.refit FILE.onnx SUMMARY.csv [FILE.onnx SUMMARY.csv ...] [--soc NAME] [--batch N] [-o FIT.json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.artifacts.skim import skim_model
from neonext_ascend.cost.counting import Work
from neonext_ascend.cost.file_cost import file_cost
from neonext_ascend.cost.joining import Comparison, compare
from neonext_ascend.cost.measured import read_summary
from neonext_ascend.cost.timing import Parameters, Table, find_fit, seconds
from neonext_ascend.errors import NeoNextError, UsageError
from neonext_ascend.machine.chips import Soc, find_soc
from tools.cost.figures import Figure, Rows, read_figures, read_operators
from tools.cost.fit import SOC, fitted


@dataclass(frozen=True, slots=True)
class Times:
    """Measured seconds of operators, and the work of each; several operators that the card runs as one lie together."""

    works: tuple[tuple[Work, ...], ...]
    seconds: tuple[float, ...]

    @classmethod
    def of(cls, comparisons: Sequence[Comparison]) -> Times:
        """Of all pairs."""
        pairs = [pair for comparison in comparisons for pair in comparison.pairs]
        return cls(
            tuple(tuple(one.operator.work for one in pair.estimated) for pair in pairs),
            tuple(1e-6 * pair.measurement for pair in pairs),
        )


class WithTimes(Rows):
    """Published figures, and behind them measured times of single operators."""

    def __init__(
        self, figures: Sequence[Figure], graphs: Mapping[tuple[str, int], Sequence[Work]], times: Times
    ) -> None:
        super().__init__(figures, graphs)
        self._single = Table.of([work for each in times.works for work in each])
        self._begins = np.cumsum([0, *map(len, times.works[:-1])])
        self.logs = np.concatenate([self.logs, np.log(times.seconds)])

    def predicted(self, parameters: Parameters, peak: float) -> NDArray[np.float64]:
        """Logs of the seconds of each batch, then of each operator."""
        return np.concatenate([super().predicted(parameters, peak), self.single(parameters, peak)])

    def single(self, parameters: Parameters, peak: float) -> NDArray[np.float64]:
        """Of each operator alone."""
        return np.log(np.add.reduceat(seconds(self._single, parameters, peak), self._begins))


def measured(soc: Soc, batch: int, pairs: Sequence[tuple[Path, Path]]) -> list[Comparison]:
    """Each file with its table.

    Raises:
        NeoNextError: one of them cannot be read, or nothing of a table is its file's.
    """
    return [compare(file_cost(skim_model(file), soc, (batch,)), read_summary(table)) for file, table in pairs]


def refitted(soc: Soc, times: Times) -> tuple[dict[str, float], NDArray[np.float64], NDArray[np.float64]]:
    """Parameters, and the logarithmic errors of the measured operators before and with them."""
    fit = find_fit(soc.name)
    if fit is None or soc.fp16_tflops is None:
        raise UsageError(f"{soc.name}: there is no fit to begin with")
    peak = soc.fp16_tflops * 1e12 / 2
    rows = WithTimes([figure for figure in read_figures() if figure.fitted], read_operators(), times)
    parameters = fitted(rows, peak)
    logs = np.log(times.seconds)
    return parameters, rows.single(fit.parameters, peak) - logs, rows.single(parameters, peak) - logs


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, print the errors of measured operators before and after, and write the fit where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.onnx SUMMARY.csv")
    parser.add_argument("--soc", default=SOC)
    parser.add_argument("--batch", type=int, default=1, help="at which the OMs of files with a free batch ran")
    parser.add_argument("-o", "--output", type=Path, help="takes the place of neonext_ascend/cost/fits/SOC.json")
    given = parser.parse_args(arguments)
    try:
        if len(given.files) % 2:
            raise UsageError("expected a table behind each file")
        soc = find_soc(given.soc)
        pairs = list(zip(given.files[::2], given.files[1::2], strict=True))
        parameters, before, after = refitted(soc, Times.of(measured(soc, given.batch, pairs)))
    except NeoNextError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for name, errors in (("the committed fit", before), ("this one", after)):
        told = " ".join(f"{np.exp(np.quantile(np.abs(errors), share)):.2f}" for share in (0.5, 0.9))
        print(f"{name}: {len(errors)} measured operators missed by {told} (middle, ninth decile)")
    if given.output is not None:
        fit = find_fit(soc.name)
        assert fit is not None  # it was begun with
        changed = replace(fit, parameters={name: float(f"{value:.4g}") for name, value in parameters.items()})
        given.output.write_text(json.dumps(asdict(changed), indent=2) + "\n", "utf-8")
        print(f"wrote {given.output}; its interval and its errors are those of the committed fit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
