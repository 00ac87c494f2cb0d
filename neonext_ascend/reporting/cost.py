"""What a network costs on a chip, in words: a table for each stage, one for the whole network, what they rest on."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from neonext_ascend.cost.choice import LayoutChoice
from neonext_ascend.cost.rows import NetworkRow, StageRow
from neonext_ascend.models.config import NetworkConfig, size_text
from neonext_ascend.reporting.words import WIDTH


def model_lines(
    config: NetworkConfig,
    soc: str,
    layout: LayoutChoice,
    stages: Sequence[StageRow],
    networks: Sequence[NetworkRow],
    notes: Sequence[str],
) -> list[str]:
    """The tables in words, at most :data:`WIDTH` wide.

    Args:
        config: the network.
        soc: the chip's name.
        layout: that was asked for; ``auto`` compares both.
        stages, networks: rows of the tables.
        notes: what the figures rest on.
    """
    shifts = ",".join(str(int(shift)) for shift in config.shifts)
    size = size_text(config.image_size)
    lines = _wrapped(f"{config.name}, {config.definition} definition, image {size}, shifts {shifts}", "")
    chosen = "what auto chooses" if layout == "auto" else f"the lowering that auto takes in {layout}"
    lines += _wrapped(f"fp16 on {soc}; * marks {chosen}", "")
    sizes = config.stage_sizes()
    for stage in range(len(sizes)):
        cells = "+".join(map(str, config.cells[stage]))
        height, width = sizes[stage]
        blocks = f"{config.depths[stage]} block{'' if config.depths[stage] == 1 else 's'}"
        what = f"{blocks}, {config.widths[stage]} channels, {height}x{width} map, cells {cells}"
        lines += ["", *_wrapped(f"stage {stage + 1}: {what}; one NeoCell costs", ""), *_STAGE_HEADER]
        lines += [_stage_line(row) for row in stages if row.stage == stage + 1]
    lines += ["", "the whole network", *_NETWORK_HEADER, *map(_network_line, networks)]
    if layout == "auto":
        lines += [""]
        for row in networks:
            lines += _wrapped(f"{row.layout}: {row.form.reason}", "  ") if row.chosen else []
    lines.append("")
    for note in notes:
        lines += _wrapped(f"- {note}", "  ")
    return lines


_STAGE_HEADER = (
    f"{'':23}{'multiplications':^23}{'cube over':>9}{'flop/':>16}{'estimate':>9}",
    f"{'batch':>5} {'layout':<6} {'lowering':<9} {'useful':>8}{'dense':>8}{'cube':>8}{'blockd.':>8}{'bytes':>9}"
    f"{'byte':>7}{'us':>9}",
)
_NETWORK_HEADER = (
    f"{'':13}{'multiplications':^24}{'':10}{'estimated images a second':>33}",
    f"{'batch':>5} {'layout':<7}{'useful':>8}{'dense':>8}{'cube':>8}{'bytes':>10}{'about':>11}{'between':>20}",
)


def _stage_line(row: StageRow) -> str:
    cost = row.cost
    ratio = f"{cost.cube / row.blockdiag_dense:.2f}"
    time = "-" if row.estimate_us is None else _three(row.estimate_us)
    return (
        f"{row.batch:>5} {row.layout:<6} {row.lowering:<9}{'*' if row.chosen else ' '}{_short(row.useful):>8}"
        f"{_short(cost.multiplications):>8}{_short(cost.cube):>8}{ratio:>8}{_short(row.bytes):>9}{row.intensity:>7.2f}"
        f"{time:>9}"
    )


def _network_line(row: NetworkRow) -> str:
    told = row.estimate
    speed = "-" if told is None else f"{told.images_per_second:.0f}"
    interval = "-" if told is None else f"{told.low:.0f} and {told.high:.0f}"
    return (
        f"{row.batch:>5} {row.layout:<4} {'*' if row.chosen else ' '} {_short(row.useful):>8}"
        f"{_short(row.cost.multiplications):>8}{_short(row.cost.cube):>8}{_short(row.bytes):>10}{speed:>11}{interval:>20}"
    )


def _short(number: int) -> str:
    """Three digits and a unit."""
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{_three(number / size)} {unit}"
    return str(number)


def _three(value: float) -> str:
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
