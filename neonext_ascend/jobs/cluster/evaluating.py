"""The pictures of an evaluation, asked about by workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from neonext_ascend.errors import NeoNextError
from neonext_ascend.evaluate.accuracy import Answer
from neonext_ascend.evaluate.journal import evaluations
from neonext_ascend.evaluate.panel import Ask, Panel
from neonext_ascend.images.dataset import Dataset, Item
from neonext_ascend.images.pace import Pace
from neonext_ascend.jobs.cluster.describing import files_of
from neonext_ascend.jobs.cluster.shards import spread
from neonext_ascend.jobs.cluster.share import Share
from neonext_ascend.jobs.evaluation.pictures import Contestant
from neonext_ascend.runtimes.registry import Runtime, open_runner
from neonext_ascend.runtimes.sameness import Digests, refuse_another

_Answers = tuple[Answer, ...] | NeoNextError


def asking_there(contestants: Sequence[Contestant], data: Dataset, runtime: Runtime, share: Share) -> Ask:
    """In place of a panel here; the contestants are described, not opened."""
    # The names of pictures stay here.
    classes = Dataset(data.root, data.classes, None if data.rows is None else ())
    files = [(each.path, files_of(each.runner)) for each in contestants]
    together = Panel([(each.runner, each.recipe, each.answer) for each in contestants]).together
    opened = partial(_opened, files, classes, runtime, share.cpus)
    kind = evaluations([contestant.count for contestant in contestants])
    return lambda numbered, pace: spread(numbered, opened, kind, together, share, pace)


def _opened(
    files: Sequence[tuple[Path, Digests]], data: Dataset, runtime: Runtime, cpus: int
) -> Callable[[Sequence[Item], Pace], list[_Answers]]:
    opened = []
    with ExitStack() as stack:
        for file, expected in files:
            refuse_another(file, expected)
            runner = stack.enter_context(open_runner(file, runtime=runtime, threads=cpus))
            opened.append(Contestant.of(file, data, runner, runtime))
        stack.pop_all()  # they stay open as long as the worker lives
    panel = Panel([(each.runner, each.recipe, each.answer) for each in opened], max(cpus, 1))

    def answers(items: Sequence[Item], pace: Pace) -> list[_Answers]:
        numbered: Iterator[tuple[int, Item]] = iter(enumerate(items))
        found = {number: one for batch in panel.answers(numbered, pace) for number, _, one in batch}
        return [found[number] for number in range(len(items))]

    return answers
