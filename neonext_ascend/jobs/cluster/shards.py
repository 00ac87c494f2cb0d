"""Ray Data: shards of pictures to workers, which stay and keep their artifacts open, and answers back in order.

A shard and its answers are one text of JSON each, in Ray's object store; neither pictures nor prepared rows travel: a
prepared picture is many times its file, so that each worker reads its own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, TypeVar

from neonext_ascend.errors import OF_EXIT_CODE, NeoNextError, ToolchainError
from neonext_ascend.evaluate.journal import Kind
from neonext_ascend.images.dataset import Item
from neonext_ascend.images.pace import Pace
from neonext_ascend.jobs.cluster.joining import first_line
from neonext_ascend.jobs.cluster.share import Share

T = TypeVar("T")
# Opens artifacts, and gives what answers about pictures: for each its answer, or why it cannot be read.
Opened = Callable[[], Callable[[Sequence[Item], Pace], Sequence[T | NeoNextError]]]
_AT_LEAST = 128  # pictures of a shard
_TRIES = 3  # more of a shard whose worker ended; where a picture ends it, it ends each


class Worker:
    """What runs on a node: made once, asked for shards. What cannot be opened is told with the first shard.

    Args:
        opened: opens what answers, and gives the function that does.
        kind: of the answers.
        folder: the working folder of who asks: relative paths mean the same here.
    """

    def __init__(self, opened: Opened[Any], kind: Kind[Any], folder: str) -> None:
        self._kind = kind
        self._refused: NeoNextError | None = None
        with contextlib.suppress(OSError):
            os.chdir(folder)
        try:
            self._answers = opened()
        except NeoNextError as error:
            self._refused = error

    def __call__(self, table: Any) -> Any:
        """A table of shards, as Ray Data has it, to one of answers."""
        import pyarrow

        return pyarrow.table({"shard": [self._answered(text) for text in table.column("shard").to_pylist()]})

    def _answered(self, text: str) -> str:
        pairs, pace = json.loads(text), Pace()
        try:
            if self._refused is not None:
                raise self._refused
            found = self._answers([_item(told) for _, told in pairs], pace)
        except NeoNextError as error:
            return json.dumps({"refused": error_json(error)})
        answers = [error_json(one) if isinstance(one, NeoNextError) else self._kind.to_json(one) for one in found]
        return json.dumps({"pairs": pairs, "answers": answers, "seconds": [pace.waiting, pace.models]})


def spread(
    numbered: Iterable[tuple[int, Item]], opened: Opened[T], kind: Kind[T], together: int, share: Share, pace: Pace
) -> Generator[list[tuple[int, Item, T | NeoNextError]]]:
    """Answers to pictures, shard by shard, in order; a shard whose worker's node is lost is asked again elsewhere.

    Args:
        numbered: the pictures, with a number that comes back.
        opened: opens what answers on a worker.
        kind: of the answers.
        together: pictures that a worker asks about at once; a shard holds several times as many, so that batches are
            those of one machine.
        share: what each worker takes.
        pace: takes the time, split as the workers' was.

    Raises:
        NeoNextError: what a worker refused.
        ToolchainError: the workers ended again and again.
    """
    import pyarrow
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    size, remaining = together * -(-_AT_LEAST // together), iter(numbered)
    shards = []
    while shard := [[number, _told(item)] for number, item in itertools.islice(remaining, size)]:
        shards.append(ray.put(pyarrow.table({"shard": [json.dumps(shard)]})))
    if not shards:
        return
    count = min(share.workers, len(shards))
    # Of nothing; it is answered as soon as a worker has opened what it needs.
    shards.insert(0, ray.put(pyarrow.table({"shard": ["[]"]})))
    with warnings.catch_warnings():  # what bounds the tries is to leave in Ray 2.64, which pyproject.toml keeps out
        warnings.simplefilter("ignore", DeprecationWarning)
        answered = ray.data.from_arrow_refs(shards).map_batches(
            Worker,
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=count, initial_size=count),
            fn_constructor_args=(opened, kind, str(Path.cwd())),
            max_restarts=-1,
            max_task_retries=_TRIES,
            **share.options(),
        )
    start, seconds = time.perf_counter(), [0.0, 0.0]
    try:
        for text in _texts(answered, share):
            found = json.loads(text)
            if "refused" in found:
                raise error_of(found["refused"])
            seconds = [one + other for one, other in zip(seconds, found["seconds"], strict=True)]
            pace.waiting = (time.perf_counter() - start) * seconds[0] / max(sum(seconds), 1e-9)
            pace.models = time.perf_counter() - start - pace.waiting
            pairs = zip(found["pairs"], found["answers"], strict=True)
            yield [
                (number, _item(told), error_of(answer) if isinstance(answer, dict) else _read(answer, kind))
                for (number, told), answer in pairs
            ]
    except ray.exceptions.RayError as error:
        if isinstance(error, ray.exceptions.RayTaskError):
            raise  # a bug of ours
        raise ToolchainError(f"--ray: the cluster gave up a shard: {first_line(error)}") from None


def _texts(answered: Any, share: Share) -> Generator[str]:
    """The shards' answers, in order; each as soon as it is there, which Ray Data's own fetching ahead would delay."""
    with share.waiting() as up:
        for table in answered.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            up()
            yield from table.column("shard").to_pylist()


def error_json(error: NeoNextError) -> dict[str, Any]:
    """An error that is told elsewhere."""
    return {"status": error.exit_code, "error": str(error)}


def error_of(told: Mapping[str, Any]) -> NeoNextError:
    """The same there."""
    return OF_EXIT_CODE[told["status"]](told["error"])


def _read(told: Any, kind: Kind[T]) -> T:
    answer = kind.from_json(told)
    assert answer is not None
    return answer


def _told(item: Item) -> list[str]:
    return [os.fspath(part) for part in astuple(item)]


def _item(told: Sequence[str]) -> Item:
    name, path, label, mark = told
    return Item(name, Path(path), label, mark)
