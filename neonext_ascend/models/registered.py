"""The networks under their names in timm: ``timm.create_model("neonext_t", features_only=True)``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from neonext_ascend.data import NANO_WEIGHTS, data_path
from neonext_ascend.errors import ToolchainError, UsageError
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.models.arguments import image_size_of
from neonext_ascend.models.config import STAGES, STEM_STRIDE, NetworkConfig
from neonext_ascend.models.neonext import NeoNeXt
from neonext_ascend.models.variants import VARIANTS

# timm reads here what is known of each model when it is registered.
default_cfgs: dict[str, dict[str, Any]] = {}


def register_timm() -> list[str]:
    """Make timm know the networks by their names; a second call changes nothing.

    The authors' definitions alone: what follows a dot in a name is timm's tag for weights. ``pretrained=True`` is for
    ``neonext_nano``, whose weights ship.

    Returns:
        The names.

    Raises:
        ToolchainError: timm cannot be imported.
    """
    try:
        models = importlib.import_module("timm.models")
    except ImportError as error:
        raise ToolchainError(f"timm cannot be imported ({error}): pip install timm, which needs torchvision") from None
    names = [name for name in VARIANTS if "." not in name]
    for name in names:
        if not models.is_model(name):
            default_cfgs[name] = _cfg(VARIANTS[name].config)
            models.register_model(_entrypoint(name, models.build_model_with_cfg))
    return names


class TimmNeoNeXt(NeoNeXt):
    """A NeoNeXt with what timm asks of a network.

    Args:
        config: what decides the graph.
        num_classes: 0 for none, and pooled features in place of logits.
        drop_path: as of :class:`NeoNeXt`.
    """

    def __init__(self, config: NetworkConfig, num_classes: int, drop_path: float) -> None:
        super().__init__(replace(config, num_classes=num_classes or 1), drop_path)
        self.feature_info = [
            {"num_chs": width, "reduction": STEM_STRIDE << stage, "module": f"stage_{stage + 1}"}
            for stage, width in zip(range(STAGES), config.widths, strict=True)
        ]
        self.num_features = self.head_hidden_size = config.widths[-1]
        self.reset_classifier(num_classes)

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head.get_submodule("fc")

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Another last layer, drawn anew; 0 classes for none."""
        _check_pool(global_pool)
        self.num_classes = num_classes
        held = self.get_classifier()
        if num_classes and getattr(held, "out_features", None) == num_classes:
            return
        self.head.add_module("fc", nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity())
        self.config = replace(self.config, num_classes=num_classes or 1)

    def forward_features(self, x: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to the last map ``(N, C, H / 32, W / 32)``."""
        for name, part in self.named_children():
            x = x if name == "head" else part(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last map to logits, or to what the classifier reads."""
        for name, part in self.head.named_children():
            x = x if name == "fc" and pre_logits else part(x)
        return x


def _entrypoint(name: str, build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def network(
        num_classes: int = 1000,
        in_chans: int = 3,
        img_size: int | tuple[int, int] | None = None,
        drop_path_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> NeoNeXt:
        _check_pool(global_pool)
        if in_chans != 3:
            raise UsageError(f"{name}: in_chans {in_chans}: a NeoNeXt takes 3 channels")
        config = VARIANTS[name].config
        if img_size is not None:
            config = replace(config, image_size=image_size_of(img_size))
        return TimmNeoNeXt(config, num_classes, drop_path_rate)

    def entrypoint(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        return build(network, name, pretrained, feature_cfg={"out_indices": tuple(range(STAGES))}, **kwargs)

    entrypoint.__name__ = entrypoint.__qualname__ = name
    entrypoint.__doc__ = f"{name}, the authors' definition."
    return entrypoint


def _check_pool(global_pool: str | None) -> None:
    if global_pool not in (None, "avg"):
        raise UsageError(f"global_pool {global_pool!r}: a NeoNeXt takes the mean, 'avg'")


def _cfg(config: NetworkConfig) -> dict[str, Any]:
    prepared = preprocessing_for(config.name, config.image_size)
    whole = prepared.crop_fraction is None
    return {
        **({"file": str(data_path(NANO_WEIGHTS))} if config.name == "neonext_nano" else {}),
        "input_size": (3, *config.image_size),
        "num_classes": config.num_classes,
        "mean": prepared.mean,
        "std": prepared.std,
        "interpolation": prepared.interpolation,
        "crop_pct": 1.0 if whole else prepared.crop_fraction,
        "crop_mode": "squash" if whole else "center",
        "first_conv": "stem.conv",
        "classifier": "head.fc",
        "paper_ids": "arXiv:2403.11251",
    }
