"""Pictures to be classified, asked about by workers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from neonext_ascend.errors import NeoNextError
from neonext_ascend.evaluate.predictions import Ask, Told, asking_here, predictions
from neonext_ascend.images.dataset import Item
from neonext_ascend.images.pace import Pace
from neonext_ascend.jobs.cluster.describing import files_of
from neonext_ascend.jobs.cluster.shards import spread
from neonext_ascend.jobs.cluster.share import Share
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.classifying import Prediction, Recipe, batch_size, recipe_of
from neonext_ascend.runtimes.registry import Runtime, open_runner
from neonext_ascend.runtimes.sameness import refuse_another


def asking_there(path: Path, runner: Runner, recipe: Recipe, top: int, runtime: Runtime, share: Share) -> Ask:
    """Workers of a cluster; the runner is described, not opened."""
    kind, cpus, files = predictions(recipe.labels, top), share.cpus, files_of(runner)

    def opened() -> Callable[[Sequence[Item], Pace], list[Prediction | NeoNextError]]:
        refuse_another(path, files)
        worker = open_runner(path, runtime=runtime, threads=cpus)
        ask = asking_here(worker, recipe_of(path, worker), top)
        return lambda items, _: [found.error or found for _, found in ask(iter(items))]

    def ask(items: Iterator[Item]) -> Generator[Told]:
        for shard in spread(enumerate(items), opened, kind, batch_size(runner), share, Pace()):
            for _, item, found in shard:
                if isinstance(found, NeoNextError):
                    yield item, Prediction(item.path, error=found)
                else:
                    yield item, replace(found, path=item.path)

    return ask
