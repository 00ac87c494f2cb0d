"""A run, from its first step or from where it stopped, to its last."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field

from neonext_ascend.errors import CheckpointError, DivergedError, FileAccessError, NeoNextError, UsageError, counted
from neonext_ascend.images.pace import Pace
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.training.diary import Diary
from neonext_ascend.training.feeding import Batch, Order, Plain, Split, batches, loader
from neonext_ascend.training.measuring import Measured, measure
from neonext_ascend.training.processes import Team
from neonext_ascend.training.ranges import beyond_half
from neonext_ascend.training.recipe import Recipe
from neonext_ascend.training.schedule import Schedule
from neonext_ascend.training.sources.entries import Source
from neonext_ascend.training.states import LAST, Resumed, Shelf
from neonext_ascend.training.stepping import Step, Trainer

Words = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Habits:
    """What a run does beside training, and changes no weight.

    Args:
        workers: processes that decode pictures; 0 decodes in this one.
        save_every: steps between checkpoints; 0 for one an epoch.
        log_every: steps between lines of the log.
        look_every: steps between looks at the range of fp16; 0 for none.
    """

    workers: int = 0
    save_every: int = 0
    log_every: int = 10
    look_every: int = 300


@dataclass
class Run:
    """A run.

    Args:
        trainer: the network and what changes it.
        source: the pictures.
        recipe, prepare: how they are augmented and prepared.
        team, split: the processes, and how they share a batch.
        shelf, diary: where the first process writes.
        habits: what it does beside.
        note, warn, tell: take words: for good, of what may be wrong, and of the progress.
    """

    trainer: Trainer
    source: Source
    recipe: Recipe
    prepare: Preprocessing
    team: Team
    split: Split
    shelf: Shelf
    diary: Diary | None
    habits: Habits
    note: Words
    warn: Words
    tell: Words
    best: Measured | None = None
    measured: Measured | None = None
    pace: Pace = field(default_factory=Pace)
    _step: int = 0
    _warned: set[str] = field(default_factory=set)

    def go_on_from(self, resumed: Resumed) -> None:
        """Take over a checkpoint.

        Raises:
            CheckpointError: what it holds does not fit this run, though it is said to be of it.
        """
        try:
            # A checkpoint of before 'measured' was kept tells no last one.
            self.best, self.measured = (
                None if held is None else Measured(**held) for held in map(resumed.held.get, ("best", "measured"))
            )
            self.trainer.load(resumed.held)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):  # as torch says what does not fit
            what = "does not hold what this run goes on from; it is damaged, or another program wrote it"
            raise CheckpointError(f"{resumed.path}: {what}; take the checkpoint before") from None
        self._step = resumed.step
        self.shelf.knows(resumed.path)

    def run(self) -> None:
        """Train to the end.

        Raises:
            UsageError: a batch is more than all pictures.
            DivergedError: the loss or a weight is NaN or infinite.
            FileAccessError: a picture cannot be read, or a file written. Each names the last good checkpoint.
        """
        order = Order(self.source.training, self.recipe, self.split)
        if not order.steps:
            there = counted(sum(self.source.training.counts.values()), "picture")
            raise UsageError(f"batch_size {self.recipe.batch_size}: {self.source.name} has {there}; take a smaller one")
        schedule = Schedule.of(self.recipe, order.steps)
        loaded = loader(order, self.recipe, self.prepare, self.habits.workers)
        begun = self._step
        try:
            for epoch in range(begun // order.steps, self.recipe.epochs):
                order.epoch, order.first = epoch, self._step - epoch * order.steps
                self.trainer.begin()
                with closing(batches(loaded)) as fed:
                    self._epoch(epoch, order, schedule, self.pace.ready(fed), begun)
                self._end_of(epoch, order.steps)
        except (UsageError, FileAccessError, DivergedError) as error:
            words = self.shelf.last_words()
            raise (error if words in str(error) else _with(error, words)) from None
        if self.team.first:
            self.shelf.save_weights(LAST, self.trainer.measured.state_dict())

    def _epoch(self, epoch: int, order: Order, schedule: Schedule, fed: Iterator[Batch], begun: int) -> None:
        for _ in range(order.first, order.steps):
            # A list: only what waits for the pictures counts as waiting.
            parts = list(itertools.islice(fed, self.recipe.accumulation))
            with self.pace.running():
                done = self.trainer.step(self._step, schedule.rate(self._step), parts)
            self.pace.images += self.recipe.batch_size
            self._step += 1
            self._tell(epoch, done, schedule, begun)
            if self.habits.look_every and self._step % self.habits.look_every == 0:
                self._look(parts[0])
            if self.habits.save_every and self._step % self.habits.save_every == 0 and self._step % order.steps:
                self._save()

    def _tell(self, epoch: int, done: Step, schedule: Schedule, begun: int) -> None:
        taken, left = self._step - begun, schedule.total - self._step
        speed = self.pace.images_per_second
        minutes = left * (self.pace.waiting + self.pace.models) / taken / 60
        share = 100 * self._step / schedule.total
        self.tell(
            f"{share:3.0f} % loss {done.loss:.3f}, {speed:.0f} images/s, {minutes:.0f} min left, "
            f"{100 * self.pace.decoding:.0f} % waiting"
        )
        if self.diary is not None and self._step % self.habits.log_every == 0:
            told = {"epoch": epoch + 1, "loss": done.loss, "learning_rate": done.rate}
            self.diary.tell(self._step, **told, images_per_second=speed, waiting_for_pictures=self.pace.decoding)

    def _look(self, batch: Batch) -> None:
        """Warn of layers beyond fp16, of each once."""
        if not self.team.first:
            return
        for found in beyond_half(self.trainer.measured, batch.x.to(self.team.device)):
            if found.layer not in self._warned:
                self._warned.add(found.layer)
                self.warn(f"step {self._step}: {found}")
                if self.diary is not None:
                    self.diary.tell(self._step, beyond_fp16=found.layer, largest=found.largest)

    def _end_of(self, epoch: int, steps: int) -> None:
        words, better = "", False
        if self.source.held_out is not None:
            places = Plain(self.source.held_out, self.split.size, self.team.rank, self.team.world)
            fed = batches(loader(places, self.recipe, self.prepare, self.habits.workers))
            self.measured = measure(self.trainer.measured, fed, self.team)
            better = self.measured.better_than(self.best)
            self.best = self.measured if better else self.best
            words = f", {self.measured.right} of {self.measured.pictures} held-out right ({self.measured.top1:.2%})"
        if self.team.first:
            if self.diary is not None and self.measured is not None:
                figures = asdict(self.measured)
                self.diary.tell(
                    self._step, epoch=epoch + 1, held_out_top1=self.measured.top1, held_out_loss=figures["loss"]
                )
            self.note(f"epoch {epoch + 1} of {self.recipe.epochs}, {counted(steps, 'step')}{words}")
        self._save(better)

    def _save(self, best: bool = False) -> None:
        if not self.team.first:
            self.shelf.knows(self._step)
            return
        state = self.trainer.state()
        for name, one in (("best", self.best), ("measured", self.measured)):
            state[name] = None if one is None else asdict(one)
        self.shelf.save(self._step, state, self.trainer.measured.state_dict() if best else None)


def _with(error: NeoNextError, words: str) -> NeoNextError:
    error.args = (f"{error}; {words}",)
    return error
