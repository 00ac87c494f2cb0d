"""Which parameters learn how fast: decay or none, slower in earlier layers, not at all in frozen stages."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from neonext_ascend.models.config import STAGES
from neonext_ascend.models.neonext import NeoNeXt
from neonext_ascend.training.recipe import Recipe

_PLACE = re.compile(r"(stem|head|stage|downsample)(?:_(\d))?(?:\.(\d+))?")
# A key beside torch's own: what the schedule's rate is multiplied with.
SCALE = "scale"


def layer_of(name: str, depths: tuple[int, ...]) -> int:
    """The number of a parameter's layer: 0 the stem, then the blocks, then the head.

    A down-sampling belongs to the block behind it.
    """
    match = _PLACE.match(name)
    assert match is not None, name
    if match[1] == "stem":
        return 0
    if match[1] == "head":
        return sum(depths) + 1
    if match[1] == "downsample":
        return sum(depths[: int(match[2])]) + 1
    return sum(depths[: int(match[2]) - 1]) + int(match[3]) + 1


def parameter_groups(net: NeoNeXt, recipe: Recipe) -> list[dict[str, Any]]:
    """Groups for an optimiser, in the order of layers; parameters that do not learn are in none.

    What has one axis (biases, the norms' and LayerScale's factors) has no weight decay.
    """
    depths = net.config.depths
    last = sum(depths) + 1
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in net.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        scale = recipe.layer_decay ** (last - layer_of(name, depths))
        group = groups.setdefault((scale, decay), {"params": [], "weight_decay": decay, SCALE: scale, "names": []})
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def make_optimiser(net: NeoNeXt, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser; :func:`set_rate` gives it its learning rate before each step."""
    groups = [{key: value for key, value in g.items() if key != "names"} for g in parameter_groups(net, recipe)]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, recipe.peak_rate, momentum=recipe.beta1)
    return torch.optim.AdamW(groups, recipe.peak_rate, betas=(recipe.beta1, recipe.beta2))


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give each group the schedule's rate, by its scale."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group[SCALE]


def freeze(net: NeoNeXt, stages: int) -> None:
    """The stem and the first ``stages`` stages, with the down-sampling between them, stop learning."""
    for part in _frozen_parts(net, stages):
        part.requires_grad_(False)


def set_training(net: NeoNeXt, recipe: Recipe) -> None:
    """Training mode, but for the norms of what is frozen."""
    net.train()
    for part in _frozen_parts(net, recipe.freeze):
        part.eval()
    if recipe.freeze_norm:
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
                module.eval()


def _frozen_parts(net: NeoNeXt, stages: int) -> list[nn.Module]:
    last = min(stages, STAGES)
    names = ["stem", *(f"stage_{i}" for i in range(1, last + 1)), *(f"downsample_{i}" for i in range(1, last))]
    return [net.get_submodule(name) for name in names] if stages else []
