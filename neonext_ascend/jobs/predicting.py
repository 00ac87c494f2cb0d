"""Classify pictures with an artifact, as its manifest says; loads no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Self

from neonext_ascend.images.finding import Found
from neonext_ascend.jobs.checking import Device, checked
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.models.arguments import file_path
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.classifying import Prediction, Recipe, classify, recipe_of
from neonext_ascend.runtimes.registry import Runtime, open_runner
from neonext_ascend.spec import Bounds


class Predictions(Iterator[Prediction]):
    """The answers, in the order of the pictures, as they come; their end, or leaving ``with``, closes the artifact.

    Attributes:
        recipe: what pictures and answers were taken for.
        several: whether there is more than one picture.
        failed: pictures that could not be read, so far.
        exit_code: the highest of their errors' so far; 0 without one.
    """

    def __init__(self, runner: Runner, recipe: Recipe, pictures: Found, top: int) -> None:
        self.recipe, self.several = recipe, pictures.several
        self.failed = self.exit_code = 0
        self._runner, self._pictures, self._stream = runner, pictures, classify(runner, recipe, pictures, top)

    @property
    def count(self) -> int:
        """Of the pictures; the folders are listed once more for it."""
        return self._pictures.count

    @property
    def left_out(self) -> str | None:
        """What else the folders hold, in words, so far; ``None`` where there is nothing else."""
        return self._pictures.left_out

    def __next__(self) -> Prediction:
        try:
            prediction = next(self._stream)
        except BaseException:  # the end of the pictures, or of the artifact
            self.close()
            raise
        if prediction.error is not None:
            self.failed += 1
            self.exit_code = max(self.exit_code, prediction.error.exit_code)
        return prediction

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and close the artifact; calling it again does nothing."""
        self._stream.close()
        self._runner.close()


@checked
def predict(
    artifact: str | Path,
    images: str | Path | Annotated[Sequence[str | Path], Bounds(min_length=1)],
    *,
    top: Annotated[int, Bounds(ge=1, le=2**31 - 1)] | None = None,
    runtime: Runtime = "auto",
    device: Device = 0,
    watch: Watch = SILENT,
) -> Predictions:
    """Classify pictures with an artifact, prepared as its manifest says.

    Args:
        artifact: an ONNX or OM file; without a manifest beside it ImageNet's preprocessing is assumed, and what its
            output means is told by the end of its graph or its values (``recipe.assumed``).
        images: pictures, folders (their pictures and those of their folders), patterns such as ``cats/*.jpg``, or
            ``-`` for standard input; one, or a sequence.
        top: classes for each picture, 5 by default.
        runtime: that opens the artifact; ``auto`` goes by the file.
        device: number of the NPU.
        watch: told of the loading and of what was assumed.

    Raises:
        UsageError: an argument is of another kind, or a folder holds no picture.
        FileAccessError: the artifact, its manifest or a folder cannot be read.
        ArtifactError: the artifact is no network from pictures to classes, or the manifest is damaged.
        ToolchainError: what runs it is missing here.
    """
    file = file_path(artifact, "artifact")
    pictures = Found([Path(image) for image in ([images] if isinstance(images, str | Path) else images)])
    with watch.working(f"loading {file.name}"):
        runner = open_runner(file, runtime=runtime, device=device)
    try:
        recipe = recipe_of(file, runner)
        if recipe.assumed:
            watch.warn(f"{file.name}: {recipe.assumed}")
        return Predictions(runner, recipe, pictures, top or 5)
    except BaseException:
        runner.close()
        raise
