"""The page on single NeoCells: every form by stage, what decides against a depthwise convolution, and growth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure.growth import FORMS
from benchmarks.measure.neocell import BLOCKDIAG, CHNW, DEPTHWISE
from benchmarks.page.parts import Figures, cpu_text, milliseconds, paragraph, percent, picture, spread, table
from benchmarks.page.plots import PLOTS
from benchmarks.sections import Document

Row = Mapping[str, Any]


def neocell(document: Document) -> list[str]:
    """Every lowering and layout against equation 1 and the depthwise convolution."""
    figures = document["figures"]
    rows, peaks = figures["cells"], figures["peaks"]
    lines = [
        "## One NeoCell",
        "",
        *paragraph(
            "The NeoCell of each stage of NeoNeXt-T, one thread, input and output in place. `chnw` takes and gives "
            "`[C, H, N, W]`, as inside a CHNW network. *Equation 1* is the paper's form as torch exports it; "
            "`patchwise` is this package's lowering of the same, without transposes. Peak: multiplications, zeros "
            f"included, against those of a large MatMul, {peaks['gemm'] / 1e9:.1f} GMAC/s. Bandwidth: bytes of input, "
            f"output and matrices against a copy's, {peaks['bandwidth'] / 1e9:.1f} GB/s read and written. Both were "
            "measured in the same run; maps that stay in the cache can pass 100 % of the latter."
        ),
        *picture(*PLOTS["neocell"][:2]),
    ]
    heads = ["form", "ms", "times equation 1's speed", "over depthwise 7x7", "of GEMM peak", "of copy bandwidth"]
    for batch in sorted({row["batch"] for row in rows}):
        for stage in sorted({row["stage"] for row in rows}):
            found = [row for row in rows if (row["batch"], row["stage"]) == (batch, stage)]
            size = f"{found[0]['channels']} x {found[0]['size']} x {found[0]['size']}"
            body = [
                [
                    row["form"],
                    milliseconds(row["seconds"]["median"]),
                    spread(row["speed_up"], 1),
                    spread(row["over_depthwise"]),
                    percent(row["of_gemm_peak"]),
                    percent(row["of_bandwidth"]),
                ]
                for row in found
            ]
            lines += table([f"batch {batch}, stage {stage}: {size}", *heads[1:]], body)
    return [*lines, *_what_decides(rows, cpu_text(document["machine"]))]


def _what_decides(rows: Sequence[Row], cpu: str) -> list[str]:
    """The ratio to the depthwise convolution as a product of two factors."""
    body, rates = [], []
    for batch, form in ((1, BLOCKDIAG), (8, CHNW)):
        by_stage = {(row["stage"], row["form"]): row for row in rows if row["batch"] == batch}
        for stage in sorted({stage for stage, _ in by_stage}):
            ours, theirs = by_stage[stage, form], by_stage[stage, DEPTHWISE]
            more, faster = factors(ours, theirs)
            rates.append(faster)
            ratio = f"{ours['over_depthwise']['median']:.2f}"
            rate = f"{percent(ours['of_gemm_peak'])} and {percent(theirs['of_gemm_peak'])}"
            body.append([f"{form}, batch {batch}, stage {stage}", ratio, f"{more:.2f}", rate, f"{faster:.2f}"])
    if not body:
        return []
    heads = ["form", "time over depthwise 7x7", "multiplications over its", "of GEMM peak, both", "rate over its"]
    return [
        *paragraph(
            f"What decides against a 7x7 depthwise convolution, on {cpu}: the times' ratio is that of the "
            "multiplications over that of the rates. The first is the geometry's alone: a block-diagonal NeoCell "
            "multiplies H + W numbers a pixel, zeros included, the convolution 49, so it falls from stage to stage. "
            "The second is the CPU's: how much nearer to its GEMM peak small batched products run than the "
            f"convolution's kernel. Here it lies between {min(rates):.2f} and {max(rates):.2f}; NeoCell is the faster "
            "one where it exceeds the first."
        ),
        *table(heads, body),
    ]


def factors(ours: Row, theirs: Row) -> tuple[float, float]:
    """How many times more multiplications, and how many times faster each is: the ratio of times is their quotient."""
    more = ours["macs"] / theirs["macs"]
    return more, more * theirs["seconds"]["median"] / ours["seconds"]["median"]


def growth(figures: Figures) -> list[str]:
    """Exponents, fitted and predicted."""
    sweeps = figures["sweeps"]
    heads = ["what grows", *(f"{form}: fitted / predicted" for form in FORMS)]
    body = [
        [
            sweep["title"],
            *(f"{sweep['fits'][form]['exponent']:.2f} / {sweep['predicted'][form]}" for form in FORMS),
        ]
        for sweep in sweeps
    ]
    return [
        "## How cost grows",
        "",
        *paragraph(
            "One NeoCell of one cell size, no shift, batch 1, one thread. Multiplications by the paper's equations 4 "
            "and 5: depthwise convolution `C H W k^2`, NeoCell `2 C H W k`; as block-diagonal matrices with their "
            "zeros `C (H' H W + H' W W')`, whatever k is. The exponents are least-squares fits on logarithms."
        ),
        *picture(*PLOTS["growth"][:2]),
        *table(heads, body),
        *paragraph(
            "A count of multiplications predicts the time only where multiplying takes it. Patch by patch the work is "
            "`(H/k) (W/k)` small products a channel, each a call of its own: larger cells mean fewer calls."
        ),
    ]
