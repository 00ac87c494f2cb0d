"""The protocol's messages over gRPC, made from their descriptor: no generated code that asks for one protobuf alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
from google.protobuf import (  # type: ignore[import-untyped] # protobuf has no types
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

from neonext_ascend.serving.protocol.tensors import BYTES, InferRequest, Tensor, dtype_of, refuse_count, refuse_unserved
from neonext_ascend.serving.refusals import RefusedError, cut

SERVICE = "inference.GRPCInferenceService"
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


def _classes() -> Mapping[str, Any]:
    # A pool of its own: a client's package in the same process may register messages of the same names.
    pool = descriptor_pool.DescriptorPool()
    data = resources.files(__package__).joinpath("inference.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    names = [f"{method}{part}" for method in METHODS for part in ("Request", "Response")]
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{n}")) for n in names}


MESSAGES = _classes()


def parse_request(message: Any) -> InferRequest:
    """Read a ``ModelInferRequest``.

    Raises:
        RefusedError: 400, with what is wrong.
    """
    raw = message.raw_input_contents
    for item in (*message.inputs, *message.outputs):
        refuse_unserved(cut(item.name), item.parameters)
    if raw and len(raw) != len(message.inputs):
        raise RefusedError(400, f"raw_input_contents: {len(raw)}; expected {len(message.inputs)}, one an input")
    if not message.inputs:
        raise RefusedError(400, "inputs: expected at least one")
    tensors = [_tensor(item, raw[number] if raw else None) for number, item in enumerate(message.inputs)]
    parameters = {
        name: getattr(v, v.WhichOneof("parameter_choice") or "", None) for name, v in message.parameters.items()
    }
    outputs = dict.fromkeys((cut(item.name) for item in message.outputs), True)
    return InferRequest(message.id, tuple(tensors), outputs, parameters, binary=True)


def answer(
    request: InferRequest, model: str, version: str, outputs: Sequence[Tensor], parameters: Mapping[str, object]
) -> Any:
    """A ``ModelInferResponse`` with raw contents."""
    made = MESSAGES["ModelInferResponse"](model_name=model, model_version=version, id=request.id)
    for name, value in parameters.items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param"}.get(type(value), "string_param")
        setattr(made.parameters[name], kind, value)
    for tensor in outputs:
        made.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        made.raw_output_contents.append(tensor.to_raw())
    return made


def _tensor(item: Any, raw: bytes | None) -> Tensor:
    name, datatype, shape = cut(item.name), cut(item.datatype), list(item.shape)
    given = [field.name for field, _ in item.contents.ListFields()]
    if raw is not None:
        if given:
            raise RefusedError(400, f"{name}: has contents as well as raw_input_contents; send one of them")
        return Tensor.from_raw(name, datatype, shape, raw)
    field = _CONTENTS.get(datatype)
    if field is None:
        dtype_of(name, datatype)
        raise RefusedError(400, f"{name}: {datatype} has no typed contents; send raw_input_contents")
    if set(given) - {field}:
        raise RefusedError(400, f"{name}: has {', '.join(given)}; expected {field} alone, since it is {datatype}")
    values = getattr(item.contents, field)
    refuse_count(name, len(values), datatype, shape)
    if datatype == BYTES:
        return Tensor(name, BYTES, tuple(shape), list(values))
    try:
        array = np.asarray(values, dtype=dtype_of(name, datatype)).reshape(shape)
    except OverflowError:
        raise RefusedError(400, f"{name}: its data are not {datatype}: one is out of its range") from None
    return Tensor(name, datatype, tuple(shape), array)
