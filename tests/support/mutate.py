"""Damaged files through the commands, in a process of their own:
``python -m tests.support.mutate KIND COUNT FOLDER [FIRST]``.

The process prints one JSON object: each case's exit status, seconds and words, and the process's largest memory. A
case that a native library kills, or that hangs, ends the process; its number is in ``FOLDER/case``.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import random
import re
import resource
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image
from safetensors.torch import save_file

from neonext_ascend.checkpoints.loading import load, read_config
from neonext_ascend.cli.main import run
from neonext_ascend.data import sample_pictures
from neonext_ascend.models.neonext import redraw_at_order_one
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.verify.nodes import values_of

KINDS = ("checkpoint", "safetensors", "onnx", "manifest", "config", "picture", "labels", "journal", "dump")
TEXTS = ("config", "manifest", "labels", "journal")
HANG = 60  # seconds
MEMORY = 2**30  # bytes
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
# What stands in place of a token: numbers that no network has, other types, structure where none belongs.
TOKENS = (
    *("1e308", "1e999", "-1e999", "0.5", "1e-320", "NaN", "Infinity", "inf", "null", "true", "[]", "{}", "[[[]]]", ","),
    *('""', '"x"', '"\\u0000"', '"../up"', '[1, "x"]', '{"a": 1}', "9" * 400, "9" * 5000, "0x" + "f" * 5000, ""),
)
LIMITS = (0, 255, 65535, 1000000, 2**31 - 1, 2**32, 2**63 - 1, -(2**63), 10**18, 10**25)
_TOKEN = re.compile(rb'"[^"\n]*"|-?\d+(?:\.\d+)?(?:e-?\d+)?|\w+|[\[\]{}:,=]')
_VALUE = re.compile(rb"(?<=[:=] )[^\s,][^\n,]*")  # of a field
_WHOLE = re.compile(rb"-?\d{1,18}")
# Arguments of the commands that a damaged file goes through, given the case's number.
Commands = Callable[[int], list[list[str]]]


def mutate(data: bytes, rng: random.Random, text: bool = False) -> bytes:
    """``data`` with one to three changes; ``text`` also changes whole tokens."""
    steps = [_flip, _overwrite, _insert, _delete, _duplicate, _truncate]
    if text:
        steps += [_replace_number] * 6 + [_replace_token] * 4 + [_replace_value] * 6 + [_swap_tokens] * 2
    changed = data
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        changed = rng.choice(steps)(changed, rng) or b"\n"
    return changed


def _place(data: bytes, rng: random.Random) -> tuple[int, int]:
    """Start and length of a range; one in two lies near an end, where formats keep what describes the rest."""
    start = rng.randrange(len(data))
    if rng.random() < 0.5:
        near = min(len(data), 2048)
        start = rng.choice((rng.randrange(near), len(data) - 1 - rng.randrange(near)))
    return start, min(rng.choice((1, 2, 4, 8, 64, 1000)), len(data) - start)


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 32))):
        changed[_place(data, rng)[0]] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, rng: random.Random) -> bytes:
    start, length = _place(data, rng)
    new = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return data[:start] + new + data[start + length :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    start, length = _place(data, rng)
    return data[:start] + rng.choice((bytes(length), rng.randbytes(length))) + data[start:]


def _delete(data: bytes, rng: random.Random) -> bytes:
    start, length = _place(data, rng)
    return data[:start] + data[start + length :]


def _duplicate(data: bytes, rng: random.Random) -> bytes:
    start, length = _place(data, rng)
    to = rng.choice((start, rng.randrange(len(data))))
    return data[:to] + data[start : start + length] + data[to:]


def _truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _replace_token(data: bytes, rng: random.Random, kind: re.Pattern[bytes] = _TOKEN) -> bytes:
    tokens = list(kind.finditer(data))
    if not tokens:
        return data
    token = rng.choice(tokens)
    new = rng.choice((*TOKENS, *map(str, LIMITS)))
    return data[: token.start()] + new.encode() + data[token.end() :]


def _replace_value(data: bytes, rng: random.Random) -> bytes:
    return _replace_token(data, rng, _VALUE)


def _replace_number(data: bytes, rng: random.Random) -> bytes:
    """A number by one near it, far from it, or of the other sign: what still parses goes deeper."""
    numbers = list(_WHOLE.finditer(data))
    if not numbers:
        return data
    number = rng.choice(numbers)
    old = int(number[0])
    new = rng.choice((old + 1, old - 1, -old, old * 2, old * 10, old * 1000, rng.randrange(2**20), rng.choice(LIMITS)))
    return data[: number.start()] + str(new).encode() + data[number.end() :]


def _swap_tokens(data: bytes, rng: random.Random) -> bytes:
    tokens = list(_TOKEN.finditer(data))
    if len(tokens) < 2:
        return data
    a, b = sorted(rng.sample(tokens, 2), key=lambda token: token.start())
    return data[: a.start()] + b[0] + data[a.end() : b.start()] + a[0] + data[b.end() :]


def mutate_pickle(data: bytes, rng: random.Random) -> bytes:
    """A PyTorch file whose pickle is damaged behind a right checksum."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(changed, "w") as new:
        for record in old.infolist():
            inside = old.read(record)
            new.writestr(record, mutate(inside, rng) if record.filename.endswith("data.pkl") else inside)
    return changed.getvalue()


def mutate_model(data: bytes, rng: random.Random) -> bytes:
    """An ONNX file with one to three fields changed: it parses, and says something else."""
    model = onnx.load_from_string(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice((_dims, _tensor, _node, _attribute))(model.graph, rng)
    changed: bytes = model.SerializeToString()
    return changed


def _number(old: int, rng: random.Random) -> int:
    """A number of 64 bits in place of ``old``."""
    new = rng.choice((old + 1, old - 1, -old, 0, old * 2, old * 1000, rng.randrange(2**20), rng.choice(LIMITS)))
    return max(min(new, 2**63 - 1), -(2**63))


def _dims(graph: onnx.GraphProto, rng: random.Random) -> None:
    """Of an input, an output or a constant."""
    if rng.random() < 0.5:
        tensor = rng.choice(graph.initializer)
        if tensor.dims:
            place = rng.randrange(len(tensor.dims))
            tensor.dims[place] = _number(tensor.dims[place], rng)
        return
    value = rng.choice((*graph.input, *graph.output))
    dim = rng.choice(value.type.tensor_type.shape.dim)
    dim.dim_value = _number(dim.dim_value, rng)


def _tensor(graph: onnx.GraphProto, rng: random.Random) -> None:
    tensor = rng.choice(graph.initializer)
    match rng.randrange(4):
        case 0:
            tensor.data_type = rng.randrange(30)
        case 1:
            tensor.raw_data = mutate(tensor.raw_data or b"0", rng)
        case 2:
            tensor.name = rng.choice(graph.initializer).name
        case 3:
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=rng.choice(("../up", "/etc/passwd", ARTIFACT)))
            tensor.external_data.add(key="length", value=str(rng.choice(LIMITS)))


def _node(graph: onnx.GraphProto, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    names = [*(n for other in graph.node for n in (*other.input, *other.output)), "", "nowhere"]
    match rng.randrange(5):
        case 0:
            node.op_type = rng.choice(sorted({schema.name for schema in onnx.defs.get_all_schemas()}))
        case 1:
            node.op_type = rng.choice(graph.node).op_type
        case 2 if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(names)
        case 3 if node.output:
            node.output[rng.randrange(len(node.output))] = rng.choice(names)
        case _:
            graph.node.remove(node)


def _attribute(graph: onnx.GraphProto, rng: random.Random) -> None:
    attribute = rng.choice([attribute for node in graph.node for attribute in node.attribute])
    if attribute.ints:
        place = rng.randrange(len(attribute.ints))
        attribute.ints[place] = _number(attribute.ints[place], rng)
    elif rng.random() < 0.5:
        attribute.i = _number(attribute.i, rng)
    else:
        attribute.type = rng.randrange(15)


def _make(folder: Path) -> None:
    """A network's files of every kind, undamaged."""
    config = folder / "tiny.toml"
    config.write_text(CONFIG)
    network = load(read_config(config)).network
    redraw_at_order_one(network, 1)
    torch.save(network.state_dict(), folder / "tiny.pt")
    torch.save(network.state_dict(), folder / "old.pt", _use_new_zipfile_serialization=False)
    save_file(network.state_dict(), folder / "tiny.safetensors")
    Image.open(sample_pictures()[3]).convert("RGB").resize((96, 96)).save(folder / "tiny.jpg", quality=80)
    assert run(_export(folder / "tiny.toml", folder / "tiny.pt", folder / "artifact")[:-1]) == 0
    shutil.copy(folder / "tiny.jpg", folder / "other.jpg")
    (folder / "labels.csv").write_text("path,label\ntiny.jpg,class_3\nother.jpg,class_1\n")
    resumed = ["--resume", str(folder / "answers.jsonl")]
    assert run(["eval", str(folder / "artifact" / ARTIFACT), str(folder / "labels.csv"), *resumed]) == 0
    steps = Steps(folder / "artifact" / ARTIFACT)
    feeds = {"image": np.random.RandomState(0).standard_normal((1, 3, 64, 96)).astype(np.float32)}
    np.save(folder / "logits.npy", dict(values_of(steps, feeds))["logits"])


def _export(config: Path, checkpoint: Path | None, output: Path) -> list[str]:
    given = [] if checkpoint is None else ["--checkpoint", str(checkpoint)]
    return ["export", "--config", str(config), *given, "-o", str(output), "--no-verify"]


def _plan(kind: str, folder: Path) -> tuple[list[Path], Path, Commands]:
    """The undamaged files to take in turn, where the damaged one lies, and the commands that meet it."""
    config, picture, artifact = folder / "tiny.toml", folder / "tiny.jpg", folder / "artifact" / ARTIFACT
    damaged, output = folder / "damaged", folder / "output"
    (damaged / "beside").mkdir(parents=True)
    if kind in ("onnx", "manifest"):
        for file in artifact.parent.iterdir():
            shutil.copy(file, damaged)
        copy = damaged / ARTIFACT
        victim = copy if kind == "onnx" else copy.with_name(ARTIFACT.replace(".onnx", ".json"))
        full = ["--checkpoint", str(folder / "tiny.pt")]

        def commands(case: int) -> list[list[str]]:
            # Both ways round; and against the network in PyTorch, which the manifest describes.
            pair = [str(copy), "--against", str(artifact)] if case % 4 < 2 else [str(artifact), "--against", str(copy)]
            debug = ["debug", *(pair if kind == "onnx" and case % 8 else [str(copy), *full]), "-o", str(output)]
            return [
                ["predict", str(copy), str(picture), "--json"],
                ["verify", str(copy), "--json", *(full if case % 2 else [])],
                *([debug] if kind == "onnx" or case % 4 == 1 else []),
                *([["eval", str(copy), str(folder / "labels.csv")]] if case % 4 == 0 else []),
            ]

        return [artifact.with_name(victim.name)], victim, commands
    if kind == "labels":
        victim = folder / "damaged.csv"
        return [folder / "labels.csv"], victim, lambda _: [["eval", str(artifact), str(victim), "--json"]]
    if kind == "journal":
        victim = damaged / "answers.jsonl"
        again = ["eval", str(artifact), str(folder / "labels.csv"), "--json", "--resume", str(victim)]
        return [folder / "answers.jsonl"], victim, lambda _: [again]
    if kind == "dump":
        victim = damaged / "logits.npy"
        return (
            [folder / "logits.npy"],
            victim,
            lambda _: [["debug", str(artifact), "--against", str(damaged), "--json"]],
        )
    if kind == "picture":
        victim = damaged / "tiny.jpg"
        return [picture], victim, lambda _: [["predict", str(artifact), str(victim), "--json"]]
    if kind == "config":
        victim = damaged / "tiny.toml"
        return [config], victim, lambda _: [_export(victim, None, output)]
    victim = damaged / ("tiny.safetensors" if kind == "safetensors" else "tiny.pt")
    whole = [folder / "tiny.safetensors"] if kind == "safetensors" else [folder / "tiny.pt", folder / "old.pt"]
    return whole, victim, lambda _: [_export(config, victim, output)]


def _damaged(kind: str, case: int, data: bytes, rng: random.Random) -> bytes:
    if kind == "onnx" and case % 2:
        return mutate_model(data, rng)
    if kind == "checkpoint" and case % 4 == 2:
        return mutate_pickle(data, rng)
    return mutate(data, rng, text=kind in TEXTS)


def _call(arguments: list[str]) -> dict[str, Any]:
    """Run one command; how it ended and what it said."""
    out, err = io.StringIO(), io.StringIO()
    start, work = time.monotonic(), time.process_time()
    # Works where Python cannot: inside a native library that holds the interpreter.
    faulthandler.dump_traceback_later(HANG, exit=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    faulthandler.cancel_dump_traceback_later()
    # On a machine that is busy with other things the clock says little, with several threads the work does.
    seconds = round(min(time.monotonic() - start, time.process_time() - work), 3)
    return {"command": arguments[0], "code": code, "seconds": seconds, "err": err.getvalue()}


def main(kind: str, count: int, folder: Path, first: int = 0) -> None:
    """All cases of one kind."""
    torch.set_num_threads(1)
    _make(folder)
    before = _peak()
    if kind in ("config", "onnx"):
        # A damaged number may still describe a network, only a large one: it meets a machine with little memory.
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    whole, victim, commands = _plan(kind, folder)
    results = []
    for case in range(first, first + count):
        (folder / "case").write_text(str(case))
        # A string is hashed the same way in every process, unlike a tuple.
        data = whole[case % len(whole)].read_bytes()
        victim.write_bytes(_damaged(kind, case, data, random.Random(f"{kind} {case}")))
        for arguments in commands(case):
            done = {"case": case, **_call(arguments)}
            output = folder / "output"
            done["left"] = sorted(p.name for p in output.iterdir()) if output.exists() else []
            shutil.rmtree(output, ignore_errors=True)
            results.append(done)
    print(json.dumps({"results": results, "start_kb": before, "peak_kb": _peak()}))


def _peak() -> int:
    """This program's own peak in kB: getrusage would count the process that started it as well (Linux, execve)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))
