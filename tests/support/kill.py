"""Exports and evaluations that are killed, and exports at once, from a warm process:
``python -m tests.support.kill kill|eval|eight COUNT FOLDER``.

The process has imported everything and exported once when it forks, so that an export takes a tenth of a second; no
session of onnxruntime was opened in it, for its threads would not live on in a child. It prints one JSON object.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

# What an export or an evaluation imports; onnxruntime only after its telemetry is off.
import torch

import neonext_ascend.jobs.evaluating
import neonext_ascend.jobs.exporting
import neonext_ascend.runtimes.ort  # noqa: F401

import onnxruntime  # type: ignore[import-untyped,unused-ignore] # noqa: F401 -- isort: skip
from neonext_ascend.artifacts.manifest import manifest_path
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.artifacts.staging import _STAGING_PREFIX
from neonext_ascend.cli.main import run
from neonext_ascend.evaluate.journal import Journal
from tests.support import digits
from tests.support.one_thread import one_thread
from tests.support.readers import ARTIFACT, CONFIG

NAMES = (ARTIFACT, manifest_path(Path(ARTIFACT)).name)


def export(config: Path, folder: Path, seed: int) -> list[str]:
    """The command."""
    return ["export", "--config", str(config), "--seed", str(seed), "-o", str(folder)]


def start(
    arguments: list[str],
    *,
    words: str = os.devnull,
    wait_for: int | None = None,
    die_at: int | None = None,
    pause: float = 0.0,
) -> int:
    """A child that runs one command; its process id.

    Args:
        arguments: of the command.
        words: the file that takes what it prints.
        wait_for: a descriptor; the child starts when its other end is closed.
        die_at: which renaming of a file kills the child before it happens, counted from 0.
        pause: seconds after each renaming, in which others may come between, and after each writing of answers.
    """
    child = os.fork()
    if child:
        return child
    _run(arguments, words, wait_for, die_at, pause)


def _run(arguments: list[str], words: str, wait_for: int | None, die_at: int | None, pause: float) -> NoReturn:
    code = 70
    try:
        out = os.open(words, os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1)
        os.dup2(out, 2)
        _change_renaming(die_at, pause)
        _slow_journal(pause)
        if wait_for is not None:
            os.read(wait_for, 1)
        code = run(arguments)
    finally:
        os._exit(code)


def _change_renaming(die_at: int | None, pause: float) -> None:
    original, done = Path.replace, 0

    def replace(path: Path, target: Path) -> Path:
        nonlocal done
        if done == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1
        final = original(path, target)
        time.sleep(pause)
        return final

    Path.replace = replace  # type: ignore[method-assign,assignment]


def _slow_journal(pause: float) -> None:
    """However fast the machine is, 20 kills are over before the pictures are."""
    original = Journal.write

    def write(*arguments: Any) -> None:
        original(*arguments)
        time.sleep(pause)

    Journal.write = write  # type: ignore[method-assign,assignment] # in a child alone


def finish(child: int) -> int:
    """Wait; the exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def leftovers(folder: Path) -> list[str]:
    """Staging folders."""
    return sorted(path.name for path in folder.glob(f"{_STAGING_PREFIX}*"))


class _Arena:
    """A folder with an older artifact, and what the newer one will be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "artifact"
        self.config = folder / "tiny.toml"
        self.config.write_text(CONFIG)
        self.whole: dict[str, dict[str, str]] = {}
        self.seconds = 0.0
        assert run([*export(self.config, folder / "warm", 0), "--no-verify"]) == 0
        for name, seed in (("old", 1), ("new", 2)):
            begin = time.monotonic()
            assert finish(start(export(self.config, folder / name, seed))) == 0
            self.seconds = time.monotonic() - begin
            (folder / name).rename(folder / f"kept-{name}")
            manifest = read_manifest(folder / f"kept-{name}" / NAMES[1])
            self.whole[name] = {"onnx": manifest.artifact.files[0].sha256, "old": str(folder / "kept-old")}

    def restore(self) -> None:
        """The older artifact alone, beside whatever was left over."""
        self.folder.mkdir(exist_ok=True)
        for name in NAMES:
            shutil.copy(Path(self.whole["old"]["old"]) / name, self.folder)

    def state(self) -> str:
        """``old+old``: what the ONNX file and the manifest are; ``none``; ``broken`` where one is not whole."""
        artifact, manifest = (self.folder / name for name in NAMES)
        hashes = {kind["onnx"]: name for name, kind in self.whole.items()}
        found = hashes.get(hashlib.sha256(artifact.read_bytes()).hexdigest(), "broken") if artifact.exists() else "none"
        try:
            told = (
                hashes.get(read_manifest(manifest).artifact.files[0].sha256, "broken") if manifest.exists() else "none"
            )
        except Exception:
            told = "broken"
        return f"{found}+{told}"


def kill(count: int, folder: Path) -> dict[str, Any]:
    """Kill ``count`` exports at random moments, half of them near the end, and one before each renaming of a file."""
    arena, rng = _Arena(folder), random.Random(0)
    states: Counter[str] = Counter()
    ends: Counter[int] = Counter()
    most = 0
    for number in range(count):
        arena.restore()
        near_the_end = ["--no-verify"] if number % 2 else []  # the sooner it is there
        child = start([*export(arena.config, arena.folder, seed=2), *near_the_end])
        if near_the_end:
            _await_manifest(arena.folder)
            time.sleep(rng.uniform(0, 0.001))
        else:
            time.sleep(rng.uniform(0, arena.seconds))
        os.kill(child, signal.SIGKILL)
        ends[finish(child)] += 1
        states[arena.state()] += 1
        most = max(most, len(leftovers(arena.folder)))
    renamings = []
    for number in range(4):
        arena.restore()
        code = finish(start(export(arena.config, arena.folder, seed=2), die_at=number))
        words = folder / f"words-{number}"
        verified = finish(start(["verify", str(arena.folder / ARTIFACT)], words=str(words)))
        renamings.append({"code": code, "state": arena.state(), "verify": verified, "words": words.read_text()})
    abandoned = len(leftovers(arena.folder))
    last = finish(start(export(arena.config, arena.folder, seed=2)))
    return {
        "states": states,
        "ends": ends,
        "renamings": renamings,
        "most_leftovers": most,
        "abandoned": abandoned,
        "last": {"code": last, "state": arena.state(), "leftovers": leftovers(arena.folder)},
        "seconds_an_export": round(arena.seconds, 3),
    }


def _await_manifest(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(folder.glob(f"{_STAGING_PREFIX}*/{NAMES[1]}")):
        time.sleep(0.0005)


def evaluate(count: int, folder: Path) -> dict[str, Any]:
    """Kill an evaluation at random moments, every second one while it writes, and let it finish.

    The artifact is ``nano/*.onnx``, the data set ``mnist``, the journal ``answers.jsonl``, what the end says ``said``.
    """
    assert run(["export", "neonext_nano", "-o", str(folder / "nano"), "--no-verify"]) == 0
    data, (artifact,) = digits.write(digits.mnist(every=4), folder / "mnist"), (folder / "nano").glob("*.onnx")
    journal, rng = folder / "answers.jsonl", random.Random(0)
    arguments = ["eval", str(artifact), str(data), "--resume", str(journal), "--json"]
    ends, sizes = Counter[int](), [0]
    for number in range(count):
        child = start(arguments, pause=0.05)
        deadline = time.monotonic() + 60
        while number % 2 and _size(journal) <= sizes[-1] and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.06 if number % 2 else 0.25))
        os.kill(child, signal.SIGKILL)
        ends[finish(child)] += 1
        sizes.append(_size(journal))
    known = len(journal.read_text().splitlines()) - 1
    return {"ends": ends, "sizes": sizes, "known": known, "code": finish(start(arguments, words=str(folder / "said")))}


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def eight(count: int, folder: Path) -> dict[str, Any]:
    """Run eight exports at once into one folder, ``count`` times, with another one's staging folder left over.

    Four have one name and other weights, four have names of their own.
    """
    arena, rounds = _Arena(folder), []
    configs = [arena.config] * 4
    for letter in "abcd":
        configs.append(folder / f"{letter}.toml")
        configs[-1].write_text(CONFIG.replace('"tiny"', f'"tiny_{letter}"'))
    for _ in range(count):
        arena.restore()
        finish(start(export(arena.config, arena.folder, seed=2), die_at=0))
        read, write = os.pipe()
        children = [
            start([*export(config, arena.folder, seed), "--no-verify"], wait_for=read, pause=0.02)
            for seed, config in enumerate(configs)
        ]
        os.close(read)
        os.write(write, b"8" * 8)
        os.close(write)
        codes = [finish(child) for child in children]
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in arena.folder.iterdir()}
        told = [read_manifest(path).artifact.files[0] for path in sorted(arena.folder.glob("*.json"))]
        rounds.append({"codes": codes, "files": sorted(files), "match": [files[f.name] == f.sha256 for f in told]})
        shutil.rmtree(arena.folder)
    return {"rounds": rounds}


if __name__ == "__main__":
    torch.set_num_threads(1)
    one_thread()
    print(
        json.dumps({"kill": kill, "eval": evaluate, "eight": eight}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3])))
    )
