"""Requests and answers as JSON, with or without the binary tensor extension.

Source: Open Inference Protocol, HTTP/REST; the extension: Triton's ``extension_binary_data``. JSON stands first, its
length in the header ``Inference-Header-Content-Length``; the tensors' bytes follow in their order. nano's tensor
in JSON is half a megabyte, which msgspec reads in 1 ms, and Python's own module in 8.6.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from neonext_ascend.serving.protocol.tensors import BYTES, InferRequest, Tensor, elements, refuse_unserved
from neonext_ascend.serving.protocol.values import read_json, tensor_of, tensor_of_text
from neonext_ascend.serving.refusals import RefusedError, cut

HEADER = "Inference-Header-Content-Length"
# Empty lists in lists would take 3.4 GB for 64 MiB, and 28 seconds; a picture of three channels last has one a pixel.
_MOST_LISTS = 2**22
_NULL = msgspec.Raw(b"null")
LARGE = 2**20  # bytes of JSON from which others have their turns while it is read


async def parse_request(body: bytes, header_length: str | None) -> InferRequest:
    """Read an inference request.

    Args:
        body: of the HTTP request.
        header_length: of the JSON where bytes follow; ``None`` where it is all.

    Raises:
        RefusedError: 400, with what is wrong; 413, there is too much of it.
    """
    if header_length is not None and not (
        header_length.isascii() and header_length.isdigit() and len(header_length) < 20
    ):
        raise RefusedError(400, f"{HEADER}: {header_length[:40]!r}; expected the number of bytes of JSON")
    length = len(body) if header_length is None else int(header_length)
    if length > len(body):
        raise RefusedError(400, f"{HEADER}: {length}; the body has {len(body)} bytes")
    if length > _MOST_LISTS < body.count(b"[", 0, length) + body.count(b"{", 0, length):
        raise RefusedError(413, f"more than {_MOST_LISTS} lists in JSON; send numbers flat, or binary")
    text = memoryview(body)[:length]
    asked = _split(text) if length > LARGE else read_json(text)
    inputs = _items(asked, "inputs")
    if not inputs:
        raise RefusedError(400, "inputs: expected at least one")
    rest, tensors = memoryview(body)[length:], []
    for item in inputs:
        name, size = _name(item), _of_tensor(item).get("binary_data_size")
        data = item.get("data")
        if size is not None:
            if data not in (None, _NULL):
                raise RefusedError(400, f"{name}: has data as well as binary_data_size; send one of them")
            if not isinstance(size, int) or isinstance(size, bool):
                raise RefusedError(400, f"{name}: binary_data_size {str(size)[:40]!r}; expected a whole number")
            if not 0 <= size <= len(rest):
                raise RefusedError(
                    400, f"{name}: binary_data_size {str(size)[:40]}; the body has {len(rest)} bytes left"
                )
            tensors.append(Tensor.from_raw(name, cut(item.get("datatype")), _shape(item, name), rest[:size]))
            rest = rest[size:]
        else:
            described = (name, cut(item.get("datatype")), _shape(item, name))
            if isinstance(data, msgspec.Raw):
                tensors.append(await tensor_of_text(*described, bytes(data)))
            else:
                tensors.append(tensor_of(*described, data))
    if len(rest):
        raise RefusedError(400, f"{len(rest)} bytes of the body belong to no input")
    outputs = {_name(item): _flag(_of_tensor(item), "binary_data") for item in _items(asked, "outputs")}
    parameters = _parameters(asked)
    given = _given(asked, "id", "")
    if not isinstance(given, str):
        raise RefusedError(400, "id: expected a string")
    return InferRequest(given, tuple(tensors), outputs, parameters, bool(_flag(parameters, "binary_data_output")))


def answer_body(
    request: InferRequest, model: str, version: str, outputs: Sequence[Tensor], parameters: Mapping[str, object]
) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON where bytes follow."""
    wanted = {name: binary for name, binary in request.outputs.items() if binary is not None}
    described, parts = _described(outputs, [wanted.get(t.name, request.binary) for t in outputs], _as_text)
    answer: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id:
        answer["id"] = request.id
    if parameters:
        answer["parameters"] = dict(parameters)
    return _joined({**answer, "outputs": described}, parts)


def request_body(inputs: Sequence[Tensor], binary: bool = True) -> tuple[bytes, int | None]:
    """A client's request for all outputs, in binary or in JSON, and the length of its JSON where bytes follow."""
    described, parts = _described(inputs, [binary] * len(inputs), _as_base64)
    return _joined({"inputs": described, "parameters": {"binary_data_output": binary}}, parts)


def headers_of(json_length: int | None) -> dict[str, str]:
    """What a message says of itself; the length of its JSON where bytes follow."""
    if json_length is None:
        return {"Content-Type": "application/json"}
    return {"Content-Type": "application/octet-stream", HEADER: str(json_length)}


def parse_answer(body: bytes, header_length: str | None) -> list[Tensor]:
    """Read an answer of any server of the protocol; text in JSON stays as it is.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, RefusedError: it is none.
    """
    length = len(body) if header_length is None else int(header_length)
    rest, tensors = memoryview(body)[length:], []
    for item in msgspec.json.decode(memoryview(body)[:length])["outputs"]:
        name, datatype, shape = item["name"], item["datatype"], _shape(item, item["name"])
        size = (item.get("parameters") or {}).get("binary_data_size")
        if size is not None:
            tensors.append(Tensor.from_raw(name, datatype, shape, rest[:size]))
            rest = rest[size:]
        elif datatype == BYTES:
            tensors.append(Tensor(name, datatype, tuple(shape), [str(text).encode() for text in item["data"]]))
        else:
            tensors.append(tensor_of(name, datatype, shape, item["data"]))
    return tensors


def _described(
    tensors: Sequence[Tensor], binary: Sequence[bool], text: Callable[[bytes], str]
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Each tensor in JSON, and the bytes of those that are wanted in binary."""
    described, parts = [], []
    for tensor, in_bytes in zip(tensors, binary, strict=True):
        entry: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if in_bytes:
            parts.append(tensor.to_raw())
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        elif isinstance(tensor.data, np.ndarray):
            entry["data"] = tensor.data.ravel().tolist()
        else:
            entry["data"] = [text(item) for item in tensor.data]
        described.append(entry)
    return described, parts


def _joined(message: Mapping[str, Any], parts: Sequence[bytes]) -> tuple[bytes, int | None]:
    text = msgspec.json.encode(message)
    return (b"".join([text, *parts]), len(text)) if parts else (text, None)


def _as_text(item: bytes) -> str:
    return item.decode("utf-8", "replace")


def _as_base64(item: bytes) -> str:
    return base64.b64encode(item).decode()


def _given(item: Mapping[str, Any], key: str, otherwise: object) -> Any:
    """A field that may be left out, or be null."""
    found = item.get(key)
    return otherwise if found is None else found


def _items(asked: Any, key: str) -> list[dict[str, Any]]:
    items = _given(asked, key, []) if isinstance(asked, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise RefusedError(400, f"{key}: expected a list of objects in a JSON object")
    return items


def _name(item: Mapping[str, Any]) -> str:
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise RefusedError(400, "name: expected each input and output to have one")
    return cut(name)


def _parameters(item: Mapping[str, Any]) -> Mapping[str, Any]:
    found = _given(item, "parameters", {})
    if not isinstance(found, dict):
        raise RefusedError(400, "parameters: expected an object")
    return found


def _of_tensor(item: Mapping[str, Any]) -> Mapping[str, Any]:
    refuse_unserved(cut(item.get("name")), found := _parameters(item))
    return found


def _flag(parameters: Mapping[str, Any], key: str) -> bool | None:
    value = parameters.get(key)
    if value is not None and not isinstance(value, bool):
        raise RefusedError(400, f"{key}: expected true or false")
    return value


def _shape(item: Mapping[str, Any], name: str) -> list[int]:
    shape = item.get("shape")
    if not isinstance(shape, list):
        raise RefusedError(400, f"{name}: shape is missing")
    elements(name, shape)
    return shape


class _Asked(msgspec.Struct):
    """A request whose inputs' fields are still text."""

    inputs: list[dict[str, msgspec.Raw]]
    outputs: Any = []
    parameters: Any = {}
    id: Any = ""


def _split(text: memoryview) -> Any:
    """What a large request says; what its inputs hold as ``data`` is still text."""
    try:
        asked = msgspec.json.decode(text, type=_Asked)
        inputs = [
            {key: v if key == "data" else msgspec.json.decode(v) for key, v in one.items()} for one in asked.inputs
        ]
    except (ValueError, RecursionError):
        return read_json(text)
    return {**msgspec.structs.asdict(asked), "inputs": inputs}
