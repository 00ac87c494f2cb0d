"""``acl.mdl`` of the stand-in: models, their descriptions, datasets, execution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.standins.acl_om import GEAR_INPUT, LoadedOm
from tests.standins.acl_rt import POISON
from tests.standins.acl_state import REFUSED, STATE, Misuse, Refused, Thing, api


@api("acl.mdl.load_from_file", "value, code")
def load_from_file(model_path: str) -> int:
    context = STATE.need_context()
    if not isinstance(model_path, str):
        raise Misuse(f"the path is a {type(model_path).__name__}")
    model_path.encode("utf-8")  # as a C extension does
    try:
        om = LoadedOm(Path(model_path))
    except (ValueError, KeyError, OSError) as error:
        raise Refused(REFUSED, f"cannot load: {error}") from None
    if STATE.soc not in (None, om.om.soc_version):
        raise Refused(REFUSED, f"compiled for {om.om.soc_version}")
    return STATE.make("model", context=context, content=om)


@api("acl.mdl.unload", "code", ends="model")
def unload(model_id: int) -> None:
    _model(model_id)
    STATE.end("model", model_id)


@api("acl.mdl.create_desc", "value")
def create_desc() -> int:
    STATE.need_init()
    return STATE.make("desc")


@api("acl.mdl.get_desc", "code")
def get_desc(model_desc: int, model_id: int) -> None:
    STATE.get("desc", model_desc).content = _model(model_id)


@api("acl.mdl.destroy_desc", "code", ends="desc")
def destroy_desc(model_desc: int) -> None:
    STATE.need_init()
    STATE.end("desc", model_desc)


@api("acl.mdl.get_num_inputs", "value")
def get_num_inputs(model_desc: int) -> int:
    return len(_described(model_desc).inputs)


@api("acl.mdl.get_num_outputs", "value")
def get_num_outputs(model_desc: int) -> int:
    return len(_described(model_desc).outputs)


@api("acl.mdl.get_input_name_by_index", "value", failed="")
def get_input_name_by_index(model_desc: int, index: int) -> str:
    return _described(model_desc).inputs[index].name


@api("acl.mdl.get_input_index_by_name", "value, code")
def get_input_index_by_name(model_desc: int, name: str) -> int:
    names = [port.name for port in _described(model_desc).inputs]
    if name not in names:
        raise Refused(REFUSED, f"no input {name}")
    return names.index(name)


@api("acl.mdl.get_input_dims", "value, code")
def get_input_dims(model_desc: int, index: int) -> dict[str, Any]:
    port = _described(model_desc).inputs[index]
    return _shape(port.name, port.dims(None))


@api("acl.mdl.get_output_dims", "value, code")
def get_output_dims(model_desc: int, index: int) -> dict[str, Any]:
    om = _described(model_desc)
    return _shape(om.outputs[index].name, om.outputs[index].dims(om.largest))


@api("acl.mdl.get_cur_output_dims", "value, code")
def get_cur_output_dims(model_desc: int, index: int) -> dict[str, Any]:
    om = _described(model_desc)
    return _shape(om.outputs[index].name, om.outputs[index].dims(om.batch))


@api("acl.mdl.get_input_data_type", "value", failed=-1)
def get_input_data_type(model_desc: int, index: int) -> int:
    return _described(model_desc).inputs[index].acl_dtype


@api("acl.mdl.get_output_data_type", "value", failed=-1)
def get_output_data_type(model_desc: int, index: int) -> int:
    return _described(model_desc).outputs[index].acl_dtype


@api("acl.mdl.get_input_size_by_index", "value")
def get_input_size_by_index(model_desc: int, index: int) -> int:
    om = _described(model_desc)
    return om.inputs[index].nbytes(om.largest)


@api("acl.mdl.get_output_size_by_index", "value")
def get_output_size_by_index(model_desc: int, index: int) -> int:
    om = _described(model_desc)
    return om.outputs[index].nbytes(om.largest)


@api("acl.mdl.create_dataset", "value")
def create_dataset() -> int:
    STATE.need_init()
    return STATE.make("dataset", content=[])


@api("acl.mdl.add_dataset_buffer", "value, code")
def add_dataset_buffer(dataset: int, data_buffer: int) -> int:
    STATE.get("data buffer", data_buffer)
    if any(data_buffer in other.content for other in STATE.things.values() if other.kind == "dataset"):
        raise Misuse(f"data buffer {data_buffer:#x} is in a dataset already")
    STATE.get("dataset", dataset).content.append(data_buffer)
    return dataset


@api("acl.mdl.destroy_dataset", "code", ends="dataset")
def destroy_dataset(dataset: int) -> None:
    buffers = STATE.get("dataset", dataset).content
    if left := [buffer for buffer in STATE.alive("data buffer") if buffer.address in buffers]:
        raise Misuse(f"destroy_dataset before {left[0]}")
    STATE.end("dataset", dataset)


@api("acl.mdl.set_dynamic_batch_size", "code")
def set_dynamic_batch_size(model_id: int, dataset: int, index: int, batch_size: int) -> None:
    om: LoadedOm = _model(model_id)
    buffers = STATE.get("dataset", dataset).content
    if om.inputs[index].name != GEAR_INPUT or len(buffers) != len(om.inputs):
        raise Misuse(f"input {index} sets no gear, or the dataset has {len(buffers)} buffers")
    if batch_size not in om.gears:
        raise Refused(145013, f"batch {batch_size} is none of {om.gears}")
    om.batch = batch_size
    memory = STATE.get("device memory", STATE.get("data buffer", buffers[index]).content)
    memory.content[:4], memory.written = batch_size.to_bytes(4, "little"), 4


@api("acl.mdl.execute", "code")
def execute(model_id: int, input_dataset: int, output_dataset: int) -> None:
    om: LoadedOm = _model(model_id)
    taken = [_buffer(address) for address in STATE.get("dataset", input_dataset).content]
    given = [_buffer(address) for address in STATE.get("dataset", output_dataset).content]
    if (len(taken), len(given)) != (len(om.inputs), len(om.outputs)):
        raise Misuse(f"{len(taken)} inputs and {len(given)} outputs; expected {len(om.inputs)} and {len(om.outputs)}")
    for (room, memory), port in zip(taken, om.inputs, strict=True):
        if room != port.nbytes(om.largest) or memory.written < port.nbytes(om.batch):
            raise Misuse(f"{port}: its buffer has {room} bytes, of which {memory.written} hold data")
    results = om.run([bytes(memory.content) for _, memory in taken])
    for (room, memory), port, data in zip(given, om.outputs, results, strict=True):
        if room != port.nbytes(om.largest):
            raise Misuse(f"{port}: its buffer has {room} bytes")
        # Beyond what this batch gives nothing is left of the batch before.
        memory.content[:] = data + POISON * (memory.size - len(data))
        memory.written = len(data)


def _model(model_id: int) -> Any:
    context, model = STATE.need_context(), STATE.get("model", model_id)
    if model.context != context:
        raise Misuse(f"{model} belongs to another context")
    return model.content


def _described(model_desc: int) -> LoadedOm:
    om = STATE.get("desc", model_desc).content
    if not isinstance(om, LoadedOm):
        raise Misuse("get_desc comes first")
    return om


def _buffer(address: int) -> tuple[int, Thing]:
    buffer = STATE.get("data buffer", address)
    return buffer.size, STATE.get("device memory", buffer.content)


def _shape(name: str, dims: list[int]) -> dict[str, Any]:
    return {"name": name, "dimCount": len(dims), "dims": dims}
