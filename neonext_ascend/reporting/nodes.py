"""Two computations node by node, in words."""

from __future__ import annotations

from collections.abc import Sequence

from neonext_ascend.reporting.words import labelled
from neonext_ascend.verify.nodes import NodeError
from neonext_ascend.verify.pair import Cause
from neonext_ascend.verify.rescue import Rescue
from neonext_ascend.verify.rescued import unsettled

_MOST = 12  # rows of the table
_HEADER = f"{'error':>9} {'made here':>10}  node"


def debugging_lines(
    artifact: str,
    against: str,
    nodes: Sequence[NodeError],
    unmatched: Sequence[str],
    by_position: int,
    cause: Cause | None = None,
) -> list[str]:
    """What was compared, the verdict, the likely cause, and the nodes around the first that makes an error."""
    made = [node for node in nodes if node.made]
    lines = [*labelled("artifact", artifact), *labelled("against", against)]
    also = f", {by_position} of them by position and shape" if by_position else ""
    left = f"; {len(unmatched)} have no counterpart" if unmatched else ""
    lines += labelled("matched", f"{len({node.name for node in nodes})} nodes{also}{left}")
    if not made:
        worst = max((node.relative for node in nodes), default=0.0)
        return [*lines, *labelled("verdict", f"no node makes an error; the largest difference is {worst:.2g}")]
    first = made[0]
    lines += labelled("verdict", f"{first.name} ({first.operator}) makes an error of {first.own:.2g} by itself")
    if len(made) > 1:
        lines += labelled("", f"{len(made) - 1} more do: {', '.join(node.name for node in made[1:4])}")
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


def rescue_lines(artifact: str, found: Rescue, refusal: str, remedy: str) -> list[str]:
    """What was judged, what has to stay in fp32, what that costs and how, or why a chip cannot have it."""
    lines = [*labelled("artifact", artifact), *labelled("judged", f"in fp16: {found.verdicts[0].report.fp16}")]
    if not found.keep:
        return [*lines, *labelled("fp16", "holds every node; nothing has to stay in fp32")]
    own = f"{len(found.beyond)} give what is beyond 65504" if found.beyond else "what they lose adds up"
    lines += labelled(
        "fp32",
        f"{len(found.keep)} nodes: {own}, {len(found.products)} are products, {found.casts} casts{unsettled(found)}",
    )
    lines += [f"{'':9}{name}" for name in found.keep]
    if refusal:
        return [*lines, *labelled("refused", refusal)]
    return [*lines, *labelled("next", remedy)]
