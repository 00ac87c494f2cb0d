"""Is GELU one operator or five on the chip? Both are fitted, and held against transformers that were left out.

python -m tools.cost.gelu
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from neonext_ascend.cost.counting import Work
from neonext_ascend.machine.chips import find_soc
from tools.cost.figures import Figure, Rows, read_figures, read_operators
from tools.cost.fit import SOC, errors_of_unseen, fitted

Graphs = Mapping[tuple[str, int], Sequence[Work]]
TRANSFORMERS = ("vit_", "swin_", "twins_", "tnt_", "xcit_")


def apart(work: Work) -> Iterator[Work]:
    """Div, Erf, Add, Mul of two maps and Mul, each with its own passes; any other work as it is."""
    if work.kind != "gelu":
        yield work
        return
    plain = replace(work, kind="elementwise")
    yield from (plain, replace(work, kind="function"), plain, replace(plain, read=2 * work.read), plain)


def compare(hypotheses: Mapping[str, Graphs], name: str, among: Callable[[Figure], bool]) -> None:
    """Fit each, and print the errors on networks that were left out."""
    soc = find_soc(SOC)
    assert soc.fp16_tflops is not None
    peak = soc.fp16_tflops * 1e12 / 2
    figures = [figure for figure in read_figures() if figure.fitted]
    chosen = np.array([among(figure) for figure in figures])
    for hypothesis, graphs in hypotheses.items():
        whole = fitted(Rows(figures, graphs), peak)
        factors = np.exp(np.abs(errors_of_unseen(figures, graphs, peak, whole)))
        told = " ".join(f"{np.quantile(factors[chosen], share):.2f}" for share in (0.5, 0.9))
        print(f"{hypothesis}: {chosen.sum()} figures of {name} {told}, all {np.median(factors):.3f}", flush=True)


def is_transformer(figure: Figure) -> bool:
    """Whether a figure is of one."""
    return figure.graph.startswith(TRANSFORMERS)


def main() -> None:
    """Both."""
    one = read_operators()
    five = {graph: [part for work in works for part in apart(work)] for graph, works in one.items()}
    compare({"one operator": one, "five": five}, "transformers", is_transformer)


if __name__ == "__main__":
    main()
