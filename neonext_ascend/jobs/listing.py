"""The models that have a name, with what they count and what was published of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neonext_ascend.cost.count import count_network
from neonext_ascend.models.variants import VARIANTS


@dataclass(frozen=True, slots=True)
class Listed:
    """A model.

    Args:
        name, definition: of the network.
        image_size: pixels a side.
        params: numbers that are trained.
        macs: multiplications for one image, by convention.
        top1: published accuracy on ImageNet in percent, ``None`` where there is none.
        top1_source: who published it.
    """

    name: str
    definition: str
    image_size: int
    params: int
    macs: Mapping[str, int]
    top1: float | None
    top1_source: str | None

    def to_json(self) -> dict[str, Any]:
        """The model's entry in ``--json``."""
        return {name: getattr(self, name) for name in self.__slots__}


def list_models() -> list[Listed]:
    """Every model and definition, in the table's order."""
    rows = []
    for variant in VARIANTS.values():
        config, count = variant.config, count_network(variant.config)
        size = config.image_size[0]
        rows.append(
            Listed(config.name, config.definition, size, count.params, count.macs, variant.top1, variant.source)
        )
    return rows
