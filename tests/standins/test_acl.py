"""The stand-in ``acl`` itself: it must see what is against the contract, or the runner's tests say nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.standins import acl
from tests.standins.om_file import StandinOm

SOC = "Ascend310P3"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    acl.reset()
    yield
    acl.reset()


@pytest.fixture
def om(tmp_path: Path) -> Path:
    """``y = x + x`` in gears 1 and 2."""
    info = helper.make_tensor_value_info
    x, y = info("x", TensorProto.FLOAT, ["n", 2]), info("y", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    StandinOm(SOC, "8.5.0", (1, 2), model.SerializeToString()).write(tmp_path / "a.om")
    return tmp_path / "a.om"


def start() -> int:
    assert acl.init() == 0
    assert acl.rt.set_device(0) == 0
    context, ret = acl.rt.create_context(0)
    assert ret == 0
    return int(context)


def device(size: int) -> int:
    pointer, ret = acl.rt.malloc(size, 0)
    assert ret == 0
    return int(pointer)


def before_init() -> object:
    return acl.rt.set_device(0)


def context_before_device() -> object:
    acl.init()
    return acl.rt.create_context(0)[1]


def memory_without_context() -> object:
    acl.init()
    acl.rt.set_device(0)
    return acl.rt.malloc(8, 0)[1]


def double_free() -> object:
    start()
    pointer = device(8)
    assert acl.rt.free(pointer) == 0
    return acl.rt.free(pointer)


def use_after_free() -> object:
    start()
    pointer, data = device(8), b"12345678"
    acl.rt.free(pointer)
    return acl.rt.memcpy(pointer, 8, acl.util.bytes_to_ptr(data), 8, 1)


def unknown_pointer() -> object:
    start()
    return acl.rt.free(12345)


def free_of_the_wrong_kind() -> object:
    start()
    return acl.rt.free_host(device(8))


def copy_beyond_the_target() -> object:
    start()
    pointer, data = device(4), b"12345678"
    return acl.rt.memcpy(pointer, 8, acl.util.bytes_to_ptr(data), 8, 1)


def copy_beyond_what_is_said() -> object:
    start()
    pointer, data = device(8), b"12345678"
    return acl.rt.memcpy(pointer, 4, acl.util.bytes_to_ptr(data), 8, 1)


def copy_beyond_the_source() -> object:
    start()
    pointer, data = device(8), b"1234"
    return acl.rt.memcpy(pointer, 8, acl.util.bytes_to_ptr(data), 8, 1)


def copy_the_wrong_way() -> object:
    start()
    pointer, data = device(8), b"12345678"
    return acl.rt.memcpy(pointer, 8, acl.util.bytes_to_ptr(data), 8, 2)


def copy_of_nothing_written() -> object:
    start()
    host, _ = acl.rt.malloc_host(8)
    return acl.rt.memcpy(host, 8, device(8), 8, 2)


def copy_from_bytes_that_are_gone() -> object:
    start()
    return acl.rt.memcpy(device(8), 8, acl.util.bytes_to_ptr(bytes(range(8))[:]), 8, 1)


def free_under_a_data_buffer() -> object:
    start()
    pointer = device(8)
    acl.create_data_buffer(pointer, 8)
    return acl.rt.free(pointer)


def dataset_before_its_buffers() -> object:
    start()
    dataset = acl.mdl.create_dataset()
    acl.mdl.add_dataset_buffer(dataset, acl.create_data_buffer(device(8), 8))
    return acl.mdl.destroy_dataset(dataset)


def context_before_its_memory() -> object:
    context = start()
    device(8)
    return acl.rt.destroy_context(context)


def device_before_its_context() -> object:
    start()
    return acl.rt.reset_device(0)


def finalize_before_the_device() -> object:
    acl.init()
    acl.rt.set_device(0)
    return acl.finalize()


MISUSES: tuple[Callable[[], object], ...] = (
    before_init,
    context_before_device,
    memory_without_context,
    double_free,
    use_after_free,
    unknown_pointer,
    free_of_the_wrong_kind,
    copy_beyond_the_target,
    copy_beyond_what_is_said,
    copy_beyond_the_source,
    copy_the_wrong_way,
    copy_of_nothing_written,
    copy_from_bytes_that_are_gone,
    free_under_a_data_buffer,
    dataset_before_its_buffers,
    context_before_its_memory,
    device_before_its_context,
    finalize_before_the_device,
)


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda misuse: misuse.__name__)
def test_misuse_is_answered_with_a_code_and_kept(misuse: Callable[[], object]) -> None:
    assert misuse() in (100000, 100001)
    assert len([words for words in acl.leaks() if words.startswith("misuse: acl.")]) == 1


def test_a_right_copy_is_no_misuse() -> None:
    start()
    pointer, data = device(8), b"12345678"
    host, _ = acl.rt.malloc_host(8)
    assert acl.rt.memcpy(pointer, 8, acl.util.bytes_to_ptr(data), 6, 1) == 0
    assert acl.rt.memcpy(host, 8, pointer, 6, 2) == 0
    assert acl.util.ptr_to_bytes(host, 6) == b"123456"
    assert not any(words.startswith("misuse") for words in acl.leaks())


def test_models_run_in_their_gear_and_refuse_what_is_not_documented(om: Path) -> None:
    start()
    model, ret = acl.mdl.load_from_file(str(om))
    assert ret == 0
    desc = acl.mdl.create_desc()
    assert acl.mdl.get_num_inputs(desc) == 0  # get_desc comes first
    assert acl.mdl.get_desc(desc, model) == 0
    assert acl.mdl.get_num_inputs(desc) == 2
    assert acl.mdl.get_input_dims(desc, 0) == ({"name": "x", "dimCount": 2, "dims": [-1, 2]}, 0)
    assert acl.mdl.get_output_dims(desc, 0)[0]["dims"] == [2, 2]
    assert acl.mdl.get_input_size_by_index(desc, 0) == 16
    assert acl.mdl.get_input_index_by_name(desc, "z")[1] != 0
    index, _ = acl.mdl.get_input_index_by_name(desc, "ascend_mbatch_shape_data")
    data = np.arange(2, dtype=np.float32).tobytes()
    memory = [device(16), device(4), device(16)]
    datasets = [acl.mdl.create_dataset() for _ in range(2)]
    for dataset, pointer, size in zip([*datasets[:1] * 2, datasets[1]], memory, (16, 4, 16), strict=True):
        acl.mdl.add_dataset_buffer(dataset, acl.create_data_buffer(pointer, size))
    acl.rt.memcpy(memory[0], 16, acl.util.bytes_to_ptr(data), 8, 1)
    assert acl.mdl.execute(model, *datasets) != 0  # unset means the largest gear, which half a batch does not fill
    assert acl.mdl.set_dynamic_batch_size(model, datasets[0], index, 3) == 145013
    assert acl.mdl.set_dynamic_batch_size(model, datasets[0], index, 1) == 0
    assert acl.mdl.execute(model, *datasets) == 0
    assert acl.mdl.get_cur_output_dims(desc, 0)[0]["dims"] == [1, 2]
    host, _ = acl.rt.malloc_host(8)
    acl.rt.memcpy(host, 8, memory[2], 8, 2)
    assert np.frombuffer(acl.util.ptr_to_bytes(host, 8), np.float32).tolist() == [0, 2]
    context, _ = acl.rt.create_context(0)
    assert acl.mdl.unload(model) != 0  # another context
    assert context


def test_an_om_of_another_chip_or_garbage_is_refused(om: Path) -> None:
    acl.configure(soc="Ascend910B3")
    start()
    assert acl.mdl.load_from_file(str(om)) == (0, 500002)
    assert acl.get_recent_err_msg() == "compiled for Ascend310P3"
    assert acl.get_recent_err_msg() == ""
    om.write_bytes(b"garbage")
    assert acl.mdl.load_from_file(str(om)) == (0, 500002)


def test_leaks_names_everything_and_reset_forgets_it() -> None:
    start()
    acl.create_data_buffer(device(8), 8)
    acl.mdl.create_desc()
    assert [words.split(" 0x")[0] for words in acl.leaks()] == [
        "context", "device memory", "data buffer", "desc", "device 0", "initialised",
    ]  # fmt: skip
    assert acl.calls[0] == "acl.init"
    acl.reset()
    assert acl.leaks() == acl.calls == []


def test_faults_come_once_each_in_its_form() -> None:
    acl.fail_at(0)
    acl.fail_at(1, "raise")
    acl.fail_at(2, "none")
    acl.fail_on("acl.rt.create_context", "none")
    assert acl.init() == 500000
    with pytest.raises(RuntimeError, match="injected into call 1"):
        acl.init()
    assert acl.init() is None
    assert acl.init() == 0
    assert acl.init() == 100002
    acl.rt.set_device(0)
    assert acl.rt.create_context(0) == (None, 0)
    assert acl.rt.create_context(0)[1] == 0
