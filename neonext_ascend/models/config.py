"""What decides a NeoNeXt's graph: its definition and configuration, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

from neonext_ascend.errors import GeometryError, UsageError, counted
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.spec import OPTIONAL, Bounds

STAGES = 4
STEM_STRIDE = 4
# Far beyond any published network; a slip of the keyboard must not fill the memory or run for hours.
_MAX_DEPTH = 128  # blocks of a stage; the deepest published one has 27
_MAX_WEIGHTS = 2**30  # numbers in all; the largest published network has 193.5 million
_MAX_MATRIX = 2**28  # elements of A or B of one NeoCell; the largest published ones have 1.8 million

DefinitionName = Literal["release", "paper", "table1"]
Cells = tuple[tuple[int, ...], ...]
# What a file may hold.
_LETTERS = "letters, digits, '.', '_' and '-', with a letter or digit first, 200 at most"
# A file's name, of 255 bytes at most, begins with it.
_Name = Annotated[str, Bounds(pattern=r"^\w[\w.-]*$(?!\n)", max_length=200, description=_LETTERS)]
_Number = Annotated[int, Bounds(ge=1, le=1_000_000)]
_Size = Annotated[_Number | tuple[_Number, _Number], Bounds(description="one number or [height, width]")]
_STAGES = Bounds(min_length=STAGES, max_length=STAGES, description=f"a list of {STAGES}, one for each stage")


@dataclass(frozen=True, slots=True)
class Definition:
    """What the authors' code, the paper's text and the paper's Table 1 do differently.

    Args:
        cells: cell sizes of each stage.
        linear_bias: whether the two linear layers of a block have a bias.
        layer_scale: initial LayerScale, ``None`` for none.
        downsample_conv_first: 1x1 conv -> NeoCell -> BN, else NeoCell -> BN -> GELU -> 1x1 conv -> BN -> GELU.
    """

    cells: Cells
    linear_bias: bool
    layer_scale: float | None
    downsample_conv_first: bool


DEFINITIONS: Mapping[DefinitionName, Definition] = {
    "release": Definition(((4, 7), (4, 7), (4, 7), (4, 7)), True, 1e-6, True),
    "paper": Definition(((4, 7), (4, 7), (4, 7), (7,)), False, None, False),
    "table1": Definition(((4, 7), (4, 7), (7,), (7,)), False, None, False),
}


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Everything that decides a network's graph.

    Args:
        name: a model's name, or the user's own.
        definition: which of :data:`DEFINITIONS`.
        depths, widths: blocks and channels of the four stages.
        cells: cell sizes of the four stages.
        shifts: whether the cells of each stage shift.
        num_classes: size of the logits.
        image_size: height and width in pixels.

    Raises:
        UsageError: lengths or values that no network can have.
    """

    name: _Name
    definition: DefinitionName
    depths: Annotated[tuple[Annotated[int, Bounds(ge=1, le=_MAX_DEPTH)], ...], _STAGES]
    widths: Annotated[tuple[_Number, ...], _STAGES]
    cells: Annotated[tuple[tuple[_Number, ...], ...], _STAGES] = field(metadata=OPTIONAL)
    shifts: Annotated[tuple[bool, ...], _STAGES] = field(metadata=OPTIONAL)
    num_classes: _Number = field(default=1000, metadata=OPTIONAL)
    image_size: Annotated[tuple[int, int], _Size] = field(default=(224, 224), metadata=OPTIONAL)

    def __post_init__(self) -> None:
        if self.definition not in DEFINITIONS:
            raise UsageError(
                f"{self.name}: definition {self.definition!r} is unknown; expected one of {', '.join(DEFINITIONS)}"
            )
        for name in ("depths", "widths", "cells", "shifts"):
            if len(held := getattr(self, name)) != STAGES:
                raise UsageError(
                    f"{self.name}: {name} has {counted(len(held), 'entry')}; a NeoNeXt has {STAGES} stages"
                )
        if min(self.depths) < 1 or min(self.widths) < 1 or self.num_classes < 1:
            raise UsageError(f"{self.name}: depths, widths and num_classes must be at least 1")
        if max(self.depths) > _MAX_DEPTH:
            raise UsageError(f"{self.name}: a stage of {max(self.depths)} blocks; expected at most {_MAX_DEPTH}")
        if (weights := self._weights()) > _MAX_WEIGHTS:
            what = f"widths, depths and cells ask for about {weights:.2g} weights"
            raise UsageError(f"{self.name}: {what}; expected at most {_MAX_WEIGHTS:.2g}")

    def _weights(self) -> int:
        """Roughly the parameters: those of matrices and cells."""
        total, before = self.widths[-1] * self.num_classes, 3 * STEM_STRIDE**2
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            cells = sum(group.channels * 2 * group.cell.h_in**2 for group in self.geometry(stage).groups)
            total, before = total + before * width + depth * (8 * width**2 + cells), width
        return total

    @property
    def traits(self) -> Definition:
        """The definition's choices."""
        return DEFINITIONS[self.definition]

    def geometry(self, stage: int) -> Geometry:
        """Channel groups of the NeoCells in a stage (0 to 3)."""
        try:
            return Geometry.split(self.widths[stage], self.cells[stage], self.shifts[stage])
        except GeometryError as error:
            raise GeometryError(f"{self.name}: widths[{stage}] and cells[{stage}]: {error}") from None

    def stage_sizes(self) -> list[tuple[int, int]]:
        """Height and width of the map in each stage, in pixels.

        Raises:
            UsageError: the image size is not divisible by 4 or too small for a stage's cells.
        """
        height, width = self.image_size
        shown = size_text(self.image_size)
        if min(height, width) < STEM_STRIDE or height % STEM_STRIDE or width % STEM_STRIDE:
            raise UsageError(
                f"image size {shown}: height and width must be positive multiples of {STEM_STRIDE}; "
                f"near {shown}: {size_text(_round_size(self.image_size))}"
            )
        sizes = []
        for stage in range(STAGES):
            scale = STEM_STRIDE << stage
            size = (height // scale, width // scale)
            try:
                self.geometry(stage).output_size(*size)
            except GeometryError as error:
                raise UsageError(
                    f"image size {shown} is too small for {self.name}: in stage {stage + 1}, {error}; "
                    f"take at least {self.smallest_size()}"
                ) from None
            if self.widths[stage] * max(size) ** 2 > _MAX_MATRIX:
                matrices = f"{self.widths[stage]} matrices of {max(size)}x{max(size)} in stage {stage + 1}"
                raise UsageError(f"image size {shown} is too large for {self.name}: {matrices}; take a smaller one")
            sizes.append(size)
        return sizes

    def smallest_size(self) -> int:
        """The smallest legal square image size, in pixels."""
        needed = [
            max(max(cells) - 1 if shift else 1, 1) * (STEM_STRIDE << stage)
            for stage, (cells, shift) in enumerate(zip(self.cells, self.shifts, strict=True))
        ]
        return max(needed)

    def to_json(self) -> dict[str, Any]:
        """The form in the manifest."""
        data = asdict(self)
        return {
            **{key: list(value) if isinstance(value, tuple) else value for key, value in data.items()},
            "cells": [list(sizes) for sizes in self.cells],
        }


def with_image_size(config: NetworkConfig, image_size: tuple[int, int]) -> NetworkConfig:
    """The same network for another image size, checked; shifts stay as they are.

    Raises:
        UsageError: the network cannot take that size.
    """
    changed = replace(config, image_size=image_size)
    changed.stage_sizes()
    return changed


def size_text(size: tuple[int, int]) -> str:
    """``224`` for a square, ``224x320`` for height x width."""
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _round_size(size: tuple[int, int]) -> tuple[int, int]:
    nearest = [max(STEM_STRIDE, round(side / STEM_STRIDE) * STEM_STRIDE) for side in size]
    return nearest[0], nearest[1]
