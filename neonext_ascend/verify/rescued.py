"""What a graph keeps in fp32 on a chip, and where the chip cannot have it so, what helps in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neonext_ascend.errors import counted
from neonext_ascend.machine.chips import Soc
from neonext_ascend.precision.half import overflows_of
from neonext_ascend.precision.modes import ALL, HalfMode
from neonext_ascend.precision.rescaling import Rescaling, rescaled, rescalings
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.verify.feeds import Feed
from neonext_ascend.verify.half import judge_steps
from neonext_ascend.verify.rescue import Rescue, rescue


def rescued(steps: Steps, feeds: Sequence[Feed], soc: Soc | None = None, mode: HalfMode = ALL) -> tuple[Rescue, str]:
    """The nodes to keep, and why the chip cannot have them in fp32; empty where it can.

    Args:
        steps: the graph.
        feeds: the inputs.
        soc: the chip; without one both ways of overflowing are tried, and fp32 is there.
        mode: what is rounded, and what is kept already.

    Raises:
        ParityError: fp16 does not hold the graph whatever is kept.
        ArtifactError: a node cannot be computed.
    """
    found = rescue(steps, feeds, overflows_of(soc), mode)
    if soc is None or not found.products or "fp32" in soc.cube_dtypes:
        return found, ""
    return found, _no_fp32(soc, found, *rescaling(steps, found, feeds, soc, mode))


def kept_words(found: Rescue) -> str:
    """What is kept and what that costs, in one line."""
    products = len(found.products)
    fp32 = f"{products} of them {'products' if products > 1 else 'a product'}, " if products else ""
    nodes, casts = counted(len(found.keep), "node"), counted(found.casts, "cast")
    return (
        f"half precision fails; it holds with {nodes} kept in fp32 ({fp32}{casts}"
        f"{unsettled(found)}): --keep-fp32 {','.join(found.keep)}"
    )


def unsettled(found: Rescue) -> str:
    """A remark where the search stopped before each node had been left out once; else nothing."""
    return "" if found.settled else f"; fewer may do: the search stopped after {found.tries} tries"


def rescaling(
    steps: Steps, found: Rescue, feeds: Sequence[Feed], soc: Soc | None, mode: HalfMode = ALL
) -> tuple[list[Rescaling], bool]:
    """What powers of two do in place of fp32, and whether fp16 holds the graph then.

    Args:
        steps: the graph.
        found: what would have to be kept.
        feeds, soc, mode: as :func:`rescued` had them.
    """
    proposals = rescalings(steps, found.largest, found.keep)
    # With room to spare first, then as little as suffices, then as much as the constants bear.
    for way in zip(*((one.exponents, *one.others) for one in proposals), strict=True):
        tried = [replace(one, exponents=exponents) for one, exponents in zip(proposals, way, strict=True)]
        mended = judge_steps(rescaled(steps, tried), feeds, overflows_of(soc), mode) if any(way) else ()
        if mended and all(verdict.passed for verdict in mended):
            return tried, True
    return proposals, False


def _no_fp32(soc: Soc, found: Rescue, proposals: Sequence[Rescaling], enough: bool) -> str:
    has = " and ".join(sorted(soc.cube_dtypes))
    words = (
        f"--keep-fp32 does not help on {soc.name}: {', '.join(found.products)} would have to multiply in fp32, and its "
        f"cube unit multiplies {has} alone"
    )
    ways = "; ".join(map(str, proposals))
    return f"{words}; {'in its place ' if enough else ''}{ways}" if ways else words
