"""What the stand-in ``atc`` takes and refuses: flags, their values and combinations, with the documented codes.

Sources: hicann/ge, ``api/atc`` (flags, values), ``base/common/error_registry`` (codes and texts), ``atc_ir_common.cc``
(shapes and profiles). It shares nothing with the package: the two are to agree by themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PRECISION_V2 = {"fp16", "origin", "cube_fp16in_fp32out", "mixed_float16", "mixed_bfloat16"}
_PRECISION = {
    *("force_fp16", "force_fp32", "allow_fp32_to_fp16", "must_keep_origin_dtype", "allow_mix_precision"),
    *("allow_mix_precision_fp16", "allow_mix_precision_bf16", "allow_fp32_to_bf16"),
}
_FLAGS = """
    model output framework soc_version input_shape input_shape_range input_format dynamic_batch_size
    dynamic_image_size dynamic_dims precision_mode precision_mode_v2 op_precision_mode op_select_implmode
    optypelist_for_implmode keep_dtype customize_dtypes insert_op_conf output_type external_weight deterministic
    fusion_switch_file op_debug_level log mode om json auto_tune_mode weight out_nodes input_fp16_nodes
    is_input_adjust_hw_layout is_output_adjust_hw_layout debug_dir op_compiler_cache_dir op_compiler_cache_mode
    disable_reuse_memory buffer_optimize check_report enable_small_channel host_env_os host_env_cpu
"""
# Flag -> code of a wrong value, and the right ones.
_VALUES = {
    "framework": ("E10007", {"0", "1", "3", "5"}),
    "mode": ("E10001", {"0", "1", "3", "5", "6", "30"}),
    "log": ("E10010", {"debug", "info", "warning", "error", "null"}),
    "op_debug_level": ("E10001", set("01234")),
    "deterministic": ("E10006", {"0", "1"}),
    "external_weight": ("E10006", {"0", "1", "2"}),
    "precision_mode": ("E10001", _PRECISION),
    "precision_mode_v2": ("E10001", _PRECISION_V2),
    "op_select_implmode": (
        "E10001",
        {"high_precision", "high_performance", "high_precision_for_all", "high_performance_for_all"},
    ),
}
_SOCS = re.compile(
    r"Ascend(310P[1357]|310B[1-4]|910B[1234]|910B2C|910B4-1|910_93(62|63|72|81|82|91|92))"
)  # [RT] platform files
_REQUIRED = ("model", "output", "framework", "soc_version")
_DYNAMIC = ("dynamic_batch_size", "dynamic_image_size", "input_shape_range", "dynamic_dims")


class RefusedError(Exception):
    """What ATC prints for a code.

    Args:
        code: ``None`` for a text without one.
        text: the message.
    """

    def __init__(self, code: str | None, text: str) -> None:
        super().__init__(text)
        self.code = code


class UnknownFlagError(Exception):
    """An error of the command line, which ATC prints to standard error."""


@dataclass(frozen=True)
class Parsed:
    """A command that is allowed: flags by name, and the sizes of each input by name, -1 for a gear's."""

    flags: dict[str, str]
    shapes: dict[str, list[int]]

    @property
    def gears(self) -> tuple[int, ...]:
        """Of the batch."""
        return tuple(int(n) for n in self.flags.get("dynamic_batch_size", "").split(",") if n)


def parse(arguments: Sequence[str], lacks: Sequence[str] = ()) -> Parsed:
    """Read and check a command line; ``lacks`` are flags that this toolkit is too old for.

    Raises:
        UnknownFlagError, RefusedError: as ATC would.
    """
    flags = _read(list(arguments), set(_FLAGS.split()) - set(lacks))
    for name in _REQUIRED:
        if not flags.get(name):
            raise RefusedError("E10054", f"The required parameter [{name}] for ATC is empty.")
    if not _SOCS.fullmatch(flags["soc_version"]):
        raise RefusedError("E10001", f"Value [{flags['soc_version']}] for parameter [--soc_version] is invalid.")
    if flags["framework"] != "5" or flags.get("mode", "0") != "0":
        raise RefusedError("E10055", "The operation is not supported. Reason: the stand-in converts ONNX alone.")
    for name in ("model", "keep_dtype", "customize_dtypes", "insert_op_conf", "op_precision_mode"):
        if name in flags and not Path(flags[name]).is_file():
            raise RefusedError("E10410", f"File [{flags[name]}] does not exist.")
    # The real path of the model; of the output, which need not be there, the text as well.
    for name, value in (("model", os.path.realpath(flags["model"])), ("output", flags["output"]),
                        ("output", os.path.realpath(flags["output"]))):  # fmt: skip
        if not re.fullmatch(r"[\u4e00-\u9fa5A-Za-z0-9./_-]+", value):
            raise RefusedError(
                "E10001", f"Value [{value}] for parameter [--{name}] is invalid. Reason: its characters."
            )
    if "auto_tune_mode" in flags:
        raise RefusedError("E10001", "Value [auto_tune_mode] is invalid. Reason: it is no longer supported, use AOE.")
    if flags.get("input_format", "NCHW") not in ("NCHW", "NCDHW", "ND"):
        raise RefusedError("E10001", f"Value [{flags['input_format']}] for parameter [--input_format] is invalid.")
    if "precision_mode" in flags and "precision_mode_v2" in flags:
        raise RefusedError("E10056", "Cannot configure both parameters [precision_mode] and [precision_mode_v2].")
    if "dynamic_dims" in flags and "insert_op_conf" in flags:
        raise RefusedError("E10001", "Value for [--insert_op_conf] is invalid. Reason: dynamic_dims excludes AIPP.")
    if sum(name in flags for name in _DYNAMIC) > 1:
        raise RefusedError("E10009", "--dynamic_batch_size, --dynamic_image_size, ... are mutually exclusive.")
    return Parsed(flags, _shapes(flags))


def _read(words: list[str], known: set[str]) -> dict[str, str]:
    """As getopt_long does: one dash or two, dashes for underscores, beginnings of names, the last one counts."""
    flags: dict[str, str] = {}
    while words:
        word = words.pop(0)
        match = re.fullmatch(r"-{1,2}([A-Za-z][\w-]*)(?:=(.*))?", word, re.DOTALL)
        if match is None:
            raise UnknownFlagError(f"Non-option parameter: {word}")
        name = match[1].replace("-", "_")
        full = [name] if name in known else [one for one in known if one.startswith(name)]
        if len(full) != 1:
            raise UnknownFlagError(f"unknown command line flag '{name}'")
        value = match[2] if match[2] is not None else words.pop(0) if words else None
        if value is None:
            raise UnknownFlagError(f"flag '{name}' is missing its argument")
        code, values = _VALUES.get(full[0], ("", set()))
        if code and value not in values:
            raise RefusedError(code, f"Value [{value}] for parameter [--{full[0]}] is invalid.")
        flags[full[0]] = value
    return flags


def _shapes(flags: dict[str, str]) -> dict[str, list[int]]:
    text, dynamic = flags.get("input_shape", ""), [name for name in _DYNAMIC if name in flags]
    # A range, written in the shape or in the older flag of its own.
    ranged = "~" in text or "input_shape_range" in flags or ("-1" in re.split("[:,;]", text) and not dynamic)
    if "~" in text and dynamic:
        raise RefusedError("E10040", "the nodes specified in --input_shape must have -1 axes and cannot have '~'.")
    if ranged:
        if flags["soc_version"].startswith("Ascend310B"):
            raise RefusedError("EZ3002", "Optype is unsupported for dynamic shapes on this chip.")
        raise RefusedError("E10055", "The operation is not supported. Reason: the stand-in knows no shape ranges.")
    shapes: dict[str, list[int]] = {}
    for one in filter(None, text.split(";")):
        name, colon, sizes = one.rpartition(":")
        if not colon or not re.fullmatch(r"\s*-?\d+\s*(,\s*-?\d+\s*)*", sizes):
            raise RefusedError("E10002", f"Value [{one}] for parameter [--input_shape] is invalid.")
        shapes[name] = [int(size) for size in sizes.split(",")]
    checks = {"dynamic_batch_size": _batch, "dynamic_image_size": _image, "dynamic_dims": _dims}
    for flag in dynamic:
        checks[flag](shapes, flags)
    for name, sizes_of in shapes.items():
        for size in sizes_of:
            if size < 1 and not (size == -1 and dynamic):
                raise RefusedError(
                    "E10011", f"Value [{name}:{sizes_of}] ... must be positive. The error value is {size}."
                )
    if dynamic:
        separator = "," if dynamic == ["dynamic_batch_size"] else ";"
        _profiles([tuple(one.split(",")) for one in flags[dynamic[0]].split(separator) if one])
    return shapes


def _batch(shapes: dict[str, list[int]], flags: dict[str, str]) -> None:
    batched = [sizes for sizes in shapes.values() if sizes[0] == -1]
    if any(size < 1 for sizes in batched for size in sizes[1:]):
        raise RefusedError("E10018", "When [--dynamic_batch_size] is included, only batch size N can be -1.")
    if not batched:
        raise RefusedError("E10031", "none of the nodes specified in --input_shape has a batch size equaling -1.")
    if not re.fullmatch(r"[\d,]+", flags["dynamic_batch_size"]):
        raise RefusedError("E10003", f"Value [{flags['dynamic_batch_size']}]: it can only contain digits and ','.")


def _image(shapes: dict[str, list[int]], flags: dict[str, str]) -> None:
    free = [[i for i, size in enumerate(sizes) if size == -1] for sizes in shapes.values() if -1 in sizes]
    if free != [[2, 3]]:
        raise RefusedError("E10019", "When [--dynamic_image_size] is included, only height and width can be -1.")


def _dims(shapes: dict[str, list[int]], flags: dict[str, str]) -> None:
    counts = [sizes.count(-1) for sizes in shapes.values()]
    if flags.get("input_format") != "ND":
        raise RefusedError("E10001", "Value for [--input_format] is invalid. Reason: dynamic_dims needs ND.")
    if not sum(counts):
        raise RefusedError("E10001", "At least one dim should be -1 when dynamic_dims is set.")
    sizes = len(flags["dynamic_dims"].split(";")[0].split(","))
    if max(counts) > sizes:
        raise RefusedError("E10046", "The total number of -1 axes is greater than the dimension count per profile.")
    if sum(counts) > sizes:
        raise RefusedError("E10045", "The number of -1 axes exceeds the dimension count per profile.")


def _profiles(profiles: list[tuple[str, ...]]) -> None:
    if len(profiles) < 2:
        raise RefusedError("E10035", f"... has [{len(profiles)}] profiles, which is less than the minimum [2].")
    if len(profiles) > 100:
        raise RefusedError("E10036", f"... has [{len(profiles)}] profiles, which is greater than the maximum [100].")
    if any(not size.strip().isdecimal() or int(size) < 1 for one in profiles for size in one):
        raise RefusedError("E10038", "Dimension size is invalid. The value must be greater than 0.")
    if len(set(profiles)) < len(profiles):
        raise RefusedError("E10039", "The profiles are not unique.")
