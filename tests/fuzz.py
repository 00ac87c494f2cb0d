"""Damaged files through every reader for a given time: ``python -m tests.fuzz [READER...] --seconds N [--seed N]``.

The corpus, ``tests/data/corpus/READER/``, is walked first as it is, then mutated and mixed until the time is over,
which the readers share equally. Each reader has a process of its own. What ends as no file may becomes a file of the
corpus, ``found-...``, and the status is 1. ``--seconds 0`` walks the corpus alone; ``whole...`` must succeed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests import DATA, ROOT
from tests.support.mutate import cross
from tests.support.one_thread import one_thread
from tests.support.readers import ARTIFACT, HANG, MEMORY, READERS, call, damage, limit_memory, plan_of, wrong

CORPUS = DATA / "corpus"
# Which files of the corpus stand for those that `tests.support.readers.make` writes.
BASE = {
    "tiny.toml": "config/whole.toml",
    "tiny.pt": "checkpoint/whole.pt",
    "tiny.safetensors": "safetensors/whole.safetensors",
    "tiny.jpg": "picture/whole.jpg",
    "other.jpg": "picture/whole.jpg",
    f"artifact/{ARTIFACT}": "onnx/whole.onnx",
    f"artifact/{ARTIFACT.replace('.onnx', '.json')}": "manifest/whole.json",
    "external.onnx": "beside/external.onnx",
    "tiny.data": "external/whole.data",
    "labels.csv": "labels/whole.csv",
    "answers.jsonl": "journal/whole.jsonl",
    "logits.npy": "dump/whole.npy",
}
_START = 120  # seconds that a process may take beside its cases


def corpus_of(reader: str) -> list[Path]:
    """Its files, in an order that stays."""
    return sorted((CORPUS / reader).iterdir())


class _Cases:
    """One reader in this process."""

    def __init__(self, reader: str, folder: Path) -> None:
        for name, source in BASE.items():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(CORPUS / source, folder / name)
        limit_memory(MEMORY if reader in ("config", "onnx", "external") else 2 * MEMORY)
        self._reader, self._folder, self._plan = reader, folder, plan_of(reader, folder)
        self.cases, self.counts = 0, Counter[str]()
        self._known: set[str] = set()

    def meet(self, data: bytes, suffix: str, whole: bool = False) -> None:
        """Give a file to the commands; a fault that was not seen before is printed, and the file kept."""
        victim = self._plan.victim.with_suffix(suffix)
        victim.write_bytes(data)
        (self._folder / "current").write_text(victim.name)
        for arguments in self._plan.commands(victim, self.cases):
            result = call(arguments, self._folder)
            self.counts[f"{result['command']} {result['code']}"] += 1
            fault = wrong(result)
            if fault is None and whole and result["code"]:
                fault = f"whole, and ended with status {result['code']}"
            if fault is not None and (kind := f"{fault} {_place(result['err'])}") not in self._known:
                self._known.add(kind)
                kept = keep(self._reader, data, suffix, self._folder)
                print(json.dumps({"fault": fault, "file": kept, "arguments": arguments, "err": result["err"][-1500:]}))
                sys.stdout.flush()
        victim.unlink()
        self.cases += 1


def _place(err: str) -> str:
    """Where a traceback ends: one fault is kept once."""
    return " ".join(re.findall(r'File ".*?(\w+\.py)", line (\d+)', err)[-1:][0]) if "Traceback" in err else ""


def keep(reader: str, data: bytes, suffix: str, folder: Path) -> str:
    """A file that failed, for the parent to take."""
    name = f"found-{hashlib.sha256(data).hexdigest()[:8]}{suffix}"
    (folder / name).write_bytes(data)
    return name


def _inside(reader: str, seconds: float, seed: int, folder: Path, walk: bool) -> None:
    """Walk and mutate; a JSON line for each fault, and one at the end."""
    cases, corpus = _Cases(reader, folder), corpus_of(reader)
    if walk:
        for file in corpus:
            cases.meet(file.read_bytes(), file.suffix, whole=file.name.startswith("whole"))
    # What is whole but for one place goes deeper than what is damaged twice.
    whole = [file for file in corpus if file.name.startswith("whole")]
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        # A string is hashed the same way in every process.
        rng = random.Random(f"{reader} {seed} {number}")
        file, other = rng.choice(whole if rng.random() < 0.7 else corpus), rng.choice(corpus)
        data = file.read_bytes() or b"\n"
        data = cross(data, other.read_bytes(), rng) if rng.random() < 0.1 else damage(reader, number, data, rng)
        cases.meet(data, file.suffix)
        number += 1
    print(json.dumps({"cases": cases.cases, "counts": cases.counts}))


def fuzz(reader: str, seconds: float, seed: int, into: Path = CORPUS) -> dict[str, Any]:
    """One reader in a process, again after whatever ends it: ``cases``, ``counts``, and ``faults`` in words.

    Args:
        reader, seconds, seed: see above.
        into: the folder that takes what fails, in one for the reader.
    """
    total: dict[str, Any] = {"cases": 0, "counts": Counter(), "faults": []}
    end, walk = time.monotonic() + seconds, True
    while True:
        left = max(end - time.monotonic(), 0)
        with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
            folder = Path(name)
            done = _child(reader, left, seed, folder, walk)
            lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            for line in lines:
                if "fault" in line:
                    total["faults"].append(_kept(reader, folder / line.pop("file"), into) + f": {line}")
                else:
                    total["cases"] += line["cases"]
                    total["counts"].update(line["counts"])
            if done.returncode == 0:
                return total
            current = folder / "current"
            if not current.exists():
                total["faults"].append(f"{reader}: the process does not start: {done.stderr[-2000:]}")
                return total
            (victim,) = folder.rglob(current.read_text())
            kept = folder / keep(reader, victim.read_bytes(), victim.suffix, folder)
            words = f"the process ended with {done.returncode}: {done.stderr[-2000:]}"
            total["faults"].append(f"{_kept(reader, kept, into)}: {words}")
        if walk and seconds == 0:
            return total
        walk, seed = False, seed + 1


def _child(reader: str, seconds: float, seed: int, folder: Path, walk: bool) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", reader, "--seconds", str(seconds), "--seed", str(seed)]
    inside = ["--inside", str(folder), *(["--walk"] if walk else [])]
    limit = seconds + HANG + _START
    return subprocess.run([*command, *inside], cwd=ROOT, capture_output=True, text=True, timeout=limit)


def _kept(reader: str, file: Path, into: Path) -> str:
    """Add a file to the corpus, unless it is one of it; its name there."""
    content = file.read_bytes()
    known = next((old for old in corpus_of(reader) if old.read_bytes() == content), None)
    if known is None:
        (into / reader).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, into / reader / file.name)
    return f"{reader}/{(known or file).name}"


def main() -> int:
    """The command line; 1 where something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)} [default: all]")
    parser.add_argument(
        "--seconds", type=float, default=60, help="of mutating in all [default: 60]; 0: the corpus alone"
    )
    parser.add_argument("--seed", type=int, default=None, help="[default: another one each time, and printed]")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--walk", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.readers) - set(READERS):
        parser.error(f"no reader: {', '.join(sorted(unknown))}; expected {', '.join(READERS)}")
    if given.inside is not None:
        one_thread()
        _inside(given.readers[0], given.seconds, given.seed, given.inside, given.walk)
        return 0
    readers = given.readers or READERS
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    print(f"seed {seed}: python -m tests.fuzz {' '.join(given.readers)} --seconds {given.seconds:g} --seed {seed}")
    faults = []
    for reader in readers:
        done = fuzz(reader, given.seconds / len(readers), seed)
        counts = ", ".join(f"{name} {count}" for name, count in sorted(done["counts"].items()))
        print(f"{reader}: {len(corpus_of(reader))} files, {done['cases']} cases: {counts}", flush=True)
        faults += done["faults"]
    print("\n".join([*faults, f"{len(faults)} faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
