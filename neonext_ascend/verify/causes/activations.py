"""Functions that stand in networks where another should: each tried by computing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Values = NDArray[Any]
TANH_FORM = "GELU's tanh form"


def _sigmoid(x: _Values) -> _Values:
    y: _Values = 0.5 * (1 + np.tanh(x / 2))
    return y


def _tanh_form(x: _Values) -> _Values:
    y: _Values = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return y


ACTIVATIONS: Mapping[str, Callable[[_Values], _Values]] = {
    TANH_FORM: _tanh_form,
    "Relu": lambda x: np.maximum(x, 0),
    "SiLU, x Sigmoid(x),": lambda x: x * _sigmoid(x),
    "QuickGELU, x Sigmoid(1.702 x),": lambda x: x * _sigmoid(1.702 * x),
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "Sigmoid": _sigmoid,
    "Tanh": np.tanh,
    "nothing at all": lambda x: x,
}
