"""Measured times of operators beside the estimates, in words."""

from __future__ import annotations

import textwrap
from collections import Counter

from neonext_ascend.cost.answer import DEAREST
from neonext_ascend.cost.joining import Comparison
from neonext_ascend.errors import counted
from neonext_ascend.reporting.speed import plain
from neonext_ascend.reporting.words import WIDTH, labelled


def comparison_lines(comparison: Comparison) -> list[str]:
    """What joined, the error by kind, the dearest pairs, and what did not join."""
    rows = sum(len(pair.measured) for pair in comparison.pairs)
    whole = rows + len(comparison.only_measured)
    lines = labelled("measured", f"{rows} of {counted(whole, 'operator')} joined with {_ours(comparison)}")
    lines += [
        "",
        f"{'measured':>9} {'estimate':>9} {'error':>6}  kind, in us; error: in the middle",
    ]
    for kind in comparison.kinds:
        pairs = f"{kind.kind} ({counted(kind.pairs, 'operator')})"
        lines.append(f"{kind.measured:9.1f} {kind.estimated:9.1f} {kind.median_error:6.2f}  {pairs}"[:WIDTH])
    lines += ["", f"{'measured':>9} {'estimate':>9} {'error':>6}  dearest, in us"]
    for pair in comparison.dearest[:DEAREST]:
        name = plain(pair.dearest.operator.name, pair.dearest.operator.what)
        lines.append(f"{pair.measurement:9.1f} {pair.estimate:9.1f} {pair.error:6.2f}  {name}"[:WIDTH])
    lines.append("")
    if comparison.only_measured:
        time = sum(one.microseconds for one in comparison.only_measured)
        kinds = Counter(one.type or one.name for one in comparison.only_measured).most_common(DEAREST)
        named = ", ".join(f"{number} {' '.join(kind.split())}" for kind, number in kinds)
        lines += _note(f"measured, but no node of the file, {time:.1f} us in all: {named}")
    if comparison.only_estimated:
        time = sum(one.microseconds for one in comparison.only_estimated)
        names = ", ".join(" ".join(one.operator.name.split()) for one in comparison.only_estimated[:DEAREST])
        more = len(comparison.only_estimated) - DEAREST
        lines += _note(
            f"estimated, but not measured, {time:.1f} us in all: {names}{f' and {more} more' if more > 0 else ''}"
        )
    return lines


def _ours(comparison: Comparison) -> str:
    joined = sum(len(pair.estimated) for pair in comparison.pairs)
    return f"{joined} of {joined + len(comparison.only_estimated)} estimated"


def _note(text: str) -> list[str]:
    return textwrap.wrap(f"- {text}", WIDTH, subsequent_indent="  ", break_long_words=False)
