"""Padding that stays between NeoCells: what is spared, that nothing leaks, and where it ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from neonext_ascend import passes
from neonext_ascend.exporters.onnx_file.export import export_onnx
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.kernels.lower_padded import MOST_AREA, padded_size
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import NeoNeXt, build, redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.runtimes.ort import OrtRunner
from neonext_ascend.spec import LAYOUTS, Layout
from tests.passes.test_passes import FOLDED, ready, relative

# fp32 in two programs: the order of the sums.
PARITY = 5e-6


def small(name: str, size: tuple[int, int]) -> NeoNeXt:
    config = replace(
        VARIANTS[name].config, depths=(2, 1, 1, 1), widths=(8, 12, 16, 24), num_classes=11, image_size=size
    )
    network = build(config)
    redraw_at_order_one(network)
    return network


def operators(network: nn.Module, path: Path, layout: Layout, lowering: str, **export: object) -> Counter[str]:
    deployed, _ = passes.prepare(network, layout=layout, lowering=lowering, defer=True)  # type: ignore[arg-type]  # a parameter
    export_onnx(deployed, path, **export)  # type: ignore[arg-type]  # a test's own keywords
    return Counter(node.op_type for node in onnx.load(str(path), load_external_data=False).graph.node)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((56, 56), (64, 64)),
        ((28, 28), (32, 32)),
        ((24, 24), (32, 32)),
        ((14, 14), (14, 14)),  # 32 x 32 would be five times the map
        ((7, 7), (7, 7)),
        ((48, 96), (48, 96)),
        ((40, 64), (48, 64)),
        ((5000, 5000), (5000, 5000)),
    ],
)
def test_the_next_size_that_needs_no_pass(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert padded_size(*size) == wanted
    assert wanted[0] * wanted[1] <= MOST_AREA * size[0] * size[1]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(112, 112), (224, 224), (100, 180)])
@pytest.mark.parametrize("name", ["neonext_t", "neonext_t.paper", "neonext_t.table1", "neonext_nano"])
def test_every_definition_and_size_keeps_the_function(name: str, size: tuple[int, int], layout: Layout) -> None:
    network = small(name, size)
    deployed, report = passes.prepare(network, layout=layout, lowering="padded")
    assert "padded" in report.lowerings.values()
    assert report.changed["keep_padding"] > 0
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert relative(deployed(x), network(x)) <= FOLDED


@pytest.mark.parametrize(("layout", "more"), [("nchw", {"Slice": 1}), ("chnw", {"Pad": 1})])
def test_one_node_more_than_block_diagonal(tmp_path: Path, layout: Layout, more: dict[str, int]) -> None:
    # Stages 1 and 2 of 224 pixels are padded, 3 and 4 are not: where the padding ends stands the only new node.
    network = small("neonext_t", (224, 224))
    plain, padded = (operators(network, tmp_path / "t.onnx", layout, name) for name in ("blockdiag", "padded"))
    assert padded - plain == Counter(more)
    assert not plain - padded


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("opset", [11, 13, 17, 18])
def test_every_opset_runs_at_a_free_batch(tmp_path: Path, opset: int, layout: Layout) -> None:
    network = small("neonext_t", (112, 112))
    path = tmp_path / "it.onnx"
    found = operators(network, path, layout, "padded", batch_size=None, opset=opset)
    assert found["Slice"] + found["Pad"] == 1
    onnx.checker.check_model(str(path), full_check=True)
    x = np.random.RandomState(0).standard_normal((3, 3, 112, 112)).astype(np.float32)
    with OrtRunner(path) as runner, torch.no_grad():
        got, want = runner.infer({"image": x})["logits"], network(torch.from_numpy(x)).numpy()
    assert np.abs(got - want).max() <= PARITY * np.abs(want).max()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_stands_in_the_padding_reaches_nothing(tmp_path: Path, layout: Layout) -> None:
    network = small("neonext_t", (224, 224))
    deployed, _ = passes.prepare(network, layout=layout, lowering="padded")
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(3))
    axes = (2, 3) if layout == "nchw" else (1, 3)

    def spoil(module: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
        if y.dim() == 4 and (y.shape[axes[0]], y.shape[axes[1]]) == (64, 64):
            y = y.clone()
            y.narrow(axes[0], 56, 8).fill_(1e4)
            y.narrow(axes[1], 56, 8).fill_(-1e4)
            spoiled.append(module)
        return y

    spoiled: list[nn.Module] = []
    with torch.no_grad():
        want = deployed(x)
        for module in deployed.modules():
            if module is not deployed:
                module.register_forward_hook(spoil)
        assert torch.equal(deployed(x), want)
    assert len(spoiled) >= 8


class Own(nn.Module):
    """A NeoCell between layers of a user's own."""

    def __init__(self, before: nn.Module, behind: nn.Module, cell: NeoCell) -> None:
        super().__init__()
        self.before, self.cell, self.behind = before, cell, behind

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        y: Tensor = self.behind(x + self.cell(x))
        return y


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("before", "behind", "cell"),
    [
        (nn.Identity(), nn.Identity(), NeoCell(Geometry.split(8, (4, 7), True))),
        (nn.Identity(), nn.Conv2d(8, 4, 1), NeoCell(Geometry.split(8, (4,), False), bias=True)),
        (nn.ReLU(), nn.Conv2d(8, 4, 2, stride=2), NeoCell(Geometry.split(8, (7,), True))),
        (nn.Conv2d(8, 8, 2, stride=1), nn.Conv2d(8, 8, 3, stride=2, groups=8), NeoCell(Geometry.split(8, (3,), True))),
        (nn.Conv2d(8, 8, 3, padding=1), nn.AvgPool2d(2), NeoCell(Geometry.split(8, (4,), False))),
        (nn.BatchNorm2d(8), nn.Conv2d(8, 8, 7, stride=7), NeoCell(Geometry.split(8, (4,), False))),
        (
            nn.Sequential(nn.Conv2d(8, 8, 1), NeoCell(Geometry((CellGroup(Cell(2, 2, 4, 4), 8),)))),
            NeoCell(Geometry.downsample(8)),
            NeoCell(Geometry.split(8, (4,), False)),
        ),
    ],
)
def test_a_users_own_network(before: nn.Module, behind: nn.Module, cell: NeoCell, layout: Layout) -> None:
    network = ready(Own(before, behind, cell))
    for size in ((56, 56), (57, 91), (28, 45)):
        deployed, report = passes.prepare(network, input_shape=(1, 8, *size), layout=layout, lowering="padded")
        assert "padded" in report.lowerings.values()
        x = torch.randn(2, 8, *size)
        with torch.no_grad():
            assert relative(deployed(x), network(x)) <= FOLDED


class Mean(nn.Module):
    """Over height and width: with padding it would be another."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x.mean((2, 3))
        return y


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("behind", [Mean(), nn.AvgPool2d(2), nn.Identity()])
def test_a_reader_that_is_no_layer_of_pixels_gets_the_map_itself(behind: nn.Module, layout: Layout) -> None:
    network = ready(Own(nn.Conv2d(8, 8, 2, stride=2), behind, NeoCell(Geometry.split(8, (4, 7), True))))
    deployed, report = passes.prepare(network, input_shape=(1, 8, 56, 56), layout=layout, lowering="padded")
    assert report.changed["keep_padding"] == 3  # the convolution, the NeoCell and their sum
    x = torch.randn(2, 8, 56, 56)
    with torch.no_grad():
        assert relative(deployed(x), network(x)) <= FOLDED


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_size_than_prepared_for_is_refused(layout: Layout) -> None:
    deployed, _ = passes.prepare(small("neonext_nano", (96, 96)), layout=layout, lowering="padded", defer=True)
    with pytest.raises(Exception, match=r"was written for|must match|size"):
        deployed(torch.randn(1, 3, 112, 112))
