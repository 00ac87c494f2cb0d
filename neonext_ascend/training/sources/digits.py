"""scikit-learn's handwritten digits: 1,797 grey pictures of 8 x 8 pixels, one fifth of each class held out."""

from __future__ import annotations

import numpy as np

from neonext_ascend.errors import ToolchainError
from neonext_ascend.training.sources.entries import Entry, Listed, Source

_ENLARGED = 8


def read() -> Source:
    """The digits; each for training twice, of which one is enlarged to squares of 8 x 8 pixels.

    Held out are always the same 360, those that ``neonext_nano`` was measured on, as they are.

    Raises:
        ToolchainError: scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError:
        raise ToolchainError("digits need scikit-learn; pip install '.[train]' in the checkout") from None
    data = load_digits()
    pixels, labels = np.round(data.images * 255 / 16).astype(np.uint8), data.target
    numbers = np.arange(len(labels))
    inside, outside = train_test_split(numbers, test_size=0.2, stratify=labels, random_state=0)
    entries = [Entry(f"digit {number}", pixels[number], int(labels[number])) for number in numbers]
    large = [
        Entry(f"digit {n} enlarged", pixels[n].repeat(_ENLARGED, 0).repeat(_ENLARGED, 1), int(labels[n]))
        for n in inside.tolist()
    ]
    return Source(
        "digits",
        tuple("0123456789"),
        Listed([entries[number] for number in inside.tolist()] + large),
        Listed([entries[number] for number in outside.tolist()]),
        "held out: 360 digits",
    )
