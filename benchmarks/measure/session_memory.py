"""What ONNX Runtime's process needs to run a file, beside what `inspect` says that the file's graph needs.

python -m benchmarks.measure.session_memory [MODEL ...] [--batch N ...]

No bound holds between the two: the runtime's own arena, its copies of weights in other layouts, and its threads come on
top, and it writes some results in place. Each run has a process of its own; what it holds before the session is taken
off.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from neonext_ascend import jobs
from neonext_ascend.artifacts.skim import skim_model
from neonext_ascend.cost.flow import Flow
from neonext_ascend.cost.liveness import file_need

_RUN = """
import sys
import numpy as np
import onnxruntime

def peak():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])

before = peak()
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
loaded = peak()
(given,) = session.get_inputs()
image = np.zeros(given.shape, np.float32)
for _ in range(3):
    session.run(None, {given.name: image})
print(loaded - before, peak() - before)
"""


def session_bytes(path: Path) -> tuple[int, int]:
    """Peak of the process behind its start, in bytes: with the session made, and with three runs (Linux)."""
    done = subprocess.run([sys.executable, "-c", _RUN, str(path)], capture_output=True, text=True, check=True)
    loaded, ran = map(int, done.stdout.split())
    return loaded, ran


def main() -> None:
    """Export each model at each batch, and print both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=["neonext_nano", "neonext_t"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8, 32])
    given = parser.parse_args()
    print(f"{'':21}{'weights':>12}{'activations':>12}{'both':>12}   {'session':>11}{'with runs':>12}  MB")
    with tempfile.TemporaryDirectory() as folder:
        for model in given.models:
            for batch in given.batch:
                made = jobs.export(model, batch_size=batch, verify=False, output=Path(folder) / f"{model}-{batch}")
                need = file_need(Flow(skim_model(made.onnx.path)))
                told = [size / 1e6 for size in (need.weights, need.activations, need.total)]
                ran = [size / 1e6 for size in session_bytes(made.onnx.path)]
                line = " ".join(f"{size:11.1f}" for size in told) + " | " + " ".join(f"{size:11.1f}" for size in ran)
                print(f"{model:<14} {batch:>6} {line}", flush=True)


if __name__ == "__main__":
    main()
