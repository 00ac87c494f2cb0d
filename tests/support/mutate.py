"""Seeded damage: bytes of any file, tokens of a text, a pickle behind a right checksum, the fields of an ONNX file."""

from __future__ import annotations

import io
import random
import re
import zipfile

import onnx

# What stands in place of a token: numbers that no network has, other types, structure where none belongs.
TOKENS = (
    *("1e308", "1e999", "-1e999", "0.5", "1e-320", "NaN", "Infinity", "inf", "null", "true", "[]", "{}", "[[[]]]", ","),
    *('""', '"x"', '"\\u0000"', '"../up"', '[1, "x"]', '{"a": 1}', "9" * 400, "9" * 5000, "0x" + "f" * 5000, ""),
)
LIMITS = (0, 255, 65535, 1000000, 2**31 - 1, 2**32, 2**63 - 1, -(2**63), 10**18, 10**25)
_TOKEN = re.compile(rb'"[^"\n]*"|-?\d+(?:\.\d+)?(?:e-?\d+)?|\w+|[\[\]{}:,=]')
_VALUE = re.compile(rb"(?<=[:=] )[^\s,][^\n,]*")  # of a field
_WHOLE = re.compile(rb"-?\d{1,18}")


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
            tensor.external_data.add(key="location", value=rng.choice(("../up", "/etc/passwd", "tiny.data")))
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


def cross(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """The beginning of one file and the end of another."""
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]
