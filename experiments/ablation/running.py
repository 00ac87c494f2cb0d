"""Trainings, each to a file of its own: what is done stays done, and what was interrupted goes on where it stopped."""

from __future__ import annotations

import contextlib
import fcntl
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.outcome import rounded
from experiments.ablation.norms import replace_batch_norms
from experiments.ablation.plan import Training
from neonext_ascend.artifacts.staging import staged
from neonext_ascend.errors import DivergedError, NeoNextError
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.training.diary import LOG, Diary
from neonext_ascend.training.feeding import Split
from neonext_ascend.training.loop import Habits, Run
from neonext_ascend.training.measuring import Measured
from neonext_ascend.training.processes import DeviceName, Team, team
from neonext_ascend.training.sources.opening import open_source
from neonext_ascend.training.starting import fresh
from neonext_ascend.training.states import Identity, Shelf, read_run, steps_in
from neonext_ascend.training.stepping import Trainer

Result = dict[str, Any]
# What ends at no more than this many times chance has learnt nothing: it counts as diverged, as NaN does.
CHANCES = 2
_MOST_WORKERS = 8


def run_all(trainings: Sequence[Training], folder: Path, device: DeviceName = "auto") -> list[Result]:
    """The result of each training; on a CPU one thread each, as many at a time as there are cores.

    Args:
        trainings: what to do.
        folder: of their files.
        device: ``cpu``, ``cuda`` or ``npu``; ``auto`` takes a card where there is one.
    """
    with team(device) as here:
        at_once = len(os.sched_getaffinity(0)) if here.device.type == "cpu" else 1
    todo = [training for training in trainings if not result_file(training, folder).exists()]
    print(f"{len(trainings)} trainings, {len(trainings) - len(todo)} of them done before", flush=True)
    context = multiprocessing.get_context("spawn")  # a forked process cannot use a card
    with ProcessPoolExecutor(min(at_once, len(todo)) or 1, context, _begin) as pool:
        asked = [pool.submit(run_one, training, folder, device) for training in todo]
        try:
            for number, done in enumerate(as_completed(asked), 1):
                print(f"{number} of {len(todo)}: {line_of(done.result())}", flush=True)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            with contextlib.suppress(OSError):
                folder.rmdir()  # where nothing came of it
            raise
    return [run_one(training, folder, device) for training in trainings]


def line_of(result: Result) -> str:
    """A result in words."""
    how = f"{result['right']} of {result['pictures']}" + (" (diverged)" if result["diverged"] else "")
    return f"{result['variant']}, seed {result['seed']}: {how}, {result['seconds']:.0f} s"


def result_file(training: Training, folder: Path) -> Path:
    """Where the result of a training lies when it is done."""
    return folder / f"{training.stem}.json"


def run_one(training: Training, folder: Path, device: DeviceName = "auto") -> Result:
    """The result of a training: from its file, or by doing it."""
    path, states = result_file(training, folder), folder / training.stem
    if not path.exists():
        with _alone(states):
            # Whoever held it may have done it.
            if not path.exists():
                try:
                    result: Result = rounded(_trained(training, states, device))
                except NeoNextError:
                    if not steps_in(states):
                        shutil.rmtree(states, ignore_errors=True)  # nothing to go on from
                    raise
                with staged(folder) as stage:
                    (stage.folder / path.name).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
                    stage.publish(path.name)
            shutil.rmtree(states, ignore_errors=True)  # of checkpoints: the result is what counts
    done: Result = json.loads(path.read_text(encoding="utf-8"))
    return {**done, "variant": training.variant}


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait for another process that trains into this folder: two commands share a plan's trainings."""
    folder.mkdir(parents=True, exist_ok=True)
    # A file of its own: the folder itself is what artifacts.staging locks.
    with (folder / "alone").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _trained(training: Training, states: Path, device: DeviceName) -> Result:
    recipe, start = training.recipe, time.perf_counter()
    source = open_source(training.data, recipe.held_out, recipe.seed)
    network = replace(training.network, num_classes=len(source.classes))
    net = fresh(network, recipe)
    if training.norm == "layer":
        replace_batch_norms(net)
    with team(device) as here, torch.random.fork_rng(devices=[]):
        split = Split(recipe.batch_size, recipe.accumulation, here.rank, here.world)
        shelf = Shelf(states, 1, Identity.of(network, recipe, source.classes, source.training.digest, here.world))
        resumed = read_run(states) if steps_in(states) else None
        shelf.begin()
        trainer = Trainer(net, recipe, here, split)
        prepare = Preprocessing(network.image_size, crop_fraction=None)
        with Diary(states, 0 if resumed is None else resumed.step, curves=False) as diary:
            run = Run(
                trainer, source, recipe, prepare, here, split, shelf, diary, _habits(here), _quiet, _quiet, _quiet
            )
            if resumed is not None:
                run.go_on_from(resumed)
            why = _why_it_ended(run)
    curve = [line for line in map(json.loads, (states / LOG).read_text().splitlines()) if "held_out_top1" in line]
    last = run.measured or Measured(0, 1, float("inf"))
    return {
        "variant": training.variant,
        "seed": recipe.seed,
        "right": last.right,
        "pictures": last.pictures,
        "loss": curve[-1]["held_out_loss"] if curve else None,
        "diverged": why is not None or last.top1 < CHANCES / len(source.classes),
        "why": why,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "seconds": time.perf_counter() - start,
        "top1_by_epoch": [line["held_out_top1"] for line in curve],
    }


def _why_it_ended(run: Run) -> str | None:
    """Trained to the end, or what NaN was met."""
    try:
        run.run()
    except DivergedError as error:
        return str(error).partition(";")[0]
    return None


def _habits(here: Team) -> Habits:
    return Habits(0 if here.device.type == "cpu" else min(len(os.sched_getaffinity(0)), _MOST_WORKERS), look_every=0)


def _begin() -> None:
    """One thread, and an end with the process that asks: an orphan would wait for work for good."""
    torch.set_num_threads(1)
    asking = multiprocessing.parent_process()
    assert asking is not None

    def end_with_it() -> None:
        asking.join()
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()


def _quiet(_: str) -> None:
    """Nobody is told: what comes of it is told once, of all."""
