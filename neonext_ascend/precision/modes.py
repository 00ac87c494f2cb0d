"""Which nodes compute in half precision, and whether their inputs, their results or both are rounded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from neonext_ascend.spec import Dtype

# The cube unit's operators.
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# ATC's --precision_mode_v2 and its older names: operators (None: all), their inputs, their results.
_MODES: Mapping[str, tuple[frozenset[str] | None, bool, bool]] = {
    "file": (None, True, True),
    "fp16": (None, True, True),
    "origin": (None, True, True),
    "mixed_float16": (PRODUCTS, True, True),
    "cube_fp16in_fp32out": (PRODUCTS, True, False),
    "force_fp16": (None, True, True),
    "must_keep_origin_dtype": (None, True, True),
    "allow_mix_precision": (PRODUCTS, True, True),
}
_ORIGIN = ("origin", "must_keep_origin_dtype")


@dataclass(frozen=True, slots=True)
class HalfMode:
    """What is rounded.

    Args:
        precision: ATC's ``--precision_mode_v2``; ``file`` goes by the file's own types where it holds fp16, and takes
            an fp32 file as ATC does by default: all of it in fp16.
        keep: names of nodes that stay in fp32 (``--keep_dtype``).
        accumulation: of the partial sums inside a product that is rounded.
    """

    precision: str = "file"
    keep: Collection[str] = ()
    accumulation: Dtype = "fp32"

    def by_types(self, holds_half: bool) -> bool:
        """Whether a file's own types say which values are fp16.

        Args:
            holds_half: whether it holds any that are.
        """
        return self.precision in _ORIGIN or (self.precision == "file" and holds_half)

    def rounds(self, name: str, operator: str) -> tuple[bool, bool]:
        """Whether a node's inputs and its results are."""
        operators, inputs, results = _MODES[self.precision]
        chosen = name not in self.keep and (operators is None or operator in operators)
        return chosen and inputs, chosen and results


ALL = HalfMode()
