"""The maps behind a NeoNeXt's four stages, for what is built on top: detection, segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from neonext_ascend.models.arguments import one_of
from neonext_ascend.models.config import STAGES, STEM_STRIDE
from neonext_ascend.models.neonext import NeoNeXt
from neonext_ascend.spec import MAP_LAYOUTS, MapLayout, maps_form

HEAD = "head"
_Value = TypeVar("_Value", int, str)


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """What the maps are, asked as timm's ``feature_info`` is; ``indices`` are those of maps, all of them by default."""

    widths: tuple[int, ...]
    strides: tuple[int, ...]

    def channels(self, indices: int | Sequence[int] | None = None) -> int | list[int]:
        """Of one map, or of several."""
        return self._of(list(self.widths), indices)

    def reduction(self, indices: int | Sequence[int] | None = None) -> int | list[int]:
        """The stride of one map, or of several: pixels of the picture to one of the map, either way."""
        return self._of(list(self.strides), indices)

    def module_name(self, indices: int | Sequence[int] | None = None) -> str | list[str]:
        """The path of the module that gives one map, or several."""
        return self._of([f"stage_{stage + 1}" for stage in range(STAGES)], indices)

    def __len__(self) -> int:
        return len(self.widths)

    @staticmethod
    def _of(values: list[_Value], indices: int | Sequence[int] | None) -> _Value | list[_Value]:
        if isinstance(indices, int):
            return values[indices]
        return values if indices is None else [values[index] for index in indices]


class NeoNeXtFeatures(nn.Module):
    """``(N, 3, H, W)`` images to a list of four maps, those behind the stages.

    Args:
        network: whose stem and stages these are, under the same names; its head is left out.
        layout: of the maps: ``(N, C, H / s, W / s)``, or ``nhwc`` for ``(N, H / s, W / s, C)``, at strides ``s`` of 4,
            8, 16 and 32.

    Raises:
        UsageError: the layout is none.
    """

    def __init__(self, network: NeoNeXt, layout: MapLayout = "nchw") -> None:
        super().__init__()
        one_of(layout, MAP_LAYOUTS, "layout")
        self.config, self.layout = network.config, layout
        self.feature_info = FeatureInfo(network.config.widths, tuple(STEM_STRIDE << stage for stage in range(STAGES)))
        for name, part in network.named_children():
            if name != HEAD:
                self.add_module(name, part)
        self.train(network.training)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages 1 to 4."""
        maps = []
        for name, part in self.named_children():
            x = part(x)
            if name.startswith("stage_"):
                maps.append(x.permute(0, 2, 3, 1) if self.layout == "nhwc" else x)
        return maps

    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each output, without the batch."""
        sizes = zip(self.config.widths, self.config.stage_sizes(), strict=True)
        shapes = [(*size, width) if self.layout == "nhwc" else (width, *size) for width, size in sizes]
        return {f"stage{number}": shape for number, shape in enumerate(shapes, 1)}

    @property
    def form(self) -> str:
        """What a file's name says of it."""
        return maps_form(self.layout)


# What is exported and checked.
Network = NeoNeXt | NeoNeXtFeatures
