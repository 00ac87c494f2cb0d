"""The names in timm: by timm itself where it is installed (``make timm``), and what holds without it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import neonext_ascend
from neonext_ascend.errors import ToolchainError, UsageError
from neonext_ascend.models.neonext import redraw_at_order_one
from neonext_ascend.models.registered import TimmNeoNeXt
from neonext_ascend.models.variants import VARIANTS
from tests.standins import torchvision_names
from tests.support.networks import noise, relative_error, tiny_config

# The same numbers at other places in memory, which may be summed in another order.
SAME = 1e-6


@pytest.fixture(scope="module")
def timm() -> Any:
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed here; make timm runs this with it")
    if importlib.util.find_spec("torchvision") is None:
        torchvision_names.install()
    module = importlib.import_module("timm")
    assert "neonext_t" in neonext_ascend.register_timm()
    return module


@pytest.mark.parametrize(("name", "side"), [("neonext_t", 224), ("neonext_nano", 96)])
def test_features_by_timms_conventions(timm: Any, name: str, side: int) -> None:
    network = timm.create_model(name, features_only=True, num_classes=7).eval()
    widths = list(VARIANTS[name].config.widths)
    assert network.feature_info.channels() == widths
    assert network.feature_info.reduction() == [4, 8, 16, 32]
    x = noise(1, 3, side, side)
    with torch.no_grad():
        maps = network(x)
    shapes = [(1, width, side // stride, side // stride) for width, stride in zip(widths, (4, 8, 16, 32), strict=True)]
    assert [tuple(one.shape) for one in maps] == shapes
    ours = neonext_ascend.create(name, features=True)
    assert network.feature_info.module_name() == ours.feature_info.module_name()
    assert set(network.state_dict()) == set(ours.state_dict())
    ours.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert all(relative_error(one, want) <= SAME for one, want in zip(ours(x), maps, strict=True))
    some = timm.create_model(name, features_only=True, out_indices=(1, 3))
    assert some.feature_info.reduction() == [8, 32]


def test_its_own_configuration_tells_how_pictures_are_prepared(timm: Any) -> None:
    told = timm.create_model("neonext_t", num_classes=5).pretrained_cfg
    assert (told["mean"], told["std"]) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (told["crop_pct"], told["interpolation"], told["input_size"]) == (0.875, "bilinear", (3, 224, 224))
    assert timm.get_pretrained_cfg("neonext_t_384").input_size == (3, 384, 384)


def test_the_packaged_weights_and_other_heads(timm: Any) -> None:
    x = noise(2, 3, 96, 96)
    ours = neonext_ascend.create("neonext_nano")
    with torch.no_grad():
        network = timm.create_model("neonext_nano", pretrained=True).eval()
        assert relative_error(network(x), ours(x)) <= SAME
        assert relative_error(network.forward_head(network.forward_features(x)), ours(x)) <= SAME
        other = timm.create_model("neonext_nano", pretrained=True, num_classes=3).eval()
        assert other(x).shape == (2, 3)
        assert relative_error(other.forward_features(x), network.forward_features(x)) <= SAME
    rated = timm.create_model("neonext_t", drop_path_rate=0.4, img_size=256, num_classes=0)
    assert rated.get_submodule("stage_4.2.ops").drop_path.probability == pytest.approx(0.4)
    assert rated.config.image_size == (256, 256)


def test_a_checkpoint_by_timms_own_way(timm: Any, tmp_path: Path) -> None:
    network = neonext_ascend.create("neonext_nano")
    redraw_at_order_one(network, 1)
    path, x = tmp_path / "weights.pt", noise(1, 3, 96, 96)
    torch.save({f"module.{key}": value for key, value in network.state_dict().items()}, path)
    with torch.no_grad():
        for given in ({"checkpoint_path": path}, {"pretrained": True, "pretrained_cfg_overlay": {"file": str(path)}}):
            assert relative_error(timm.create_model("neonext_nano", **given).eval()(x), network(x)) <= SAME


def test_what_a_neonext_has_not_is_refused(timm: Any) -> None:
    with pytest.raises(UsageError, match="neonext_t: in_chans 1: a NeoNeXt takes 3 channels"):
        timm.create_model("neonext_t", in_chans=1)
    with pytest.raises(UsageError, match="global_pool 'max'"):
        timm.create_model("neonext_t", global_pool="max")


def test_a_second_call_changes_nothing(timm: Any) -> None:
    before = timm.models.model_entrypoint("neonext_t")
    names = neonext_ascend.register_timm()
    assert timm.models.model_entrypoint("neonext_t") is before
    assert names == [name for name in VARIANTS if "." not in name]


def test_without_timm_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm.models", None)
    with pytest.raises(ToolchainError, match=r"timm cannot be imported .*: pip install timm, which needs torchvision"):
        neonext_ascend.register_timm()


def test_the_head_can_be_left_out_and_drawn_anew() -> None:
    network, x = TimmNeoNeXt(tiny_config(), 5, 0.0).eval(), noise(1, 3, 96, 96)
    with torch.no_grad():
        pooled = network.forward_head(network.forward_features(x), pre_logits=True)
        assert pooled.shape == (1, 16)
        assert relative_error(network.get_classifier()(pooled), network(x)) <= SAME
        network.reset_classifier(0)
        assert relative_error(network(x), pooled) <= SAME
        network.reset_classifier(4)
        assert network(x).shape == (1, network.num_classes) == (1, network.config.num_classes) == (1, 4)
