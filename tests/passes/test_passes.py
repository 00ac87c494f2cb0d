"""Each pass: what it changes is counted before numbers are compared, and what it refuses has its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, fx, nn

from neonext_ascend import passes
from neonext_ascend.errors import GeometryError, PassRefusedError
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.models.layers import LayerScale
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.passes.frozen.layers import Frozen, FrozenConv2d, FrozenLinear
from neonext_ascend.passes.frozen.program import FrozenProgram

# Folding reorders float32 sums of some thousand terms; 2e-6 of the largest value is twice what was measured.
FOLDED = 2e-6


def relative(candidate: Tensor, reference: Tensor) -> float:
    return float((candidate - reference).abs().max() / reference.abs().max())


def layer_types(graph: fx.GraphModule) -> list[str]:
    return [type(graph.get_submodule(str(n.target))).__name__ for n in graph.graph.nodes if n.op == "call_module"]


class Mixer(nn.Module):
    """A user's own module: NeoCell, BatchNorm and two linear layers on channels-last tensors."""

    def __init__(self, channels: int = 12, between: nn.Module | None = None, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.cell = NeoCell(Geometry.split(channels, (4, 7), shift=True))
        self.between = between or nn.Identity()
        self.norm = norm or nn.BatchNorm2d(channels)
        self.widen = nn.Linear(channels, 2 * channels)
        self.act = nn.GELU()
        self.narrow = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.between(self.cell(x))).permute(0, 2, 3, 1)
        y = self.narrow(self.act(self.widen(y)))
        z: Tensor = x + y.permute(0, 3, 1, 2)
        return z


def ready(module: nn.Module, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    redraw_at_order_one(module, seed)
    return module.eval()


@pytest.mark.parametrize("name", ["neonext_nano", "neonext_t.paper", "neonext_t.table1"])
def test_prepare_folds_everything_and_keeps_the_function(name: str) -> None:
    config = replace(VARIANTS[name].config, depths=(1, 1, 2, 1), image_size=(96, 96))
    config = replace(config, widths=(16, 24, 36, 40), num_classes=11)
    net = build(config)
    redraw_at_order_one(net)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    deployed, report = passes.prepare(net)
    blocks, release = sum(config.depths), config.definition == "release"
    assert report.changed == {
        "remove_noops": blocks,
        "fold_layer_scale": blocks if release else 0,
        "channels_first": blocks,
        "fold_space_to_depth": 1,
        "fold_downsampling": 3,
        "fold_batchnorm": 1 + blocks + (3 if release else 6),
        "move_shift": blocks,
        "fold_layernorm": 1,
        "lower_neocell": blocks,
    }
    assert report.refused == []
    kinds = layer_types(deployed)
    assert kinds.count("FrozenProgram") == blocks
    assert not {"BatchNorm2d", "LayerScale", "PixelUnshuffle", "Linear", "Conv2d"} & set(kinds)
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert relative(deployed(x), net(x)) <= FOLDED
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_deferred_and_materialised_networks_compute_the_same() -> None:
    net = ready(build(VARIANTS["neonext_nano"].config))
    deferred, _ = passes.prepare(net, defer=True)
    full, _ = passes.prepare(net)
    x = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(deferred(x), full(x))
    assert not list(deferred.parameters())
    assert not list(deferred.buffers())
    assert {b.dtype for b in full.buffers()} == {torch.float32}


def test_passes_work_on_a_users_own_module() -> None:
    net = ready(Mixer())
    deployed, report = passes.prepare(net, input_shape=(1, 12, 14, 17))
    assert report.changed["fold_batchnorm"] == 1
    assert report.changed["move_shift"] == 1
    assert layer_types(deployed) == ["FrozenProgram", "FrozenConv2d", "GELU", "FrozenConv2d"]
    x = torch.randn(3, 12, 14, 17)
    with torch.no_grad():
        assert relative(deployed(x), net(x)) <= FOLDED


def test_each_pass_alone_keeps_the_function_and_its_argument() -> None:
    net = ready(build(VARIANTS["neonext_nano"].config))
    x = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        want = net(x)
    steps: list[passes.Pass] = [
        passes.RemoveNoops(),
        passes.FoldLayerScale(),
        passes.FoldSpaceToDepth(),
        passes.FoldBatchNorm(),
        passes.FoldLayerNorm(),
        passes.LowerNeoCell((1, 3, 96, 96)),
    ]
    for step in steps:
        changed, report = step(net)
        assert report.changed, step.name
        with torch.no_grad():
            assert relative(changed(x), want) <= FOLDED, step.name
            assert torch.equal(net(x), want), step.name


def test_a_layer_that_is_called_twice_is_folded_for_each_call() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)
            self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.second(self.conv(self.first(self.conv(x))))
            return y

    net = ready(Twice())
    deployed, report = passes.prepare(net, input_shape=(1, 4, 5, 6))
    assert report.changed["fold_batchnorm"] == 2
    x = torch.randn(2, 4, 5, 6)
    with torch.no_grad():
        assert relative(deployed(x), net(x)) <= FOLDED


def test_a_downsampling_with_a_remainder_drops_the_last_row() -> None:
    net = ready(nn.Sequential(nn.Conv2d(6, 9, 1), NeoCell(Geometry.downsample(9)), nn.BatchNorm2d(9)))
    deployed, _ = passes.prepare(net, input_shape=(1, 6, 15, 8))
    assert layer_types(deployed) == ["FrozenConv2d"]
    x = torch.randn(2, 6, 15, 8)
    with torch.no_grad():
        assert deployed(x).shape == (2, 9, 7, 4)
        assert relative(deployed(x), net(x)) <= FOLDED


def test_a_neocell_with_bias_keeps_it() -> None:
    cell = NeoCell(Geometry.split(10, (4,), shift=True), bias=True)
    net = ready(nn.Sequential(cell, nn.BatchNorm2d(10)))
    with torch.no_grad():
        for bias in cell.bias or ():
            bias.normal_()
    deployed, report = passes.prepare(net, input_shape=(1, 10, 9, 8))
    assert [r.reason for r in report.refused] == [
        "the network's output follows, not one linear layer; the shift stays as an addition"
    ]
    x = torch.randn(2, 10, 9, 8)
    with torch.no_grad():
        assert relative(deployed(x), net(x)) <= FOLDED


def test_folding_is_exact_in_float64() -> None:
    # A BatchNorm whose scale spans 12 decades: float32 steps in between would lose it.
    net = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)).eval()
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.running_var.copy_(torch.tensor([1e-6, 1.0, 1e6, 3.0]))  # type: ignore[union-attr]
        norm.running_mean.copy_(torch.tensor([1.0, -2.0, 3.0, 0.0]))  # type: ignore[union-attr]
    deployed, _ = passes.prepare(net, input_shape=(1, 3, 2, 2), defer=True)
    conv = deployed.get_submodule("0")
    assert isinstance(conv, FrozenConv2d)
    exact = net.double()
    x = torch.randn(5, 3, 2, 2, dtype=torch.float64)
    weight, bias = conv.constants["weight"].value(), conv.constants["bias"].value()
    with torch.no_grad():
        assert relative(torch.nn.functional.conv2d(x, weight, bias), exact(x)) <= 1e-14


def no_statistics(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, track_running_stats=False)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (lambda: Mixer(between=nn.GELU()), "GELU 'between' stands before it, not a NeoCell or a convolution"),
        (lambda: Mixer(norm=no_statistics(12)), "it has no running statistics; it normalises each batch by itself"),
    ],
)
def test_batchnorm_is_refused_with_the_reason(module: Callable[[], nn.Module], reason: str) -> None:
    net = ready(module())
    deployed, report = passes.prepare(net, input_shape=(1, 12, 14, 14))
    assert [r.reason for r in report.refused if r.where == "norm"] == [reason]
    assert "BatchNorm2d" in layer_types(deployed)
    x = torch.randn(2, 12, 14, 14)
    with torch.no_grad():
        assert relative(deployed(x), net(x)) <= FOLDED


def test_batchnorm_in_training_mode_is_refused() -> None:
    net = Mixer().eval()
    net.norm.train()
    _, report = passes.FoldBatchNorm()(net)
    assert report.changed == []
    assert "training mode" in report.refused[0].reason


def test_a_result_that_is_used_twice_is_refused() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.norm = NeoCell(Geometry.split(4, (2,), False)), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.cell(x)
            z: Tensor = self.norm(y) + y
            return z

    net = ready(Shared())
    deployed, report = passes.prepare(net, input_shape=(1, 4, 6, 6))
    assert "used elsewhere too" in report.refused[0].reason
    x = torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        assert relative(deployed(x), net(x)) <= FOLDED


def test_channels_last_work_that_does_not_come_back_is_refused_and_still_right() -> None:
    class Last(Mixer):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.widen(self.norm(self.cell(x)).permute(0, 2, 3, 1))
            return y.mean((1, 2))

    net = ready(Last())
    deployed, report = passes.prepare(net, input_shape=(1, 12, 14, 14))
    assert report.changed["channels_first"] == 0
    assert report.changed["move_shift"] == 1
    x = torch.randn(2, 12, 14, 14)
    with torch.no_grad():
        assert relative(deployed(x), net(x)) <= FOLDED


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: passes.prepare(build(VARIANTS["neonext_nano"].config).train()), PassRefusedError, "call .eval()"),
        (lambda: passes.prepare(Mixer().eval()), PassRefusedError, "give image_size or input_shape"),
        (lambda: passes.prepare(Mixer().eval(), 8, input_shape=(1, 12, 8, 8)), PassRefusedError, "not both"),
        (lambda: passes.prepare(Mixer().eval(), input_shape=(1, 12, 5, 5)), GeometryError, "too small for a shifted"),
        (lambda: passes.prepare(Mixer().eval(), input_shape=(1, 9, 14, 14)), PassRefusedError, "expected 12 elements"),
    ],
)
def test_prepare_refuses(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words.replace("(", r"\(").replace(")", r"\)")):
        call()


def test_a_forward_that_cannot_be_traced_is_refused() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(PassRefusedError, match="cannot be traced"):
        passes.prepare(Branching().eval(), input_shape=(1, 2))


def test_layer_scale_without_a_linear_layer_before_it_is_refused() -> None:
    net = nn.Sequential(nn.GELU(), LayerScale(5, 0.3)).eval()
    _, report = passes.FoldLayerScale()(net)
    assert "not a linear layer" in report.refused[0].reason


def test_materialised_layers_keep_their_constants_when_the_network_trains_on() -> None:
    net = ready(build(VARIANTS["neonext_nano"].config))
    deployed, _ = passes.prepare(net)
    x = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        want = deployed(x)
        for parameter in net.parameters():
            parameter.add_(1.0)
        assert torch.equal(deployed(x), want)


def test_frozen_shapes_are_those_of_the_computation() -> None:
    net = ready(build(VARIANTS["neonext_nano"].config))
    deployed, _ = passes.prepare(net)
    checked = 0
    for module in deployed.modules():
        if isinstance(module, (FrozenConv2d, FrozenLinear, FrozenProgram)):
            weight = module.constants.get("weight")
            if isinstance(module, FrozenProgram):
                channels, height = module.constants["left"].shape[0], module.constants["left"].shape[2]
                shape: tuple[int, ...] = (1, channels, height, module.constants["right"].shape[1])
            elif isinstance(module, FrozenLinear):
                assert weight is not None
                shape = (1, weight.shape[1])
            else:
                assert weight is not None
                shape = (1, weight.shape[1] * module.groups, 8, 8)
            assert module(torch.zeros(shape)).shape == module.output_shape(shape)
            checked += 1
    assert checked == 6 + 16 + 1
    assert all(
        isinstance(m, (Frozen, nn.GELU)) for m in deployed.modules() if not list(m.children()) and m is not deployed
    )


def test_a_fractional_cell_is_lowered_not_folded() -> None:
    geometry = Geometry((CellGroup(Cell(3, 2, 3, 2), 5),))
    net = ready(nn.Sequential(NeoCell(geometry)))
    deployed, report = passes.prepare(net, input_shape=(1, 5, 14, 9))
    assert report.changed["fold_downsampling"] == 0
    assert "one pixel" in report.refused[0].reason
    x = torch.randn(2, 5, 14, 9)
    with torch.no_grad():
        assert relative(deployed(x), net(x)) <= FOLDED


class Tricky(nn.Module):
    """A base for forwards that tracing can get wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.norm = NeoCell(Geometry.split(4, (3,), False)), nn.BatchNorm2d(4)
        self.relu, self.linear = nn.ReLU(inplace=True), nn.Linear(4, 4)


class InPlace(Tricky):
    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.norm(self.cell(x))
        y: Tensor = self.relu(h) + h
        return y


class Augmented(Tricky):
    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.cell(x))
        k = h
        h += x
        y: Tensor = h + k
        return y


class Subclassed(Tricky):
    def __init__(self) -> None:
        super().__init__()

        class More(NeoCell):
            def forward(self, x: Tensor) -> Tensor:
                y: Tensor = super().forward(x) + x
                return y

        self.cell = More(Geometry.split(4, (3,), False))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.cell(x))
        return y


class Hooked(Tricky):
    def __init__(self) -> None:
        super().__init__()
        self.linear.register_forward_hook(lambda _m, _a, out: out * 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(self.cell(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return y


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (InPlace, "works in place"),
        (Augmented, "computes something else"),
        (Subclassed, "cannot be traced"),
        (Hooked, "forward hooks"),
    ],
)
def test_what_tracing_would_get_wrong_is_refused(kind: type[nn.Module], words: str) -> None:
    with pytest.raises(PassRefusedError, match=words):
        passes.prepare(ready(kind()), input_shape=(1, 4, 6, 6))


def test_a_users_own_name_is_not_overwritten_by_a_second_call() -> None:
    class Clash(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.fc_call2 = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.fc_call2(self.fc(self.fc(x)))
            return y

    net = ready(Clash())
    deployed, _ = passes.prepare(net, input_shape=(1, 3))
    x = torch.randn(5, 3)
    with torch.no_grad():
        assert relative(deployed(x), net(x)) <= FOLDED


def test_passes_in_another_order_keep_the_function() -> None:
    net = ready(nn.Sequential(nn.Conv2d(6, 9, 1), NeoCell(Geometry.downsample(9)), nn.BatchNorm2d(9)))
    folded, _ = passes.FoldDownsampling()(passes.FoldBatchNorm()(net)[0])
    x = torch.randn(2, 6, 8, 8)
    with torch.no_grad():
        assert relative(folded(x), net(x)) <= FOLDED


def test_space_to_depth_keeps_its_demand_on_the_size() -> None:
    net = ready(build(VARIANTS["neonext_nano"].config))
    with pytest.raises(PassRefusedError, match="not a multiple of 4x4"):
        passes.prepare(net, image_size=225)


def test_the_prepared_network_shares_nothing_with_the_original() -> None:
    net = ready(Mixer(between=nn.GELU()))  # its BatchNorm does not fold
    deployed, _ = passes.prepare(net, input_shape=(1, 12, 14, 14))
    x = torch.randn(1, 12, 14, 14)
    with torch.no_grad():
        want = deployed(x)
        for tensor in (*net.parameters(), *net.buffers()):
            tensor.add_(1)
        assert torch.equal(deployed(x), want)
