"""An OM on an NPU through pyACL: static batch, batch gears, and AIPP.

The order is the documented one: init, set_device, create_context, load_from_file, the description, then a buffer on the
device for each input and output; everything is given back in reverse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.artifacts.names import utf8_alias
from neonext_ascend.errors import ArtifactError, NeoNextError, ToolchainError, UsageError
from neonext_ascend.machine.cann import Cann
from neonext_ascend.runtimes.acl.calls import AclCalls, import_acl
from neonext_ascend.runtimes.acl.model import describe, dims_of
from neonext_ascend.runtimes.acl.resources import PROCESS, Releases
from neonext_ascend.runtimes.base import Arrays, Runner
from neonext_ascend.runtimes.om_file import check_om_file, soc_refusal

_HUGE_PAGES_FIRST = 0  # ACL_MEM_MALLOC_HUGE_FIRST in acl_rt.h
_TO_DEVICE, _TO_HOST = 1, 2  # aclrtMemcpyKind
_NPY_BYTE = 1  # numpy's type number of int8, which the older ptr_to_numpy wants


class AclRunner(Runner):
    """An OM, loaded once; its buffers live until :meth:`close`.

    Only one thread at a time may use it; any thread may.

    Args:
        path: of the OM; its manifest lies beside it. A static OM does without one.
        device: number of the NPU.
        cann: what this machine has; looked for where ``None``.
        manifest: read from beside the OM where ``None``.

    Raises:
        FileAccessError: the OM or its manifest cannot be read.
        ArtifactError: the OM is for another SoC, CANN or platform, is damaged, or is not its manifest's.
        ToolchainError: pyACL, the driver or the device is missing or does not work.
    """

    def __init__(self, path: Path, device: int = 0, cann: Cann | None = None, manifest: Manifest | None = None) -> None:
        self.name = f"pyACL {path.name}"
        self._path, self._device = path, device
        self._context: int | None = None
        manifest = check_om_file(path, cann, manifest)
        self._calls = AclCalls(import_acl(str(path)), str(path))
        self._releases = Releases(self._calls)
        PROCESS.enter(self._calls, device)
        self._open = True
        try:
            self._load(manifest)
        except BaseException:
            # What fails while everything is given back follows from the first error, which is the one to report.
            self._release()
            raise

    def infer_impl(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        """Copy to the device, execute, copy back.

        Raises:
            ToolchainError, ArtifactError: a call failed; the runner can go on or be closed.
            UsageError: the runner is closed.
        """
        if not self._open:
            raise UsageError(f"{self.name}: it is closed; open it again")
        calls = self._calls
        # A context belongs to a thread, and another runner may have set its own in this one.
        calls("acl.rt.set_context", self._context)
        for port in self._model.inputs:
            self._to_device(self._input_memory[port.index], port.nbytes, feeds[port.spec.name])
        if self._model.gear_port is not None:
            batch = feeds[self._model.inputs[0].spec.name].shape[0]
            index = self._model.gear_port[0]
            calls("acl.mdl.set_dynamic_batch_size", self._model_id, self._input_set, index, batch)
        calls("acl.mdl.execute", self._model_id, self._input_set, self._output_set)
        return {port.spec.name: self._to_host(port.index, port.nbytes, port.spec.dtype) for port in self._model.outputs}

    def close(self) -> None:
        """Give everything back, in reverse order.

        Raises:
            ToolchainError: a call failed; all others were made.
        """
        if self._open:
            error = self._release()
            if error is not None:
                raise error

    def _load(self, manifest: Manifest | None) -> None:
        calls, path = self._calls, str(self._path)
        self._context = calls("acl.rt.create_context", self._device)
        self._releases.push("acl.rt.destroy_context", self._context)
        soc = calls.soc_name()
        if soc and manifest and manifest.compilation and (words := soc_refusal(manifest.compilation, soc)):
            raise ArtifactError(f"{path}: {words}")  # where npu-smi did not tell the chip, ACL does
        with utf8_alias(self._path) as alias:
            self._model_id = calls("acl.mdl.load_from_file", alias)
        self._releases.push("acl.mdl.unload", self._model_id)
        desc = self._desc = calls("acl.mdl.create_desc")
        # The documented release unloads the model first, then destroys its description.
        self._releases.push("acl.mdl.destroy_desc", desc, beneath=1)
        calls("acl.mdl.get_desc", desc, self._model_id)
        self._model = describe(calls, desc, manifest, path)
        self._input_set, self._input_memory = self._dataset([n for _, n in self._model.input_buffers])
        self._output_set, self._output_memory = self._dataset([port.nbytes for port in self._model.outputs])
        self._host_memory = [self._host(port.nbytes) for port in self._model.outputs]
        self.inputs = tuple(port.spec for port in self._model.inputs)
        self.outputs = tuple(port.spec for port in self._model.outputs)
        self.gears = self._model.gears
        self.where = ", ".join(["pyACL", *([soc] if soc else []), f"device {self._device}"])

    def _dataset(self, sizes: Sequence[int]) -> tuple[int, list[int]]:
        """A dataset with one device buffer for each size in bytes; the dataset and the memory's addresses."""
        calls, memory = self._calls, []
        dataset: int = calls("acl.mdl.create_dataset")
        self._releases.push("acl.mdl.destroy_dataset", dataset)
        for size in sizes:
            address = calls("acl.rt.malloc", size, _HUGE_PAGES_FIRST)
            self._releases.push("acl.rt.free", address)
            buffer = calls("acl.create_data_buffer", address, size)
            self._releases.push("acl.destroy_data_buffer", buffer)
            calls("acl.mdl.add_dataset_buffer", dataset, buffer)
            memory.append(address)
        return dataset, memory

    def _host(self, size: int) -> int:
        address: int = self._calls("acl.rt.malloc_host", size)
        self._releases.push("acl.rt.free_host", address)
        return address

    def _to_device(self, address: int, room: int, array: NDArray[Any]) -> None:
        """Copy this batch's bytes; the buffer has room for the largest gear's."""
        owner: object  # must outlive the pointer
        if self._calls.has("acl.util.bytes_to_ptr"):
            owner = array.tobytes()
            pointer = self._calls("acl.util.bytes_to_ptr", owner)
        else:
            owner = array
            pointer = self._calls("acl.util.numpy_to_ptr", owner)
        self._calls("acl.rt.memcpy", address, room, pointer, array.nbytes, _TO_DEVICE)
        del owner

    def _to_host(self, index: int, room: int, dtype: str) -> NDArray[Any]:
        """An output in the shape that it has in this batch."""
        calls = self._calls
        shape = dims_of(calls("acl.mdl.get_cur_output_dims", self._desc, index), str(self._path))
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if min(shape, default=1) < 1 or size > room:
            raise ArtifactError(
                f"{self._path}: output {index} has the shape {shape}, its buffer {room} bytes; export again"
            )
        host = self._host_memory[index]
        calls("acl.rt.memcpy", host, room, self._output_memory[index], size, _TO_HOST)
        if calls.has("acl.util.ptr_to_bytes"):
            data = calls("acl.util.ptr_to_bytes", host, size)
        else:
            data = calls("acl.util.ptr_to_numpy", host, (size,), _NPY_BYTE).tobytes()
        if len(data) != size:
            raise ToolchainError(f"{self._path}: pyACL gave {len(data)} bytes of output {index}; expected {size}")
        return np.frombuffer(data, dtype).reshape(shape).copy()

    def _release(self) -> NeoNextError | None:
        """Give everything back; the first error, if any."""
        self._open = False
        errors: list[NeoNextError | None] = []
        if self._context is not None:
            try:
                # A model is loaded, run and unloaded in one context (reference of acl.mdl.unload).
                self._calls("acl.rt.set_context", self._context)
            except NeoNextError as error:
                errors.append(error)
        errors += [self._releases.run(), PROCESS.leave(self._calls, self._device)]
        return next((error for error in errors if error is not None), None)
