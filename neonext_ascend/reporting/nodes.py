"""Two computations node by node, in words."""

from __future__ import annotations

import math

from neonext_ascend.errors import counted
from neonext_ascend.reporting.words import labelled
from neonext_ascend.verify.nodewise.debugged import Debugging
from neonext_ascend.verify.nodewise.nodes import OutputError
from neonext_ascend.verify.rescue import Rescue
from neonext_ascend.verify.rescued import unsettled

_MOST = 12  # rows of the table
_HEADER = f"{'error':>9} {'made here':>10}  node"


def debugging_lines(found: Debugging) -> list[str]:
    """What was compared, the verdict, the likely cause, and the nodes around the first that makes an error."""
    nodes, made = found.nodes, [node for node in found.nodes if node.made]
    lines = [*labelled("artifact", found.artifact), *labelled("against", found.against)]
    ways = ", ".join(f"{number:,} by {how}" for how, number in found.matched_by.items())
    lines += labelled("matched", f"{counted(found.matched, 'node')}: {ways}{_left(found)}")
    inside, off = found.first_inside, [output for output in found.outputs if output.relative > found.allowed]
    worst = max((output.relative for output in found.outputs), default=0.0)
    if found.agree and inside is not None:
        differ = f"{counted(len(made), 'node')} inside {'differ' if len(made) > 1 else 'differs'}"
        lines += labelled("verdict", f"differs inside, the outputs agree (largest difference {worst:.2g}): {differ}")
        return [*lines, *labelled("note", f"the first is {inside.name} ({inside.operator}): {_error(inside.own)}")]
    outputs = [line for output in off for line in labelled("", output.words or _differs(output))]
    if inside is None:
        largest = max((node.relative for node in nodes), default=0.0)
        told = f"no node makes an error; the largest difference is {largest:.2g}"
        if not found.differ:
            return [*lines, *labelled("verdict", told)]
        lacks = f": the other has what this lacks: {', '.join(found.missing[:3])}" if found.missing else ""
        return [*lines, *labelled("verdict", f"no node makes an error, but the outputs differ{lacks}"), *outputs]
    first, cause = inside, found.cause
    lines += labelled("verdict", f"{first.name} ({first.operator}) makes {_error(first.own)} by itself")
    lines += [line for output in off if output.words for line in labelled("", output.words)]
    if len(made) > 1:
        lines += labelled(
            "",
            f"{len(made) - 1} more {'does' if len(made) == 2 else 'do'}: {', '.join(node.name for node in made[1:4])}",
        )
    if cause is not None:
        place = "" if cause.node == first.name else f"{cause.node}: "
        lines += [*labelled("cause", f"{place}{cause.what}"), *labelled("try", cause.remedy)]
    start = max(nodes.index(first) - 3, 0)
    shown = nodes[start : start + _MOST]
    lines += ["", _HEADER]
    for node in shown:
        own = f"{node.own:10.2g}" if node.made else f"{'-':>10}"
        other = "" if node.other == node.name else f"  ({node.other})"
        lines.append(f"{node.relative:9.2g} {own}  {node.name}{other}")
    if start + len(shown) < len(nodes):
        lines.append(f"{'':22}... {len(nodes) - start - len(shown)} more")
    return lines


def _left(found: Debugging) -> str:
    number = len(found.unmatched)
    return f"; {number:,} {'has' if number == 1 else 'have'} no counterpart" if number else ""


def _differs(output: OutputError) -> str:
    return f"{output.name} differs by {output.relative:.2g}"


def _error(own: float) -> str:
    if not math.isfinite(own):
        return "an infinite error (infinity, NaN or another shape on one side alone)"
    return f"an error of {own:.2g}"


def rescue_lines(artifact: str, found: Rescue, refusal: str, remedy: str) -> list[str]:
    """What was judged, what has to stay in fp32, what that costs and how, or why a chip cannot have it."""
    lines = [*labelled("artifact", artifact), *labelled("judged", f"in fp16: {found.verdicts[0].report.fp16}")]
    if not found.keep:
        return [*lines, *labelled("fp16", "holds every node; nothing has to stay in fp32")]
    gives = "gives" if len(found.beyond) == 1 else "give"
    own = f"{len(found.beyond)} {gives} what is beyond 65504" if found.beyond else "what they lose adds up"
    lines += labelled(
        "fp32",
        f"{counted(len(found.keep), 'node')}: {own}, {counted(len(found.products), 'product')}, "
        f"{counted(found.casts, 'cast')}{unsettled(found)}",
    )
    lines += [f"{'':9}{name}" for name in found.keep]
    if refusal:
        return [*lines, *labelled("refused", refusal)]
    return [*lines, *labelled("next", remedy)]
