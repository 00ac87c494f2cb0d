"""Keys that say that a layer was changed for training: its weight is not there as such, and how to get it back."""

from __future__ import annotations

import re

_KINDS = (
    (
        r"parametrizations\.\w+\..+",
        "is of a parametrised layer",
        "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')",
    ),
    (r"weight_[gv]", "is of a layer under weight norm", "torch.nn.utils.remove_weight_norm(layer)"),
    (r"weight_mask", "is of a pruned layer", "torch.nn.utils.prune.remove(layer, 'weight')"),
    (
        r"weight_(?:orig|u)",
        "is of a layer that is pruned or under spectral norm",
        "torch.nn.utils.prune.remove(layer, 'weight') or torch.nn.utils.remove_spectral_norm(layer)",
    ),
    (r"(?:lora_\w+|base_layer)\b.*", "is of an adapter", "model.merge_and_unload()"),
    (
        r"(?:scale|zero_point|_packed_params\..+|\w*fake_quant\w*\..+|activation_post_process\w*\..+)",
        "is of a network prepared for quantisation",
        "take the weights from before that",
    ),
)
_PATTERNS = [(re.compile(rf"(?:.+\.)?{pattern}"), what, cure) for pattern, what, cure in _KINDS]


def reason(key: str) -> str | None:
    """Why ``key`` is no weight of a plain network and what to do, or ``None``."""
    for pattern, what, cure in _PATTERNS:
        if pattern.fullmatch(key):
            return f"{key!r} {what}; before saving: {cure}"
    return None
