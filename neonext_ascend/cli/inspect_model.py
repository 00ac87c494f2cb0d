"""The MODEL half of ``neonext-ascend inspect``: what each stage costs on a chip, in each layout and lowering."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from neonext_ascend.cli.terminal import put_json, say, shown_path, warn, working
from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.machine.chips import SOCS, Soc
from neonext_ascend.spec import Layout

if TYPE_CHECKING:
    from neonext_ascend.cost.rows import NetworkRow, StageRow
    from neonext_ascend.drawing.roofline import Point
    from neonext_ascend.models.config import NetworkConfig

WIDTH = 80
_LARGEST_BATCH = 2**16
LayoutWord = Layout | Literal["auto"]


class Batches(click.ParamType[tuple[int, ...]]):
    """``1,8,32``, each once."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Parse."""
        if not re.fullmatch(r"\d{1,6}(,\d{1,6})*", str(value)):
            self.fail(f"{value!r}; expected a batch size such as 8, or several such as 1,8,32", param, ctx)
        batches = tuple(int(part) for part in str(value).split(","))
        if not all(1 <= batch <= _LARGEST_BATCH for batch in batches):
            self.fail(f"{value!r}; expected numbers from 1 to {_LARGEST_BATCH}", param, ctx)
        return tuple(dict.fromkeys(batches))


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What ``inspect`` was asked for besides the model.

    Args:
        soc: the chip.
        batches: images, in the order given.
        layout: ``auto`` compares both.
        svg: where the roofline goes; ``None`` for the current folder.
        draw: whether one is drawn.
    """

    soc: Soc
    batches: tuple[int, ...]
    layout: LayoutWord
    svg: Path | None
    draw: bool


def inspect_model(config: NetworkConfig, request: ModelRequest, as_json: bool) -> None:
    """Print what a network costs on a chip, and draw its roofline.

    Raises:
        UsageError: the network cannot take its image size, or a drawing that cannot be.
        FileAccessError: the drawing cannot be written.
    """
    known = request.soc.fp16_tflops is not None and request.soc.bandwidth_gbs is not None
    path = _svg_path(config, request, known)
    with working(f"counting {config.name}"):
        from neonext_ascend.cost.rows import assumptions, network_rows, stage_rows

        layout = None if request.layout == "auto" else request.layout
        networks = list(network_rows(config, request.soc, request.batches, layout))
        stages = list(stage_rows(config, request.soc, networks))
        notes = assumptions(request.soc)
    if request.svg is not None and path is not None:
        _draw(config, request.soc, stages, path)  # asked for: where it fails, nothing is said
    if not as_json:
        for line in model_lines(config, request, stages, networks, notes):
            say(line)
    if request.svg is None and path is not None:
        path = _offered(config, request.soc, stages, path)
    if as_json:
        put_json(
            {
                "model": config.name,
                "soc": request.soc.name,
                "dtype": "fp16",
                "assumptions": notes,
                "stages": [row.to_json() for row in stages],
                "network": [row.to_json() for row in networks],
                "svg": None if path is None else str(path.absolute()),
            }
        )
    elif path is not None:
        say("")
        say(f"roofline  {shown_path(path.absolute())}")


def _offered(config: NetworkConfig, soc: Soc, stages: Sequence[StageRow], path: Path) -> Path | None:
    """Draw what was not asked for, and give where; ``None`` where it cannot be."""
    try:
        _draw(config, soc, stages, path)
    except (FileAccessError, UsageError) as error:
        warn(f"no roofline was drawn: {error}; --svg FILE draws it elsewhere")
        return None
    return path


def model_lines(
    config: NetworkConfig,
    request: ModelRequest,
    stages: Sequence[StageRow],
    networks: Sequence[NetworkRow],
    notes: Sequence[str],
) -> list[str]:
    """The tables in words, at most :data:`WIDTH` wide."""
    from neonext_ascend.models.config import size_text

    shifts = ",".join(str(int(shift)) for shift in config.shifts)
    size = size_text(config.image_size)
    lines = _wrapped(f"{config.name}, {config.definition} definition, image {size}, shifts {shifts}", "")
    chosen = "what auto chooses" if request.layout == "auto" else f"the lowering that auto takes in {request.layout}"
    lines += _wrapped(f"fp16 on {request.soc.name}; * marks {chosen}", "")
    sizes = config.stage_sizes()
    for stage in range(len(sizes)):
        cells = "+".join(map(str, config.cells[stage]))
        height, width = sizes[stage]
        blocks = f"{config.depths[stage]} block{'' if config.depths[stage] == 1 else 's'}"
        what = f"{blocks}, {config.widths[stage]} channels, {height}x{width} map, cells {cells}"
        lines += ["", *_wrapped(f"stage {stage + 1}: {what}; one NeoCell costs", ""), *_STAGE_HEADER]
        lines += [_stage_line(row) for row in stages if row.stage == stage + 1]
    lines += ["", "the whole network", *_NETWORK_HEADER, *map(_network_line, networks)]
    if request.layout == "auto":
        lines += [""]
        for row in networks:
            lines += _wrapped(f"{row.layout} at batch {row.batch}: {row.reason}", "  ") if row.chosen else []
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
    f"{'':13}{'multiplications':^27}{'estimate':>22}{'estimate':>16}",
    f"{'batch':>5} {'layout':<7}{'useful':>9}{'dense':>9}{'cube':>9}{'bytes':>10}{'ms':>12}{'images / s':>16}",
)


def _stage_line(row: StageRow) -> str:
    cost = row.cost
    ratio = f"{cost.cube / row.blockdiag_dense:.2f}"
    time = "-" if row.estimate_us is None else _three(row.estimate_us)
    return (
        f"{row.batch:>5} {row.layout:<6} {row.lowering:<9}{'*' if row.chosen else ' '}{_short(cost.useful):>8}"
        f"{_short(cost.dense):>8}{_short(cost.cube):>8}{ratio:>8}{_short(cost.bytes):>9}{cost.intensity:>7.2f}{time:>9}"
    )


def _network_line(row: NetworkRow) -> str:
    total = row.cost.total
    time = "-" if row.estimate_us is None else _three(row.estimate_us / 1e3)
    speed = "-" if row.images_per_second is None else f"{row.images_per_second:.0f}"
    return (
        f"{row.batch:>5} {row.layout:<4} {'*' if row.chosen else ' '} {_short(total.useful):>9}"
        f"{_short(total.dense):>9}{_short(total.cube):>9}{_short(total.bytes):>10}{time:>12}{speed:>16}"
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


def _svg_path(config: NetworkConfig, request: ModelRequest, known: bool) -> Path | None:
    """Where the drawing goes; ``None`` where there is none."""
    path = request.svg
    if not request.draw:
        if path is not None:
            raise UsageError(f"both --svg {path} and --no-svg; give one")
        return None
    if not known:
        if path is not None:
            complete = [soc.name for soc in SOCS.values() if soc.fp16_tflops is not None and soc.bandwidth_gbs]
            raise UsageError(
                f"--svg {path}: {request.soc.name} has no peak or no bandwidth figure, so no roof; "
                f"take {' or '.join(complete)}"
            )
        return None
    if path is None:
        return Path(f"roofline-{config.name}-{request.soc.name}.svg")
    if path.suffix.lower() != ".svg":
        raise UsageError(f"--svg {path}: an SVG is drawn; give a file name that ends in .svg")
    if path.is_dir():
        raise UsageError(f"--svg {path}: is a folder; give a file name that ends in .svg")
    return path


def _draw(config: NetworkConfig, soc: Soc, stages: Sequence[StageRow], path: Path) -> None:
    from neonext_ascend.artifacts.staging import staging
    from neonext_ascend.drawing.roofline import Roof, draw_roofline

    assert soc.fp16_tflops is not None
    assert soc.bandwidth_gbs is not None
    roof = Roof(
        soc.fp16_tflops * 1e12,
        soc.bandwidth_gbs * 1e9,
        f"{soc.fp16_tflops:.1f} TFLOPS, derived",
        f"{soc.bandwidth_gbs:g} GB/s, a press figure",
    )
    points = [point for row in sorted(stages, key=lambda row: row.batch) if (point := _point(row)) is not None]
    subtitle = "one NeoCell of each stage, fp16; an estimate, nothing measured; circle nchw, square chnw"
    text = draw_roofline(f"{config.name} on {soc.name}", subtitle, roof, points)
    with staging(path.parent) as stage:
        (stage.folder / path.name).write_text(text, encoding="utf-8")
        stage.publish(path.name)


def _point(row: StageRow) -> Point | None:
    from neonext_ascend.drawing.roofline import Point

    if row.estimate_us is None:
        return None
    speed = 2e6 * row.cost.useful / row.estimate_us
    return Point(row.batch, row.stage, row.layout, row.lowering, row.chosen, row.cost.intensity, speed)
