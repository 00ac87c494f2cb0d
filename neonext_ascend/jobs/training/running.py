"""Train: the recipe, on pictures, to weights that every command takes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch

from neonext_ascend.checkpoints.loading import load, read_config
from neonext_ascend.errors import UsageError, counted
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.jobs.checking import Model, Size, checked
from neonext_ascend.jobs.training.outcome import Training
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.models.arguments import file_path, folder_path, image_size_of
from neonext_ascend.models.config import NetworkConfig, with_image_size
from neonext_ascend.models.variants import find_variant
from neonext_ascend.spec import Bounds
from neonext_ascend.training.diary import Diary
from neonext_ascend.training.feeding import Split
from neonext_ascend.training.loop import Habits, Run
from neonext_ascend.training.processes import DeviceName, Team, team
from neonext_ascend.training.recipe import Recipe, given_settings, resolve
from neonext_ascend.training.sources.census import take_census
from neonext_ascend.training.sources.entries import Source
from neonext_ascend.training.sources.opening import open_source
from neonext_ascend.training.starting import fresh, from_loaded
from neonext_ascend.training.states import Identity, Resumed, Shelf, read_run
from neonext_ascend.training.stepping import Trainer

_MOST_WORKERS = 8
Steps = Annotated[int, Bounds(ge=0, le=10**9)]


@checked
def train(
    model: Model = None,
    *,
    data: str | Path,
    config: str | Path | None = None,
    image_size: Size | None = None,
    num_classes: Annotated[int, Bounds(ge=2, le=10**6)] | None = None,
    recipe: str | Path | None = None,
    settings: dict[str, Any] | None = None,
    checkpoint: str | Path | None = None,
    resume: str | Path | None = None,
    output: str | Path = "training",
    device: DeviceName = "auto",
    workers: Annotated[int, Bounds(ge=0, le=256)] | None = None,
    keep: Annotated[int, Bounds(ge=1, le=10**6)] = 3,
    save_every: Steps = 0,
    log_every: Annotated[int, Bounds(ge=1, le=10**9)] = 10,
    look_every: Steps = 300,
    tensorboard: bool = True,
    watch: Watch = SILENT,
) -> Training:
    """Train a network; under torchrun each process calls this alike.

    Args:
        model: a name, or a configuration.
        data: a folder per class, with ``train`` and ``val`` inside or not; ``digits``; CIFAR-10's batches; shards.
        config: a TOML file with a network of one's own, in place of ``model``.
        image_size: pixels, where not the model's own.
        num_classes: those of the data; with ``checkpoint`` the head is drawn anew.
        recipe: a TOML file with fields of :class:`~neonext_ascend.training.recipe.Recipe`.
        settings: fields and their values; they come before those of ``recipe``.
        checkpoint: weights to begin with.
        resume: a checkpoint of this run, or its folder: go on from there, to the same weights bit for bit.
        output: folder of the checkpoints; made where absent.
        device: ``cpu``, ``cuda`` or ``npu``; ``auto`` takes a card where there is one.
        workers: processes that decode; by default one a core for a card, 8 at most, and one in eight cores for a CPU.
        keep: checkpoints that stay, but for the best.
        save_every: steps between checkpoints; 0 for one an epoch.
        log_every: steps between lines of the log.
        look_every: steps between looks at what leaves fp16; 0 for none.
        tensorboard: write its curves too.
        watch: told of data, progress and results.

    Raises:
        UsageError: an argument, the recipe or the data cannot be.
        CheckpointError: a checkpoint is of another network or run.
        DivergedError: a loss or weight became NaN or infinite.
        FileAccessError: a file cannot be read or written.
        ToolchainError: a device or library is missing.
    """
    given = given_settings(None if recipe is None else file_path(recipe, "recipe"), settings)
    network = _network(model, config, image_size)
    if checkpoint is not None and resume is not None:
        raise UsageError("both --from and --resume; --resume goes on with a run, --from begins one with its weights")
    # What is given is read before the pictures, which may be many.
    begin = None if checkpoint is None else load(network, checkpoint=folder_path(checkpoint, "checkpoint"))
    resumed = None if resume is None else read_run(folder_path(resume, "resume"))
    chosen = resolve(network.name, given) if resumed is None else _recipe_of(resumed, given)
    folder = folder_path(output, "output")
    started = time.perf_counter()
    with team(device) as here, torch.random.fork_rng(devices=[]):
        told = watch if here.first else SILENT
        split = Split(chosen.batch_size, chosen.accumulation, here.rank, here.world)
        source = _source(str(data), chosen, told)
        if num_classes not in (None, len(source.classes)):
            raise UsageError(f"num_classes {num_classes}: {source.name} has {counted(len(source.classes), 'class')}")
        network = replace(network, num_classes=len(source.classes))
        identity = Identity.of(network, chosen, source.classes, source.training.digest, here.world)
        shelf = Shelf(folder, keep, identity)
        net, said = fresh(network, chosen), list[str]()
        if begin is not None:
            net, said = from_loaded(network, chosen, begin, new_head=num_classes is not None)
        for line in said:
            told.note(line)
        if resumed is not None:
            resumed.refuse_other(identity)
        decoders = _workers(here) if workers is None else workers
        habits = Habits(decoders, save_every, log_every, look_every)
        trainer = Trainer(net, chosen, here, split)
        prepare = preprocessing_for(network.name, network.image_size)
        with told.working(f"training {network.name}") as tell, _threads(here, decoders):
            run = Run(trainer, source, chosen, prepare, here, split, shelf, None, habits, told.note, told.warn, tell)
            if resumed is not None:
                run.go_on_from(resumed)  # before anything is written: one that does not fit leaves no folder
                told.note(f"going on from {resumed.path} behind step {resumed.step}")
            with _diary(shelf, resumed, here, tensorboard, told) as run.diary:
                run.run()
    seconds = time.perf_counter() - started
    speed = run.pace.images_per_second
    return Training(
        folder, network, chosen, source.classes, run.best, run.measured, seconds, speed, run.pace.decoding, here.first
    )


def _cores(here: Team) -> int:
    """Of this process."""
    return max(len(os.sched_getaffinity(0)) // here.world, 1)


def _workers(here: Team) -> int:
    """As many as keep up: of a CPU that trains, one core in eight."""
    cores = _cores(here)
    return min(cores, _MOST_WORKERS) if here.device.type != "cpu" else max(cores // 8, 1)


@contextlib.contextmanager
def _threads(here: Team, workers: int) -> Iterator[None]:
    """Computing leaves the workers their cores: threads that wait for one another cost several times what they do."""
    before = torch.get_num_threads()
    if here.device.type == "cpu" and workers and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(_cores(here) - workers, 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _network(model: Model, config: str | Path | None, image_size: Size | None) -> NetworkConfig:
    """The network to train, but for its classes."""
    if (model is None) == (config is None):
        raise UsageError(
            "neither MODEL nor --config; name one" if model is None else "both MODEL and --config; give one"
        )
    described = model if config is None else read_config(file_path(config, "config"))
    network = find_variant(described).config if isinstance(described, str) else described
    assert network is not None
    return network if image_size is None else with_image_size(network, image_size_of(image_size))


def _recipe_of(resumed: Resumed, given: dict[str, Any]) -> Recipe:
    """The run's own; what is given must not be another."""
    own = resumed.recipe
    if differences := replace(own, **given).differences(own):
        raise UsageError(f"{resumed.path}: the run goes on as it began, and was given {'; '.join(differences)}")
    return own


def _source(data: str, recipe: Recipe, told: Watch) -> Source:
    """The pictures, counted and without a fault that shows at the start."""
    with told.working("reading the data") as tell:
        source = open_source(data, recipe.held_out, recipe.seed)
        census = take_census(source, tell=tell)
    census.refuse_problems()
    told.note(census.line())
    return source


@contextlib.contextmanager
def _diary(shelf: Shelf, resumed: Resumed | None, here: Team, curves: bool, told: Watch) -> Iterator[Diary | None]:
    """The log, and beside it the recipe and the classes; the first process writes them."""
    if not here.first:
        yield None
        return
    shelf.begin()
    with Diary(shelf.folder, 0 if resumed is None else resumed.step, curves) as diary:
        if diary.without_curves:
            told.note("TensorBoard is not installed: its curves are left out; pip install '.[train]' in the checkout")
        yield diary
