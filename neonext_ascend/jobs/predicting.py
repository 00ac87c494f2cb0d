"""Classify pictures with an artifact, as its manifest says; loads no torch."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Self

from neonext_ascend.errors import UsageError
from neonext_ascend.evaluate.journal import Journal
from neonext_ascend.evaluate.predictions import answered, asking_here, predictions
from neonext_ascend.images.decoding import STANDARD_INPUT
from neonext_ascend.images.finding import Found
from neonext_ascend.jobs.checking import Device, checked
from neonext_ascend.jobs.cluster.describing import opened_or_described
from neonext_ascend.jobs.cluster.predicting import asking_there
from neonext_ascend.jobs.cluster.share import sharing
from neonext_ascend.jobs.evaluation.pictures import identity
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.models.arguments import file_path
from neonext_ascend.runtimes.classifying import Prediction, Recipe, recipe_of
from neonext_ascend.runtimes.registry import Runtime, runtime_for
from neonext_ascend.spec import Bounds


class Predictions(Iterator[Prediction]):
    """The answers, in the order of the pictures, as they come; their end, or leaving ``with``, closes the artifact.

    Attributes:
        recipe: what pictures and answers were taken for.
        several: whether there is more than one picture.
        failed: pictures that could not be read, so far.
        exit_code: the highest of their errors' so far; 0 without one.
    """

    def __init__(self, recipe: Recipe, pictures: Found, stream: Generator[Prediction], closing: ExitStack) -> None:
        self.recipe, self.several = recipe, pictures.several
        self.failed = self.exit_code = 0
        self._pictures, self._stream, self._closing = pictures, stream, closing

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
        self._closing.close()


@checked
def predict(
    artifact: str | Path,
    images: str | Path | Annotated[Sequence[str | Path], Bounds(min_length=1)],
    *,
    top: Annotated[int, Bounds(ge=1, le=2**31 - 1)] | None = None,
    resume: str | Path | None = None,
    runtime: Runtime = "auto",
    device: Device = 0,
    ray: Annotated[str, Bounds(min_length=1)] | None = None,
    watch: Watch = SILENT,
) -> Predictions:
    """Classify pictures with an artifact, prepared as its manifest says.

    Args:
        artifact: an ONNX or OM file; without a manifest beside it ImageNet's preprocessing is assumed, and what its
            output means is told by the end of its graph or its values (``recipe.assumed``).
        images: pictures, folders (their pictures and those of their folders), patterns such as ``cats/*.jpg``, or
            ``-`` for standard input; one, or a sequence.
        top: classes for each picture, 5 by default.
        resume: a file that keeps the answers as they come; one that is there already is gone on with.
        runtime: that opens the artifact; ``auto`` goes by the file.
        device: number of the NPU.
        ray: a cluster whose workers classify: ``local``, ``auto`` or its head's ``HOST:PORT``; artifact and pictures
            lie under the same paths there.
        watch: told of the loading, of what was assumed, and of a long wait for a cluster's workers.

    Raises:
        UsageError: an argument is of another kind, or a folder holds no picture.
        FileAccessError: the artifact, its manifest or a folder cannot be read.
        ArtifactError: the artifact is no network from pictures to classes, or the manifest is damaged.
        ToolchainError: what runs it is missing here.
    """
    file = file_path(artifact, "artifact")
    meant = [Path(image) for image in ([images] if isinstance(images, str | Path) else images)]
    if STANDARD_INPUT in meant and (resume is not None or ray is not None):
        raise UsageError("-: standard input is read here, and once; give files with --resume and --ray")
    pictures, best = Found(meant), top or 5
    with ExitStack() as stack:
        with watch.working(f"loading {file.name}"):
            share = None if ray is None else stack.enter_context(sharing(ray, device, watch))
            runner, told = opened_or_described(file, runtime, device, share)
            stack.enter_context(runner)
        recipe = told or recipe_of(file, runner)
        if recipe.assumed:
            watch.warn(f"{file.name}: {recipe.assumed}")
        journal = None
        if resume is not None:
            subject = {"artifacts": [identity(file, recipe, runtime_for(file, runtime), best)]}
            journal = stack.enter_context(
                Journal(file_path(resume, "resume"), subject, predictions(recipe.labels, best))
            )
        ask = asking_here(runner, recipe, best)
        if share is not None:
            ask = asking_there(file, runner, recipe, best, runtime, share)
        return Predictions(recipe, pictures, answered(pictures, ask, journal), stack.pop_all())
