"""What ``export --format om`` is asked for: its options, and the usage errors that need no network."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from neonext_ascend.cli.options import PATH, ImageSize
from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.spec import Dtype

if TYPE_CHECKING:
    from neonext_ascend.exporters.om_file.options import AtcOptions

_F = TypeVar("_F", bound=Callable[..., Any])
# As in exporters/om_file/options.py, which the help does not load; tests/runtimes/test_registry.py compares them.
PRECISIONS = ("fp16", "origin", "mixed_float16", "cube_fp16in_fp32out")
ARCHIVE = ".tar.gz"


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


@dataclass(frozen=True, slots=True)
class OmRequest:
    """A checked request for an OM.

    Args:
        options: of ATC.
        batch_size: of the ONNX file; ``None`` with gears.
        dry_run: print the command alone.
        bundle: pack an archive in place of compiling.
        time_limit_s: of ATC.
    """

    options: AtcOptions
    batch_size: int | None
    dry_run: bool
    bundle: Path | None
    time_limit_s: float


_OPTIONS = (
    click.option("--soc-version", metavar="NAME", help="The chip of an OM: Ascend and the name from npu-smi info."),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="fp16",
        show_default=True,
        help="In which ATC lets an OM compute; always passed to it.",
    ),
    click.option("--batch-gears", type=Gears(), help="Batch sizes of one OM, in place of --batch-size."),
    click.option("--aipp", is_flag=True, help="The OM takes uint8 pixels (N, H, W, 3) and normalises them itself."),
    click.option("--keep-fp32", metavar="NODE,...", help="ONNX nodes that an OM computes in fp32."),
    click.option("--atc-arg", multiple=True, metavar="FLAG", help="A further flag of atc, such as --log=info."),
    click.option("--dry-run", is_flag=True, help="Print the exact atc command and environment; write nothing."),
    click.option(
        "--bundle", type=PATH, metavar="FILE.tar.gz", help="Pack all that a machine with CANN needs to make the OM."
    ),
    click.option(
        "--time-limit",
        type=click.FloatRange(0, min_open=True),
        default=3600.0,
        show_default=True,
        help="Seconds that atc may take.",
    ),
)
NAMES = ("soc_version", "precision", "batch_gears", "aipp", "keep_fp32", "atc_arg", "dry_run", "bundle", "time_limit")


def om_options(function: _F) -> _F:
    """The options of an OM."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def om_request(
    wanted: bool, batch_size: int | None, dtype: Dtype, given: frozenset[str], om: dict[str, Any]
) -> OmRequest | None:
    """The request, or ``None`` where no OM is wanted.

    Args:
        wanted: whether ``--format om`` was given.
        batch_size: of the ONNX file; ``None`` for a dynamic one.
        dtype: of the ONNX file.
        given: parameters that stand on the command line.
        om: values of :data:`NAMES`.

    Raises:
        UsageError: options that do not fit together, an unknown chip included.
        FileAccessError: a file that a flag names cannot be read.
    """
    if not wanted:
        first = next((name for name in NAMES if name in given), None)
        if first is not None:
            raise UsageError(f"--{first.replace('_', '-')} is of an OM; give --format om with it")
        return None
    from neonext_ascend.exporters.om_file.options import AtcOptions, check_options
    from neonext_ascend.machine.chips import find_soc

    if om["soc_version"] is None:
        raise UsageError("--format om needs --soc-version: Ascend and the name from npu-smi info, as Ascend310P3")
    nodes = tuple(node for node in (om["keep_fp32"] or "").split(",") if node)
    gears = om["batch_gears"] or ()
    extra, files = _with_files(om["atc_arg"])
    options = AtcOptions(find_soc(om["soc_version"]), om["precision"], gears, om["aipp"], nodes, extra, files)
    if gears and "batch_size" in given and batch_size is not None:
        raise UsageError(f"both --batch-size {batch_size} and --batch-gears; ATC takes one of them (E10009); give one")
    if not gears and batch_size is None:
        raise UsageError("--batch-size dynamic: an OM has one batch size or gears; give --batch-gears 1,2,4,8 instead")
    rows = None if gears else batch_size
    check_options(options, rows)
    _check_dtype(options, dtype)
    if not math.isfinite(om["time_limit"]):
        raise UsageError(f"--time-limit {om['time_limit']}: expected a number of seconds")
    bundle = om["bundle"]
    if bundle is not None and not bundle.name.endswith(ARCHIVE):
        raise UsageError(f"--bundle {bundle}: expected a name that ends in {ARCHIVE}")
    if bundle is not None and om["dry_run"]:
        raise UsageError("both --dry-run and --bundle; give one")
    return OmRequest(options, rows, om["dry_run"], bundle, om["time_limit"])


def _check_dtype(options: AtcOptions, dtype: Dtype) -> None:
    """Refuse what the ONNX file's dtype makes impossible or void."""
    if options.keep_fp32 and dtype == "fp16":
        raise UsageError("--keep-fp32 keeps nodes in the ONNX file's dtype; give --dtype fp32 with it")
    if options.precision == "origin" and dtype not in options.soc.cube_dtypes:
        raise UsageError(
            f"--precision origin keeps the file's {dtype}, which the cube unit of {options.soc.name} lacks; give "
            "--dtype fp16, or --precision fp16"
        )


def _with_files(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The flags with the bare names of the files that they read, and those files: ATC runs in another folder."""
    from neonext_ascend.exporters.om_file.options import FILE_FLAGS

    flags, files = [], {}
    for word in words:
        name, equals, value = word.strip().partition("=")
        flag = name.lstrip("-").replace("-", "_")
        if flag in FILE_FLAGS and equals and value:
            path = Path(value)
            try:
                files[f"{flag}{path.suffix}"] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                raise FileAccessError(f"--atc-arg {word}: cannot read {path}: {reason}") from None
            word = f"--{flag}={flag}{path.suffix}"
        flags.append(word)
    return tuple(flags), tuple(sorted(files.items()))
