"""A served network: the smallest, at batch 1 and at any."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from neonext_ascend import jobs
from neonext_ascend.runtimes.registry import open_runner


class Nano(NamedTuple):
    """Two files of one network, seeded rows, and its answers to them."""

    one: Path
    free: Path
    rows: NDArray[np.float32]
    want: NDArray[np.float32]


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Nano:
    """Exported once a worker."""
    folder = tmp_path_factory.mktemp("served")
    one = jobs.export("neonext_nano", output=folder).onnx.path
    free = jobs.export("neonext_nano", batch_size="dynamic", output=folder).onnx.path
    rows = np.random.RandomState(3).standard_normal((24, 3, 96, 96)).astype(np.float32)
    with open_runner(free, threads=1) as runner:
        want = runner.infer({"image": rows})["logits"].astype(np.float32)
    return Nano(one, free, rows, want)
