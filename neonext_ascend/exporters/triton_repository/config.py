"""The ``config.pbtxt`` of a model: Triton's ``inference.ModelConfig`` as the vendor's backend ``npu_ge`` reads it.

Source: hicann/triton-inference-server-ge-backend 5a82641, README, docs and src/model_state.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from neonext_ascend.exporters.om_file.options import Precision
from neonext_ascend.spec import TensorSpec

BACKEND = "npu_ge"
_TYPES: Mapping[str, str] = {"float32": "TYPE_FP32", "float16": "TYPE_FP16"}
_DELAY_US = 1000  # the backend's example


def config_text(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    precision: Precision,
    gears: Sequence[int] = (),
) -> str:
    """The file's text.

    Inputs and outputs always stand in it: where they do not, the backend reads them from the ONNX file, and knows no
    fp16 there. So does the precision: its documents differ about the default.

    Args:
        name: of the model, and of its folder.
        inputs, outputs: in the file's order, which the backend goes by.
        precision: in which the device computes.
        gears: the batch sizes of a free batch; empty for a static one, which its own graph is for: with a
            static graph the backend forms no batches.
    """
    batched = bool(gears)
    parameters = {"device_ids": "0", "session.ge.exec.precision_mode_v2": precision}
    if batched:
        parameters["graph.ge.inputShape"] = ";".join(f"{spec.name}:{_dims((-1, *spec.shape[1:]))}" for spec in inputs)
        parameters["graph.ge.dynamicDims"] = ";".join(map(str, gears))
        parameters["graph.ge.dynamicNodeType"] = "1"
    else:
        parameters["static_model"] = "1"
    lines = [
        f"name: {json.dumps(name, ensure_ascii=False)}",
        f'backend: "{BACKEND}"',
        f"max_batch_size: {max(gears, default=0)}",
        *_tensors("input", inputs, batched),
        *_tensors("output", outputs, batched),
        "instance_group [ { count: 1 } ]",
    ]
    if batched:
        preferred = f"preferred_batch_size: [ {max(gears)} ]"
        lines.append(f"dynamic_batching {{ {preferred} max_queue_delay_microseconds: {_DELAY_US} }}")
    lines += [f'parameters {{ key: "{key}" value {{ string_value: "{text}" }} }}' for key, text in parameters.items()]
    return "\n".join(lines) + "\n"


def _tensors(kind: str, specs: Iterable[TensorSpec], batched: bool) -> Iterable[str]:
    for spec in specs:
        dims = _dims(spec.shape[1:] if batched else spec.shape)
        yield f'{kind} [ {{ name: "{spec.name}" data_type: {_TYPES[spec.dtype]} dims: [ {dims} ] }} ]'


def _dims(shape: Iterable[object]) -> str:
    return ",".join(map(str, shape))
