"""The smallest graph that still shows a fault: an ONNX file, its inputs, what is expected, and a script."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from neonext_ascend.artifacts.staging import staged
from neonext_ascend.artifacts.vendor_operators import with_twins
from neonext_ascend.runtimes.steps import Array, Steps
from neonext_ascend.verify.nodewise.nodes import Fault

_SCRIPT = """import os, numpy as np, onnxruntime as ort; os.chdir(os.path.dirname(os.path.abspath(__file__)))
feeds, expected = np.load("inputs.npz"), np.load("expected.npy")
print(abs(ort.InferenceSession("subgraph.onnx").run(None, dict(feeds))[0] - expected).max() / abs(expected).max())
"""
MODEL, INPUTS, EXPECTED, SCRIPT = "subgraph.onnx", "inputs.npz", "expected.npy", "run.py"


def write_subgraph(folder: Path, steps: Steps, fault: Fault) -> Path:
    """Write the nodes of a fault as a model of their own.

    Args:
        folder: takes four files; created where absent.
        steps: the graph that the fault is in.
        fault: from :func:`neonext_ascend.verify.nodewise.nodes.compare_nodes`.

    Returns:
        The ONNX file.

    Raises:
        FileAccessError: it cannot be written.
    """
    inner = {name for step in fault.around for name in step.outputs}
    read = dict.fromkeys(name for step in fault.around for name in step.inputs if name not in inner)
    constants = {name: value for name in read if (value := steps.constant(name)) is not None}
    (result,) = fault.step.outputs[:1]
    graph = helper.make_graph(
        [step.node for step in fault.around],
        "fault",
        [_info(name, fault.inputs[name]) for name in read if name not in constants],
        [_info(result, fault.expected)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=steps.opsets, ir_version=steps.ir_version)
    with staged(folder) as stage:
        onnx.save(with_twins(model), str(stage.folder / MODEL))
        np.savez(stage.folder / INPUTS, **dict(fault.inputs))  # type: ignore[arg-type] # the stub takes names for options
        np.save(stage.folder / EXPECTED, fault.expected)
        (stage.folder / SCRIPT).write_text(_SCRIPT, encoding="utf-8")
        stage.publish(INPUTS, EXPECTED, SCRIPT, MODEL)
    return folder.absolute() / MODEL


def _info(name: str, value: Array) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
