"""One export in a process of its own: its time and the memory it took, as one line of JSON.

    python -m benchmarks.measure.export_once ours|torch MODEL

``ours`` is what ``neonext-ascend export --no-verify`` does: prepare, write the ONNX file, write the manifest. ``torch``
is ``torch.onnx.export`` of the same network as it is, nothing folded. Both are the first export of their process, with
the libraries imported before; what an exporter imports only while it works counts as its own, in time and in memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

BYTES_IN_A_PAGE = resource.getpagesize()
BYTES_IN_A_KIB = 1024  # the unit of ru_maxrss on Linux


@dataclass(frozen=True, slots=True)
class Cost:
    """What one export took.

    Args:
        imported: bytes resident behind all imports, in front of the network.
        peak: largest number of bytes resident in the process's life.
        weights: bytes of the network's fp32 parameters.
        build: seconds to build the network.
        export: seconds of the export alone.
        processor: seconds that its threads computed in that time; on a busy machine the fairer figure.
    """

    imported: int
    peak: int
    weights: int
    build: float
    export: float
    processor: float

    @property
    def memory(self) -> float:
        """Peak above the imports, the network included, in multiples of the weights."""
        return (self.peak - self.imported) / self.weights

    @property
    def whole(self) -> float:
        """Seconds to build the network and export it."""
        return self.build + self.export


def export_with_ours(model: str, folder: Path) -> Cost:
    """``export_verified(..., orders=Orders(verify=False))``."""
    from neonext_ascend.checkpoints.loading import load
    from neonext_ascend.data import labels_for
    from neonext_ascend.jobs.making.onnx_file import Orders, export_verified

    imported, start = _resident(), time.perf_counter()
    loaded = load(model)
    built, computed = time.perf_counter(), time.process_time()
    config = loaded.network.config
    export_verified(loaded, folder, labels_for(config.name, config.num_classes), orders=Orders(verify=False))
    end, processor = time.perf_counter(), time.process_time() - computed
    return Cost(imported, _peak(), _weights(loaded.network), built - start, end - built, processor)


def export_with_torchs(model: str, folder: Path) -> Cost:
    """``torch.onnx.export`` of the same network, unfolded."""
    import onnx  # noqa: F401 -- as the two below: imported before the clock starts
    import onnxscript  # noqa: F401
    import torch
    import torch._dynamo
    import torch.export

    from benchmarks.rivals.torch_exporter import export_with_torch
    from neonext_ascend.checkpoints.loading import load

    imported, start = _resident(), time.perf_counter()
    network = load(model).network
    built, computed = time.perf_counter(), time.process_time()
    export_with_torch(network, torch.zeros(1, 3, *network.config.image_size), folder / "network.onnx")
    end, processor = time.perf_counter(), time.process_time() - computed
    return Cost(imported, _peak(), _weights(network), built - start, end - built, processor)


EXPORTERS: Mapping[str, Callable[[str, Path], Cost]] = {"ours": export_with_ours, "torch": export_with_torchs}


def main() -> int:
    """Export once and print the cost."""
    parser = argparse.ArgumentParser(prog="benchmarks.measure.export_once", description=__doc__.splitlines()[0])
    parser.add_argument("exporter", choices=EXPORTERS)
    parser.add_argument("model")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cost = EXPORTERS[options.exporter](options.model, Path(folder))
    print(json.dumps(asdict(cost)))
    return 0


def _resident() -> int:
    """Bytes in memory now; never more than the peak so far, so that the difference is not flattered."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * BYTES_IN_A_PAGE


def _weights(network: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in network.parameters())


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_IN_A_KIB


if __name__ == "__main__":
    sys.exit(main())
