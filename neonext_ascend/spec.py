"""What a tensor is, how far two may be apart, and what a field of a file may hold; plain data, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

Dtype = Literal["fp32", "fp16"]
# Of a file: in int8 are the operands of its products, what stands between them is as before.
FileDtype = Literal["fp32", "fp16", "int8"]
# Order of the axes inside a graph: (N, C, H, W), or [C, H, N, W] where every product is a plain matmul.
Layout = Literal["nchw", "chnw"]
LAYOUTS: tuple[Layout, ...] = ("nchw", "chnw")
# Order of the axes of maps that a file gives as outputs.
MapLayout = Literal["nchw", "nhwc"]
MAP_LAYOUTS: tuple[MapLayout, ...] = ("nchw", "nhwc")


def maps_form(layout: MapLayout) -> str:
    """What the name of a file or a model that gives maps says of it."""
    return "-features" if layout == "nchw" else f"-features-{layout}"


# How a NeoCell is written as products (kernels/lowerings.py).
LoweringName = Literal["blockdiag", "packed", "padded", "patchwise", "kron"]
LOWERINGS: tuple[LoweringName, ...] = ("blockdiag", "packed", "padded", "patchwise", "kron")
# How GELU is written (exporters/onnx_file/emit.py): exact in five nodes, its tanh form, or the vendor's operator.
GeluForm = Literal["erf", "tanh", "npu"]
GELUS: tuple[GeluForm, ...] = ("erf", "tanh", "npu")
# Names in exported files: input (N, 3, H, W), output (N, classes), and the dimension of a dynamic batch.
INPUT, OUTPUT, BATCH = "image", "logits", "batch"
# ONNX operators that move values and compute none: beside a node that is kept in fp32 they carry what it gave.
MOVES = frozenset({"Concat", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"})
NUMPY_DTYPES: Mapping[str, str] = {"fp32": "float32", "fp16": "float16"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a struct's field may hold where it is read from a file (``artifacts/strict.py``), inside ``Annotated``.

    Args:
        ge, le: of a number.
        min_length, max_length: of a list or a text.
        pattern: that text matches, as Python and JSON Schema both read it.
        description: what is expected, in words; numbers and lists have words of their own.
    """

    ge: float | None = None
    le: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    description: str | None = None


# Metadata of a field that a file may leave out.
OPTIONAL: Mapping[str, bool] = {"optional": True}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, dtype (numpy's name) and shape of one input or output; a ``str`` dimension is dynamic."""

    name: str
    # A manifest's; a runner of any ONNX file may meet others.
    dtype: Annotated[str, Literal["float32", "float16", "float64", "uint8"]]
    shape: tuple[Annotated[int, Bounds(ge=1, le=2**31 - 1)] | str, ...]

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of ``shape`` may be fed here."""
        return len(shape) == len(self.shape) and all(
            isinstance(want, str) or want == got for want, got in zip(self.shape, shape, strict=True)
        )

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """When two outputs count as the same.

    Args:
        atol, rtol: every element must meet ``|difference| <= atol + rtol * |reference|``; ``None`` skips it.
        max_relative: bound on ``max|difference| / max|reference|``.
        min_cosine: bound on the cosine between the flattened outputs.
        point_relative: bound on ``max|difference| / max|reference|`` at a point inside the network, where
            two correct programs differ by rounding alone.
        map_relative: the same bound at an output that is a map, which stands behind whole stages.
        point_absolute: a point within this passes all the same; fp16 cannot hold a branch that is smaller.
        top1: ``exact``, or ``margin`` where a change of the first class is excused if the reference's
            margin between its first two classes is below the largest difference.
    """

    atol: float | None
    rtol: float | None
    max_relative: float | None
    min_cosine: float | None
    point_relative: float
    map_relative: float
    point_absolute: float = 0.0
    top1: Literal["exact", "margin"] = "margin"

    def of_maps(self) -> Tolerance:
        """For an output that is a map."""
        return replace(self, atol=None, rtol=None, max_relative=self.map_relative)

    def to_json(self) -> dict[str, Any]:
        """The bounds by name."""
        return {
            "atol": self.atol,
            "rtol": self.rtol,
            "max_relative": self.max_relative,
            "min_cosine": self.min_cosine,
            "point_relative": self.point_relative,
            "map_relative": self.map_relative,
            "point_absolute": self.point_absolute,
            "top1": self.top1,
        }


# fp32: rounding moves an inner point by about 1e-6 of its largest value; 1e-4 leaves room for another
# machine's summation order and still sees any single wrong matrix (3e-2 and more). A map stands behind whole stages,
# where that averages out: at most 2e-6 over nano in every form, T in six, S and B in both layouts, weights of order 1.
TOLERANCES: Mapping[str, Tolerance] = {
    "fp32": Tolerance(atol=1e-4, rtol=1e-3, max_relative=None, min_cosine=None, point_relative=1e-4, map_relative=5e-6),
    "fp16": Tolerance(
        atol=None,
        rtol=None,
        max_relative=1e-2,
        min_cosine=0.9999,
        point_relative=2e-2,
        map_relative=2e-2,
        point_absolute=1e-3,
    ),
    # int8 is judged by accuracy (--gate); this sees what is broken, on noise too, which nothing was calibrated for.
    "int8": Tolerance(atol=None, rtol=None, max_relative=None, min_cosine=0.97, point_relative=1.0, map_relative=1.0),
}


def judged_as(dtype: FileDtype, gelu: GeluForm) -> FileDtype:
    """By which dtype's tolerance a file is judged: GELU's tanh form, up to 4.7e-4 off, is for chips with fp16."""
    return "fp16" if gelu == "tanh" and dtype == "fp32" else dtype
