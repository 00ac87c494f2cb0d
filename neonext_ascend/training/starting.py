"""The network that a run begins with: fresh, or with a checkpoint's weights and perhaps a head of its own."""

from __future__ import annotations

import torch
from torch import nn

from neonext_ascend.checkpoints.loading import LoadedNetwork
from neonext_ascend.errors import counted
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.models.layers import LayerScale
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import NeoNeXt, build
from neonext_ascend.training.recipe import Recipe

_HEAD = "head.fc."


def fresh(config: NetworkConfig, recipe: Recipe) -> NeoNeXt:
    """A network with the recipe's initialisation and drop path, in evaluation mode."""
    net = build(config, recipe.seed, recipe.drop_path)
    if recipe.init == "random":
        draw_cells_at_random(net, recipe.seed)
    for module in net.modules():
        if isinstance(module, LayerScale) and recipe.layer_scale:
            nn.init.constant_(module.gamma, recipe.layer_scale)
    return net


@torch.no_grad()
def draw_cells_at_random(net: nn.Module, seed: int) -> None:
    """What NeoInit is compared with (arXiv 2403.11251, section 4.2), in place: ``L ~ N(0, 1/sqrt(h))``, ``R`` by ``w``.

    The second number is taken as the standard deviation, as in NeoInit's own formula.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, NeoCell):
            for weights, axis in ((module.weight_a, 2), (module.weight_b, 1)):
                for weight in weights:
                    weight.normal_(0, weight.shape[axis] ** -0.5, generator=generator)


def from_loaded(
    config: NetworkConfig, recipe: Recipe, loaded: LoadedNetwork, new_head: bool
) -> tuple[NeoNeXt, list[str]]:
    """A network with a loaded one's weights, and what was taken, in words.

    Args:
        config: of the network to train, with its own number of classes.
        recipe: its seed draws a new head.
        loaded: the same network, with as many classes as its checkpoint has.
        new_head: whether the head is drawn anew even where the classes are as many.
    """
    taken, theirs = loaded.network.state_dict(), loaded.network.config.num_classes
    new_head = new_head or theirs != config.num_classes
    if new_head:
        taken = {name: tensor for name, tensor in taken.items() if not name.startswith(_HEAD)}
    net = build(config, recipe.seed, recipe.drop_path)
    net.load_state_dict(taken, strict=False)
    head = (
        f"the head is drawn anew for {counted(config.num_classes, 'class')} (it had {theirs})"
        if new_head
        else f"its head of {counted(theirs, 'class')} is kept"
    )
    said = f"{counted(len(taken), 'tensor')} of {loaded.weights.file} are loaded; {head}"
    return net, [*loaded.notes, said]
