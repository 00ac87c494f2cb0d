"""Trainings that are killed, and go on: ``python -m tests.support.kill_training COUNT PROCESSES FOLDER [SEED]``.

Each is killed by SIGKILL at a random moment of its steps, goes on from its newest checkpoint, and ends with the
weights, bit for bit, of one that was not killed. One process is forked from a warm one, so that a run takes a second;
two are started by torchrun, and are killed together. It prints one JSON object.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import torch

import neonext_ascend.jobs.training.running  # noqa: F401 -- warm before the fork
from neonext_ascend.cli.main import run
from neonext_ascend.training import libraries
from neonext_ascend.training.states import LAST, steps_in
from neonext_ascend.training.stepping import Step, Trainer
from tests.support.training import SETTINGS, write_config, write_pictures

_EPOCHS, _PAUSE = 8, 0.02  # seconds after a step, so that a kill falls between, in and behind writings
_LAST = 12  # checkpoint behind which a run is killed


def arguments(folder: Path, output: str) -> list[str]:
    """The command: 24 steps, a checkpoint every two."""
    given = {**SETTINGS, "epochs": _EPOCHS}
    settings = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    data, config = str(folder / "pictures"), str(folder / "minute.toml")
    return [
        *("train", "--config", config, "--data", data, "-o", str(folder / output), "--save-every", "2"),
        *("--workers", "0", "--no-tensorboard", "--device", "cpu", *settings),
    ]


class _Forked:
    """One process, forked from this one."""

    def __init__(self, words: list[str], doomed: bool = False) -> None:
        self._child = os.fork()
        if not self._child:
            _run(words, doomed)

    def kill(self) -> None:
        """Kill it."""
        os.kill(self._child, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])


class _Launched:
    """Several, started by torchrun, which stands in the same group."""

    def __init__(self, words: list[str], processes: int) -> None:
        launcher = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node",
            str(processes),
            "--standalone",
        ]
        self._process = subprocess.Popen(
            [*launcher, "-m", "neonext_ascend", *words],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def kill(self) -> None:
        """Kill all of them: each is the head of a group of its own, below the launcher."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for process in (self._process.pid, *map(int, children)):
            os.kill(process, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        return self._process.wait()


def _run(words: list[str], doomed: bool) -> NoReturn:
    """Run the command; one that is to be killed is not done before, however late whoever kills it is."""
    code = 70
    try:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        step = Trainer.step

        def slowly(*given: Any) -> Step:
            done = step(*given)
            time.sleep(120 if doomed and given[1] == _LAST + 4 else _PAUSE)
            return done

        Trainer.step = slowly  # type: ignore[method-assign,assignment] # in a child alone
        code = run(words)
    finally:
        os._exit(code)


def kill(count: int, processes: int, folder: Path, seed: int = 0) -> dict[str, Any]:
    """Kill ``count`` runs, and let each go on to its end."""
    write_pictures(folder / "pictures")
    write_config(folder)
    draw = random.Random(seed)

    def start(words: list[str], doomed: bool = False) -> _Forked | _Launched:
        return _Forked(words, doomed) if processes == 1 else _Launched(words, processes)

    begin = time.monotonic()
    code = start(arguments(folder, "whole")).wait()
    seconds, expected = time.monotonic() - begin, _digests(folder / "whole")
    killed = []
    for number in range(count):
        output = folder / f"killed-{number}"
        child = start(arguments(folder, output.name), doomed=True)
        _await(output, f"step-{2 * draw.randint(1, _LAST // 2):08d}.pt")
        time.sleep(draw.uniform(0, 0.05))
        child.kill()
        ended = child.wait()
        found = steps_in(output)
        again = start([*arguments(folder, output.name), "--resume", str(output)]).wait()
        killed.append({"ended": ended, "at": found[-1].name, "again": again, "same": _digests(output) == expected})
    return {"whole": code, "seconds": round(seconds, 2), "killed": killed}


def _await(output: Path, checkpoint: str) -> None:
    deadline = time.monotonic() + 120
    while all(path.name < checkpoint for path in steps_in(output)) and time.monotonic() < deadline:
        time.sleep(0.002)


def _digests(output: Path) -> dict[str, str]:
    """Of the last weights, and of all that the last checkpoint holds."""
    held = torch.load(steps_in(output)[-1], weights_only=True)
    state = hashlib.sha256(repr(held["optimiser"]["param_groups"]).encode())
    tensors = [*held["model"].values(), *held["model_ema"].values()]
    tensors += [value for each in held["optimiser"]["state"].values() for value in each.values()]
    for tensor in tensors:
        state.update(tensor.numpy().tobytes())
    weights = hashlib.sha256((output / LAST).read_bytes()) if (output / LAST).exists() else hashlib.sha256()
    return {"weights": weights.hexdigest(), "state": state.hexdigest(), "at": steps_in(output)[-1].name}


if __name__ == "__main__":
    torch.set_num_threads(1)
    libraries.library()  # kornia takes a second
    given = sys.argv[1:]
    print(json.dumps(kill(int(given[0]), int(given[1]), Path(given[2]), *map(int, given[3:])), indent=1))
