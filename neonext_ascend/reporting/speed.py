"""How fast a file may be on a chip, in words: each batch with its interval, where the time goes, and its memory."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from neonext_ascend.cost.advice import Advice
from neonext_ascend.cost.answer import START, FileCost
from neonext_ascend.cost.int8.gain import Int8Gain
from neonext_ascend.cost.room import MOST
from neonext_ascend.errors import counted
from neonext_ascend.reporting.words import WIDTH, bytes_text, labelled

_KINDS = 5  # that are worth a line
_SMALL = 0.005
_WORDS = {START: "starting a run"}


def cost_lines(cost: FileCost) -> list[str]:
    """Counts, images a second and memory at each batch, what is dearest, what would help, and what it all rests on."""
    lines = []
    if cost.listing:
        zeros = f", {cost.useful / 1e9:.3g} G without zeros" if cost.useful < cost.multiplications else ""
        counts = f"{cost.multiplications / 1e9:.3g} G multiplications at batch {cost.batch}{zeros}"
        lines += labelled("work", f"{counts}, {cost.weights / 1e6:.3g} MB of weights in fp16")
    lines += _memory_lines(cost)
    for number, estimate in enumerate(cost.estimates):
        interval = f"{estimate.coverage:.0%} between {estimate.low:.0f} and {estimate.high:.0f}"
        speed = f"batch {estimate.batch}: about {estimate.images_per_second:.0f} images a second ({interval})"
        lines += labelled("speed" if number == 0 else "", speed)
    if cost.estimates:
        lines += labelled("time", time_text(cost))
        for gain in cost.int8:
            lines += labelled("int8" if gain is cost.int8[0] else "", gain_text(gain))
        for number, advice in enumerate(cost.advice):
            lines += labelled("faster" if number == 0 else "", advice_text(advice))
        lines += ["", f"{'us':>9} {'share':>6}  dearest"]
        for one in cost.dearest:
            lines.append(
                f"{one.microseconds:9.1f} {one.share:6.1%}  {plain(one.operator.name, one.operator.what)}"[:WIDTH]
            )
        lines.append("")
    for note in cost.notes:
        lines += textwrap.wrap(f"- {note}", WIDTH, subsequent_indent="  ", break_long_words=False)
    return lines


def time_text(cost: FileCost) -> str:
    """Of which kinds of work the estimated time is; what is told makes the whole."""
    shares = [(_WORDS.get(kind, kind), share) for kind, share in cost.shares.items() if share >= _SMALL][:_KINDS]
    rest = 1 - sum(share for _, share in shares)
    shares += [("all else", rest)] if rest >= _SMALL else []
    return f"at batch {cost.batch}: {', '.join(f'{words} {share:.0%}' for words, share in shares)}"


def plain(name: str, what: str) -> str:
    """An operator in one line: a name may hold line breaks."""
    return f"{' '.join(name.split())} ({what})"


def advice_text(advice: Advice) -> str:
    """What to do, and how fast that would be."""
    speed = f"about {advice.images_per_second:.0f} images a second, {advice.factor:.2f} times as fast"
    error = ", a gain within the estimate's own error" if advice.within_error else ""
    more = f"; {advice.more}" if advice.more else ""
    return f"{advice.words} {speed}{error}{more}"


def gain_text(gain: Int8Gain) -> str:
    """What int8 brings at a batch, by which products, and whether that is worth it."""
    if not gain.products:
        return "no product of this graph can be int8: not worth it"
    what = f"{counted(gain.products, 'product')} with {gain.share:.0%} of the multiplications"
    what += f", {counted(gain.quantisers, 'quantising operator')} of their own"
    if gain.made:
        speed = f"{gain.factor:.2f} times as fast as in fp16"
    else:
        speed = f"about {gain.int8.images_per_second:.0f} images a second, {gain.factor:.2f} times as fast"
    interval = f"{gain.int8.coverage:.0%} between {gain.low:.2f} and {gain.high:.2f}"
    return f"batch {gain.int8.batch}: {speed} ({interval}), {what}: {gain.verdict}"


def _memory_lines(cost: FileCost) -> Iterator[str]:
    for number, memory in enumerate(cost.memory):
        need = memory.chip
        words = f"batch {memory.batch}: {bytes_text(need.total)}, of it {bytes_text(need.activations)} of activations"
        if cost.room is not None:
            words += f"; {'fits' if memory.fits else 'does not fit'} in {bytes_text(cost.room)}"
        yield from labelled("memory" if number == 0 else "", words)
    if cost.largest_batch == 0:
        yield from labelled("", "no batch fits")
    elif cost.largest_batch is not None:
        more = " or more" if cost.largest_batch == MOST else ""
        words = f"the largest batch that fits: {cost.largest_batch:,}{more}, without what the runtime takes"
        yield from labelled("", words)
