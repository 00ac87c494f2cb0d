"""A layer that is a program over constants: a lowered NeoCell, or a convolution written as a product."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from neonext_ascend.errors import PassRefusedError
from neonext_ascend.kernels.functional import run_program
from neonext_ascend.kernels.operands import sizes
from neonext_ascend.kernels.program import Program
from neonext_ascend.kernels.shapes import output_shape
from neonext_ascend.passes.frozen.deferred import Deferred
from neonext_ascend.passes.frozen.layers import Frozen


class FrozenProgram(Frozen):
    """Runs ``steps`` on its input.

    Args:
        what: in words, for messages.
        steps: the program.
        constants: by the names in the steps.
        expects: the input's shape, ``None`` for the batch.
        loose: whether the Pad and the Crop at its ends may be left out, because its constants' zeros erase what then
            stands in the padding.
    """

    def __init__(
        self,
        what: str,
        steps: Program,
        constants: Mapping[str, Deferred | None],
        expects: tuple[int | None, ...],
        loose: bool = False,
    ) -> None:
        super().__init__(constants)
        self.what, self.steps, self.expects, self.loose = what, steps, expects, loose

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As the steps say.

        Raises:
            PassRefusedError: the program was written for another size.
        """
        self._expect(shape)
        missing = [name for name in self._names if self.optional(name) is None]
        if missing:
            raise PassRefusedError(f"its {missing[0]} is missing")
        return output_shape(self.steps, shape, {name: value.shape for name, value in self.constants.items()})

    def _expect(self, shape: tuple[int, ...]) -> None:
        fits = len(shape) == len(self.expects) and all(
            want is None or want == got for want, got in zip(self.expects, shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("batch" if n is None else str(n) for n in self.expects)
            raise PassRefusedError(f"got shape {shape}; this {self.what} was written for ({wanted})")

    def compute(self, x: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """The program's result.

        Raises:
            PassRefusedError: the program was written for another size; its reshapes would take pixels for images.
        """
        self._expect(sizes(x))
        return run_program(self.steps, x, constants)

    def extra_repr(self) -> str:
        """What it is, and its constants."""
        return f"{self.what}, {super().extra_repr()}"
