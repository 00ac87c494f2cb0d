"""A prepared PyTorch network on an NPU, through torch_npu."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neonext_ascend.errors import ToolchainError
from neonext_ascend.machine.cann import find_cann
from neonext_ascend.machine.chips import SOCS
from neonext_ascend.machine.npu import import_failure
from neonext_ascend.models.layers import tensors_in
from neonext_ascend.runtimes.base import Arrays, Runner
from neonext_ascend.spec import Dtype, TensorSpec

# Ascend/pytorch registers it with Dynamo; it captures the network once for each shape.
GRAPH_BACKEND = "npugraphs"
_DTYPES: dict[Dtype, torch.dtype] = {"fp16": torch.float16, "fp32": torch.float32}


class NpuRunner(Runner):
    """A module in evaluation mode on ``npu:<device>``; fp32 arrays come in and go out.

    Args:
        network: with one input and one output; it is moved there and converted, so give a copy of one still needed.
        inputs, outputs: their specifications, one each.
        dtype: in which the NPU computes.
        device: number of the NPU.
        warm_up: runs before the first result of each input shape.
        graph: capture the network with Dynamo's backend :data:`GRAPH_BACKEND`.

    Raises:
        ToolchainError: torch_npu, CANN or the device is missing, or the chip lacks what the network needs.
    """

    def __init__(
        self,
        network: nn.Module,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        dtype: Dtype = "fp16",
        device: int = 0,
        warm_up: int = 3,
        graph: bool = False,
    ) -> None:
        self._npu: Any = import_torch_npu()
        _check_device(self._npu, device)
        self._device, self._dtype, self._warm_up = torch.device(f"npu:{device}"), _DTYPES[dtype], warm_up
        self.name = f"torch_npu {type(network).__name__}"
        form = f"{dtype}, graph mode" if graph else dtype
        self.where = f"PyTorch {torch.__version__} with torch_npu {_version('torch_npu')} on {self._device}, {form}"
        self.inputs, self.outputs = inputs, outputs
        self._warm: set[tuple[int, ...]] = set()
        try:
            self._npu.set_device(device)
            self._network: Any = network.eval().to(self._device, self._dtype)
            if graph:
                self._network = torch.compile(self._network, backend=GRAPH_BACKEND, dynamic=False)
        except RuntimeError as error:
            raise _failed(self._device, error) from None

    def infer_impl(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        """One forward pass without gradients, after the warm-up of a new shape; waits for the device.

        Raises:
            ToolchainError: torch_npu cannot run the network.
        """
        (spec,) = self.inputs
        array = feeds[spec.name]
        try:
            with torch.inference_mode():
                x = torch.from_numpy(array).to(self._device, self._dtype)
                if array.shape not in self._warm:
                    for _ in range(self._warm_up):
                        self._network(x)
                    self._npu.synchronize()
                    self._warm.add(array.shape)
                given = zip(self.outputs, tensors_in(self._network(x)), strict=True)
                self._npu.synchronize()
                return {spec.name: one.to("cpu", torch.float32).numpy() for spec, one in given}
        except RuntimeError as error:
            raise _failed(self._device, error) from None

    def close(self) -> None:
        """Drop the network."""
        self._network = None


def import_torch_npu() -> Any:
    """The module ``torch.npu``.

    Raises:
        ToolchainError: it is not to be had: what is missing and what to do.
    """
    try:
        importlib.import_module("torch_npu")  # registers torch.npu
        npu = torch.get_device_module("npu")
    except (ImportError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ToolchainError(import_failure(reason, torch.__version__, _version("torch_npu"))) from None
    if not npu.is_available():
        raise ToolchainError(
            f"torch_npu {_version('torch_npu')} finds no NPU: see the driver and the devices in neonext-ascend doctor, "
            "which prints the docker run line for them"
        )
    return npu


def _check_device(npu: Any, device: int) -> None:
    count = npu.device_count()
    if device >= count:
        raise ToolchainError(f"npu:{device} is not there: torch_npu sees {count}, numbered from 0; give --device")
    name = next((found.soc_version for found in find_cann().devices if found.index == device), None)
    soc = SOCS.get(name or "")
    if soc is not None and soc.family == "310B":
        raise ToolchainError(
            f"{soc.name} has no aclnnMatmul, aclnnBatchMatMul or aclnnGeluV2, which torch_npu needs for this network; "
            f"export an OM: neonext-ascend export --format om --soc-version {soc.name}"
        )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _failed(device: torch.device, error: RuntimeError) -> ToolchainError:
    reason = " ".join(str(error).split())[:300]
    return ToolchainError(f"{device}: torch_npu cannot run the network: {reason}; see neonext-ascend doctor")
