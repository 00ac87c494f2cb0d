"""Everything that reads a file, and a damaged file given to it through the commands, in a process of its own:
``python -m tests.support.readers READER COUNT FOLDER [FIRST]``.

The process prints one JSON object: each case's exit status, seconds and words, and the process's largest memory. A
case that a native library kills, or that hangs, ends the process; its number is in ``FOLDER/case``.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import random
import resource
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from neonext_ascend.cli.main import run
from tests.standins.msprof import write_summary
from tests.support.mutate import mutate, mutate_model, mutate_pickle
from tests.support.one_thread import one_thread

READERS = (
    *(
        "checkpoint",
        "safetensors",
        "onnx",
        "external",
        "manifest",
        "config",
        "picture",
        "labels",
        "journal",
        "dump",
        "summary",
    ),
)
TEXTS = ("config", "manifest", "labels", "journal", "summary")
HANG = 60  # seconds
SECONDS_A_CASE = 10
MEMORY = 2**30  # bytes
ALLOWED = {0, 1, 2, 3, 5}
CONFIG = """name = "tiny"
definition = "release"
depths = [1, 1, 1, 1]
widths = [8, 8, 12, 16]
cells = [[2, 3], [2, 3], [3], [2]]
shifts = [true, true, true, false]
num_classes = 5
image_size = [64, 96]
"""
ARTIFACT = "tiny-64x96-b1-fp32.onnx"


@dataclass(frozen=True)
class Plan:
    """How one reader is met.

    Args:
        whole: undamaged files of it.
        victim: where the damaged one lies; another suffix may stand in its place.
        commands: that meet it, given its path and the case's number.
    """

    whole: tuple[Path, ...]
    victim: Path
    commands: Callable[[Path, int], list[list[str]]]


def make(folder: Path) -> None:
    """A network's files of every kind, undamaged."""
    import numpy as np
    import onnx
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    from neonext_ascend.checkpoints.loading import load, read_config
    from neonext_ascend.data import sample_pictures
    from neonext_ascend.models.neonext import redraw_at_order_one
    from neonext_ascend.runtimes.steps import Steps
    from neonext_ascend.verify.nodewise.nodes import values_of

    torch.set_num_threads(1)
    config = folder / "tiny.toml"
    config.write_text(CONFIG)
    network = load(read_config(config)).network
    redraw_at_order_one(network, 1)
    torch.save(network.state_dict(), folder / "tiny.pt")
    torch.save(network.state_dict(), folder / "old.pt", _use_new_zipfile_serialization=False)
    save_file(network.state_dict(), folder / "tiny.safetensors")
    Image.open(sample_pictures()[3]).convert("RGB").resize((96, 96)).save(folder / "tiny.jpg", quality=80)
    artifact = folder / "artifact" / ARTIFACT
    assert run(_export(folder / "tiny.toml", folder / "tiny.pt", artifact.parent)[:-1]) == 0
    external = folder / "external.onnx"
    onnx.save(onnx.load(artifact), external, save_as_external_data=True, location="tiny.data", size_threshold=0)
    (folder / "labels.csv").write_text("path,label\ntiny.jpg,class_3\nother.jpg,class_1\n")
    shutil.copy(folder / "tiny.jpg", folder / "other.jpg")
    resumed = ["--resume", str(folder / "answers.jsonl")]
    assert run(["eval", str(artifact), str(folder / "labels.csv"), *resumed]) == 0
    steps = Steps(artifact)
    feeds = {"image": np.random.RandomState(0).standard_normal((1, 3, 64, 96)).astype(np.float32)}
    nodes = [(node.name, node.op_type, 5.0) for node in onnx.load(artifact).graph.node]
    write_summary(folder / "op_summary.csv", nodes)
    np.save(folder / "logits.npy", dict(values_of(steps, feeds))["logits"])


def _export(config: Path, checkpoint: Path | None, output: Path) -> list[str]:
    given = [] if checkpoint is None else ["--checkpoint", str(checkpoint)]
    return ["export", "--config", str(config), *given, "-o", str(output), "--no-verify"]


def plan_of(reader: str, folder: Path) -> Plan:
    """For the files that :func:`make` wrote; what a command writes goes to ``output`` there."""
    config, picture, artifact = folder / "tiny.toml", folder / "tiny.jpg", folder / "artifact" / ARTIFACT
    damaged, output, labels = folder / "damaged", folder / "output", folder / "labels.csv"
    damaged.mkdir()
    full = ["--checkpoint", str(folder / "tiny.pt")]
    if reader in ("onnx", "manifest", "external"):
        for file in artifact.parent.iterdir():
            shutil.copy(file, damaged)
        copy = damaged / ARTIFACT
        manifest = ARTIFACT.replace(".onnx", ".json")
        if reader == "external":
            shutil.copy(folder / "external.onnx", copy)
            (damaged / manifest).unlink()  # it tells of another file
        whole = {"onnx": artifact, "manifest": artifact.with_name(manifest), "external": folder / "tiny.data"}[reader]

        def commands(victim: Path, case: int) -> list[list[str]]:
            # Both ways round; and against the network in PyTorch, which the manifest describes.
            pair = [str(copy), "--against", str(artifact)] if case % 4 < 2 else [str(artifact), "--against", str(copy)]
            debug = ["debug", *([str(copy), *full] if reader == "manifest" else pair), "-o", str(output)]
            if reader == "onnx" and case % 8 == 0:
                debug = ["debug", str(copy), *full, "-o", str(output)]
            verify = ["verify", str(copy), "--json", *(full if case % 2 else [])]
            return [
                ["predict", str(copy), str(picture), "--json"],
                *(
                    [["inspect", str(copy), "--soc-version", "Ascend310P3", "--json"]]
                    if case % 4 == 2 and reader != "manifest"
                    else []
                ),
                *([verify] if reader != "external" else []),
                *([debug] if reader != "manifest" or case % 4 == 1 else []),
                *([["eval", str(copy), str(labels)]] if case % 4 == 0 else []),
                *([["report", str(copy), "-o", str(output)]] if case % 8 == 5 else []),
            ]

        return Plan((whole,), damaged / whole.name, commands)
    if reader == "labels":
        return Plan(
            (labels,), folder / "damaged.csv", lambda victim, _: [["eval", str(artifact), str(victim), "--json"]]
        )
    if reader == "journal":
        again = ["eval", str(artifact), str(labels), "--json", "--resume"]
        answers = folder / "answers.jsonl"
        return Plan((answers,), damaged / answers.name, lambda victim, _: [[*again, str(victim)]])
    if reader == "dump":
        debugging = ["debug", str(artifact), "--json", "--against", str(damaged)]
        return Plan((folder / "logits.npy",), damaged / "logits.npy", lambda *_: [debugging])
    if reader == "summary":
        given = ["inspect", str(artifact), "--soc-version", "Ascend310P3", "--json", "--measured"]
        return Plan((folder / "op_summary.csv",), folder / "damaged.csv", lambda victim, _: [[*given, str(victim)]])
    if reader == "picture":
        return Plan(
            (picture,), damaged / "tiny.jpg", lambda victim, _: [["predict", str(artifact), str(victim), "--json"]]
        )
    if reader == "config":
        return Plan((config,), damaged / "tiny.toml", lambda victim, _: [_export(victim, None, output)])
    states = ("tiny.safetensors",) if reader == "safetensors" else ("tiny.pt", "old.pt")
    return Plan(
        tuple(folder / name for name in states),
        damaged / states[0],
        lambda victim, _: [_export(config, victim, output)],
    )


def damage(reader: str, case: int, data: bytes, rng: random.Random) -> bytes:
    """The file with what its reader would meet; in fields where it still has some."""
    try:
        if reader == "onnx" and case % 2:
            return mutate_model(data, rng)
        if reader == "checkpoint" and case % 4 == 2:
            return mutate_pickle(data, rng)
    except (DecodeError, zipfile.BadZipFile, IndexError):  # not a whole one, or without such a field
        pass
    return mutate(data, rng, text=reader in TEXTS)


def limit_memory(size: int = MEMORY) -> None:
    """A damaged number may still describe a network, only a large one: it meets a machine with little memory."""
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def call(arguments: list[str], folder: Path) -> dict[str, Any]:
    """Run one command; how it ended, what it said, and what it left in the output folder and beside its files."""
    out, err = io.StringIO(), io.StringIO()
    before = {path for path in folder.rglob("*") if "output" not in path.parts}
    start, work = time.monotonic(), time.process_time()
    # Works where Python cannot: inside a native library that holds the interpreter.
    faulthandler.dump_traceback_later(HANG, exit=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    faulthandler.cancel_dump_traceback_later()
    # On a machine that is busy with other things the clock says little, with several threads the work does.
    seconds = round(min(time.monotonic() - start, time.process_time() - work), 3)
    output = folder / "output"
    left = sorted(path.name for path in output.iterdir()) if output.exists() else []
    shutil.rmtree(output, ignore_errors=True)
    more = sorted(path.name for path in folder.rglob("*") if path not in before)
    return {
        "command": arguments[0],
        "code": code,
        "seconds": seconds,
        "err": err.getvalue(),
        "left": left,
        "more": more,
    }


def wrong(result: dict[str, Any]) -> str | None:
    """What must never happen, in words; ``None`` where it did not."""
    code, err = result["code"], result["err"]
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    if code not in ALLOWED:
        return f"ended with status {code}"
    if "Traceback" in err or "Warning" in err:
        return "a traceback or a warning of Python's"
    if result["seconds"] > SECONDS_A_CASE:
        return f"took {result['seconds']} s"
    if result["more"]:
        return f"left {', '.join(result['more'])} behind"
    if result["command"] == "eval" and code and not errors:
        # A picture that is not there is a warning, and the status.
        return None if "warning: " in err else "no word of what went wrong"
    if result["command"] in ("debug", "inspect") and code == 1:
        return "an error beside an answer" if errors else None  # what was found is what was asked for
    if len(errors) != (1 if code else 0):
        return f"{len(errors)} errors with status {code}"
    return f"left {', '.join(result['left'])} behind" if code and result["left"] else None


def main(reader: str, count: int, folder: Path, first: int = 0) -> None:
    """All cases of one reader."""
    make(folder)
    before = peak_kb()
    if reader in ("config", "onnx"):
        limit_memory()
    plan = plan_of(reader, folder)
    results = []
    for case in range(first, first + count):
        (folder / "case").write_text(str(case))
        # A string is hashed the same way in every process, unlike a tuple.
        data = plan.whole[case % len(plan.whole)].read_bytes()
        plan.victim.write_bytes(damage(reader, case, data, random.Random(f"{reader} {case}")))
        results += [{"case": case, **call(each, folder)} for each in plan.commands(plan.victim, case)]
    print(json.dumps({"results": results, "start_kb": before, "peak_kb": peak_kb()}))


def peak_kb() -> int:
    """This program's own peak in kB: getrusage would count the process that started it as well (Linux, execve)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


if __name__ == "__main__":
    one_thread()
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))
