"""A prepared network under ``torch.compile``: one graph in every form, as the graph mode of an NPU needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch._dynamo

from neonext_ascend.checkpoints.loading import load
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.spec import LOWERINGS, Layout, LoweringName
from tests.support.networks import noise, tiny_network


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("layout", ["nchw", "chnw"])
def test_one_whole_graph_computes_what_the_prepared_network_does(layout: Layout, lowering: LoweringName) -> None:
    network = prepare(tiny_network(), layout=layout, lowering=lowering)[0]
    compiled = torch.compile(network, backend="eager", fullgraph=True, dynamic=False)
    with torch.inference_mode():
        x = noise(2, 3, 96, 96)
        assert torch.equal(compiled(x), network(x))


def test_one_whole_graph_computes_what_a_network_does_without_gradients() -> None:
    network = load("neonext_nano").network.eval()
    with torch.inference_mode():
        x = noise(2, 3, 96, 96)
        assert torch.equal(torch.compile(network, backend="eager", fullgraph=True)(x), network(x))
