"""Which network a state dict holds, read from its keys and shapes.

Shifts leave no trace there: several models can fit one file (a 384 network's weights load into a 224 one).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from neonext_ascend.errors import CheckpointError
from neonext_ascend.models.config import DEFINITIONS, STAGES, Cells, DefinitionName, NetworkConfig
from neonext_ascend.models.neonext import NeoNeXt
from neonext_ascend.models.variants import VARIANTS

_BLOCK = re.compile(r"stage_([1-9]\d{0,2})\.(\d{1,4})\.ops\.content\.(.+)")
# BatchNorm's number of training steps, which files converted from elsewhere lack; nothing else reads it.
COUNTER = "num_batches_tracked"
_LARGE = 2**14  # pixels; every cell fits into the maps of such a picture
_FAMILIES = {"t": "NeoNeXt-T", "s": "NeoNeXt-S", "b": "NeoNeXt-B", "l": "NeoNeXt-L", "nano": "neonext_nano"}


@dataclass(frozen=True)
class Contents:
    """The network that keys and shapes describe.

    Args:
        depths, widths, cells: of the four stages.
        num_classes: rows of the classifier.
        linear_bias, layer_scale, downsample_conv_first: the definition's choices, as present.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    cells: Cells
    num_classes: int
    linear_bias: bool
    layer_scale: bool
    downsample_conv_first: bool

    def differences(self, config: NetworkConfig) -> list[str]:
        """What of ``config`` does not fit, in words; empty where it fits (whatever the shifts)."""
        found = []
        for stage in range(STAGES):
            for what, ours, theirs in (
                ("blocks", self.depths[stage], config.depths[stage]),
                ("channels", self.widths[stage], config.widths[stage]),
                ("cells", _plus(self.cells[stage]), _plus(config.cells[stage])),
            ):
                if ours != theirs:
                    found.append(f"stage {stage + 1} has {ours} {what}, {config.name} has {theirs}")
        traits = config.traits
        for what, has, wants in (
            ("biases in its linear layers", self.linear_bias, traits.linear_bias),
            ("LayerScale", self.layer_scale, traits.layer_scale is not None),
            (
                "down-sampling with the 1x1 convolution first",
                self.downsample_conv_first,
                traits.downsample_conv_first,
            ),
        ):
            if has != wants:
                found.append(f"it has {'' if has else 'no '}{what}, {config.name} has {'them' if wants else 'none'}")
        return found

    def fitting(self) -> list[str]:
        """Names of the models that this file fits."""
        return [name for name, variant in VARIANTS.items() if not self.differences(variant.config)]

    def definition(self) -> DefinitionName | None:
        """The definition whose choices these are; ``table1`` and ``paper`` differ in their cells alone."""
        for name, traits in DEFINITIONS.items():
            if (traits.linear_bias, traits.layer_scale is not None, traits.downsample_conv_first) == (
                self.linear_bias,
                self.layer_scale,
                self.downsample_conv_first,
            ):
                return name
        return None

    def missing(self, state: Mapping[str, Tensor]) -> list[str]:
        """Keys of the network that ``state`` lacks, but for the counters, which may be absent.

        Raises:
            UsageError: no network is like this.
        """
        config = NetworkConfig(
            "its network",
            self.definition() or "release",
            self.depths,
            self.widths,
            self.cells,
            (False,) * STAGES,
            image_size=(_LARGE, _LARGE),
        )
        with torch.device("meta"):
            expected = NeoNeXt(config).state_dict()
        return [key for key in expected if key not in state and not key.endswith(COUNTER)]

    def label(self) -> str:
        """The network in a few words."""
        names = self.fitting()
        if names:
            letter = names[0].split(".")[0].split("_")[1]
            suffix = "" if "." not in names[0] else f" ({names[0].split('.')[1]} definition)"
            return f"{_FAMILIES[letter]}{suffix}"
        return f"a network of its own (depths {_comma(self.depths)}; widths {_comma(self.widths)})"

    def as_toml(self) -> str:
        """A ``--config`` file for this network; name, shifts and image size are the user's to say."""
        cells = ", ".join(str(list(c)) for c in self.cells)
        return (
            f'name = "mine"\ndefinition = "{self.definition() or "release"}"\ndepths = {list(self.depths)}\n'
            f"widths = {list(self.widths)}\ncells = [{cells}]\nshifts = [true, true, true, false]\n"
            f"num_classes = {self.num_classes}\nimage_size = 224\n"
        )


def read_contents(state: Mapping[str, Tensor], path: Path) -> Contents:
    """Name the network in ``state``.

    Raises:
        CheckpointError: these are not a NeoNeXt's weights.
    """
    depths = _depths(state, path)
    widths = tuple(_dimension(state, f"stage_{s + 1}.0.ops.content.norm.weight", 0, path) for s in range(STAGES))
    return Contents(
        depths=depths,
        widths=widths,
        cells=tuple(_cells(state, stage, path) for stage in range(STAGES)),
        num_classes=_dimension(state, "head.fc.weight", 0, path),
        linear_bias=any(key.endswith(".fc_1.bias") for key in state),
        layer_scale=any(key.endswith(".layer_scale.gamma") for key in state),
        downsample_conv_first=not any(key.endswith(".norm_2.weight") for key in state),
    )


def _depths(state: Mapping[str, Tensor], path: Path) -> tuple[int, ...]:
    blocks: dict[int, set[int]] = {}
    for key in state:
        match = _BLOCK.fullmatch(key)
        if match:
            blocks.setdefault(int(match[1]), set()).add(int(match[2]))
    if sorted(blocks) != list(range(1, STAGES + 1)):
        example = next(iter(state))
        raise CheckpointError(
            f"{path}: not a NeoNeXt's weights: expected keys such as 'stage_1.0.ops.content.neocell.weight_a.0' in "
            f"{STAGES} stages, found {example!r}{' and others' if len(state) > 1 else ''}"
        )
    for stage, found in blocks.items():
        if found != set(range(len(found))):
            raise CheckpointError(
                f"{path}: the blocks of stage {stage} are not numbered 0, 1, 2, ..: {sorted(found)[:8]}"
            )
    return tuple(len(blocks[s + 1]) for s in range(STAGES))


def _cells(state: Mapping[str, Tensor], stage: int, path: Path) -> tuple[int, ...]:
    prefix = f"stage_{stage + 1}.0.ops.content.neocell.weight_"
    # Counted in both lists: one that lacks its other half is named.
    groups = {key.removeprefix(prefix)[2:] for key in state if key.startswith(prefix)}
    count = sum(group.isdecimal() for group in groups)
    return tuple(_dimension(state, f"{prefix}a.{g}", -1, path) for g in range(max(count, 1)))


def _dimension(state: Mapping[str, Tensor], key: str, axis: int, path: Path) -> int:
    if key not in state:
        raise CheckpointError(f"{path}: the state dict lacks key {key!r}")
    if not state[key].ndim or not state[key].numel():
        raise CheckpointError(
            f"{path}: {key} has shape {tuple(state[key].shape)}; expected at least one element an axis"
        )
    return state[key].shape[axis]


def _plus(sizes: tuple[int, ...]) -> str:
    return "+".join(map(str, sizes))


def _comma(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))
