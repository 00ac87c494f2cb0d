"""What a training step costs: tensors kept and made for the backward pass, and whole graphs under ``torch.compile``.

Nothing here is timed; ``benchmarks.measure.training`` does that.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.func import functional_call, grad, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from neonext_ascend.checkpoints.loading import create
from neonext_ascend.kernels import fused
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.models.layers import DropPath
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import Block, NeoNeXt, redraw_at_order_one
from tests.support.networks import noise, relative_error, tiny_config, tiny_network

GEOMETRIES = {
    "two cell sizes, shifts": Geometry.split(12, (4, 7), shift=True),
    "one cell size, no shift": Geometry.split(6, (7,), shift=False),
    "down-sampling": Geometry.downsample(5),
    "up-sampling": Geometry((CellGroup(Cell(2, 3, 1, 2), 4),)),
}
FP32, INT64 = 4, 8  # bytes


class LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Elements of the largest tensor that any operation gives, forward and backward."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **kwargs or {})
        # An expanded view has many elements and no memory of its own.
        leaves = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and 0 not in leaf.stride()]
        self.largest = max([self.largest, *(leaf.numel() for leaf in leaves)])
        return result


def kept_for_backward(forward: Callable[[], Tensor]) -> tuple[int, int]:
    """Bytes of the floating-point tensors and of the tables that a forward pass keeps, each storage once."""
    storages: dict[int, tuple[bool, int]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = (tensor.is_floating_point(), storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = forward()
    assert y.requires_grad
    floating, tables = (sum(size for kind, size in storages.values() if kind is wanted) for wanted in (True, False))
    return floating, tables


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("bias", [False, True])
def test_a_neocell_keeps_x_the_left_product_and_two_matrices(geometry: Geometry, bias: bool) -> None:
    cell, n, (height, width) = NeoCell(geometry, bias), 3, (14, 28)
    x = noise(n, geometry.channels, height, width).requires_grad_()
    h_out, w_out = geometry.output_size(height, width)
    of_an_image, matrices = height * width + h_out * width, h_out * height + width * w_out
    floating, _ = kept_for_backward(lambda: cell(x))
    assert floating == FP32 * geometry.channels * (n * of_an_image + matrices)


def test_the_tables_of_places_are_small_and_shared() -> None:
    geometry = Geometry.split(6, (7,), shift=False)
    one, two = NeoCell(geometry, bias=True), NeoCell(geometry, bias=True)
    x = noise(2, 6, 14, 28)
    _, tables = kept_for_backward(lambda: one(x))
    # A zero and 49 elements in each channel, of L, R and the bias; how often each stands in A, B and the full bias.
    assert tables == INT64 * (1 + 6 * 49) * (14 // 7 + 28 // 7 + (14 // 7) * (28 // 7))
    assert kept_for_backward(lambda: two(one(x)))[1] == tables


def broadcast(cell: NeoCell, x: Tensor) -> Tensor:
    """The plain form, whose matmul repeats A and B for each image."""
    left, right = cell.matrices(*x.shape[-2:])
    return torch.matmul(torch.matmul(left, x), right)


@pytest.mark.parametrize("size", [(56, 4), (4, 56)])
def test_no_matrix_is_repeated_for_each_image(size: tuple[int, int]) -> None:
    cell, n = NeoCell(Geometry.split(6, (2, 4), shift=True)), 16
    x = noise(n, 6, *size).requires_grad_()
    largest = []
    for form in (cell, partial(broadcast, cell)):
        with LargestTensor() as seen:
            form(x).sum().backward()
        largest.append(seen.largest)
    # The plain form shows what this test would see: (N, C, H, H) or (N, C, W, W).
    assert largest == [x.numel(), n * 6 * max(size) ** 2]


def test_the_output_lies_in_memory_as_the_linear_layers_read_it() -> None:
    y = NeoCell(GEOMETRIES["two cell sizes, shifts"])(noise(2, 12, 14, 28))
    assert y.permute(0, 2, 3, 1).is_contiguous()


def test_gradients_for_each_sample_are_those_of_the_sample_alone() -> None:
    cell = NeoCell(GEOMETRIES["two cell sizes, shifts"], bias=True).double()
    weights = {name: weight.detach() for name, weight in cell.named_parameters()}
    x = noise(3, 12, 14, 7).double()

    def loss(weights: dict[str, Tensor], image: Tensor) -> Tensor:
        y: Tensor = functional_call(cell, weights, (image[None],))
        return y.square().sum()

    together = vmap(grad(loss), in_dims=(None, 0))(weights, x)
    for number, image in enumerate(x):
        alone = grad(loss)(weights, image)
        assert all(relative_error(together[name][number], alone[name]) < 1e-12 for name in weights)


# Under torch.compile. The backend aot_eager records the graph, forward and backward, and runs PyTorch's own operators.


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def in_compilation(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A module with weights of order 1, and the shape of its input."""
    if name in GEOMETRIES:
        return NeoCell(GEOMETRIES[name], bias=True), (2, GEOMETRIES[name].channels, 14, 28)
    if name == "block with drop path":
        block = Block(tiny_config(), 0, drop_path=0.5).train()
        assert any(isinstance(module, DropPath) for module in block.modules())
        redraw_at_order_one(block)
        return block, (8, 8, 24, 24)
    network = tiny_network() if name.startswith("tiny") else create("neonext_nano")
    return network.train("training" in name), (2, 3, 96, 96)


MODULES = [*GEOMETRIES, "block with drop path", "tiny, training", "nano, training", "nano, evaluation"]


def step(module: nn.Module, run: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
    """The output, and the derivatives of its squares by the input and by each parameter."""
    x = x.clone().requires_grad_()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of drop path
        y = run(x)
    return [y.detach(), *torch.autograd.grad(y.square().sum(), [x, *module.parameters()])]


@pytest.mark.parametrize("name", MODULES)
def test_one_whole_graph_computes_what_the_module_does(name: str) -> None:
    module, shape = in_compilation(name)
    x = noise(*shape)
    found = torch._dynamo.explain(module)(x)
    assert (found.graph_count, found.graph_break_count) == (1, 0)
    torch._dynamo.reset()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    for got, wanted in zip(step(module, compiled, x), step(module, module, x), strict=True):
        assert relative_error(got, wanted) < 1e-6


def test_drop_path_drops_in_the_compiled_block_too() -> None:
    block, shape = in_compilation("block with drop path")
    x = noise(*shape)
    y = step(block, torch.compile(block, backend="aot_eager", fullgraph=True), x)[0]
    untouched = [torch.equal(a, b) for a, b in zip(x, y, strict=True)]
    assert True in untouched
    assert False in untouched


def test_the_second_step_compiles_nothing() -> None:
    network = NeoNeXt(tiny_config(), drop_path=0.2).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for seed in range(3):
            optimizer.zero_grad()
            compiled(noise(2, 3, 96, 96, seed=seed)).square().sum().backward()
            optimizer.step()
    assert counters["stats"]["unique_graphs"] == 1


def test_a_compiled_cell_takes_other_batches_and_maps() -> None:
    cell = NeoCell(GEOMETRIES["two cell sizes, shifts"], bias=True)
    compiled = torch.compile(cell, backend="aot_eager", fullgraph=True)
    for shape in [(2, 12, 14, 14), (5, 12, 14, 14), (3, 12, 14, 14), (3, 12, 21, 15)]:
        x = noise(*shape)
        assert relative_error(compiled(x).detach(), cell(x).detach()) < 1e-6
    # Another batch makes the batch size free; another map has other tables.
    assert counters["stats"]["unique_graphs"] == 3


def test_the_model_loads_neither_the_compiler_nor_triton() -> None:
    code = (
        "import sys, torch\n"
        "from neonext_ascend.checkpoints.loading import create\n"
        "create('neonext_nano').train()(torch.zeros(2, 3, 96, 96)).sum().backward()\n"
        "print(*sorted({'torch._dynamo', 'triton'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900, check=True)
    assert done.stdout.split() == []


def test_where_the_fused_kernel_runs_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    # The meta device stands for one that has the kernel; no number is computed on it.
    cell, calls = NeoCell(GEOMETRIES["two cell sizes, shifts"], bias=True).to("meta"), []

    def kernel(x: Tensor, left: list[Tensor], right: list[Tensor], geometry: Geometry) -> Tensor:
        calls.append((left, right, geometry))
        return torch.empty_like(x)

    monkeypatch.setattr(fused, "neocell_fused", kernel)
    x = torch.empty(2, 12, 14, 14, device="meta")
    assert cell(x).shape == x.shape
    assert calls == []
    monkeypatch.setattr(fused, "available", lambda x, geometry: geometry is cell.geometry)
    y = cell(x)
    assert y.shape == x.shape
    assert cell.bias is not None
    torch.autograd.grad(y.sum(), list(cell.bias))  # raises where the bias is not added behind it
    assert len(calls) == 1
    left, right, geometry = calls[0]
    assert geometry is cell.geometry
    assert all(a is b for a, b in zip([*left, *right], [*cell.weight_a, *cell.weight_b], strict=True))
