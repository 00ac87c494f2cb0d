"""The ONNX file: opset, operators, names, bytes, and numbers against PyTorch and torch.onnx.export."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, fx, nn

from neonext_ascend.errors import FileAccessError, PassRefusedError, UsageError
from neonext_ascend.exporters import export_onnx
from neonext_ascend.exporters.onnx_file.names import readable
from neonext_ascend.machine.environment import disable_telemetry
from neonext_ascend.models.neonext import NeoNeXt, build, redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.passes import prepare

disable_telemetry()
import onnxruntime as ort  # noqa: E402 -- telemetry must be off before this import

# Logits of order 1 after some 20 float32 layers; the contract allows 5e-6.
EXPORTED = 5e-6
# What hicann's ONNX plugins register for opsets 8 to 18 (LayerNormalization 17 and 18 alone) and we use.
ATC_OPERATORS = {
    "Conv",
    "MatMul",
    "Gemm",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Erf",
    "Sqrt",
    "ReduceMean",
    "LayerNormalization",
}


@pytest.fixture(scope="module")
def nano() -> NeoNeXt:
    net = build(VARIANTS["neonext_nano"].config)
    redraw_at_order_one(net)
    return net


@pytest.fixture(scope="module")
def deployed(nano: NeoNeXt) -> fx.GraphModule:
    return prepare(nano, defer=True)[0]


def run(path: Path, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logits: np.ndarray[Any, Any] = session.run(["logits"], {"image": image})[0]
    return logits


def relative(candidate: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]) -> float:
    return float(np.abs(candidate - reference).max() / np.abs(reference).max())


@pytest.mark.parametrize("opset", range(11, 19))
def test_each_opset_is_exactly_the_one_asked_for_and_right(
    deployed: fx.GraphModule, nano: NeoNeXt, tmp_path: Path, opset: int
) -> None:
    artifact = export_onnx(deployed, tmp_path / "nano.onnx", opset=opset)
    model = onnx.load(str(artifact.files[0].path))
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
    onnx.checker.check_model(model, full_check=True)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert set(kinds) <= ATC_OPERATORS
    assert (kinds["LayerNormalization"] == 1) == (opset >= 17)
    x = np.random.RandomState(0).standard_normal((1, 3, 96, 96)).astype(np.float32)
    with torch.no_grad():
        want = nano(torch.from_numpy(x)).numpy()
    assert relative(run(artifact.files[0].path, x), want) <= EXPORTED


@pytest.mark.parametrize(("opset", "most"), [(11, 196), (17, 190), (18, 190)])
def test_neonext_t_has_few_nodes_and_no_leftovers(tmp_path: Path, opset: int, most: int) -> None:
    net = build(VARIANTS["neonext_t"].config)
    artifact = export_onnx(prepare(net, defer=True)[0], tmp_path / "t.onnx", opset=opset)
    model = onnx.load(str(artifact.files[0].path))
    kinds = Counter(node.op_type for node in model.graph.node)
    assert len(model.graph.node) <= most
    assert kinds["Conv"] == 40
    assert kinds["MatMul"] == 36
    assert kinds["Erf"] == 18
    assert not {"BatchNormalization", "Transpose", "Reshape", "Identity", "Shape"} & set(kinds)


@pytest.mark.parametrize("opset", [11, 17, 18])
def test_onnxruntime_fuses_every_gelu_again(deployed: fx.GraphModule, tmp_path: Path, opset: int) -> None:
    artifact = export_onnx(deployed, tmp_path / "nano.onnx", opset=opset)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(str(artifact.files[0].path), options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(str(tmp_path / "optimised.onnx")).graph.node)
    assert kinds["Gelu"] == 6
    assert kinds["Erf"] == 0


def test_two_exports_give_the_same_bytes(nano: NeoNeXt, tmp_path: Path) -> None:
    first, second = (
        export_onnx(prepare(nano, defer=defer)[0], tmp_path / f"{defer}.onnx", metadata={"b": "2", "a": "1"})
        for defer in (True, False)
    )
    assert first.files[0].path.read_bytes() == second.files[0].path.read_bytes()
    assert first.files[0].sha256 == second.files[0].sha256


def test_names_are_readable_and_stable(deployed: fx.GraphModule, tmp_path: Path) -> None:
    model = onnx.load(str(export_onnx(deployed, tmp_path / "n.onnx").files[0].path))
    nodes = {node.name: node for node in model.graph.node}
    constants = {i.name for i in model.graph.initializer}
    assert {"stem.conv", "stage3.block1.neocell.left_product", "stage3.block1", "downsample2.conv"} <= set(nodes)
    assert {"stage3.block1.neocell.left", "stage3.block1.neocell.right", "stage4.block0.fc1.weight"} <= constants
    assert all(node.output[0] == node.name for node in model.graph.node)
    values = [value for node in model.graph.node for value in node.output]
    assert len({*values, *constants, "image"}) == len(values) + len(constants) + 1


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("stage_3.5.ops.content.neocell", "stage3.block5.neocell"),
        ("stage_3.5.ops", "stage3.block5"),
        ("stage_1.0.ops.content.fc_1", "stage1.block0.fc1"),
        ("downsample_1.norm_1", "downsample1.norm1"),
        ("head.pool", "head.pool"),
        ("my.operators.cell", "my.operators.cell"),
    ],
)
def test_readable_names(path: str, name: str) -> None:
    assert readable(path) == name


def test_a_dynamic_batch_runs_at_any_size(deployed: fx.GraphModule, nano: NeoNeXt, tmp_path: Path) -> None:
    artifact = export_onnx(deployed, tmp_path / "n.onnx", batch_size=None)
    assert artifact.inputs[0].shape == ("batch", 3, 96, 96)
    for batch in (1, 2, 5):
        x = np.random.RandomState(batch).standard_normal((batch, 3, 96, 96)).astype(np.float32)
        with torch.no_grad():
            want = nano(torch.from_numpy(x)).numpy()
        assert relative(run(artifact.files[0].path, x), want) <= EXPORTED


def test_half_precision_is_half_throughout_and_close(deployed: fx.GraphModule, nano: NeoNeXt, tmp_path: Path) -> None:
    artifact = export_onnx(deployed, tmp_path / "n.onnx", dtype="fp16")
    model = onnx.load(str(artifact.files[0].path))
    assert {i.data_type for i in model.graph.initializer} == {onnx.TensorProto.FLOAT16}
    x = np.random.RandomState(0).standard_normal((1, 3, 96, 96)).astype(np.float32)
    with torch.no_grad():
        want = nano(torch.from_numpy(x)).numpy()
    got = run(artifact.files[0].path, x.astype(np.float16)).astype(np.float32)
    assert relative(got, want) <= 1e-2
    assert relative(got, want) > 1e-6  # it is half precision indeed


def test_a_file_over_the_limit_keeps_its_tensors_beside_it(
    deployed: fx.GraphModule, nano: NeoNeXt, tmp_path: Path
) -> None:
    inside = export_onnx(deployed, tmp_path / "inside.onnx")
    outside = export_onnx(deployed, tmp_path / "outside.onnx", external_data_above=10_000)
    assert [f.path.name for f in outside.files] == ["outside.onnx", "outside.onnx.data"]
    assert outside.files[0].nbytes == (tmp_path / "outside.onnx").stat().st_size < 60_000
    x = np.random.RandomState(0).standard_normal((1, 3, 96, 96)).astype(np.float32)
    a, b = run(inside.files[0].path, x), run(outside.files[0].path, x)
    # Not bit-equal: onnxruntime prepacks constants of its own memory only.
    assert relative(b, a) <= EXPORTED
    loaded = [onnx.load(str(f.files[0].path)) for f in (inside, outside)]
    for left, right in zip(*(m.graph.initializer for m in loaded), strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(left), numpy_helper.to_array(right))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # torch's exporter warns of itself
def test_torch_onnx_export_of_the_prepared_network_agrees(nano: NeoNeXt, tmp_path: Path) -> None:
    prepared, _ = prepare(nano)
    x = torch.randn(1, 3, 96, 96)
    path = tmp_path / "torch.onnx"
    program = torch.onnx.export(prepared, (x,), dynamo=True, opset_version=18, verbose=False)
    assert program is not None
    program.save(str(path))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    ours = export_onnx(prepared, tmp_path / "ours.onnx", opset=18)
    assert relative(run(ours.files[0].path, x.numpy()), theirs) <= EXPORTED
    kinds = [Counter(n.op_type for n in onnx.load(str(p)).graph.node) for p in (path, ours.files[0].path)]
    assert kinds[0]["MatMul"] == kinds[1]["MatMul"] == 12
    assert kinds[0]["Conv"] == kinds[1]["Conv"] == 16


def test_a_users_module_keeps_the_layers_that_did_not_fold(tmp_path: Path) -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.norm = nn.ReLU(), nn.BatchNorm2d(3)
            self.conv, self.ln = nn.Conv2d(3, 6, 1), nn.LayerNorm(6)
            self.gain = nn.Parameter(torch.rand(6, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(self.norm(self.act(x))) * self.gain
            z: Tensor = self.ln(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).mean(dim=(2, 3))
            return z

    net = Head()
    redraw_at_order_one(net)
    net.eval()
    prepared, report = prepare(net, input_shape=(1, 3, 10, 11))
    assert len(report.refused) == 3
    x = np.random.RandomState(0).standard_normal((1, 3, 10, 11)).astype(np.float32)
    with torch.no_grad():
        want = net(torch.from_numpy(x)).numpy()
    for opset in (11, 18):
        artifact = export_onnx(prepared, tmp_path / "head.onnx", opset=opset)
        onnx.checker.check_model(str(artifact.files[0].path), full_check=True)
        assert relative(run(artifact.files[0].path, x), want) <= EXPORTED


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"opset": 10}, UsageError, "opset 10: expected 11 to 18"),
        ({"opset": 19}, UsageError, "opset 19: expected 11 to 18"),
        ({"batch_size": 0}, UsageError, "batch size 0"),
    ],
)
def test_export_refuses(
    deployed: fx.GraphModule, tmp_path: Path, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        export_onnx(deployed, tmp_path / "n.onnx", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_layer_without_an_onnx_form_is_named(tmp_path: Path) -> None:
    prepared, _ = prepare(nn.Sequential(nn.SiLU()).eval(), input_shape=(1, 3, 4, 4))
    with pytest.raises(PassRefusedError, match="layer SiLU at '0'"):
        export_onnx(prepared, tmp_path / "n.onnx")
    with pytest.raises(PassRefusedError, match="was not prepared"):
        export_onnx(fx.symbolic_trace(nn.ReLU()), tmp_path / "n.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("forward", "right"),
    [
        (lambda x: torch.add(x, x, alpha=0.5), False),
        (lambda x: torch.mul(x, other=x), False),
        (lambda x: x + 2.0, False),
        (lambda x: x * x.mean(axis=(2, 3), keepdim=True), True),
        (lambda x: torch.mean(x, dim=[2, 3]), True),
        (lambda x: x.flatten(1), True),
        (lambda x: torch.flatten(x, start_dim=1), True),
        (lambda x: torch.relu(x).permute((0, 2, 3, 1)), True),
    ],
)
def test_functions_are_written_right_or_refused(tmp_path: Path, forward: Any, right: bool) -> None:
    class Function(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return forward(x)

    prepared, _ = prepare(Function().eval(), input_shape=(1, 3, 4, 5))
    if not right:
        with pytest.raises(PassRefusedError):
            export_onnx(prepared, tmp_path / "f.onnx")
        assert list(tmp_path.iterdir()) == []
        return
    x = np.random.RandomState(0).standard_normal((1, 3, 4, 5)).astype(np.float32)
    for opset in (11, 18):
        export_onnx(prepared, tmp_path / "f.onnx", opset=opset)
        assert relative(run(tmp_path / "f.onnx", x), forward(torch.from_numpy(x)).numpy()) <= 1e-6


def test_two_layer_norms_keep_their_own_epsilon(tmp_path: Path) -> None:
    class Norms(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm_1, self.norm1 = nn.LayerNorm(6, eps=1e-6), nn.LayerNorm(6, eps=0.5)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.norm1(self.norm_1(x))
            return y

    net = Norms().eval()
    prepared, _ = prepare(net, input_shape=(1, 6))
    export_onnx(prepared, tmp_path / "n.onnx", opset=11)
    x = np.random.RandomState(0).standard_normal((1, 6)).astype(np.float32)
    with torch.no_grad():
        assert relative(run(tmp_path / "n.onnx", x), net(torch.from_numpy(x)).numpy()) <= 1e-6


def test_a_special_file_is_never_replaced(deployed: fx.GraphModule, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(FileAccessError, match="not a regular file"):
        export_onnx(deployed, tmp_path / "pipe.onnx")
    assert (tmp_path / "pipe.onnx").is_fifo()
