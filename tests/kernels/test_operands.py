"""What a NeoCell is given: traces of every form of a network, and tensors that do not fit."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from neonext_ascend import passes
from neonext_ascend.errors import GeometryError
from neonext_ascend.kernels.functional import FUNCTIONS
from neonext_ascend.kernels.fused import neocell_fused
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.kernels.reference import neocell_patchwise
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import NeoNeXt, build, redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS

# torch says of torch.jit and of the older exporter that they are on their way out; nothing else may be said.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*legacy TorchScript.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
]


def network() -> NeoNeXt:
    net = build(VARIANTS["neonext_nano"].config)
    redraw_at_order_one(net)
    return net


def biased() -> nn.Module:
    cell = NeoCell(Geometry.split(3, (4, 7), shift=True), bias=True)
    for bias in cell.bias or ():
        nn.init.normal_(bias)
    return cell.eval()


TRACED: dict[str, Callable[[], nn.Module]] = {
    "unfolded": network,
    "cell with bias": biased,
    "cell form": lambda: passes.FoldBatchNorm()(network())[0],
    **{
        f"{layout} {lowering} {defer}": lambda layout=layout, lowering=lowering, defer=defer: passes.prepare(  # type: ignore[misc]
            network(), layout=layout, lowering=lowering, defer=defer
        )[0]
        for layout in ("nchw", "chnw")
        for lowering, defer in (("blockdiag", False), ("blockdiag", True), ("packed", False))
    },
}


@pytest.mark.parametrize("kind", TRACED)
def test_a_trace_computes_the_same_for_every_batch_without_a_warning(kind: str) -> None:
    net = TRACED[kind]()
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(net, torch.randn(1, 3, 96, 96)), file)  # type: ignore[no-untyped-call]
    file.seek(0)
    traced = torch.jit.load(file)  # type: ignore[no-untyped-call]
    x = torch.randn(3, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(traced(x), net(x))
        # A and B belong to one size: another must fail, never compute something.
        with pytest.raises(RuntimeError):
            traced(torch.randn(1, 3, 128, 128))


@pytest.mark.parametrize("kind", ["unfolded", "nchw blockdiag False"])
def test_the_older_exporter_takes_the_network(kind: str, tmp_path: Path) -> None:
    net, path = TRACED[kind](), str(tmp_path / "x.onnx")
    torch.onnx.export(
        net,
        (torch.randn(1, 3, 96, 96),),
        path,
        dynamo=False,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
    )
    x = torch.randn(3, 3, 96, 96)
    got = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"image": x.numpy()})[0]
    with torch.no_grad():
        want = net(x).numpy()
    assert np.abs(got - want).max() <= 5e-6 * np.abs(want).max()  # as in tests/exporters/test_onnx_file.py


SHIFTED = Geometry((CellGroup(Cell.square(4), 3, True), CellGroup(Cell.square(2), 2, False)))


def operands() -> tuple[Tensor, list[Tensor], list[Tensor]]:
    cells = [torch.zeros(3, 4, 4), torch.zeros(2, 2, 2)]
    return torch.zeros(1, 5, 8, 8), cells, list(cells)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, a, b: (x[0], a, b), r"got X \(5, 8, 8\); expected \(N, 5, H, W\)"),
        (lambda x, a, b: (x[:, :4], a, b), r"got X \(1, 4, 8, 8\)"),
        (lambda x, a, b: (x[..., :2], a, b), "too small for a shifted 4x4 cell"),
        (lambda x, a, b: (x, a[:1], b), r"got L \[\(3, 4, 4\)\]; its groups need"),
        (lambda x, a, b: (x, a, b[::-1]), "got R"),
        (lambda x, a, b: (x, [a[0], a[1].mT[:1]], b), "got L"),
        (
            lambda x, a, b: (x.double(), a, b),
            "X as torch.float64 on cpu and L as torch.float32 on cpu; give them one dtype",
        ),
        (lambda x, a, b: (x, a, [b[0].half(), b[1]]), "R as torch.float16"),
        (lambda x, a, b: (x.to("meta"), a, b), "X as torch.float32 on meta"),
    ],
)
@pytest.mark.parametrize("function", [neocell_fused, neocell_patchwise, *FUNCTIONS.values()])
def test_tensors_that_do_not_fit(
    function: Callable[..., Tensor], change: Callable[..., tuple[Any, ...]], words: str
) -> None:
    with pytest.raises(GeometryError, match=words):
        function(*change(*operands()), SHIFTED)


@pytest.mark.parametrize("function", [neocell_patchwise, *FUNCTIONS.values()])
def test_a_bias_that_does_not_fit(function: Callable[..., Tensor]) -> None:
    with pytest.raises(GeometryError, match="got bias"):
        function(*operands(), SHIFTED, [torch.zeros(3, 4, 4)])


def test_autocast_brings_cells_and_map_together() -> None:
    x, left, right = operands()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert FUNCTIONS["blockdiag"](x.bfloat16(), left, right, SHIFTED, None).dtype == torch.bfloat16
