"""Layout CHNW: no convolution, two transposes, the same numbers; what has no form in it keeps nchw and is reported."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from neonext_ascend import jobs, passes
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.checkpoints.loading import load
from neonext_ascend.cost.choice import GraphForm
from neonext_ascend.data import labels_for
from neonext_ascend.errors import PassRefusedError, UsageError
from neonext_ascend.exporters.atc_rules.inspecting import inspect_onnx
from neonext_ascend.exporters.onnx_file.export import export_onnx
from neonext_ascend.jobs.making.onnx_file import export_verified
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.machine.chips import SOCS
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.runtimes.ort import OrtRunner
from neonext_ascend.spec import LOWERINGS, Layout, LoweringName
from tests.passes.test_passes import FOLDED, Mixer, ready, relative
from tests.verify.test_verify import transpose

CHNW = GraphForm("chnw")
# Two float32 programs, each about 1e-6 from the exact sums.
PARITY = 5e-6


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(str(path), load_external_data=False).graph.node)


@pytest.mark.full_size
# neonext_s has the widths of the one and the depths of the other.
@pytest.mark.parametrize(("name", "batches"), [("neonext_t", (1, 4, 8, None)), ("neonext_b", (2, None))])
def test_a_whole_network_at_each_batch(tmp_path: Path, name: str, batches: tuple[int | None, ...]) -> None:
    config = VARIANTS[name].config
    network = build(config)
    redraw_at_order_one(network, seed=5)
    *_, most, _ = batches
    assert most is not None
    images = np.random.RandomState(3).standard_normal((most, 3, *config.image_size)).astype(np.float32)
    with torch.no_grad():
        want = network(torch.from_numpy(images)).numpy()
    deployed, _ = passes.prepare(network, defer=True, layout="chnw", lowering="packed")
    for batch in batches:
        path = tmp_path / "network.onnx"
        export_onnx(deployed, path, batch_size=batch)
        found = operators(path)
        assert found["Conv"] == 0
        assert found["Transpose"] <= 2
        # The batch changes no operator: one static file and the one for gears stand for all.
        for soc in SOCS.values() if batch in (most, None) else ():
            assert inspect_onnx(path, soc, "fp16").accepted, soc.name
        with OrtRunner(path) as runner:
            for rows in (1, most // 2) if batch is None else (batch,):
                got = runner.infer({"image": images[:rows]})["logits"]
                assert np.abs(got - want[:rows]).max() <= PARITY * np.abs(want).max(), (batch, rows)


@pytest.mark.parametrize("name", ["neonext_nano", "neonext_t.paper", "neonext_t.table1"])
@pytest.mark.parametrize("lowering", [name for name in LOWERINGS if name != "kron"])
def test_every_definition_and_lowering_keeps_the_function(name: str, lowering: LoweringName) -> None:
    small: dict[str, Any] = {
        "depths": (1, 1, 2, 1),
        "widths": (16, 24, 36, 40),
        "num_classes": 11,
        "image_size": (112, 112),
    }
    network = build(replace(VARIANTS[name].config, **small))
    redraw_at_order_one(network)
    deployed, report = passes.prepare(network, layout="chnw", lowering=lowering)
    assert len(report.lowerings) == 5 + 3
    assert all("the shift stays as an addition" in r.reason or "instead" in r.reason for r in report.refused)
    x = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        assert relative(deployed(x), network(x)) <= FOLDED


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("lowering", ["blockdiag", "patchwise"])
def test_every_opset_runs(tmp_path: Path, opset: int, lowering: LoweringName) -> None:
    network = load("neonext_nano").network
    deployed, _ = passes.prepare(network, layout="chnw", lowering=lowering)
    export_onnx(deployed, tmp_path / "nano.onnx", batch_size=None, opset=opset)
    onnx.checker.check_model(str(tmp_path / "nano.onnx"), full_check=True)
    x = np.random.RandomState(0).standard_normal((5, 3, 96, 96)).astype(np.float32)
    with OrtRunner(tmp_path / "nano.onnx") as runner, torch.no_grad():
        got, want = runner.infer({"image": x})["logits"], network(torch.from_numpy(x)).numpy()
    assert np.abs(got - want).max() <= PARITY * np.abs(want).max()


def test_the_export_is_verified_inside_and_a_wrong_matrix_is_named(tmp_path: Path) -> None:
    made = export_verified(load("neonext_nano"), tmp_path, labels_for("neonext_nano", 10), FileRequest(CHNW, 2))
    assert made.verdict is not None
    assert made.verdict.passed
    names = [point.name for point in made.verdict.artifact.points]
    # One in each block's branch and one behind its sum, stem, down-sampling and pooled vector.
    assert len(names) == 20
    manifest = read_manifest(made.manifest_path)
    assert manifest.artifact.layout == "chnw"
    assert manifest.passes["lowerings"]["downsample_1.neocell"] == "blockdiag"
    assert jobs.verify(made.path).verdict.passed
    transpose(made.path, "stage2.block1.neocell.left")
    departure = jobs.verify(made.path).verdict.artifact.departure
    assert departure is not None
    assert departure.startswith("stage2.block1")


def test_half_precision_and_a_free_batch(tmp_path: Path) -> None:
    form = GraphForm("chnw", "packed")
    labels = labels_for("neonext_nano", 10)
    made = export_verified(load("neonext_nano"), tmp_path, labels, FileRequest(form, None, dtype="fp16"))
    assert made.verdict is not None
    assert made.verdict.passed


class Pooled(nn.Module):
    """Convolutions of each kind around a NeoCell."""

    def __init__(self, *middle: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 2, stride=2), NeoCell(Geometry.split(8, (2,), True)), *middle)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.layers(x).mean((2, 3))
        return pooled


@pytest.mark.parametrize(
    ("middle", "refused", "transposes"),
    [
        ([nn.Conv2d(8, 6, 1), nn.ReLU()], 0, 2),
        ([nn.Conv2d(8, 6, (3, 2), stride=(3, 2))], 0, 3),
        ([nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 4, 1)], 1, 4),
        ([nn.BatchNorm2d(8), nn.BatchNorm2d(8), nn.GELU()], 0, 2),
        ([nn.AvgPool2d(2)], 1, 2),
    ],
)
def test_a_users_own_network(middle: list[nn.Module], refused: int, transposes: int) -> None:
    network = ready(Pooled(*middle))
    deployed, report = passes.prepare(network, input_shape=(1, 3, 23, 18), layout="chnw")
    assert sum("keeps nchw" in r.reason for r in report.refused) == refused
    x = torch.randn(3, 3, 23, 18)
    with torch.no_grad():
        assert relative(deployed(x), network(x)) <= FOLDED
    moved = [n for n in deployed.graph.nodes if n.target == "permute"]
    programs = [m for m in deployed.modules() if any(type(s).__name__ == "Transpose" for s in getattr(m, "steps", ()))]
    assert len(moved) + len(programs) == transposes


def test_a_network_that_ends_with_maps_and_starts_with_a_neocell() -> None:
    network = ready(Mixer())
    deployed, report = passes.prepare(network, input_shape=(1, 12, 14, 17), layout="chnw")
    assert not [r for r in report.refused if "keeps nchw" in r.reason]
    x = torch.randn(3, 12, 14, 17)
    with torch.no_grad():
        assert relative(deployed(x), network(x)) <= FOLDED
    assert sum(n.target == "permute" for n in deployed.graph.nodes) <= 3


class Averaged(nn.Module):
    """A NeoCell and a mean over some axes."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.cell, self.dims = NeoCell(Geometry.split(8, (2,), True)), dims

    def forward(self, x: Tensor) -> Tensor:
        averaged: Tensor = self.cell(x).mean(self.dims)
        return averaged


@pytest.mark.parametrize("dims", [(2, 3), (-1, -2), (1, 2), (1, 3), (0, 1)])
def test_only_the_mean_over_height_and_width_is_the_pooling(dims: tuple[int, ...]) -> None:
    # All axes are equally long: the shapes of the result tell nothing.
    network, x = ready(Averaged(*dims)), torch.randn(8, 8, 8, 8)
    deployed, _ = passes.prepare(network, input_shape=(8, 8, 8, 8), layout="chnw", defer=True)
    with torch.no_grad():
        assert relative(deployed(x), network(x)) <= FOLDED


@pytest.mark.parametrize(("layout", "lowering"), [("chnw", "blockdiag"), ("nchw", "packed"), ("nchw", "kron")])
def test_another_size_than_prepared_for_is_refused(layout: Layout, lowering: LoweringName) -> None:
    network = ready(nn.Sequential(NeoCell(Geometry.split(8, (4,), False))))
    deployed, _ = passes.prepare(network, input_shape=(1, 8, 4, 4), layout=layout, lowering=lowering)
    # A free batch must not swallow the pixels that are too many.
    with pytest.raises(PassRefusedError, match=r"was written for"):
        deployed(torch.randn(1, 8, 8, 8))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"layout": "CHNW"}, "layout 'CHNW': expected nchw or chnw"),
        ({"layout": "auto"}, "layout 'auto': expected"),
        ({"lowering": "auto"}, "lowering 'auto': expected blockdiag"),
    ],
)
def test_a_form_that_is_none(form: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        passes.prepare(build(VARIANTS["neonext_nano"].config), **form)


def test_what_is_multiplied_are_plain_matrices(tmp_path: Path) -> None:
    config = VARIANTS["neonext_t"].config
    deployed, report = passes.prepare(build(config), defer=True, layout="chnw")
    export_onnx(deployed, tmp_path / "t.onnx", batch_size=8)
    model = onnx.shape_inference.infer_shapes(onnx.load(str(tmp_path / "t.onnx")))
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in (*model.graph.value_info, *model.graph.output)}
    ranks |= {i.name: len(i.dims) for i in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    assert len(products) == 1 + 18 * 4 + 3 * 3
    assert {ranks[name] for node in products for name in (*node.input, *node.output)} == {2, 3}
    assert report.lowerings["stage_4.0.ops.content.neocell"] == "blockdiag"
