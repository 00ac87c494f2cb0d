"""Every operator of a file as the estimate has it, in words: its counts, its time, and the rule that made it one."""

from __future__ import annotations

import textwrap

from neonext_ascend.cost.answer import FileCost, Timed
from neonext_ascend.cost.reasons import REASONS, reason_of
from neonext_ascend.reporting.speed import plain
from neonext_ascend.reporting.words import WIDTH

_LONG = 999_999  # us, more than the column holds
_HEADER = (
    f"{'':16}{'multiplications':>15}{'vector':>8}{'bytes':>16}",
    f"{'us':>8} {'share':>6} {'dense':>7} {'cube':>7} {'elem.':>7} {'weights':>7} {'in':>7} {'out':>7} {'L2':>3}  kind",
)


def operator_lines(cost: FileCost) -> list[str]:
    """Two lines an operator, in the order of the graph; then the rules with their sources, and what is no operator."""
    lines = [
        f"operators at batch {cost.batch}: in and out in fp16 as the chip lays maps out; L2: whether both fit there"
    ]
    lines = [*textwrap.wrap(lines[0], WIDTH), "", *_HEADER]
    for one in cost.listing:
        lines += _pair(one, bool(cost.estimates))
    rules = dict.fromkeys(reason_of(one.operator).rule for one in cost.listing)
    lines += ["", "rules"]
    for rule in rules:
        reason = REASONS[rule]
        lines += textwrap.wrap(f"- {rule}: {reason.words}; source: {reason.source}", WIDTH, subsequent_indent="  ")
    if cost.free:
        free = ", ".join(f"{len(names)} {op}" for op, names in cost.free.items())
        lines += textwrap.wrap(f"- no operator, as nothing moves: {free}", WIDTH, subsequent_indent="  ")
    return lines


def _pair(one: Timed, told: bool) -> list[str]:
    work = one.operator.work
    time = (
        f"{one.microseconds:{'8.1f' if one.microseconds < _LONG else '8.2g'}} {one.share:6.1%}"
        if told
        else f"{'-':>8} {'-':>6}"
    )
    counts = " ".join(
        f"{short(n):>7}" for n in (work.dense, work.cube, work.elements, work.weights, work.read, work.written)
    )
    nodes = len(one.operator.nodes)
    more = f", {nodes} nodes" if nodes > 1 else ""
    name = plain(one.operator.name, f"{one.operator.what}{more}; {reason_of(one.operator).rule}")
    return [f"{time} {counts} {'yes' if one.in_l2 else 'no':>3}  {work.kind}", f"{'':9}{name}"[:WIDTH]]


def short(number: int) -> str:
    """Three significant digits with a letter: 12.3k, 4.56M, 789G; - for none."""
    if not number:
        return "-"
    for letter, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:
            return f"{number / size:#.3g}".rstrip(".") + letter
    return str(number)
