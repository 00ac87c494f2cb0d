"""The parity ladder in words: a table of its rungs, and where it breaks."""

from __future__ import annotations

from neonext_ascend.reporting.words import labelled
from neonext_ascend.verify.compare import summarize
from neonext_ascend.verify.ladder import Ladder, Rung

_HEADER = f"{'rung':14}{'against':14}{'max abs':>9}{'max rel':>9}{'cosine':>11}{'top-1':>7}{'flips':>6}{'needs':>8}"


def ladder_lines(ladder: Ladder) -> list[str]:
    """Each rung against the one above and the first; flips; the verdict with cause and remedy.

    ``needs`` is the smallest multiple of the rung's bounds that passes.
    """
    lines = [*labelled("checked", ladder.checked), "", _HEADER, *(_row(rung) for rung in ladder.rungs)]
    if ladder.control is not None:
        lines.append(_row(ladder.control))
    lines.append("")
    if not ladder.trained:
        lines += labelled("note", "untrained weights: the answers mean nothing, nor does it where one flips")
    flips = {(rung.name, flip) for rung in ladder.rungs for flip in rung.flips}
    for name, flip in sorted(flips, key=lambda one: (one[0], one[1].picture, one[1].margin)):
        lines += labelled(
            "flip",
            f"{name}: {flip.picture} from class {flip.was} to {flip.became}, held by a margin of {flip.margin:.3g}",
        )
    broken, verdict = ladder.broken, ladder.verdict
    if broken is None or verdict is None:
        return [*lines, *labelled("verdict", "every rung holds")]
    lines += labelled("verdict", f"{verdict.rung} fails{f' at {verdict.node}' if verdict.node else ''}")
    lines += labelled("", broken.failures[0])
    return [*lines, *labelled("cause", verdict.cause), *labelled("try", verdict.remedy)]


def _row(rung: Rung) -> str:
    worst = summarize(rung.comparisons)
    figures = f"{worst['max_abs']:9.2g}{worst['max_rel']:9.2g}{worst['cosine']:11.7f}"
    top1 = "-" if worst["top1"] is None else f"{round(worst['top1'] * worst['images'])}/{worst['images']}"
    mark = "" if rung.passed else "  FAILED"
    return f"{rung.name:14}{rung.against:14}{figures}{top1:>7}{len(rung.flips):6}{worst['needed']:8.2g}{mark}"
