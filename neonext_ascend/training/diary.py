"""What a run tells while it goes on: a JSON object a line, and TensorBoard's curves where it is installed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from neonext_ascend.artifacts.staging import staged
from neonext_ascend.errors import FileAccessError

LOG, CURVES = "log.jsonl", "tensorboard"


class Diary:
    """The log of a run.

    Args:
        folder: of the run.
        step: that the run goes on from; what was told of later steps is dropped.
        curves: whether TensorBoard is written too.

    Raises:
        FileAccessError: the log cannot be read or written.
    """

    def __init__(self, folder: Path, step: int, curves: bool) -> None:
        self._path = folder / LOG
        kept = [line for line in _lines(self._path) if step and _step_of(line) <= step]
        with staged(folder) as stage:
            (stage.folder / LOG).write_text("".join(kept), encoding="utf-8")
            stage.publish(LOG)
        self._writer: Any = _writer(folder / CURVES, step) if curves else None
        self.without_curves = curves and self._writer is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def tell(self, step: int, **figures: Any) -> None:
        """Add figures of the time when ``step`` steps were taken.

        Raises:
            FileAccessError: the system refuses.
        """
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in figures.items()
        }
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **finite}) + "\n")
        except OSError as error:
            raise FileAccessError(f"{self._path}: cannot write the log: {error.strerror}") from None
        for name, value in figures.items():
            if self._writer is not None and isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise FileAccessError(f"{path}: cannot read the log: {error}") from None


def _step_of(line: str) -> float:
    """The step that a line is of; a line that was cut is of none."""
    try:
        told = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf
    return told if isinstance(told, int) else math.inf


def _writer(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
