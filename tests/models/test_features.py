"""The maps behind the stages: the network's own parts, by timm's conventions."""

from __future__ import annotations

import pytest
import torch

from neonext_ascend import create
from neonext_ascend.errors import UsageError
from neonext_ascend.models.features import NeoNeXtFeatures
from tests.support.networks import noise, tiny_network


def test_the_maps_are_those_that_the_network_computes_on_its_way() -> None:
    network = tiny_network()
    kept: list[torch.Tensor] = []
    for stage in range(1, 5):
        network.get_submodule(f"stage_{stage}").register_forward_hook(lambda *seen: kept.append(seen[2]))
    features, x = NeoNeXtFeatures(network), noise(2, 3, 96, 96)
    with torch.no_grad():
        maps = features(x)
        kept.clear()
        network(x)
        assert all(torch.equal(one, want) for one, want in zip(maps, kept, strict=True))
        wanted = [*kept]
        last = NeoNeXtFeatures(network, "nhwc")(x)
        assert all(torch.equal(one, want.permute(0, 2, 3, 1)) for one, want in zip(last, wanted, strict=True))
    assert {id(p) for p in features.parameters()} < {id(p) for p in network.parameters()}
    assert not [name for name in features.state_dict() if name.startswith("head.")]
    assert set(features.state_dict()) < set(network.state_dict())


def test_shapes_and_strides_are_told() -> None:
    features = create("neonext_nano", features=True)
    info = features.feature_info
    assert (info.channels(), info.reduction(), len(info)) == ([12, 24, 48, 96], [4, 8, 16, 32], 4)
    assert (info.channels(2), info.reduction([0, 3]), info.module_name(1)) == (48, [4, 32], "stage_2")
    maps = features(noise(1, 3, 96, 96))
    assert isinstance(maps, list)
    for one, channels, stride in zip(maps, info.widths, info.strides, strict=True):
        assert one.shape == (1, channels, 96 // stride, 96 // stride)
    assert {name: (1, *shape) for name, shape in features.outputs().items()} == {
        f"stage{i}": tuple(one.shape) for i, one in enumerate(maps, 1)
    }
    assert not features.training


def test_a_layout_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="layout 'chnw': expected nchw or nhwc"):
        NeoNeXtFeatures(tiny_network(), "chnw")  # type: ignore[arg-type] # the mistake itself
