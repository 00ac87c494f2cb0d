"""Where a plot that was asked for is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from neonext_ascend.artifacts.staging import staged
from neonext_ascend.drawing.style import require_matplotlib
from neonext_ascend.errors import UsageError


@contextmanager
def plotting(path: Path | None) -> Iterator[Callable[[str], None]]:
    """A way to write the plot that was asked for, which fails before the work where it would fail behind it.

    Args:
        path: of the SVG; ``None`` where none is asked for.

    Raises:
        UsageError: the path is no name of an SVG file.
        ToolchainError: matplotlib is missing.
        FileAccessError: its folder cannot be written.
    """
    if path is None:
        yield lambda _: None
        return
    if path.suffix.lower() != ".svg":
        raise UsageError(f"--plot {path}: an SVG is drawn; give a file name that ends in .svg")
    if path.is_dir():
        raise UsageError(f"--plot {path}: is a folder; give a file name that ends in .svg")
    require_matplotlib(f"--plot {path}")
    with staged(path.parent) as stage:

        def publish(text: str) -> None:
            (stage.folder / path.name).write_text(text, encoding="utf-8")
            stage.publish(path.name)

        yield publish
