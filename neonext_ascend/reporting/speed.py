"""How fast a file may be on a chip, in words: each batch with its interval, and where the time goes."""

from __future__ import annotations

import textwrap

from neonext_ascend.cost.file_cost import FileCost
from neonext_ascend.reporting.words import WIDTH, labelled

_KINDS = 5  # that are worth a line
_SMALL = 0.005


def cost_lines(cost: FileCost) -> list[str]:
    """Counts, images a second at each batch, the dearest kinds and nodes, and what it all rests on."""
    lines = []
    if cost.operators:
        counts = f"{cost.multiplications / 1e9:.3g} G multiplications at batch {cost.batch}"
        lines += labelled("work", f"{counts}, {cost.weights / 1e6:.3g} MB of weights in fp16")
    for number, estimate in enumerate(cost.estimates):
        interval = f"{estimate.coverage:.0%} between {estimate.low:.0f} and {estimate.high:.0f}"
        speed = f"batch {estimate.batch}: about {estimate.images_per_second:.0f} images a second ({interval})"
        lines += labelled("speed" if number == 0 else "", speed)
    if cost.timed:
        shares = [f"{kind} {share:.0%}" for kind, share in cost.shares.items() if share >= _SMALL][:_KINDS]
        lines += labelled("time", f"at batch {cost.batch}: {', '.join(shares)}")
        lines += ["", f"{'us':>9} {'share':>6}  dearest"]
        for one in cost.dearest:
            name = " ".join(one.operator.name.split())  # a name may hold line breaks
            lines.append(f"{one.microseconds:9.1f} {one.share:6.1%}  {name} ({one.operator.what})"[:WIDTH])
        lines.append("")
    for note in cost.notes:
        lines += textwrap.wrap(f"- {note}", WIDTH, subsequent_indent="  ", break_long_words=False)
    return lines
