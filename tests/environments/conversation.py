"""What every client that is not ours is held to: its logits for seeded rows are the runner's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from neonext_ascend import jobs
from neonext_ascend.runtimes.registry import open_runner
from tests.environments.environment import Done
from tests.support.serving import serving

KINDS = ("http", "grpc")


def converse(folder: Path, kind: str, ask: Callable[[str], Done]) -> None:
    """Serve nano as ``nano``; ``ask`` is told where, and what it prints ends with ``logits`` and 30 numbers."""
    path = jobs.export("neonext_nano", batch_size="dynamic", output=folder / kind).onnx.path
    with serving(f"nano={path}", "--grpc-port", 0) as up:
        said = ask(f"127.0.0.1:{up.port}" if kind == "http" else str(up.grpc)).expect(0, "logits").out
    rows = np.random.RandomState(3).standard_normal((3, 3, 96, 96)).astype(np.float32)
    with open_runner(path) as runner:
        want = runner.infer({"image": rows})["logits"].astype(np.float64)
    got = np.array([float(word) for word in said.rpartition("logits")[2].split()]).reshape(want.shape)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
