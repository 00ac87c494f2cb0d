"""The exact command line and environment of ATC for one OM."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neonext_ascend.errors import ToolchainError, UsageError
from neonext_ascend.exporters.om_file.aipp import aipp_config
from neonext_ascend.exporters.om_file.options import (
    AIPP_FILE,
    KEEP_FILE,
    AtcOptions,
    asked_flags,
    check_options,
    parse_extra,
)
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.spec import TensorSpec

PrecisionFlag = Literal["precision_mode_v2", "precision_mode"]
# The older flag's name of each precision that it has.
OLDER: Mapping[str, str] = {
    "fp16": "force_fp16",
    "origin": "must_keep_origin_dtype",
    "mixed_float16": "allow_mix_precision",
}
_ONNX = "5"
_MOST_COMPILERS = 32


@dataclass(frozen=True, slots=True)
class AtcCommand:
    """What starts ATC.

    Args:
        argv: the program and its arguments.
        environ: variables to set beside those that are there.
        files: text files by the name that they must have in the working folder.
    """

    argv: tuple[str, ...]
    environ: Mapping[str, str]
    files: Mapping[str, str]


def atc_command(
    onnx: Path,
    output: Path,
    input_spec: TensorSpec,
    options: AtcOptions,
    *,
    work: Path,
    preprocessing: Preprocessing | None = None,
    precision_flag: PrecisionFlag = "precision_mode_v2",
    atc: str = "atc",
    toolkit: Path | None = None,
    force: bool = False,
) -> AtcCommand:
    """The command for one ONNX file.

    Args:
        onnx: the file.
        output: of the OM, without ``.om``, which ATC appends.
        input_spec: of the ONNX file's input ``(N, 3, H, W)``; N is a ``str`` where it is dynamic.
        options: of ATC.
        work: the folder in which ATC runs and finds ``files``.
        preprocessing: of the pictures; AIPP needs it.
        precision_flag: the older one for a toolkit that lacks ``precision_mode_v2``.
        atc: the program.
        toolkit: its folder where there is no driver: its ``devlib`` then stands in for the driver's libraries.
        force: leave out the check of the options.

    Raises:
        UsageError: options that ATC would refuse.
        ToolchainError: the older flag has no such precision.
    """
    batch, *rest = input_spec.shape
    if not force:
        check_options(options, None if isinstance(batch, str) else batch)
    channels, height, width = (int(size) for size in rest)
    flags = asked_flags(options, (batch if isinstance(batch, int) else -1, channels, height, width), input_spec.name)
    if precision_flag == "precision_mode":
        flags = _with_older_precision(flags)
    files: dict[str, str] = dict(options.files)
    if options.keep_fp32:
        files[KEEP_FILE] = "".join(f"{node}\n" for node in options.keep_fp32)
    if options.aipp:
        if preprocessing is None:
            raise UsageError("--aipp needs the preprocessing of the pictures, which the ONNX file's manifest holds")
        files[AIPP_FILE] = aipp_config(preprocessing)
    flags |= parse_extra(options.extra)
    named = {name: str(work / value) if value in files else value for name, value in flags.items()}
    argv = (
        atc,
        f"--framework={_ONNX}",
        f"--model={onnx}",
        f"--output={output}",
        f"--soc_version={options.soc.name}",
        *(f"--{name}={value}" for name, value in named.items()),
    )
    return AtcCommand(argv, _environ(toolkit), files)


def _with_older_precision(flags: Mapping[str, str]) -> dict[str, str]:
    precision = flags["precision_mode_v2"]
    if precision not in OLDER:
        raise ToolchainError(
            f"--precision {precision}: this toolkit's atc lacks it in precision_mode_v2, and precision_mode has "
            f"none; take one of {', '.join(OLDER)}, or a newer CANN"
        )
    older = {name: value for name, value in flags.items() if name != "precision_mode_v2"}
    return {**older, "precision_mode": OLDER[precision]}


def _environ(toolkit: Path | None) -> dict[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    environ = {
        # Errors then stand in the output, which is kept, and not in a log folder of the user's home.
        "ASCEND_SLOG_PRINT_TO_STDOUT": "1",
        "TE_PARALLEL_COMPILER": str(min(cores, _MOST_COMPILERS)),
    }
    if toolkit is not None:
        places = (toolkit / "devlib", toolkit / f"{platform.machine()}-linux" / "devlib")
        devlib = next((folder for folder in places if folder.is_dir()), places[0])
        before = os.environ.get("LD_LIBRARY_PATH")
        # Last: where there is a driver after all, its libraries come first.
        environ["LD_LIBRARY_PATH"] = os.pathsep.join([before, str(devlib)] if before else [str(devlib)])
    return environ
