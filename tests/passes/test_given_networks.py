"""Networks as people give them to ``prepare``: wrapped, parametrised, in another dtype, or refused with the cure."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.ao.quantization import quantize_dynamic
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

from neonext_ascend.errors import PassRefusedError, UsageError
from neonext_ascend.exporters import export_onnx
from neonext_ascend.models.layers import tensors_in
from neonext_ascend.models.neonext import NeoNeXt, build, redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.passes import prepare
from neonext_ascend.runtimes.ort import OrtRunner
from neonext_ascend.spec import Layout

# As in tests/passes/test_passes.py: twice what was measured of reordered float32 sums.
FOLDED = 2e-6
# torch does not type these.
COMPILED: Any = partial(torch.compile, backend="eager")
TRACED: Any = torch.jit.trace
PRUNED: Any = prune.l1_unstructured
SYNCED: Any = nn.SyncBatchNorm.convert_sync_batchnorm


def network() -> NeoNeXt:
    net = build(VARIANTS["neonext_nano"].config)
    redraw_at_order_one(net)
    return net


def changed(change: Callable[[NeoNeXt], object]) -> NeoNeXt:
    net = network()
    change(net)
    return net.eval()


def relative(candidate: Tensor, reference: Tensor) -> float:
    return float((candidate - reference).abs().max() / reference.abs().max())


def compile_stem(net: NeoNeXt) -> None:
    net.stem = torch.compile(net.stem, backend="eager")  # type: ignore[assignment]  # as people do


def weight_norm_everywhere(net: NeoNeXt) -> None:
    for module in list(net.modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            parametrizations.weight_norm(module)


def parametrise_a_cell(net: NeoNeXt) -> None:
    cell: Any = net.get_submodule("stage_1.0.ops.content.neocell")
    nn.utils.parametrize.register_parametrization(cell.weight_a, "0", nn.Tanh())


ACCEPTED: dict[str, Callable[[], nn.Module]] = {
    "torch.compile": lambda: COMPILED(network()),
    "a compiled part": lambda: changed(compile_stem),
    "Module.compile": lambda: changed(lambda net: net.compile(backend="eager")),
    "Module.compile of a part": lambda: changed(lambda net: net.stem.compile(backend="eager")),
    "DataParallel": lambda: nn.DataParallel(network()).eval(),
    "AveragedModel": lambda: AveragedModel(network()).eval(),
    "wrapped twice": lambda: nn.DataParallel(COMPILED(network())).eval(),
    "SyncBatchNorm": lambda: SYNCED(network()),
    "weight_norm": lambda: changed(weight_norm_everywhere),
    "spectral_norm": lambda: changed(lambda net: parametrizations.spectral_norm(net.get_submodule("head.fc"))),
    "orthogonal": lambda: changed(lambda net: parametrizations.orthogonal(net.get_submodule("head.fc"))),
    "a parametrised BatchNorm": lambda: changed(
        lambda net: nn.utils.parametrize.register_parametrization(net.get_submodule("stem.norm"), "weight", nn.Tanh())
    ),
    "a parametrised cell": lambda: changed(parametrise_a_cell),
    "backward hooks": lambda: changed(lambda net: net.register_full_backward_hook(lambda *_: None)),
}


@pytest.mark.parametrize("defer", [False, True])
@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_only_wraps_or_computes_weights_is_taken(kind: str, defer: bool) -> None:
    net = ACCEPTED[kind]()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        want = net(x)
        deployed, report = prepare(net, defer=defer)
        assert relative(deployed(x), want) <= FOLDED
        assert report.refused == []
        assert report.changed["fold_batchnorm"] == 10
        # The network itself is as it was, its parametrisations included.
        assert torch.equal(net(x), want)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_spectral_norm_in_training_keeps_its_vectors() -> None:
    net = parametrizations.spectral_norm(nn.Linear(4, 4))
    before = [buffer.clone() for buffer in net.buffers()]
    with pytest.raises(PassRefusedError, match="in training mode"):
        prepare(nn.Sequential(net), input_shape=(1, 4))
    assert all(torch.equal(was, now) for was, now in zip(before, net.buffers(), strict=True))


@pytest.mark.parametrize("layout", ["nchw", "chnw"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("part", ["", "head", "stem"])
def test_another_dtype_is_folded_as_exactly(part: str, dtype: torch.dtype, layout: Layout, tmp_path: Path) -> None:
    net = network()
    net.get_submodule(part).to(dtype)
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        want = copy.deepcopy(net).double()(x.double())
        for defer in (False, True):
            deployed, _ = prepare(net, defer=defer, layout=layout)
            assert relative(deployed(x).double(), want) <= FOLDED
            file = export_onnx(deployed, tmp_path / "x.onnx", batch_size=2).files[0].path
            with OrtRunner(file) as runner:
                assert relative(torch.from_numpy(runner.infer({"image": x.numpy()})["logits"]).double(), want) <= FOLDED


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_layers_that_do_not_fold_take_another_dtype_too(dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.GELU(), nn.SyncBatchNorm(3), nn.GELU(), nn.Conv2d(3, 4, 3, padding=1)).eval().to(dtype)
    deployed, _ = prepare(net, input_shape=(1, 3, 8, 8))
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert relative(deployed(x).double(), copy.deepcopy(net).double()(x.double())) <= FOLDED


def test_autocast_and_the_default_dtype_change_nothing() -> None:
    net = network()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            deployed, _ = prepare(net)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {buffer.dtype for buffer in deployed.buffers()} == {torch.float32}


def quantised() -> nn.Module:
    made: nn.Module = quantize_dynamic(network(), {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    return made


def nan_weights() -> nn.Module:
    net = network()
    with torch.no_grad():
        net.get_parameter("head.fc.weight").fill_(float("nan"))
    return net


def with_adapters(net: NeoNeXt) -> None:
    net.get_submodule("head.fc").add_module("lora_A", nn.ModuleDict())


class Subclass(Tensor):
    """A tensor of a kind of its own, as other libraries' quantised and distributed ones are."""


def with_a_kind_of_its_own(net: NeoNeXt) -> None:
    net.get_submodule("head.fc").weight = nn.Parameter(torch.zeros(10, 96).as_subclass(Subclass))


def old_norm(change: Callable[..., object]) -> Callable[[], nn.Module]:
    return lambda: changed(lambda net: change(net.get_submodule("stem.conv")))


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (old_norm(nn.utils.weight_norm), r"stem.conv: .*WeightNorm.*call torch.nn.utils.remove_weight_norm"),
    (old_norm(nn.utils.spectral_norm), r"stem.conv: .*SpectralNorm.*call torch.nn.utils.remove_spectral_norm"),
    (
        old_norm(lambda conv: PRUNED(conv, "weight", 0.5)),
        r"stem.conv: .*call torch.nn.utils.prune.remove",
    ),
    (lambda: changed(lambda net: net.head.register_forward_pre_hook(lambda *_: None)), "head: has forward hooks"),
    (lambda: prepare(network())[0], "prepared already; give the one that it was made from"),
    (lambda: torch.compile(prepare(network())[0], backend="eager"), "prepared already"),
    (lambda: TRACED(network(), torch.zeros(1, 3, 96, 96)), "is TorchScript, .*give the network that it was"),
    (lambda: nn.Sequential(torch.jit.script(nn.GELU())), "^0: is TorchScript"),
    (quantised, r"fc_1: is a layer of quantisation \(Linear\); give the network as it was before"),
    (lambda: changed(with_adapters), r"head.fc: has LoRA adapters .*merge_and_unload"),
    (lambda: changed(with_a_kind_of_its_own), "head.fc: weight is a Subclass; expected a plain tensor"),
    (lambda: nn.Sequential(nn.LazyLinear(3)).eval(), "^0: weight has no shape yet; run the network once"),
    (lambda: network().to(torch.complex64), "weight is torch.complex64; expected a plain tensor of numbers"),
    (nan_weights, "gives NaN or infinity for noise; look at its weights"),
    (lambda: torch.export.export(network(), (torch.zeros(1, 3, 96, 96),)), "ExportedProgram is not a network"),
    (lambda: None, "NoneType is not a network; expected a torch.nn.Module"),
    (lambda: network().state_dict(), "OrderedDict is not a network"),
    (lambda: NeoNeXt, "type is not a network"),
    (lambda: network().to("meta"), "on the meta device, which holds no numbers; load them first"),
    (lambda: changed(lambda net: net.stem.to("meta")), "on the meta device"),
]


@pytest.mark.parametrize(("make", "words"), REFUSED)
@pytest.mark.filterwarnings("ignore:Complex modules are a new feature", "ignore:.*is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*are deprecated:UserWarning")
@pytest.mark.filterwarnings("ignore:.*deprecated.*:DeprecationWarning")  # torch's own word on jit, ao and weight_norm
def test_what_cannot_be_prepared_is_refused_with_the_cure(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(PassRefusedError, match=words):
        prepare(make())


def test_a_network_without_numbers_has_shapes_to_count_by_but_no_file(tmp_path: Path) -> None:
    counted, report = prepare(network().to("meta"), defer=True)
    assert report.changed["lower_neocell"] == 6
    with pytest.raises(PassRefusedError, match=r"stem.conv.weight is on the meta device"):
        export_onnx(counted, tmp_path / "x.onnx")
    with pytest.raises(PassRefusedError, match="on the meta device"):
        prepare(changed(lambda net: net.head.to("meta")), defer=True)
    assert list(tmp_path.iterdir()) == []


class Returning(nn.Module):
    """A linear layer, and what the forward makes of it."""

    def __init__(self, made: Callable[[Returning, Tensor], object]) -> None:
        super().__init__()
        self.fc, self.made = nn.Linear(4, 4), made

    def forward(self, x: Tensor) -> object:
        return self.made(self, self.fc(x))


@pytest.mark.parametrize("defer", [False, True])
@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda _, y: (y, y), "returns one tensor twice; expected each once"),
        (lambda _, y: (y, None), "returns no tensor as its output 'output2'; expected one tensor, or a list, tuple"),
        (lambda _, y: ((y, {"a": y}),), "returns no tensor as its output 'output1'"),
        (lambda _, y: {"a": [y]}, "returns no tensor as its output 'a'"),
        (lambda *_: [], "returns no tensor; expected"),
        (lambda *_: None, "returns no tensor"),
        (lambda _, y: y.shape, "returns no tensor"),
        (lambda _, y: y.size(0), "returns no tensor"),
        (lambda *_: "logits", "returns no tensor"),
        (lambda _, y: y[:0], r"output \(0, 4\) is empty"),
    ],
)
def test_anything_but_tensors_is_refused(made: Callable[[Returning, Tensor], object], words: str, defer: bool) -> None:
    with pytest.raises(PassRefusedError, match=words):
        prepare(Returning(made).eval(), input_shape=(1, 4), defer=defer)


@pytest.mark.parametrize(
    ("made", "names"),
    [
        (lambda _, y: (y,), ["output1"]),
        (lambda _, y: [y, F.relu(y)], ["output1", "output2"]),
        (lambda _, y: {"all": y, "positive": F.relu(y)}, ["all", "positive"]),
    ],
)
def test_several_outputs_are_each_written_and_right(
    made: Callable[[Returning, Tensor], object], names: list[str], tmp_path: Path
) -> None:
    torch.manual_seed(0)  # by chance all four may be below zero, and relu leaves nothing to compare with
    net = Returning(made).eval()
    prepared, _ = prepare(net, input_shape=(1, 4))
    x = torch.randn(1, 4)
    assert net.fc(x).max() > 0
    for asked in (None, [f"mine{i}" for i in range(len(names))]):
        file = export_onnx(prepared, tmp_path / "x.onnx", outputs=asked).files[0].path
        with OrtRunner(file) as runner, torch.no_grad():
            got = runner.infer({"image": x.numpy()})
            assert list(got) == (asked or names)
            for name, want in zip(got, tensors_in(net(x)), strict=True):
                assert relative(torch.from_numpy(got[name]), want) <= FOLDED


@pytest.mark.parametrize("names", ["logits", ["a"], ["a", "a"], ["a", "image"], ["a", "b c"], ["a", 1], 7])
def test_names_that_no_outputs_can_have_are_refused(names: Any, tmp_path: Path) -> None:
    prepared, _ = prepare(Returning(lambda _, y: [y, F.relu(y)]).eval(), input_shape=(1, 4))
    with pytest.raises(UsageError, match=r"outputs .* expected 2 names, each another"):
        export_onnx(prepared, tmp_path / "x.onnx", outputs=names)


@pytest.mark.parametrize("made", [lambda net, _: net.fc.weight, lambda *_: torch.zeros(3)])
def test_an_output_that_nothing_computes_has_no_file(
    made: Callable[[Returning, Tensor], object], tmp_path: Path
) -> None:
    with pytest.raises(PassRefusedError, match="output is nothing that it computes"):
        export_onnx(prepare(Returning(made).eval(), input_shape=(1, 4))[0], tmp_path / "x.onnx")


@pytest.mark.parametrize("defer", [False, True])
def test_a_weight_that_the_forward_uses_again_is_the_layers_own(defer: bool) -> None:
    net = Returning(lambda net, y: F.linear(y, net.fc.weight)).eval()
    deployed, _ = prepare(net, input_shape=(1, 4), defer=defer)
    x = torch.randn(3, 4)
    with torch.no_grad():
        assert relative(deployed(x), net(x)) <= FOLDED


def test_a_network_without_parameters(tmp_path: Path) -> None:
    file = export_onnx(prepare(nn.GELU().eval(), input_shape=(1, 4))[0], tmp_path / "x.onnx").files[0].path
    x = np.random.RandomState(0).standard_normal((1, 4)).astype(np.float32)
    with OrtRunner(file) as runner:
        got = torch.from_numpy(runner.infer({"image": x})["logits"])
    torch.testing.assert_close(got, F.gelu(torch.from_numpy(x)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("layout", ["nchw", "chnw"])
def test_an_empty_batch_gives_an_empty_result(layout: Layout) -> None:
    assert prepare(network(), layout=layout)[0](torch.zeros(0, 3, 96, 96)).shape == (0, 10)
