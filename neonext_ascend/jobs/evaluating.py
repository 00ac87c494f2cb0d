"""Evaluate: how often artifacts are right on labelled pictures, side by side."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from neonext_ascend.artifacts.staging import staged
from neonext_ascend.errors import NeoNextError, UsageError
from neonext_ascend.evaluate.accuracy import Accuracy
from neonext_ascend.evaluate.journal import Journal, evaluations
from neonext_ascend.evaluate.paired import Pair
from neonext_ascend.images.dataset import open_dataset
from neonext_ascend.images.pace import Pace
from neonext_ascend.jobs.checking import Device, checked
from neonext_ascend.jobs.cluster.describing import opened_or_described
from neonext_ascend.jobs.cluster.evaluating import asking_there
from neonext_ascend.jobs.cluster.share import sharing
from neonext_ascend.jobs.evaluation.pictures import Asking, Contestant, Difference
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.models.arguments import file_path
from neonext_ascend.runtimes.registry import Runtime
from neonext_ascend.spec import Bounds

MOST = 26  # a letter each


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Args:
        dataset: the folder or file.
        classes: how the data set's names were taken for classes of the first artifact, in words.
        artifacts: the accuracy of each, in the order given.
        pairs: each two of them on the same pictures.
        failures: pictures that could not be read, by their name in the data set, with the error.
        differing: pictures of which the artifacts say different classes, in the data set's order.
        per_class: for each class its pictures and shares, where asked for.
        pace: where the time went.
        max_drop: points of top-1 that each may be behind the first, where asked for.
    """

    dataset: Path
    classes: str
    artifacts: tuple[Accuracy, ...]
    pairs: tuple[Pair, ...]
    failures: tuple[tuple[str, NeoNextError], ...]
    differing: tuple[Difference, ...]
    per_class: dict[str, dict[str, Any]] | None
    pace: Pace
    max_drop: float | None = None

    @property
    def refused(self) -> tuple[Pair, ...]:
        """Where an artifact is behind the first by more than it may."""
        most = self.max_drop
        return () if most is None else tuple(p for p in self.pairs if p.first == 0 and p.gate(most).refused)

    @property
    def exit_code(self) -> int:
        """1 where an artifact is refused; else the highest of the failures' own; 0 without one."""
        return 1 if self.refused else max((error.exit_code for _, error in self.failures), default=0)

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        names = [str(accuracy.artifact.absolute()) for accuracy in self.artifacts]
        each = [{**accuracy.to_json(), "failed": len(self.failures)} for accuracy in self.artifacts]
        return {
            "dataset": str(self.dataset.absolute()),
            "classes": self.classes,
            "artifacts": each,
            "paired": [pair.to_json(names, self.max_drop) for pair in self.pairs],
            "failures": [{"path": name, "error": str(error)} for name, error in self.failures],
            **({} if self.per_class is None else {"per_class": self.per_class}),
            "speed": self.pace.to_json(),
        }


@checked
def evaluate(
    artifacts: str | Path | Annotated[Sequence[str | Path], Bounds(min_length=1)],
    dataset: str | Path,
    *,
    labels: str | Path | None = None,
    per_class: bool = False,
    max_drop: Annotated[float, Bounds(ge=0, le=100)] | None = None,
    resume: str | Path | None = None,
    differing: str | Path | None = None,
    runtime: Runtime = "auto",
    device: Device = 0,
    ray: Annotated[str, Bounds(min_length=1)] | None = None,
    watch: Watch = SILENT,
) -> Evaluation:
    """Ask artifacts about the same labelled pictures, each decoded once and prepared as each manifest says.

    Args:
        artifacts: ONNX or OM files, one or several.
        dataset: a folder of class folders, a folder of pictures with a label file, or a file of paths and labels.
        labels: the label file of a folder of pictures.
        per_class: also count for each class.
        max_drop: points of top-1 that each may be behind the first; :attr:`Evaluation.refused` says which is not.
        resume: a file that keeps the answers as they come; one that is there already is gone on with.
        differing: a file for the pictures of which the artifacts say different classes, a JSON object on each line.
        runtime: that opens the artifacts; ``auto`` goes by the file.
        device: number of the NPU.
        ray: a cluster whose workers ask: ``local``, ``auto`` or its head's ``HOST:PORT``; files and pictures lie under
            the same paths there.
        watch: told of the loading, of what was assumed, of the progress, of each picture that cannot be read, and of a
            long wait for a cluster's workers.

    Raises:
        UsageError: an argument is of another kind, or the data set is none, or its classes are not the network's.
        FileAccessError: a file or folder cannot be read or written, or no picture could be.
        ArtifactError: an artifact is no network from pictures to classes.
        ToolchainError: what runs it is missing here.
    """
    many = [artifacts] if isinstance(artifacts, str | Path) else artifacts
    files = [file_path(artifact, "artifact") for artifact in many]
    if len(files) > MOST:
        raise UsageError(f"{len(files)} artifacts; expected 1 to {MOST}")
    if len(files) == 1 and (differing is not None or max_drop is not None):
        option = "--max-drop" if differing is None else "--differing"
        raise UsageError(f"{option}: compares artifacts; give at least two")
    place = Path(dataset)
    data = open_dataset(place, None if labels is None else file_path(labels, "labels")).refusing_empty()
    target = None if differing is None else file_path(differing, "differing")
    read = [*files, place, *(Path(path) for path in (labels, resume) if path is not None)]
    if target is not None and any(target.resolve() == path.resolve() for path in read):
        raise UsageError(f"--differing {target}: is read by this evaluation; give another name")
    with contextlib.ExitStack() as stack:
        stage = None if target is None else stack.enter_context(staged(target.parent))
        share = None if ray is None else stack.enter_context(sharing(ray, device, watch))
        contestants = []
        for file in files:
            with watch.working(f"loading {file.name}"):
                runner, recipe = opened_or_described(file, runtime, device, share)
                stack.enter_context(runner)
                contestants.append(Contestant.of(file, data, runner, runtime, recipe))
            if contestants[-1].recipe.assumed:
                watch.warn(f"{file.name}: {contestants[-1].recipe.assumed}")
        journal = None
        if resume is not None:
            subject = {"artifacts": [contestant.identity() for contestant in contestants]}
            counts = [contestant.count for contestant in contestants]
            journal = stack.enter_context(Journal(file_path(resume, "resume"), subject, evaluations(counts)))
        there = None if share is None else asking_there(contestants, data, runtime, share)
        asking = Asking(contestants, data, journal, watch, there)
        asking.run()
        asking.differing.sort(key=lambda difference: difference.number)
        if stage is not None and target is not None:
            text = "".join(json.dumps(difference.to_json()) + "\n" for difference in asking.differing)
            (stage.folder / target.name).write_text(text, encoding="ascii")
            stage.publish(target.name)
        tally, count = asking.tally, len(files)
        return Evaluation(
            place,
            contestants[0].classes.words,
            tuple(contestant.accuracy(tally.top1(i), tally.top5(i)) for i, contestant in enumerate(contestants)),
            tuple(Pair(i, j, *tally.only(i, j), tally.images) for i in range(count) for j in range(i + 1, count)),
            tuple(asking.failures),
            tuple(asking.differing),
            tally.per_class(count) if per_class else None,
            asking.pace,
            max_drop,
        )
