"""What the stand-in ``atc`` writes as an "OM" and the stand-in ``acl`` loads; it is not the vendor's format.

A line of JSON behind a magic, then an ONNX model that computes what the device would: the rounding to fp16 stands in
the graph as Casts, and with AIPP the graph takes uint8 ``(N, H, W, 3)`` and normalises it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"STAND-IN OM 1\n"


@dataclass(frozen=True, slots=True)
class StandinOm:
    """The contents.

    Args:
        soc_version: the chip that it was made for.
        cann_version: of the stand-in toolkit.
        gears: batch sizes; empty for a static batch. With gears the graph's first dimension is symbolic.
        onnx: the serialized model.
    """

    soc_version: str
    cann_version: str
    gears: tuple[int, ...]
    onnx: bytes

    def write(self, path: Path) -> None:
        """Write the file."""
        head = {"soc_version": self.soc_version, "cann_version": self.cann_version, "gears": list(self.gears)}
        path.write_bytes(MAGIC + json.dumps(head).encode() + b"\n" + self.onnx)

    @classmethod
    def read(cls, path: Path) -> StandinOm:
        """Read it.

        Raises:
            ValueError: it is none, or is cut.
        """
        data = path.read_bytes()
        if not data.startswith(MAGIC):
            raise ValueError(f"{path}: no OM of the stand-in atc")
        line, _, onnx = data[len(MAGIC) :].partition(b"\n")
        head = json.loads(line)
        return cls(head["soc_version"], head["cann_version"], tuple(head["gears"]), onnx)
