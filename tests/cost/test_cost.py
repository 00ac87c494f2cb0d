"""The cost model: counts by hand and against every product of exported graphs, the choices, and the peer's figure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import ceil, prod
from pathlib import Path

import onnx
import pytest
import torch
from onnx import GraphProto, TensorProto, shape_inference
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rivals.convnext import convnext
from neonext_ascend.cost.cell import (
    Cost,
    MatMul,
    cell_cost,
    cell_products,
    cheapest,
    estimate_us,
    least,
    with_figures,
)
from neonext_ascend.cost.choice import choose_layout, lowering_rule
from neonext_ascend.cost.convnext import PUBLISHED, convnext_t_cost, times_too_fast
from neonext_ascend.cost.count import count_network
from neonext_ascend.cost.network import network_cost
from neonext_ascend.exporters import export_onnx
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.kernels.lowerings import legal, lower
from neonext_ascend.machine.chips import SOCS, Soc
from neonext_ascend.models.config import DEFINITIONS, DefinitionName, NetworkConfig
from neonext_ascend.models.neonext import build
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.passes import prepare
from neonext_ascend.spec import LAYOUTS, LOWERINGS, Layout, LoweringName

T, P3 = VARIANTS["neonext_t"].config, SOCS["Ascend310P3"]
BATCH = 8


def stage_cost(stage: int, batch: int, layout: Layout, lowering: LoweringName, config: NetworkConfig = T) -> Cost:
    """One NeoCell of a stage, counted from 1."""
    geometry, size = config.geometry(stage - 1), config.stage_sizes()[stage - 1]
    return cell_cost(lower(lowering, geometry, *size, layout), geometry, *size, batch)


def test_a_product_by_hand() -> None:
    matmul = MatMul(count=3, m=7, k=17, n=16)
    assert matmul.dense == 3 * 7 * 17 * 16
    assert matmul.cube == 3 * 16 * 32 * 16


def test_costs_add_up_and_scale() -> None:
    a, b = Cost(1, 2, 3, 4, 5, 6), Cost(10, 20, 30, 40, 50, 60)
    assert a + b == Cost(11, 22, 33, 44, 55, 66)
    assert a * 3 == Cost(3, 6, 9, 12, 15, 18)
    assert a.bytes == 4 + 5 + 6
    assert a.intensity == pytest.approx(2 * 1 / 15)


def test_block_diagonal_by_hand() -> None:
    geometry = Geometry.split(6, (4,), False)
    cost = cell_cost(lower("blockdiag", geometry, 8, 20), geometry, 8, 20, 3)
    maps = 3 * 6 * 8 * 20
    assert cost.useful == 2 * maps * 4
    assert cost.dense == maps * (8 + 20)
    assert cost.cube == 3 * 6 * (16 * 16 * 32 + 16 * 32 * 32)
    assert (cost.weights, cost.activations, cost.workspace) == (2 * 6 * (64 + 400), 2 * 2 * maps, 2 * 2 * maps)


def test_patchwise_by_hand_with_what_it_pads_cuts_and_joins() -> None:
    geometry = Geometry.split(2, (2,), True)  # channel 0 with shift 0, channel 1 with shift 1
    lowered = lower("patchwise", geometry, 4, 4)
    cost = cell_cost(lowered, geometry, 4, 4, 1)
    # Read and written. Channel 0: cut out, two products. Channel 1: cut out, padded to 6 x 6, two products, cut to
    # 4 x 4, which reads those 16 alone. Joined. The input is read by the two that cut it out, the output by none.
    first = (16 + 16) + 2 * (16 + 16)
    second = (16 + 16) + (16 + 36) + 2 * (36 + 36) + (16 + 16)
    assert cost.workspace == 2 * (first + second + (32 + 32) - 32 - 32)
    assert cost.activations == 2 * (32 + 32)
    assert cost.weights == 2 * 2 * (4 + 4)
    assert cell_products(lowered, geometry, 4, 4, 1) == (
        MatMul(2, 2, 2, 4),
        MatMul(1, 8, 2, 2),
        MatMul(3, 2, 2, 6),
        MatMul(1, 18, 2, 2),
    )


@pytest.mark.parametrize(
    ("layout", "lowering", "ratios"),
    [
        ("nchw", "blockdiag", (1.49, 1.49, 1.49, 11.94)),
        ("chnw", "blockdiag", (1.31, 1.31, 1.31, 5.97)),
        ("chnw", "packed", (None, None, None, 4.48)),
    ],
)
def test_cube_over_the_dense_multiplications_of_block_diagonal(
    layout: Layout, lowering: LoweringName, ratios: tuple[float | None, ...]
) -> None:
    for stage, ratio in enumerate(ratios, 1):
        if ratio is not None:
            cost = stage_cost(stage, BATCH, layout, lowering)
            assert round(cost.cube / stage_cost(stage, BATCH, "nchw", "blockdiag").dense, 2) == ratio


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_lowering_does_less_than_what_is_useful(layout: Layout) -> None:
    for stage, size in enumerate(T.stage_sizes()):
        geometry = T.geometry(stage)
        costs = [cell_cost(low, geometry, *size, 2) for low in legal(geometry, *size, layout).values()]
        (useful,) = {cost.useful for cost in costs}
        assert all(useful <= cost.dense <= cost.cube for cost in costs)
        assert len({cost.activations for cost in costs}) == 1


def test_the_estimate_is_the_longer_of_computing_and_moving() -> None:
    chip = replace(P3, cube_cores=1, cube_mhz=1000, bandwidth_gbs=100)  # 8.192 TFLOPS
    computing, moving = Cost(cube=4096 * 10**6), Cost(activations=10**8)
    assert estimate_us(computing, chip) == pytest.approx(1000)
    assert estimate_us(moving, chip) == pytest.approx(1000)
    assert estimate_us(computing + moving * 3, chip) == pytest.approx(3000)
    assert estimate_us(computing, replace(chip, bandwidth_gbs=None)) is None
    assert estimate_us(computing, replace(chip, cube_mhz=None)) is None


def test_only_the_two_press_figures_are_bandwidths() -> None:
    assert {soc.name: soc.bandwidth_gbs for soc in SOCS.values() if soc.bandwidth_gbs is not None} == {
        "Ascend310P3": 204,
        "Ascend910B3": 1600,
    }


@pytest.mark.parametrize(
    ("estimates", "cube", "expected"),
    [
        ({"a": 10, "b": 12}, {"a": 9, "b": 1}, "a"),  # clearly less time
        ({"a": 10, "b": 10.9}, {"a": 9, "b": 1}, "b"),  # a tie: less work for the cube
        ({"a": 10.9, "b": 10}, {"a": 5, "b": 5}, "a"),  # a tie in both: the first
        ({"a": 10, "b": 10.9, "c": 11.5}, {"a": 9, "b": 8, "c": 1}, "b"),  # ties are with the smallest alone
    ],
)
def test_how_ties_are_broken(estimates: dict[str, float], cube: dict[str, int], expected: str) -> None:
    assert least(estimates, cube) == expected


def chosen(batch: int, layout: Layout, soc: Soc | None) -> list[LoweringName]:
    return [cheapest(T.geometry(i), *size, batch, layout, soc) for i, size in enumerate(T.stage_sizes())]


def test_the_choice_for_t_on_310p3() -> None:
    assert chosen(BATCH, "chnw", P3) == ["blockdiag", "blockdiag", "blockdiag", "packed"]
    # At batch 1 the larger matrices of packed cost more than a tie.
    assert chosen(1, "chnw", P3) == ["blockdiag"] * 4
    assert chosen(BATCH, "chnw", None) == ["blockdiag"] * 4


def test_what_decides_for_packed_in_stage_4_is_the_cube() -> None:
    blockdiag, packed = (stage_cost(4, BATCH, "chnw", name) for name in ("blockdiag", "packed"))
    estimates = estimate_us(blockdiag, P3), estimate_us(packed, P3)
    assert estimates[0] is not None
    assert estimates[1] is not None
    assert 1 < estimates[1] / estimates[0] < 1.1
    assert packed.cube < blockdiag.cube


def test_a_chip_without_figures_chooses_by_the_balance_of_another() -> None:
    bare = SOCS["Ascend310B1"]
    assert with_figures(bare) is P3
    assert with_figures(SOCS["Ascend910B3"]) is SOCS["Ascend910B3"]
    assert chosen(BATCH, "chnw", bare) == chosen(BATCH, "chnw", P3)


def test_the_layout_on_the_cpu_is_nchw() -> None:
    choice = choose_layout(T, None, BATCH, "auto")
    assert choice.layout == "nchw"
    assert "on the CPU" in choice.reason


def test_the_layout_on_a_chip_follows_the_rule_and_says_estimate() -> None:
    for batch in (1, BATCH):
        costs = {layout: network_cost(T, batch, layout, lowering_rule("auto", batch, layout, P3)) for layout in LAYOUTS}
        estimates = {layout: cost.estimate_us(P3) or 0.0 for layout, cost in costs.items()}
        assert max(estimates.values()) < 1.1 * min(estimates.values())
        fewest = min(LAYOUTS, key=lambda layout: costs[layout].total.cube)
        choice = choose_layout(T, P3, batch, "auto")
        assert choice.layout == fewest
        assert "estimate" in choice.reason
        assert f"{costs[fewest].total.cube / 1e9:.4g} G" in choice.reason
        assert f"{estimates[fewest] / 1e3:.3g} ms" in choice.reason
    assert choose_layout(T, P3, BATCH, "auto").layout == "chnw"


def test_without_figures_no_time_is_told() -> None:
    reason = choose_layout(T, SOCS["Ascend310B1"], BATCH, "auto").reason
    assert "Ascend310B1 has no bandwidth figure" in reason
    assert "Ascend310P3" in reason
    assert " ms" not in reason


def test_a_named_lowering_is_for_all() -> None:
    rule = lowering_rule("patchwise", BATCH, "nchw", P3)
    assert {rule(T.geometry(i), *size) for i, size in enumerate(T.stage_sizes())} == {"patchwise"}


def nano(definition: DefinitionName, image_size: tuple[int, int] = (96, 96)) -> NetworkConfig:
    traits = DEFINITIONS[definition]
    named = VARIANTS["neonext_nano"].config
    return replace(named, name="it", definition=definition, cells=traits.cells, image_size=image_size)


def exported(config: NetworkConfig, layout: Layout, lowering: LoweringName, folder: Path) -> GraphProto:
    """The graph as it is written to a file, with the shape of every value."""
    network, _ = prepare(build(config).eval(), layout=layout, lowering=lowering, defer=True)
    path = folder / "it.onnx"
    export_onnx(network, path, batch_size=BATCH)
    return shape_inference.infer_shapes(onnx.load(path), strict_mode=True).graph


class Counted:
    """A count of a graph from its nodes and shapes alone: products by their shape, and elements moved."""

    def __init__(self, graph: GraphProto) -> None:
        self.shapes = {
            value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
            for value in (*graph.input, *graph.value_info, *graph.output)
        }
        constants = {c.name: tuple(c.dims) for c in graph.initializer if c.data_type == TensorProto.FLOAT}
        self.shapes |= constants
        self.products: Counter[tuple[int, int, int, int]] = Counter()
        self.moved_by_node = self.merged = 0
        for node in graph.node:
            (out,) = node.output
            named = [name for name in node.input if name in self.shapes]
            if node.op_type in ("MatMul", "Gemm", "Conv"):
                self.products[self.product(node.op_type, [self.shapes[n] for n in named], self.shapes[out])] += 1
            if node.op_type == "Reshape":
                continue
            # A scalar is no traffic; each input is read once for each place where it stands.
            read = [prod(self.shapes[name]) for name in named if self.shapes[name] != ()]
            if node.op_type == "Slice":
                read = [prod(self.shapes[out])]  # what is cut away is not read
            self.moved_by_node += sum(read) + prod(self.shapes[out])
            if node.op_type == "Erf":
                self.merged += 9 * prod(self.shapes[out])  # five nodes move 11 maps, one operator moves 2
            elif node.op_type == "Add" and constants.get(node.input[1], ()) != ():
                self.merged += 2 * prod(self.shapes[out])  # a bias behind a product

    @staticmethod
    def product(op: str, inputs: list[tuple[int, ...]], out: tuple[int, ...]) -> tuple[int, int, int, int]:
        a, b, *_ = inputs
        if op == "MatMul":
            return prod(out[:-2]), a[-2], a[-1], b[-1]
        if op == "Gemm":  # transB
            return 1, a[0], a[1], b[0]
        groups = a[1] // b[1]
        return a[0] * groups, b[0] // groups, prod(b[1:]), prod(out[2:])

    @property
    def dense(self) -> int:
        return sum(times * prod(shape) for shape, times in self.products.items())

    @property
    def cube(self) -> int:
        def padded(shape: tuple[int, ...]) -> int:
            return shape[0] * prod(16 * ceil(side / 16) for side in shape[1:])

        return sum(times * padded(shape) for shape, times in self.products.items())


def assert_counts_agree(config: NetworkConfig, layout: Layout, lowering: LoweringName, folder: Path) -> None:
    counted = Counted(exported(config, layout, lowering, folder))
    rule = lowering_rule(lowering, BATCH, layout, None)
    cost = network_cost(config, BATCH, layout, rule)
    products: Counter[tuple[int, int, int, int]] = Counter()
    for operator in cost.operators:
        for p in operator.products:
            products[p.count, p.m, p.k, p.n] += operator.times
    assert products == counted.products
    assert (cost.total.dense, cost.total.cube) == (counted.dense, counted.cube)
    by_node = network_cost(config, BATCH, layout, rule, by_node=True)
    assert by_node.total.bytes == 2 * counted.moved_by_node
    assert cost.total.bytes == 2 * (counted.moved_by_node - counted.merged)
    assert sum(cost.parts.values(), Cost()) == cost.total


# This count knows NeoCells one by one, not the padding that stays between them.
COUNTED = [name for name in LOWERINGS if name != "padded"]


@pytest.mark.parametrize("lowering", COUNTED)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("definition", DEFINITIONS)
def test_the_counts_are_those_of_the_exported_graph(
    definition: DefinitionName, layout: Layout, lowering: LoweringName, tmp_path: Path
) -> None:
    assert_counts_agree(nano(definition), layout, lowering, tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("definition", ["release", "paper"])
def test_the_counts_agree_on_a_map_of_odd_sides(definition: DefinitionName, layout: Layout, tmp_path: Path) -> None:
    assert_counts_agree(nano(definition, (100, 140)), layout, "patchwise", tmp_path)


@pytest.mark.full_size
@pytest.mark.parametrize(
    ("name", "layout", "lowering"),
    [
        *(("neonext_t", layout, lowering) for layout in LAYOUTS for lowering in COUNTED),
        ("neonext_t.paper", "nchw", "packed"),
        ("neonext_t.paper", "chnw", "packed"),
        ("neonext_t.table1", "nchw", "kron"),
        ("neonext_t.table1", "chnw", "patchwise"),
    ],
)
def test_the_counts_are_those_of_an_exported_t(
    name: str, layout: Layout, lowering: LoweringName, tmp_path: Path
) -> None:
    assert_counts_agree(VARIANTS[name].config, layout, lowering, tmp_path)


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_useful_in_chnw_is_the_sparse_count_of_the_network(name: str) -> None:
    config = VARIANTS[name].config
    cost = network_cost(config, 3, "chnw", lowering_rule("patchwise", 3, "chnw", None))
    assert cost.total.useful == 3 * count_network(config).sparse


def test_the_estimate_of_a_network_is_the_sum_over_its_operators() -> None:
    cost = network_cost(T, BATCH, "nchw", lowering_rule("auto", BATCH, "nchw", P3))
    each = [(estimate_us(operator.cost, P3) or 0.0) * operator.times for operator in cost.operators]
    estimate = cost.estimate_us(P3)
    assert estimate == pytest.approx(sum(each))
    assert estimate is not None
    assert cost.images_per_second(P3) == pytest.approx(1e6 * BATCH / estimate)
    assert cost.estimate_us(SOCS["Ascend310B1"]) is None
    assert cost.images_per_second(SOCS["Ascend310B1"]) is None


def test_convnext_has_the_multiplications_and_weights_of_the_network() -> None:
    with torch.device("meta"):
        network, image = convnext("t"), torch.empty(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    cost = convnext_t_cost(1)
    assert 2 * cost.total.dense == counter.get_total_flops()
    matrices = sum(p.numel() for name, p in network.named_parameters() if p.ndim > 1)
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    biases = sum(layer.bias.numel() for layer in layers if layer.bias is not None)
    assert cost.total.weights == 2 * (matrices + biases)


def test_the_estimate_of_the_peer_is_too_fast_by_much_the_same_at_every_batch() -> None:
    factors = [times_too_fast(batch) for batch in PUBLISHED]
    for batch, factor in zip(PUBLISHED, factors, strict=True):
        speed = convnext_t_cost(batch).images_per_second(P3)
        assert speed is not None
        assert factor == pytest.approx(speed / PUBLISHED[batch])
    # docs/cost.md: 2.5 to 2.7 times.
    assert (f"{min(factors):.1f}", f"{max(factors):.1f}") == ("2.5", "2.7")
