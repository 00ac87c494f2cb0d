"""What is asked of an OM, and the usage errors that need no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.exporters.om_file.options import FILE_FLAGS, AtcOptions, Precision, check_options
from neonext_ascend.jobs.checking import BatchSize, checked_fields
from neonext_ascend.machine.chips import Soc, find_soc
from neonext_ascend.spec import Bounds, FileDtype, GeluForm

ARCHIVE = ".tar.gz"


@dataclass(frozen=True, slots=True)
class OmRequest:
    """An OM, in the words of the command's options.

    Args:
        soc_version: the chip: ``Ascend`` and the name from ``npu-smi info``.
        precision: in which ATC lets it compute.
        batch_gears: batch sizes of one OM; empty for the ONNX file's own.
        aipp: whether the OM takes uint8 pixels ``(N, H, W, 3)`` and normalises them itself.
        keep_fp32: ONNX nodes that compute in fp32.
        atc_args: further flags of atc, each ``--name=value``.
        dry_run: only say what atc would be called with.
        bundle: pack this archive in place of compiling.
        time_limit_s: seconds that atc may take.
    """

    soc_version: str | None
    precision: Precision = "fp16"
    batch_gears: Sequence[BatchSize] = ()
    aipp: bool = False
    keep_fp32: Sequence[str] = ()
    atc_args: Sequence[str] = ()
    dry_run: bool = False
    bundle: str | Path | None = None
    time_limit_s: Annotated[float, Bounds(ge=0.001)] = 3600.0

    def checked(self, batch_size: int | None, dtype: FileDtype, *, batch_given: bool) -> OmPlan:
        """The plan.

        Args:
            batch_size: of the ONNX file; ``None`` for a dynamic one.
            dtype: of the ONNX file.
            batch_given: whether the batch size was asked for.

        Raises:
            UsageError: options that do not fit together, an unknown chip included.
            FileAccessError: a file that a flag names cannot be read.
        """
        request = checked_fields(self)
        if request.soc_version is None:
            raise UsageError("--format om needs --soc-version: Ascend and the name from npu-smi info, as Ascend310P3")
        gears = tuple(request.batch_gears)
        extra, files = _with_files(request.atc_args)
        soc = find_soc(request.soc_version)
        options = AtcOptions(soc, request.precision, gears, request.aipp, tuple(request.keep_fp32), extra, files)
        if gears and batch_given and batch_size is not None:
            raise UsageError(
                f"both --batch-size {batch_size} and --batch-gears; ATC takes one of them (E10009); give one"
            )
        if not gears and batch_size is None:
            raise UsageError(
                "--batch-size dynamic: an OM has one batch size or gears; give --batch-gears 1,2,4,8 instead"
            )
        rows = None if gears else batch_size
        check_options(options, rows, quantised=dtype == "int8")
        check_dtype(options, dtype)
        bundle = None if request.bundle is None else Path(request.bundle)
        if bundle is not None and not bundle.name.endswith(ARCHIVE):
            raise UsageError(f"--bundle {bundle}: expected a name that ends in {ARCHIVE}")
        if bundle is not None and request.dry_run:
            raise UsageError("both --dry-run and --bundle; give one")
        return OmPlan(options, rows, request.dry_run, bundle, request.time_limit_s)


@dataclass(frozen=True, slots=True)
class OmPlan:
    """A checked request; ``batch_size`` is the ONNX file's, ``None`` with gears."""

    options: AtcOptions
    batch_size: int | None
    dry_run: bool
    bundle: Path | None
    time_limit_s: float
    rescue: bool = False

    @property
    def soc(self) -> Soc:
        """The chip."""
        return self.options.soc

    @property
    def gears(self) -> tuple[int, ...]:
        """Batch sizes; empty for the ONNX file's own."""
        return self.options.gears


def check_dtype(options: AtcOptions, dtype: FileDtype) -> None:
    """Refuse what the ONNX file's dtype makes impossible or void.

    Raises:
        UsageError: it does.
    """
    if options.keep_fp32 and dtype == "fp16":
        raise UsageError("--keep-fp32 keeps nodes in the ONNX file's dtype; give --dtype fp32 with it")
    if options.precision == "origin" and dtype not in options.soc.cube_dtypes:
        raise UsageError(
            f"--precision origin keeps the file's {dtype}, which the cube unit of {options.soc.name} lacks; give "
            "--dtype fp16, or --precision fp16"
        )


def _with_files(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The flags with the bare names of the files that they read, and those files: ATC runs in another folder."""
    flags, files = [], {}
    for word in words:
        name, equals, value = word.strip().partition("=")
        flag = name.lstrip("-").replace("-", "_")
        if flag in FILE_FLAGS and equals and value:
            path = Path(value)
            try:
                FileAccessError.refuse_special(path, "a text file")
                files[f"{flag}{path.suffix}"] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                raise FileAccessError(f"--atc-arg {word}: cannot read {path}: {reason}") from None
            word = f"--{flag}={flag}{path.suffix}"
        flags.append(word)
    return tuple(flags), tuple(sorted(files.items()))


def check_gelu(gelu: GeluForm, soc: Soc | None) -> None:
    """The vendor's operator only where its list of operators has it.

    Raises:
        UsageError: it has not.
    """
    if gelu == "npu" and soc is None:
        raise UsageError(
            "--gelu npu: writes NPUGeluV2, which only ATC takes, and not for every chip; give --format om and "
            "--soc-version with it, such as Ascend910B3 (the ONNX file is kept)"
        )
    if gelu == "npu" and soc is not None and soc.family != "910B":
        raise UsageError(
            f"--gelu npu: that {soc.name} has GeluV2, which NPUGeluV2 becomes, is not established, of 910B alone; "
            "take --gelu erf"
        )
