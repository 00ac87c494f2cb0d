"""What may be asked of ATC; what it or an honest manifest forbids is refused before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.om_file.illegal import Call, Illegal, find_illegal
from neonext_ascend.machine.chips import Soc
from neonext_ascend.spec import INPUT

Precision = Literal["fp16", "origin", "mixed_float16", "cube_fp16in_fp32out"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
KEEP_FILE, AIPP_FILE = "keep_dtype.cfg", "aipp.cfg"


@dataclass(frozen=True, slots=True)
class AtcOptions:
    """What is asked of ATC for one OM.

    Args:
        soc: the chip (``--soc_version``).
        precision: of the computation; always passed to ATC, whose own default is fp16 for everything.
        gears: the batch sizes of ``--dynamic_batch_size``; empty for the ONNX file's own static batch.
        aipp: whether the device normalises: the input becomes uint8 ``(N, H, W, 3)``.
        keep_fp32: names of nodes that keep the ONNX file's dtype (``--keep_dtype``).
        extra: further flags of ATC, each ``--name=value``.
        files: name and text of the files that flags in ``extra`` name; they travel with the command.
    """

    soc: Soc
    precision: Precision = "fp16"
    gears: tuple[int, ...] = ()
    aipp: bool = False
    keep_fp32: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()


# Flags whose value is a file that ATC reads.
FILE_FLAGS = ("op_precision_mode", "fusion_switch_file")
_CONSTANTS = "A and B of NeoCell are constants of H and W; make an OM for each size by --image-sizes 224,256"
_SHAPE = "an OM of NeoNeXt has one H and W, of which A and B are constants; its batch is --batch-size or --batch-gears"
_OURS = "this program sets it"
_INTERFACE = "the manifest says that inputs and outputs are the ONNX file's"
# What --atc-arg may not set, with the reason.
RESERVED: Mapping[str, str] = {
    **dict.fromkeys(("framework", "model", "output", "input_format", "mode", "singleop", "om", "json", "help"), _OURS),
    **dict.fromkeys(("dynamic_image_size", "dynamic_dims", "input_shape_range"), _CONSTANTS),
    "input_shape": _SHAPE,
    "soc_version": "say it by --soc-version",
    "dynamic_batch_size": "say it by --batch-gears",
    "insert_op_conf": "say it by --aipp",
    **dict.fromkeys(("precision_mode", "precision_mode_v2"), "say it by --precision"),
    **dict.fromkeys(("keep_dtype", "customize_dtypes"), "say it by --keep-fp32"),
    **dict.fromkeys(("out_nodes", "output_type", "input_fp16_nodes"), _INTERFACE),
    **dict.fromkeys(("is_input_adjust_hw_layout", "is_output_adjust_hw_layout"), _INTERFACE),
    "external_weight": "an OM here is one file",
}


def check_options(options: AtcOptions, batch_size: int | None, *, quantised: bool = False) -> None:
    """Refuse what ATC would refuse, and what would make an OM unlike its manifest, before ATC starts.

    Args:
        options: of ATC.
        batch_size: N of the ONNX file; ``None`` for a dynamic batch, which gears need.
        quantised: whether the ONNX file has quantised operators.

    Raises:
        UsageError: an illegal value or combination, with ATC's own code where it has one.
    """
    extra = parse_extra(options.extra)
    flags = {**asked_flags(options, (-1 if batch_size is None else batch_size, 3, 224, 224)), **extra}
    illegal = find_illegal(Call(flags, options.soc, quantised))
    reserved = next((name for name in extra if name in RESERVED), None)
    if reserved is not None:
        also = "" if illegal is None else f"; ATC refuses it too{_code(illegal)}: {illegal.says}"
        raise UsageError(f"--atc-arg {reserved}: {RESERVED[reserved]}{also}")
    if illegal is not None:
        raise UsageError(f"ATC would refuse this{_code(illegal)}: {illegal.says}; {illegal.remedy}")
    if batch_size is None and not options.gears:
        raise UsageError("a dynamic batch alone makes no OM here; give batch gears, such as --batch-gears 1,2,4,8")
    if options.keep_fp32 and options.precision == "origin":
        raise UsageError("--keep-fp32 is void with --precision origin, where every node keeps its dtype; give one")
    if options.precision not in PRECISIONS:
        raise UsageError(f"precision {options.precision!r} (E10001): expected one of {', '.join(PRECISIONS)}")


def asked_flags(options: AtcOptions, shape: tuple[int, int, int, int], name: str = INPUT) -> dict[str, str]:
    """The flags that these options mean, files by their names.

    Args:
        options: of ATC; ``extra`` is not among the flags.
        shape: of the input ``(N, 3, H, W)``; -1 is dynamic.
        name: of the input.
    """
    return {
        "input_shape": f"{name}:{','.join(map(str, shape))}",
        "input_format": "NCHW",
        **({"dynamic_batch_size": ",".join(map(str, options.gears))} if options.gears else {}),
        "precision_mode_v2": options.precision,
        **({"keep_dtype": KEEP_FILE} if options.keep_fp32 else {}),
        **({"insert_op_conf": AIPP_FILE} if options.aipp else {}),
    }


def parse_extra(extra: tuple[str, ...]) -> dict[str, str]:
    """Flags ``--name=value`` by name.

    Raises:
        UsageError: one is of another form, or stands twice.
    """
    flags: dict[str, str] = {}
    for word in extra:
        head, equals, value = word.strip().partition("=")
        # ATC takes one dash or two, and dashes for underscores.
        name = head.lstrip("-").replace("-", "_")
        if not name or not equals or not value:
            raise UsageError(f"--atc-arg {word!r}: expected --name=value, such as --log=info")
        if name not in RESERVED:
            # It takes beginnings of names as well: whatever may mean a reserved flag is that flag.
            name = next((full for full in RESERVED if full.startswith(name)), name)
        if name in flags:
            raise UsageError(f"--atc-arg {name} stands twice; give it once")
        flags[name] = value
    return flags


def _code(illegal: Illegal) -> str:
    return "" if illegal.code is None else f" ({illegal.code})"
