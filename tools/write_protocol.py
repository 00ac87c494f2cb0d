"""Write serving/protocol/inference.binpb, the descriptor of inference.proto beside it.

python -m tools.write_protocol
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

FOLDER = Path(__file__).parent.parent / "neonext_ascend" / "serving" / "protocol"
SOURCE, RESULT = "inference.proto", "inference.binpb"


def compiled() -> bytes:
    """The ``FileDescriptorSet`` of the source."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / RESULT
        status = protoc.main(["protoc", f"-I{FOLDER}", f"--descriptor_set_out={result}", SOURCE])
        if status:
            raise SystemExit(status)
        return result.read_bytes()


if __name__ == "__main__":
    sys.exit((FOLDER / RESULT).write_bytes(compiled()) < 1)
