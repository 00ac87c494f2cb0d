"""The SoC table: what ATC's ``--soc_version`` may name, and what each chip has and computes.

Names, cores, clocks and buffers are those of the platform files in hicann/runtime. The peaks are derived from them,
``cores x clock x operations a cycle``; the vendor publishes none of them in this form. Memory bandwidth is not in those
files: the two that are here are figures from the press, and no other is made up.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from neonext_ascend.errors import UsageError

CubeDtype = Literal["fp16", "int8", "bf16", "fp32"]
Family = Literal["310P", "310B", "910B", "910_93"]


@dataclass(frozen=True, slots=True)
class Soc:
    """One value of ``--soc_version``.

    Attributes:
        name: with its capital A, as ATC wants it.
        family: chips that share a design.
        cube_cores, vector_cores: number; ``None`` where no source was at hand.
        cube_mhz: clock of the cube unit.
        l1_kib, l0c_kib, ub_kib: buffers of one core; L0A and L0B have 64 KiB each in all of them.
        l2_mib: cache of the chip.
        ddr_bytes, l2_bytes: that a core moves a cycle from memory, and reads from L2, as the platform file has it.
        bandwidth_gbs: of its memory, about, in GB/s, as the press has it (310P: of one die); ``None`` where unknown.
    """

    name: str
    family: Family
    cube_cores: int | None = None
    vector_cores: int | None = None
    cube_mhz: int | None = None
    l1_kib: int | None = None
    l0c_kib: int | None = None
    ub_kib: int | None = None
    l2_mib: int | None = None
    ddr_bytes: int | None = None
    l2_bytes: int | None = None
    bandwidth_gbs: float | None = None

    @property
    def cube_dtypes(self) -> frozenset[CubeDtype]:
        """What the cube unit multiplies; the vector unit knows fp32 on every chip."""
        return CUBE_DTYPES[self.family]

    @property
    def shape_ranges(self) -> bool:
        """Whether ATC takes dynamic shape ranges (``1~10``, ``-1``) for it."""
        return self.family != "310B"

    @property
    def fp16_tflops(self) -> float | None:
        """Derived peak: 16 x 16 x 16 multiply-adds a core and cycle, two operations each."""
        if self.cube_cores is None or self.cube_mhz is None:
            return None
        return self.cube_cores * self.cube_mhz * 1e6 * 2 * 16**3 / 1e12


CUBE_DTYPES: Mapping[Family, frozenset[CubeDtype]] = {
    "310P": frozenset({"fp16", "int8"}),
    "310B": frozenset({"fp16", "int8", "bf16", "fp32"}),
    "910B": frozenset({"fp16", "int8", "bf16", "fp32"}),
    "910_93": frozenset({"fp16", "int8", "bf16", "fp32"}),
}
_310P = {"l1_kib": 1024, "l0c_kib": 256, "ub_kib": 256, "l2_mib": 16, "ddr_bytes": 17, "l2_bytes": 114}
_310B = {"l1_kib": 1024, "l0c_kib": 128, "ub_kib": 248, "l2_mib": 4, "l2_bytes": 256}
_910B = {"l1_kib": 512, "l0c_kib": 128, "ub_kib": 192, "ddr_bytes": 32, "l2_bytes": 110}

# The first of a family is the one that a wrong name most likely meant.
SOCS: Mapping[str, Soc] = {
    soc.name: soc
    for soc in (
        Soc("Ascend310P3", "310P", 8, 7, 1060, **_310P, bandwidth_gbs=204),
        Soc("Ascend310P1", "310P"),
        Soc("Ascend310P5", "310P"),
        Soc("Ascend310P7", "310P"),
        Soc("Ascend310B1", "310B", 1, 1, 1224, **_310B, ddr_bytes=17),
        Soc("Ascend310B2", "310B"),
        Soc("Ascend310B3", "310B"),
        Soc("Ascend310B4", "310B", 1, 1, 500, **_310B, ddr_bytes=8),
        Soc("Ascend910B3", "910B", 20, 40, 1800, **_910B, l2_mib=192, bandwidth_gbs=1600),
        Soc("Ascend910B1", "910B", 24, 48, 1850, **_910B, l2_mib=192),
        Soc("Ascend910B2", "910B", 24, 48, 1800, **_910B, l2_mib=192),
        Soc("Ascend910B2C", "910B"),
        Soc("Ascend910B4", "910B", 20, 40, 1500, **_910B, l2_mib=96),
        Soc("Ascend910B4-1", "910B"),
        *(Soc(f"Ascend910_{n}", "910_93") for n in (9362, 9363, 9372, 9381, 9382, 9391, 9392)),
    )
}
# Names that ATC or a person uses for something else than what they sound like.
_MISTAKEN: Mapping[str, str] = {
    "Ascend910B": "this is the old 910; for Atlas A2 take Ascend910B1 to Ascend910B4, as npu-smi info names the chip",
    "Ascend310": "this is the first 310, which this program does not know; for Atlas 300I Pro take Ascend310P3",
    "Ascend310P": "this is the family; take Ascend310P3 or what npu-smi info names",
    "Ascend310B": "this is the family; take Ascend310B1 to Ascend310B4, as npu-smi info names the chip",
    "Ascend910": "this is the old 910, which this program does not know; for Atlas A2 take Ascend910B1 to Ascend910B4",
}


def find_soc(name: str) -> Soc:
    """The chip of a ``--soc_version``.

    Raises:
        UsageError: the table has no such name; near ones are suggested.
    """
    if name in SOCS:
        return SOCS[name]
    by_lower = {known.lower(): known for known in SOCS}
    full = name if name.lower().startswith("ascend") else f"Ascend{name}"
    if full.lower() in by_lower:
        raise UsageError(f"soc version {name!r}: did you mean {by_lower[full.lower()]}?")
    for mistaken, words in _MISTAKEN.items():
        if full.lower() == mistaken.lower():
            raise UsageError(f"soc version {name!r}: {words}")
    near = difflib.get_close_matches(full, SOCS, n=len(SOCS), cutoff=0.7)
    if near:
        # Of equally near names the table's order decides.
        best = max(SOCS, key=lambda known: difflib.SequenceMatcher(None, full, known).ratio())
        raise UsageError(f"soc version {name!r}: did you mean {best}?")
    raise UsageError(f"soc version {name!r}: expected Ascend and the name from npu-smi info, such as Ascend310P3")
