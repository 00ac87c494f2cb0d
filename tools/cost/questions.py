"""What does a Transpose cost, and what do many small products? Hypotheses, held against networks that were left out.

python -m tools.cost.questions
"""

from __future__ import annotations

from dataclasses import replace

from neonext_ascend.cost.rules import Kind
from tools.cost.figures import read_figures, read_operators
from tools.cost.gelu import Graphs, compare, is_transformer


def counted_as(graphs: Graphs, before: Kind, after: Kind | None) -> Graphs:
    """Operators of one kind counted as another; left out where it is ``None``."""
    return {
        graph: [
            replace(work, kind=after) if work.kind == before and after is not None else work
            for work in works
            if work.kind != before or after is not None
        ]
        for graph, works in graphs.items()
    }


def main() -> None:
    """Both questions, on transformers, which alone have these operators in number."""
    graphs = read_operators()
    for kind in ("transpose", "attention"):
        having = {graph for (graph, _), works in graphs.items() if any(work.kind == kind for work in works)}
        figures = [figure for figure in read_figures() if figure.fitted and figure.graph in having]
        print(f"{kind}: in {len(figures)} figures of {len({figure.network for figure in figures})} networks")
    compare(
        {
            "a transpose by a rate of its own": graphs,
            "as any copy": counted_as(graphs, "transpose", "copy"),
            "as nothing": counted_as(graphs, "transpose", None),
            "small products at the share of large ones": counted_as(graphs, "attention", "matmul"),
        },
        "transformers",
        is_transformer,
    )


if __name__ == "__main__":
    main()
