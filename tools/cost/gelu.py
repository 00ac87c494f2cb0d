"""Is GELU one operator or five on the chip? Both are fitted, and held against transformers that were left out.

python -m tools.cost.gelu
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from neonext_ascend.cost.counting import Work
from neonext_ascend.machine.chips import find_soc
from tools.cost.figures import Rows, read_figures, read_operators
from tools.cost.fit import SOC, errors_of_unseen, fitted

TRANSFORMERS = ("vit_", "swin_", "twins_", "tnt_", "xcit_")


def apart(work: Work) -> Iterator[Work]:
    """Div, Erf, Add, Mul of two maps and Mul, each with its own passes; any other work as it is."""
    if work.kind != "gelu":
        yield work
        return
    plain = replace(work, kind="elementwise")
    yield from (plain, replace(work, kind="function"), plain, replace(plain, read=2 * work.read), plain)


def main() -> None:
    """Fit both, and print the errors on networks that were left out."""
    soc = find_soc(SOC)
    assert soc.fp16_tflops is not None
    peak, one = soc.fp16_tflops * 1e12 / 2, read_operators()
    five = {graph: [part for work in works for part in apart(work)] for graph, works in one.items()}
    figures = [figure for figure in read_figures() if figure.fitted]
    among = np.array([figure.graph.startswith(TRANSFORMERS) for figure in figures])
    for name, graphs in (("one operator", one), ("five", five)):
        whole = fitted(Rows(figures, graphs), peak)
        factors = np.exp(np.abs(errors_of_unseen(figures, graphs, peak, whole)))
        told = " ".join(f"{np.quantile(factors[among], share):.2f}" for share in (0.5, 0.9))
        print(f"{name}: {among.sum()} figures of transformers {told}, all {np.median(factors):.3f}", flush=True)


if __name__ == "__main__":
    main()
