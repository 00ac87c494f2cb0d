"""The share of a training that waits for its pictures: two workers, JPEG files, networks of two sizes.

    python -m benchmarks.measure.feeding [--quick] [--json FILE]

Photographs that come with scikit-learn (``china.jpg``, ``flower.jpg``) and matplotlib (``grace_hopper.jpg``) are cut
into pictures of 500 x 375 pixels, as ImageNet's are in the middle, and written as JPEG files of quality 90. What is run
is ``train`` itself with the paper's recipe; its own log tells the share, counted from the end of the first epoch, when
the workers are up. A picture's cost is the processor time of reading, decoding and augmenting it in one thread.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.measure.machine import describe_machine, machine_text
from benchmarks.outcome import conclude, parser_for
from neonext_ascend import jobs
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.models.variants import find_variant
from neonext_ascend.training.feeding import Pictures, Sample
from neonext_ascend.training.pictures import Augmentation
from neonext_ascend.training.recipe import resolve
from neonext_ascend.training.sources.opening import open_source

PHOTOGRAPHS = {
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}
SIDES, QUALITY, EACH = (500, 375), 90, 48
WORKERS, BATCH = 2, 8
# Network and epochs of 12 steps; NeoNeXt-T takes seconds a step on a CPU.
RUNS, QUICK_RUNS = {"neonext_t": 2, "neonext_nano": 6}, {"neonext_nano": 2}
RECIPE, COSTED = "neonext_t", 64  # the costs are the mean of so many pictures


def main() -> int:
    """Measure, print, and give the exit code."""
    options = parser_for("feeding", __doc__).parse_args()
    machine = describe_machine()
    print(machine_text(machine))
    with tempfile.TemporaryDirectory() as name:
        data = write_pictures(Path(name) / "data")
        sizes = [path.stat().st_size for path in data.rglob("*.jpg")]
        rows = [
            run(network, data, epochs, Path(name) / network)
            for network, epochs in (QUICK_RUNS if options.quick else RUNS).items()
        ]
    for row in rows:
        print(f"{row['network']:<14}{row['images_per_second']:>8.1f} images/s {100 * row['waiting']:>5.1f} % waiting")
    figures = {
        "quick": options.quick,
        "workers": WORKERS,
        "batch": BATCH,
        "photographs": [Path(file).name for files in PHOTOGRAPHS.values() for file in files],
        "sides": list(SIDES),
        "kilobytes": float(np.mean(sizes)) / 1e3,
        "rows": rows,
    }
    return conclude("feeding", machine, figures, [], options.json)


def run(network: str, data: Path, epochs: int, folder: Path) -> dict[str, Any]:
    """What a training's log tells behind its first epoch, and what a picture costs."""
    given = {"epochs": epochs, "batch_size": BATCH, "warmup_epochs": 0, "held_out": 0.0}
    jobs.train(
        network,
        data=data,
        settings=asdict(resolve(RECIPE, given)),
        output=folder,
        device="cpu",
        workers=WORKERS,
        log_every=1,
        look_every=0,
        tensorboard=False,
    )
    return {"network": network, **behind_the_first_epoch(folder / "log.jsonl"), "picture_ms": cost(network, data)}


def behind_the_first_epoch(log: Path) -> dict[str, Any]:
    """Images a second, and the share of waiting: the log has both over the run so far."""
    lines = [line for line in map(json.loads, log.read_text().splitlines()) if "loss" in line]
    first = max(line["step"] for line in lines if line["epoch"] == 1)
    seconds, waiting = [], []
    for line in (next(line for line in lines if line["step"] == first), lines[-1]):
        seconds.append(line["step"] * BATCH / line["images_per_second"])
        waiting.append(line["waiting_for_pictures"] * seconds[-1])
    taken, images = seconds[1] - seconds[0], (lines[-1]["step"] - first) * BATCH
    return {"images": images, "images_per_second": images / taken, "waiting": (waiting[1] - waiting[0]) / taken}


def cost(network: str, data: Path) -> float:
    """Milliseconds of processor time that a picture takes, read, decoded and augmented in one thread."""
    prepare = preprocessing_for(network, find_variant(network).config.image_size)
    prepared = Pictures(Augmentation(resolve(RECIPE, {}), prepare))
    samples = [Sample(entry, seed) for seed, entry in enumerate(open_source(str(data), 0.0, 0).training.plain())]
    prepared[samples[0]]  # what is loaded when first used
    torch.set_num_threads(1)
    start = time.process_time()
    for sample in samples[:COSTED]:
        prepared[sample]
    return 1e3 * (time.process_time() - start) / COSTED


def write_pictures(folder: Path) -> Path:
    """A folder of JPEG files for each of two classes, drawn in turn from the photographs; the folder."""
    draw = np.random.default_rng(0)
    photographs = [
        Image.open(resources.files(package) / file).convert("RGB")  # type: ignore[arg-type] # a path, as both are installed unpacked
        for package, files in PHOTOGRAPHS.items()
        for file in files
    ]
    for number in range(2 * EACH):
        photograph, zoom = photographs[number % len(photographs)], draw.uniform(0.5, 1)
        sides = [
            round(zoom * min(photograph.width, photograph.height * SIDES[0] / SIDES[1]) * s / SIDES[0]) for s in SIDES
        ]
        x, y = (int(draw.integers(whole - part + 1)) for whole, part in zip(photograph.size, sides, strict=True))
        picture = photograph.crop((x, y, x + sides[0], y + sides[1])).resize(SIDES, Image.Resampling.BICUBIC)
        path = folder / str(number % 2) / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=QUALITY)
    return folder


if __name__ == "__main__":
    sys.exit(main())
