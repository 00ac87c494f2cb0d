"""A prepared network's constants exist once: whatever was done to the module, the file holds what it computes with."""

from __future__ import annotations

import copy
import io
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from neonext_ascend.errors import PassRefusedError
from neonext_ascend.exporters import export_onnx
from neonext_ascend.exporters.onnx_file.names import readable
from neonext_ascend.models.neonext import NeoNeXt, build, redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.passes import prepare
from neonext_ascend.runtimes.ort import OrtRunner
from neonext_ascend.spec import Layout

# Logits of order 1 after some 20 float32 layers, as in tests/exporters/test_onnx_file.py; another set of weights moves
# them by their own size.
EXPORTED = 5e-6


def network(seed: int) -> NeoNeXt:
    net = build(VARIANTS["neonext_nano"].config)
    redraw_at_order_one(net, seed)
    return net


@pytest.fixture(scope="module")
def others() -> dict[Layout, dict[str, Tensor]]:
    """The constants of another network of the same shapes."""
    return {layout: prepare(network(1), layout=layout)[0].state_dict() for layout in ("nchw", "chnw")}


State = dict[str, Tensor]


def assigned(net: fx.GraphModule, state: State) -> fx.GraphModule:
    net.load_state_dict(state, assign=True)
    return net


def loaded(net: fx.GraphModule, state: State) -> fx.GraphModule:
    net.load_state_dict(state)
    return net


def there_and_back(net: fx.GraphModule, state: State) -> fx.GraphModule:
    return loaded(net.double().float(), state)


def deep_copied(net: fx.GraphModule, state: State) -> fx.GraphModule:
    return loaded(copy.deepcopy(net), state)


def shallow_copied(net: fx.GraphModule, state: State) -> fx.GraphModule:
    return assigned(copy.copy(net), state)


def pickled(net: fx.GraphModule, state: State) -> fx.GraphModule:
    return assigned(pickle.loads(pickle.dumps(net)), state)


def saved(net: fx.GraphModule, state: State) -> fx.GraphModule:
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return loaded(torch.load(file, weights_only=False), state)


def written_into(net: fx.GraphModule, state: State) -> fx.GraphModule:
    for name, buffer in net.named_buffers():
        buffer.copy_(state[name])
    return net


def registered_again(net: fx.GraphModule, state: State) -> fx.GraphModule:
    for path, held in state.items():
        owner, _, name = path.rpartition(".")
        net.get_submodule(owner).register_buffer(name, held)
    return net


def given_parameters(net: fx.GraphModule, state: State) -> fx.GraphModule:
    for path, held in state.items():
        owner, _, name = path.rpartition(".")
        delattr(net.get_submodule(owner), name)
        net.get_submodule(owner).register_parameter(name, nn.Parameter(held))
    return net


def pointed_elsewhere(net: fx.GraphModule, state: State) -> fx.GraphModule:
    for name, buffer in net.named_buffers():
        buffer.data = state[name]
    return net


def without_a_bias(net: fx.GraphModule, _: State) -> fx.GraphModule:
    net.get_submodule("head.fc").register_buffer("bias", None)
    return net


def with_a_new_head(net: fx.GraphModule, _: State) -> fx.GraphModule:
    torch.manual_seed(0)
    net.get_submodule("head").add_module("fc", nn.Linear(96, 7))
    return net


class Tripled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 3 * x


def parametrised(net: fx.GraphModule, _: State) -> fx.GraphModule:
    parametrize.register_parametrization(net.get_submodule("head.fc"), "weight", Tripled())
    return net


def halved(net: fx.GraphModule, state: State) -> fx.GraphModule:
    return loaded(net, state).half()


def in_bfloat16(net: fx.GraphModule, state: State) -> fx.GraphModule:
    return loaded(net, state).to(torch.bfloat16)


def doubled(net: fx.GraphModule, state: State) -> fx.GraphModule:
    return loaded(net, state).double()


def elsewhere(net: fx.GraphModule, state: State) -> fx.GraphModule:
    return assigned(net.to("meta"), state)


def compiled(net: fx.GraphModule, state: State) -> Any:
    return torch.compile(loaded(net, state), backend="eager")


CHANGES = [
    assigned,
    loaded,
    there_and_back,
    deep_copied,
    shallow_copied,
    pickled,
    saved,
    written_into,
    registered_again,
    given_parameters,
    pointed_elsewhere,
    without_a_bias,
    with_a_new_head,
    parametrised,
    halved,
    in_bfloat16,
    doubled,
    elsewhere,
    compiled,
]


@pytest.mark.parametrize("layout", ["nchw", "chnw"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_file_holds_what_the_module_computes_with(
    change: Callable[[fx.GraphModule, State], nn.Module],
    layout: Layout,
    others: dict[Layout, State],
    tmp_path: Path,
) -> None:
    before = prepare(network(0), layout=layout)[0]
    x = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    old = before(x)
    state = {name: held.clone() for name, held in others[layout].items()}
    changed = change(before, state)
    artifact = export_onnx(changed, tmp_path / "x.onnx")  # type: ignore[arg-type]  # a compiled one is no GraphModule
    with OrtRunner(artifact.files[0].path) as runner:
        got = torch.from_numpy(runner.infer({"image": x.numpy()})["logits"])
    with torch.no_grad():
        want = copy.deepcopy(changed).double()(x.double())
    assert got.shape == want.shape
    assert float((got - want).abs().max() / want.abs().max()) <= EXPORTED
    assert got.shape != old.shape or not torch.allclose(got, old, rtol=0.1)
    held = {c.name: numpy_helper.to_array(c) for c in onnx.load(artifact.files[0].path).graph.initializer}
    assert artifact.checksums == {name: f"{zlib.crc32(array.tobytes()):08x}" for name, array in held.items()}


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("kept", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_each_constant_is_the_buffer_rounded_once_to_the_dtype_asked_for(
    kept: torch.dtype, dtype: str, tmp_path: Path
) -> None:
    net = prepare(network(0))[0].to(kept)
    path = export_onnx(net, tmp_path / "x.onnx", dtype=dtype).files[0].path  # type: ignore[arg-type]
    held = {c.name: numpy_helper.to_array(c) for c in onnx.load(path).graph.initializer}
    for name, buffer in net.named_buffers():
        want = buffer.double().numpy().astype({"fp32": np.float32, "fp16": np.float16}[dtype])
        np.testing.assert_array_equal(held[readable(name)], want, err_msg=name)


@pytest.mark.parametrize("defer", [True, False])
@pytest.mark.parametrize("layout", ["nchw", "chnw"])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_exports_the_same_bytes_names_and_points(
    copied: Callable[[fx.GraphModule], fx.GraphModule], layout: Layout, defer: bool, tmp_path: Path
) -> None:
    net = prepare(network(0), layout=layout, defer=defer)[0]
    want = export_onnx(net, tmp_path / "x.onnx")
    got = export_onnx(copied(copied(net)), tmp_path / "x.onnx")
    assert got.files == want.files
    assert got.points == want.points
    assert got.points


def test_copies_and_pickles_of_a_deferred_network_stand_by_themselves() -> None:
    net = network(0)
    deferred = prepare(net, defer=True)[0]
    copies = [copy.deepcopy(deferred), pickle.loads(pickle.dumps(deferred))]
    x = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        want = deferred(x)
        for parameter in net.parameters():
            parameter.mul_(2)
        assert all(torch.equal(copied(x), want) for copied in copies)
        assert not torch.equal(deferred(x), want)
    assert not list(deferred.buffers())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda fc: fc.register_forward_hook(lambda *_: None), "head.fc: has forward hooks"),
        (lambda fc: delattr(fc, "weight"), "head.fc: its weight is missing; expected one of 2 axes"),
        (
            lambda fc: fc.register_buffer("weight", torch.zeros(())),
            r"head.fc: its weight is of shape \(\); expected one",
        ),
        (lambda fc: fc.register_buffer("weight", fc.weight.long()), "head.fc: its weight is torch.int64; expected"),
        (lambda fc: fc.bias.fill_(float("nan")), "head.fc.bias holds NaN or infinity"),
        (lambda fc: fc.weight.view(-1)[5].fill_(-float("inf")), "head.fc.weight holds NaN or infinity"),
        (lambda fc: setattr(fc, "forward", lambda x: 2 * x), "head.fc: its forward was replaced after prepare"),
        (lambda fc: setattr(fc, "compute", lambda x, _: 2 * x), "head.fc: its forward was replaced after prepare"),
        (lambda fc: fc.register_buffer("bias", torch.zeros(4)), r"its bias is \(4,\), its weight gives 10 outputs"),
        (lambda fc: fc.to(torch.complex64), "weight is torch.complex64; expected a plain tensor of numbers"),
        (lambda fc: fc.to("meta"), "is on the meta device, which holds no numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
def test_what_no_file_could_hold_is_refused(change: Callable[[nn.Module], object], words: str, tmp_path: Path) -> None:
    net = prepare(network(0))[0]
    change(net.get_submodule("head.fc"))
    with pytest.raises(PassRefusedError, match=words):
        export_onnx(net, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def other_forward(net: fx.GraphModule) -> None:
    net.forward = lambda x: 2 * net(x)


def class_of_its_own(net: fx.GraphModule) -> None:
    net.__class__ = type("Doubled", (type(net),), {"forward": lambda self, x: 2 * super(type(self), self).forward(x)})


def activation(net: fx.GraphModule) -> None:
    net.get_submodule("stage_1.0.ops.content.act").forward = torch.relu


def edited(net: fx.GraphModule) -> None:
    (output,) = (node for node in net.graph.nodes if node.op == "output")
    with net.graph.inserting_before(output):
        output.args = (net.graph.call_function(torch.relu, output.args),)


def program_without_a_constant(net: fx.GraphModule) -> None:
    del net.get_submodule("stage_1.0.ops.content.neocell").left


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_forward, "this network: its forward was replaced after prepare"),
        (class_of_its_own, "this network: its forward was replaced after prepare"),
        (activation, "stage_1.0.ops.content.act: its forward was replaced after prepare"),
        (edited, r"call network\.recompile\(\) first"),
        (program_without_a_constant, "stage_1.0.ops.content.neocell: its left is missing"),
    ],
)
def test_a_network_that_computes_something_else_than_its_graph_is_refused(
    change: Callable[[fx.GraphModule], None], words: str, tmp_path: Path
) -> None:
    net = prepare(network(0))[0]
    change(net)
    with pytest.raises(PassRefusedError, match=words):
        export_onnx(net, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("defer", [True, False])
@pytest.mark.parametrize("path", ["", "head.fc", "stage_1.0.ops.content.neocell"])
def test_a_forward_that_tracing_does_not_see_is_refused(path: str, defer: bool) -> None:
    net = network(0)
    module = net.get_submodule(path)
    module.forward = lambda x: 2 * type(module).forward(module, x)
    with pytest.raises(PassRefusedError, match=f"{path or 'NeoNeXt'}: its forward was replaced on this object"):
        prepare(net, defer=defer)


@pytest.mark.parametrize(
    ("norm", "words"),
    [
        (nn.LayerNorm(8), r"1: its weight is \(7,\), its input has 8 elements"),
        (nn.BatchNorm2d(3).requires_grad_(False), r"BatchNorm at '1' has constants of another shape than \(3,\)"),
    ],
)
def test_a_norm_whose_constants_have_another_shape_is_refused(norm: nn.Module, words: str, tmp_path: Path) -> None:
    net = prepare(nn.Sequential(nn.GELU(), norm).eval(), input_shape=(1, 3, 8, 8))[0]
    setattr(net.get_submodule("1"), "weight", nn.Parameter(torch.ones(7)))  # noqa: B010 -- as assigning, without its type
    with pytest.raises(PassRefusedError, match=words):
        export_onnx(net, tmp_path / "x.onnx")


def test_deferred_constants_are_looked_at_where_they_are_written(tmp_path: Path) -> None:
    net = network(0)
    with torch.no_grad():
        net.get_buffer("stem.norm.running_var")[1] = -1
    with pytest.raises(PassRefusedError, match=r"stem\.conv\.weight holds NaN or infinity"):
        export_onnx(prepare(net, defer=True)[0], tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_fp16_alone_cannot_hold_is_written_and_judged_later(tmp_path: Path) -> None:
    net = prepare(network(0))[0]
    net.get_buffer("head.fc.bias")[0] = 1e6
    path = export_onnx(net, tmp_path / "x.onnx", dtype="fp16").files[0].path
    held = {c.name: numpy_helper.to_array(c) for c in onnx.load(path).graph.initializer}
    assert np.isinf(held["head.fc.bias"][0])
