"""What tests of training share: a network that takes a step in milliseconds, and pictures that it can tell apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from neonext_ascend import jobs
from neonext_ascend.jobs.training.outcome import Training
from neonext_ascend.training.states import LAST

CONFIG = """\
name = "minute"
definition = "release"
depths = [1, 1, 1, 1]
widths = [4, 4, 6, 8]
cells = [[2, 3], [2, 3], [2, 3], [1]]
shifts = [true, true, true, false]
num_classes = 2
image_size = 32
"""
# Everything that is drawn is on, and so is every kind of state.
SETTINGS: dict[str, Any] = {
    "epochs": 3,
    "warmup_epochs": 1,
    "batch_size": 8,
    "base_batch": 8,
    "ema": 0.9,
    "drop_path": 0.3,
    "layer_scale": 0.1,
}
A_CLASS = 16


def write_pictures(folder: Path, classes: int = 2, each: int = A_CLASS, seed: int = 0) -> Path:
    """A folder per class, of noise around another grey for each."""
    draw = np.random.default_rng(seed)
    for label in range(classes):
        (folder / f"class {label}").mkdir(parents=True, exist_ok=True)
        for number in range(each):
            grey = 40 + 170 * label // max(classes - 1, 1)
            pixels = np.clip(draw.normal(grey, 30, (24, 20, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"class {label}" / f"{number:02d}.png")
    return folder


def write_config(folder: Path) -> Path:
    """The network's configuration."""
    path = folder / "minute.toml"
    path.write_text(CONFIG)
    return path


def train_minute(
    folder: Path, data: Path | str, output: str, settings: dict[str, Any] | None = None, **more: Any
) -> Training:
    """A run in this process, decoding here, without curves."""
    given = {"workers": 0, "tensorboard": False, "device": "cpu", **more}
    return jobs.train(
        data=data,
        config=write_config(folder),
        settings={**SETTINGS, **(settings or {})},
        output=folder / output,
        **given,
    )


def weights(folder: Path) -> dict[str, Tensor]:
    """The last ones of a run."""
    return load_file(folder / LAST)


def logged(folder: Path, figure: str) -> list[float]:
    """A figure of each line of the log that has it."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line[figure] for line in lines if figure in line]
