"""Compile an ONNX file to an OM: ATC as a child, watched, limited in time, and believed only with a file."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neonext_ascend.artifacts.staging import staged
from neonext_ascend.errors import FileAccessError, ToolchainError
from neonext_ascend.exporters.om_file.command import AtcCommand, PrecisionFlag, atc_command
from neonext_ascend.exporters.om_file.options import AtcOptions
from neonext_ascend.exporters.om_file.places import plain_model, plain_name, work_place
from neonext_ascend.exporters.om_file.process import Ended, run_process
from neonext_ascend.exporters.om_file.verdict import failure, lacks_precision_mode_v2, tail_of
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.machine.cann import Cann
from neonext_ascend.spec import TensorSpec

# ATC appends the platform to the name of an OM that is bound to one.
PLATFORMS = (None, "linux_x86_64", "linux_aarch64")


@dataclass(frozen=True, slots=True)
class CompiledOm:
    """What ATC made.

    Args:
        path: the OM.
        platform: such as ``linux_x86_64`` where ATC bound the file to one.
        argv: the command line that made it.
        seconds: that it took.
        log_tail: the last lines of its output.
    """

    path: Path
    platform: str | None
    argv: tuple[str, ...]
    seconds: float
    log_tail: tuple[str, ...]


def compile_om(
    onnx: Path,
    folder: Path,
    name: str,
    input_spec: TensorSpec,
    options: AtcOptions,
    cann: Cann,
    *,
    preprocessing: Preprocessing | None = None,
    time_limit_s: float = 3600,
    log_folder: Path,
    on_line: Callable[[str], None] = lambda _: None,
) -> CompiledOm:
    """Run ATC in a folder of its own, whose path it takes, and which is removed with all its litter.

    Args:
        onnx: the file.
        folder: where the OM appears whole or not at all, under the name that ATC gives it.
        name: of the OM, without ``.om``.
        input_spec: of the ONNX file's input.
        options: of ATC.
        cann: of this machine.
        preprocessing: of the pictures; AIPP needs it.
        time_limit_s: seconds for each run.
        log_folder: takes ``NAME.atc.log``, ATC's whole output, if it fails.
        on_line: given each line that ATC prints.

    Raises:
        UsageError: options, or every place to work in, that ATC would refuse.
        ArtifactError: ATC refuses the model.
        ToolchainError: ATC is missing, was killed, hangs, or claims a success that is none.
        FileAccessError: the disk is full, or a folder cannot be written.
    """
    if cann.atc is None:
        raise ToolchainError("atc is missing; install CANN, source its set_env.sh, and see neonext-ascend doctor")
    place = work_place(folder)
    try:
        scratch = Path(tempfile.mkdtemp(prefix=".neonext-atc-", dir=place)).resolve()
    except OSError as error:
        raise FileAccessError(f"{place}: cannot write into this folder: {error.strerror}") from None
    try:
        stem, model = plain_name(scratch, name), _placed(onnx, scratch)
        flags: tuple[PrecisionFlag, ...] = ("precision_mode_v2", "precision_mode")
        for flag in flags:
            command = atc_command(
                model,
                scratch / stem,
                input_spec,
                options,
                work=scratch,
                preprocessing=preprocessing,
                precision_flag=flag,
                atc=str(cann.atc),
                toolkit=cann.toolkit if cann.driver is None else None,
            )
            log = scratch / "atc.log"
            ended = _run(command, scratch, log, time_limit_s, on_line)
            made = _made(scratch, stem)
            if ended.status == 0 and made is not None:
                path, platform = made
                (log_folder / f"{name}.atc.log").unlink(missing_ok=True)  # an earlier failure's
                final = _publish(path, folder / f"{name}{path.name.removeprefix(stem)}")
                return CompiledOm(final, platform, command.argv, ended.seconds, tail_of(log))
            # An older toolkit lacks the flag; the same precision by its older name is the same compilation.
            if flag == flags[0] and ended.status != 0 and lacks_precision_mode_v2(log):
                continue
            kept = _keep(log, log_folder / f"{name}.atc.log")
            raise failure(onnx.name, kept or log, ended, kept is not None, _empty(scratch, stem))
        raise AssertionError("the last flag returns or raises")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(command: AtcCommand, scratch: Path, log: Path, time_limit_s: float, on_line: Callable[[str], None]) -> Ended:
    try:
        for file, text in command.files.items():
            (scratch / file).write_text(text, encoding="utf-8")
        return run_process(command.argv, scratch, {**os.environ, **command.environ}, log, time_limit_s, on_line)
    except PermissionError as error:
        raise ToolchainError(f"{command.argv[0]}: cannot be started: {error.strerror}; see its permissions") from None
    except OSError as error:
        # The scratch folder is gone when this is read.
        where = str(error.filename or scratch).replace(str(scratch), str(scratch.parent))
        raise FileAccessError(f"{where}: {error.strerror}; ATC was not run to its end") from None


def _made(scratch: Path, name: str) -> tuple[Path, str | None] | None:
    """The OM that is not empty, and the platform in its name."""
    for platform in PLATFORMS:
        path = _om_path(scratch, name, platform)
        if path.is_file() and path.stat().st_size > 0:
            return path, platform
    return None


def _empty(scratch: Path, name: str) -> bool:
    return any(_om_path(scratch, name, platform).is_file() for platform in PLATFORMS)


def _om_path(scratch: Path, name: str, platform: str | None) -> Path:
    return scratch / (f"{name}.om" if platform is None else f"{name}_{platform}.om")


def _placed(onnx: Path, scratch: Path) -> Path:
    try:
        return plain_model(onnx, scratch)
    except OSError as error:
        raise FileAccessError(f"{onnx}: cannot copy it to {scratch.parent} for atc: {error.strerror}") from None


def _publish(path: Path, final: Path) -> Path:
    with staged(final.parent) as stage:
        shutil.move(path, stage.folder / final.name)  # it may come from another file system
        return stage.publish(final.name)[0]


def _keep(log: Path, final: Path) -> Path | None:
    """Move the log to where it stays; ``None`` where it cannot."""
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(log, final)
    except OSError:
        return None
    return final
