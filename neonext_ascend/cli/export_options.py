"""The options of ``export``: the form of a file, and the OM."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from neonext_ascend.cli.options import PATH, BatchSize, Finite, ImageSize
from neonext_ascend.spec import GELUS, LAYOUTS, LOWERINGS, MAP_LAYOUTS

_F = TypeVar("_F", bound=Callable[..., Any])
# As in exporters/om_file/options.py, which the help does not load; tests/runtimes/test_registry.py compares them.
CALIBRATORS = ("minmax", "percentile", "entropy", "mse")  # precision/int8/calibrators.py, likewise
ROUNDINGS = ("nearest", "adaround")  # precision/int8/deciding.py, likewise
PRECISIONS = ("fp16", "origin", "mixed_float16", "cube_fp16in_fp32out")


class Gears(click.ParamType[tuple[int, ...]]):
    """``1,2,4,8``; how many and which, ATC's rules tell later."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Parse."""
        if not re.fullmatch(r"\d{1,6}(,\d{1,6})*", str(value)):
            self.fail(f"{value!r}; expected batch sizes with commas between, such as 1,2,4,8", param, ctx)
        return tuple(int(part) for part in value.split(","))


class ImageSizes(click.ParamType[tuple[tuple[int, int], ...]]):
    """``224,256`` or ``224x320,256``."""

    name = "N,N,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[int, int], ...]:
        """Parse."""
        sizes = tuple(ImageSize().convert(part, param, ctx) for part in str(value).split(","))
        if len(set(sizes)) < len(sizes):
            self.fail(f"{value!r}; names a size twice", param, ctx)
        return sizes


_FORM = (
    click.option("--batch-size", type=BatchSize(), metavar="N|dynamic", help="Of the ONNX input [default: 1]."),
    click.option("--dtype", type=click.Choice(["fp32", "fp16", "int8"]), default="fp32", show_default=True),
    click.option("--opset", type=int, default=17, show_default=True, help="11 to 18, exactly this one is written."),
    click.option(
        "--layout",
        type=click.Choice(["auto", *LAYOUTS]),
        default="auto",
        show_default=True,
        help="Of the maps inside; auto takes nchw for a CPU, and goes by the cost model for a chip.",
    ),
    click.option(
        "--lowering",
        type=click.Choice(["auto", *LOWERINGS]),
        default="auto",
        show_default=True,
        help="Of the NeoCells; auto takes block-diagonal for a CPU, and each stage's cheapest on a chip.",
    ),
    click.option(
        "--gelu",
        type=click.Choice(GELUS),
        default="erf",
        show_default=True,
        help="erf is exact; tanh up to 4.7e-4 from it, one operator on 910B; npu the vendor's own, for 910B alone.",
    ),
    click.option("--features", is_flag=True, help="The maps behind the four stages as outputs, in place of logits."),
    click.option(
        "--features-layout",
        type=click.Choice(MAP_LAYOUTS),
        default="nchw",
        show_default=True,
        help="Of these maps: (N, C, H, W) or (N, H, W, C).",
    ),
    click.option("--image-sizes", type=ImageSizes(), help="Several, in place of --image-size: files for each."),
)
_OM = (
    click.option("--soc-version", metavar="NAME", help="The chip: Ascend and the name from npu-smi info."),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="fp16",
        show_default=True,
        help="In which an OM or Triton's model computes; always passed on.",
    ),
    click.option("--batch-gears", type=Gears(), help="Batch sizes of one OM, or of Triton's model."),
    click.option("--aipp", is_flag=True, help="The OM takes uint8 pixels (N, H, W, 3) and normalises them itself."),
    click.option("--keep-fp32", metavar="NODE,...", help="ONNX nodes of an OM or an fp16 file that compute in fp32."),
    click.option("--atc-arg", multiple=True, metavar="FLAG", help="A further flag of atc, such as --log=info."),
    click.option("--dry-run", is_flag=True, help="Print the exact atc command and environment; write nothing."),
    click.option(
        "--bundle", type=PATH, metavar="FILE.tar.gz", help="Pack all that a machine with CANN needs to make the OM."
    ),
    click.option(
        "--time-limit",
        type=Finite(0, min_open=True),
        default=3600.0,
        show_default=True,
        help="Seconds that atc may take.",
    ),
)
_INT8 = (
    click.option("--calibration", type=PATH, metavar="FOLDER", help="Pictures such as the network will see, for int8."),
    click.option(
        "--calibrator", type=click.Choice(CALIBRATORS), default="mse", show_default=True, help="How far int8 reaches."
    ),
    click.option("--calibration-anyway", is_flag=True, help="Take pictures that the check refuses."),
    click.option("--balance/--no-balance", default=True, show_default=True, help="Even out channels, exactly."),
    click.option(
        "--rounding",
        type=click.Choice(ROUNDINGS),
        default="nearest",
        show_default=True,
        help="Of weights; adaround fits each layer's output on the pictures, in minutes.",
    ),
    click.option("--sensitivity", is_flag=True, help="Measure what each layer in int8 costs by itself."),
)
INT8_NAMES = ("calibration", "calibrator", "calibration_anyway", "balance", "rounding", "sensitivity")
NAMES = ("soc_version", "precision", "batch_gears", "aipp", "keep_fp32", "atc_arg", "dry_run", "bundle", "time_limit")
OF_TRITON = ("soc_version", "precision", "batch_gears")


def form_options(function: _F) -> _F:
    """The options of an ONNX file."""
    return _with(_FORM, function)


def int8_options(function: _F) -> _F:
    """The options of int8."""
    return _with(_INT8, function)


def om_options(function: _F) -> _F:
    """The options of an OM."""
    return _with(_OM, function)


def _with(options: tuple[Callable[[_F], _F], ...], function: _F) -> _F:
    for option in reversed(options):
        function = option(function)
    return function
