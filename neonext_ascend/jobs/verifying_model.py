"""Check a model by its name: prepared against unfolded, both in PyTorch, on the CPU or with torch_npu."""

from __future__ import annotations

from torch import nn

from neonext_ascend.checkpoints.loading import LoadedNetwork
from neonext_ascend.jobs.verifying import DEFAULT, Options, Recheck
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.eager import EagerRunner
from neonext_ascend.spec import Dtype, TensorSpec
from neonext_ascend.verify.against_network import OpenPrepared, check_prepared, twin_of
from neonext_ascend.verify.parity import Verdict


def check_model(loaded: LoadedNetwork, options: Options = DEFAULT, dtype: Dtype = "fp32") -> Recheck:
    """The prepared network against the unfolded one in PyTorch, both on noise; with a twin where untrained.

    Args:
        loaded: the network.
        options: how; the runtime is ``npu`` for torch_npu, anything else for the CPU.
        dtype: in which the NPU computes; the CPU computes in fp32.

    Raises:
        ToolchainError: torch_npu or its device is missing.
    """
    on_npu = options.runtime == "npu"
    bounds = options.bounds(dtype if on_npu else "fp32")
    places: list[str] = []
    open_prepared = _opening(options, dtype, places)
    checked = [loaded.network] if loaded.weights.trained else [loaded.network, twin_of(loaded.network)]
    reports = [check_prepared(network, options.reference_dtype, bounds, open_prepared) for network in checked]
    verdict = Verdict(reports[0], reports[1] if len(reports) > 1 else None)
    against = f"the unfolded network in PyTorch, {options.reference_dtype}"
    return Recheck(verdict, against, tuple(loaded.notes), places[0])


def _opening(options: Options, dtype: Dtype, places: list[str]) -> OpenPrepared:
    """Opens the prepared network where the options say, and notes where it ran."""

    def opened(network: nn.Module, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Runner:
        if options.runtime == "npu":
            from neonext_ascend.runtimes.npu import NpuRunner

            runner: Runner = NpuRunner(network, inputs, outputs, dtype=dtype, device=options.device)
        else:
            runner = EagerRunner(network, inputs, outputs)
        places.append(runner.where)
        return runner

    return opened
