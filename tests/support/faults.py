"""The twelve faults, each planted in an export of a small trained network or in its manifest.

``python -m tests.support.faults`` plants each, and prints what the ladder says and whether a plain allclose on the
logits would let it through.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper
from torch import nn

from neonext_ascend import jobs
from neonext_ascend.artifacts.manifest import manifest_path
from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.checkpoints.loading import create
from neonext_ascend.data import NANO_WEIGHTS, data_path, sample_pictures
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.kernels.geometry import CellGroup, Geometry, Side
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import NeoNeXt
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.runtimes.registry import open_runner
from neonext_ascend.verify.feeds import feeds_for, noise
from neonext_ascend.verify.subject import Subject
from tests.support.injection import largest_values, plant

# The trained digits network under a name of its own, so that its pictures are prepared as ImageNet's are.
CONFIG = replace(VARIANTS["neonext_nano"].config, name="digits")
CHECKPOINT = data_path(NANO_WEIGHTS)
RTOL, ATOL = 1e-3, 1e-2  # of the plain allclose

Change = Callable[[Path], None]


def export(folder: Path) -> Path:
    """A right one."""
    return jobs.export(CONFIG, checkpoint=CHECKPOINT, output=folder).onnx.path


def network() -> NeoNeXt:
    """What it was made from."""
    return create(CONFIG, checkpoint=CHECKPOINT)


def graph(change: Callable[[ModelProto], ModelProto | None]) -> Change:
    """A change of the file."""

    def apply(path: Path) -> None:
        model = onnx.load(str(path))
        onnx.save(change(model) or model, str(path))

    return apply


def constants(change: Callable[[Any], Any], *names: str) -> Change:
    """A change of these constants."""

    def apply(model: ModelProto) -> None:
        for held in model.graph.initializer:
            if held.name in names:
                array = np.ascontiguousarray(change(numpy_helper.to_array(held)))
                held.CopyFrom(numpy_helper.from_array(array, held.name))

    return graph(apply)


def from_network(change: Callable[[NeoNeXt], NeoNeXt | None]) -> Change:
    """The file of another network under the manifest of the right one."""

    def apply(path: Path) -> None:
        wrong = network()
        FileRequest.of(manifest_of(path)).emit(Subject(change(wrong) or wrong), path)

    return apply


def preparation(**fields: Any) -> Change:
    """Other fields of the preparation in the manifest."""

    def apply(path: Path) -> None:
        held = manifest_path(path)
        data = json.loads(held.read_text(encoding="utf-8"))
        data["preprocessing"] |= fields
        held.write_text(json.dumps(data), encoding="utf-8")

    return apply


def norm(network: NeoNeXt, path: str) -> nn.BatchNorm2d:
    found = network.get_submodule(path)
    assert isinstance(found, nn.BatchNorm2d)
    return found


def other_epsilon(network: NeoNeXt, epsilon: float = 1e-3) -> None:
    norm(network, "stage_3.0.ops.content.norm").eps = epsilon


def stale_variance(network: NeoNeXt, path: str = "stage_2.1.ops.content.norm", share: float = 0.0) -> None:
    """The initial one, or one with every channel off by up to ``share``."""
    held = norm(network, path).running_var
    assert held is not None
    random = torch.rand(held.shape, generator=torch.Generator().manual_seed(0))
    held.copy_(held * (1 - share + 2 * share * random) if share else torch.ones_like(held))


def fresh_norm(network: NeoNeXt, part: str, path: str = "stage_2.1.ops.content.norm") -> None:
    """A part of a BatchNorm as it is before any training."""
    getattr(norm(network, path), part).data.zero_()


def no_bias(network: NeoNeXt) -> None:
    linear = network.get_submodule("stage_3.1.ops.content.fc_1")
    assert isinstance(linear, nn.Linear)
    linear.bias.data.zero_()


def no_shift(right: NeoNeXt) -> NeoNeXt:
    """The second stage without its shift."""
    shifts = tuple(shift and stage != 1 for stage, shift in enumerate(CONFIG.shifts))
    return create(replace(CONFIG, shifts=shifts), checkpoint=CHECKPOINT)


class Turned(CellGroup):
    """Cells that begin as many pixels before the edge as they should begin behind it."""

    def shifts(self, side: Side) -> NDArray[np.int64]:
        return -CellGroup.shifts(self, side) % self.cell.h_in


def turned_shift(network: NeoNeXt) -> None:
    cell = network.get_submodule("stage_2.0.ops.content.neocell")
    assert isinstance(cell, NeoCell)
    cell.geometry = Geometry(tuple(Turned(one.cell, one.channels, one.shift) for one in cell.geometry.groups))


def tanh_gelu(model: ModelProto, act: str = "stage2.block0.act") -> None:
    """GELU's tanh form, spelled out as exporters do, in place of the exact one."""
    nodes = list(model.graph.node)
    (place,) = (i for i, node in enumerate(nodes) if node.name == f"{act}.scaled")
    x = nodes[place].input[0]
    numbers = {"cube": 3.0, "small": 0.044715, "root": float(np.sqrt(2 / np.pi)), "one": 1.0, "half": 0.5}
    for name, value in numbers.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), f"tanh.{name}"))
    steps = [
        ("Pow", [x, "tanh.cube"], "p"),
        ("Mul", ["tanh.p", "tanh.small"], "m"),
        ("Add", [x, "tanh.m"], "a"),
        ("Mul", ["tanh.a", "tanh.root"], "r"),
        ("Tanh", ["tanh.r"], "t"),
        ("Add", ["tanh.t", "tanh.one"], "g"),
        ("Mul", [x, "tanh.g"], "x"),
    ]
    made = [helper.make_node(op, inputs, [f"tanh.{out}"], f"tanh.{out}") for op, inputs, out in steps]
    made.append(helper.make_node("Mul", ["tanh.x", "tanh.half"], [act], act))
    kept = [node for node in nodes if node.name != act and not node.name.startswith(f"{act}.")]
    del model.graph.node[:]
    model.graph.node.extend([*kept[:place], *made, *kept[place:]])


def tanh_for_erf(model: ModelProto) -> None:
    (erf,) = (node for node in model.graph.node if node.name == "stage2.block0.act.erf")
    erf.op_type = "Tanh"


def activation(model: ModelProto, operator: str, act: str = "stage2.block0.act") -> None:
    """One operator, or x times Sigmoid of x, in place of GELU."""
    nodes = list(model.graph.node)
    (place,) = (i for i, node in enumerate(nodes) if node.name == f"{act}.scaled")
    x = nodes[place].input[0]
    made = [helper.make_node(operator, [x], [act], act)]
    if operator == "Sigmoid":
        made = [helper.make_node(operator, [x], ["gate"], "gate"), helper.make_node("Mul", [x, "gate"], [act], act)]
    kept = [node for node in nodes if node.name != act and not node.name.startswith(f"{act}.")]
    del model.graph.node[:]
    model.graph.node.extend([*kept[:place], *made, *kept[place:]])


def scale_behind(model: ModelProto) -> None:
    """The logits once more times a constant, as a temperature is."""
    for node in model.graph.node:
        node.output[:] = ["raw" if name == "logits" else name for name in node.output]
    model.graph.initializer.append(numpy_helper.from_array(np.array(1.5, np.float32), "temperature"))
    model.graph.node.append(helper.make_node("Mul", ["raw", "temperature"], ["logits"], "scaled"))


def exchanged(model: ModelProto, name: str = "stage2.block0.neocell") -> None:
    (product,) = (node for node in model.graph.node if node.name == name)
    product.input[:] = [product.input[1], product.input[0]]


def earlier_residual(model: ModelProto) -> None:
    """The block's sum takes what the block before it read."""
    (add,) = (node for node in model.graph.node if node.name == "stage3.block1")
    add.input[:] = ["downsample2.conv" if name == "stage3.block0" else name for name in add.input]


def drop_residual(model: ModelProto, name: str = "stage3.block1") -> None:
    """Without its Add: what read the sum reads the branch."""
    (add,) = (node for node in model.graph.node if node.name == name)
    branch = add.input[0]
    model.graph.node.remove(add)
    for node in model.graph.node:
        node.input[:] = [branch if one == name else one for one in node.input]


def identity_residual(model: ModelProto) -> None:
    (add,) = (node for node in model.graph.node if node.name == "stage3.block1")
    add.op_type = "Identity"
    del add.input[1:]


def beyond(model: ModelProto, node: str, up: bool) -> ModelProto:
    """A value beyond fp16, or below it, that is compensated behind."""
    image = noise((1, 3, *CONFIG.image_size), 0)
    return plant(model, node, largest_values(model, {"image": image})[node], up)


def turned(value: Any) -> Any:
    return value[::-1]


def bgr(weight: Any) -> Any:
    return weight[:, ::-1]


@dataclass(frozen=True)
class Fault:
    """One fault and what must be said of it.

    Args:
        name: in words.
        plant: puts it into an export.
        rung, node: where it must be found.
        cause: words that the cause must hold.
        allclose: whether a plain allclose on the logits lets it through.
        debug: whether it stands in the graph, in fp32, where ``debug`` sees it too.
    """

    name: str
    plant: Change
    rung: str
    node: str
    cause: str
    allclose: bool = False
    debug: bool = True

    @property
    def of_network(self) -> bool:
        """Whether the file is a right one of a wrong network, with one node that is wrong in every form."""
        return self.name in OF_NETWORK


OF_NETWORK = (
    "wrong shift",
    "wrong epsilon",
    "a stale running variance",
    "a running mean of 0",
    "a BatchNorm's bias of 0",
    "a bias of 0",
)
_MEAN, _STD = preprocessing_for("digits", (96, 96)).mean, preprocessing_for("digits", (96, 96)).std
_HEAD = ("head.fc.weight", "head.fc.bias")
_CELL = "stage2.block0.neocell"
in_file = partial(Fault, rung="artifact")
in_half = partial(Fault, rung="fp16-saturate", allclose=True, debug=False)
in_pictures = partial(Fault, rung="pictures", node="image", allclose=True, debug=False)

FAULTS = (
    in_file(
        "transposed B",
        constants(lambda b: b.swapaxes(-1, -2), "stage2.block1.neocell.right"),
        node="stage2.block1.neocell",
        cause="matrix B (stage2.block1.neocell.right) is transposed",
    ),
    in_file("wrong shift", from_network(no_shift), node=f"{_CELL}.left_product", cause="no shift, where the network"),
    in_file(
        "wrong epsilon",
        from_network(other_epsilon),
        node="stage3.block0.neocell.left_product",
        cause="epsilon 0.001; the network's is 1e-05",
        allclose=True,
    ),
    in_file("tanh GELU", graph(tanh_gelu), node="stage2.block0.act", cause="tanh form", allclose=True),
    in_pictures("swapped mean and std", preparation(mean=_STD, std=_MEAN), cause="mean and std are swapped"),
    in_pictures("BGR", preparation(mean=_MEAN[::-1], std=_STD[::-1]), cause="BGR order in place of RGB"),
    in_half(
        "an overflow that later layers hide",
        graph(partial(beyond, node="stage3.block0.fc1", up=True)),
        node="planted",
        cause="overflows in fp16",
    ),
    in_half(
        "an underflow in one branch",
        graph(partial(beyond, node="stage2.block1.fc2", up=False)),
        node="planted",
        cause="underflows in fp16",
    ),
    in_file("a dropped residual", graph(drop_residual), node="stage3.block1", cause="residual is dropped"),
    in_file(
        "permuted channels in one block",
        constants(lambda w: np.concatenate([w[1:3], w[:1], w[3:]]), "stage1.block0.fc1.weight"),
        node="stage1.block0.fc1",
        cause="channels permuted along axis 0: 3 of 48",
    ),
    in_file(
        "a stale running variance",
        from_network(stale_variance),
        node="stage2.block1.neocell.left_product",
        cause="running variance of 1",
    ),
    in_file("the wrong class order", constants(turned, *_HEAD), node="logits", cause="classes in another order"),
)
# More of the same kinds.
SIBLINGS = (
    in_file(
        "transposed A",
        constants(lambda a: a.swapaxes(-1, -2), f"{_CELL}.left"),
        node=f"{_CELL}.left_product",
        cause="matrix A",
    ),
    in_file(
        "a shift in the other direction",
        from_network(turned_shift),
        node=f"{_CELL}.left_product",
        cause="a shift in the other direction",
    ),
    in_file(
        "a small epsilon, below the bound of a node's error",
        from_network(partial(other_epsilon, epsilon=1.1e-5)),
        node="stage3.block0.neocell.left_product",
        cause="epsilon 1.1e-05",
        allclose=True,
    ),
    in_file("Tanh for Erf", graph(tanh_for_erf), node="stage2.block0.act.erf", cause="tanh form"),
    in_file("an Identity for a residual", graph(identity_residual), node="stage3.block1", cause="residual is dropped"),
    in_file(
        "a variance of an earlier epoch, in the stem",
        from_network(partial(stale_variance, path="stem.norm", share=0.1)),
        node="stem.conv",
        cause="another running variance",
    ),
    in_file(
        "a variance of an earlier epoch, in a down-sampling",
        from_network(partial(stale_variance, path="downsample_2.norm_1", share=0.1)),
        node="downsample2.conv",
        cause="downsample_2.norm_1",
    ),
    in_file("BGR in the weights", constants(bgr, "stem.conv.weight"), node="stem.conv", cause="BGR in place of RGB"),
    in_file(
        "scaled weights",
        constants(lambda w: w * np.float32(1.01), "stage4.block0.fc2.weight"),
        node="stage4.block0.fc2",
        cause="1.01 times the right one",
        allclose=True,
    ),
    in_file(
        "a running mean of 0",
        from_network(partial(fresh_norm, part="running_mean")),
        node="stage2.block1.fc1",
        cause="stage_2.1.ops.content.norm was folded with a running mean of 0",
    ),
    in_file(
        "a running mean of 0 in the stem",
        from_network(partial(fresh_norm, part="running_mean", path="stem.norm")),
        node="stem.conv",
        cause="stem.norm was folded with a running mean of 0",
    ),
    in_file(
        "a BatchNorm's bias of 0",
        from_network(partial(fresh_norm, part="bias", path="stage_4.0.ops.content.norm")),
        node="stage4.block0.fc1",
        cause="stage_4.0.ops.content.norm was folded with a bias of 0",
    ),
    in_file("a bias of 0", from_network(no_bias), node="stage3.block1.fc1", cause="stage_3.1.ops.content.fc_1.bias"),
    in_file(
        "a bias of 0 in the file",
        constants(np.zeros_like, "downsample2.conv.bias"),
        node="downsample2.conv",
        cause="downsample2.conv.bias is all zero, where the right one reaches",
    ),
    in_file(
        "a weight rounded to fp16",
        constants(lambda w: w.astype(np.float16).astype(np.float32), "stage2.block1.fc1.weight"),
        node="stage2.block1.fc1",
        cause="stage2.block1.fc1.weight is rounded to fp16",
        allclose=True,
    ),
    in_file(
        "Relu for GELU",
        graph(partial(activation, operator="Relu")),
        node="stage2.block0.act",
        cause="Relu in place of GELU",
    ),
    in_file(
        "SiLU for GELU",
        graph(partial(activation, operator="Sigmoid")),
        node="stage2.block0.act",
        cause="SiLU, x Sigmoid(x)",
    ),
    in_file("a Mul behind the logits", graph(scale_behind), node="scaled", cause="a Mul too many: raw"),
    in_file("exchanged inputs", graph(exchanged), node="stage2.block0.neocell", cause="inputs are exchanged"),
    in_file(
        "an earlier residual",
        graph(earlier_residual),
        node="stage3.block1",
        cause="its residual is downsample2.conv in place of stage3.block0",
    ),
    in_file(
        "an infinite number",
        constants(lambda b: np.where(b == b.max(), np.float32("inf"), b), "stage2.block1.neocell.right"),
        node="stage2.block1.neocell",
        cause="numbers that are NaN or infinite",
    ),
    in_file(
        "weights of another training",
        constants(lambda w: w + np.float32(0.01) * noise(w.shape, 1), "stage4.block0.fc1.weight"),
        node="stage4.block0.fc1",
        cause="nothing that was tried",
    ),
)


def passes_allclose(path: Path) -> bool:
    """Whether the file's logits are close to the network's in PyTorch, on noise and the sample pictures."""
    subject = Subject(network(), preprocessing_for(CONFIG.name, CONFIG.image_size))
    reference = subject.runner()
    with open_runner(path) as runner:
        for feed in feeds_for((1, 3, *CONFIG.image_size), subject.preprocessing, sample_pictures()):
            got, want = (one.infer({"image": feed.array})["logits"] for one in (runner, reference))
            if not np.allclose(got, want, rtol=RTOL, atol=ATOL):
                return False
    return True


def main() -> None:
    """Plant each fault and print what is said."""
    import tempfile

    for fault in (*FAULTS, *SIBLINGS):
        with tempfile.TemporaryDirectory() as folder:
            path = export(Path(folder))
            fault.plant(path)
            found = jobs.ladder(path, checkpoint=CHECKPOINT).verdict
            let_through = passes_allclose(path)
        print(f"{fault.name}: allclose {'lets it through' if let_through else 'sees it'}\n    {found}")


if __name__ == "__main__":
    main()
