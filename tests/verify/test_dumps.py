"""A folder of arrays as a reference: what was fed, names as a dump writes them, another order of axes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neonext_ascend import jobs
from neonext_ascend.cli.main import run
from neonext_ascend.errors import ArtifactError
from neonext_ascend.runtimes.steps import Array, Steps
from neonext_ascend.verify.nodewise.nodes import values_of
from tests.support.graphs import draw, graph

SHAPE = (1, 3, 6, 5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Names as torch's exporter gives them; a map that is a cube in the middle."""
    return graph(
        tmp_path / "it.onnx",
        [
            ("Conv", "x,w", "/stem/Conv_output_0", {"pads": [1, 1, 1, 1]}),
            ("Relu", "/stem/Conv_output_0", "/act/Relu_output_0"),
            ("Conv", "/act/Relu_output_0,v", "/cube/Conv_output_0"),
            ("GlobalAveragePool", "/cube/Conv_output_0", "y"),
        ],
        {"w": draw(4, 3, 3, 3), "v": draw(4, 4, 3, 2, seed=1)},
        SHAPE,
        rename=lambda name: name.removeprefix("n_").replace("_output_0", "") if name.startswith("n_") else name,
    )


def dump(path: Path, folder: Path, fed: Array, saved: Callable[[str, Array], tuple[str, Any]]) -> Path:
    folder.mkdir()
    for name, value in values_of(Steps(path), {"x": fed}):
        file, array = saved(name, value)
        np.save(folder / f"{file}.npy", array)
    return folder


FED = draw(*SHAPE, seed=7)
# How a file is named for a value.
NAMES: dict[str, Callable[[str], str]] = {
    "underscores": lambda name: name.replace("/", "_"),
    "dots": lambda name: name.replace("/", "."),
    "no first sign": lambda name: name.strip("/").replace("/", "_"),
    "nodes": lambda name: name.removesuffix("_output_0").replace("/", "_"),
}


@pytest.mark.parametrize("way", NAMES)
@pytest.mark.parametrize("fed", ["image", "x"])
def test_names_and_what_was_fed_are_found(way: str, fed: str, path: Path, tmp_path: Path) -> None:
    folder = dump(path, tmp_path / "dump", FED, lambda name, value: (NAMES[way](name), value))
    np.save(folder / f"{fed}.npy", FED)
    found = jobs.debug(path, against=folder)
    assert (found.first_made, found.unmatched, found.matched) == (None, (), 4)
    assert "noise" not in found.against


def test_without_what_was_fed_noise_is_and_that_is_said(path: Path, tmp_path: Path) -> None:
    folder = dump(path, tmp_path / "dump", FED, lambda name, value: (NAMES["dots"](name), value))
    found = jobs.debug(path, against=folder, output=tmp_path / "report", seed=3)
    assert found.first_made is not None
    assert "x is not among them: noise of seed 3 was fed" in found.against
    # What is written is what the other side is to be fed.
    (written,) = found.fed
    assert written.name == "x.npy"
    again = dump(path, tmp_path / "again", np.load(written), lambda name, value: (NAMES["dots"](name), value))
    assert jobs.debug(path, against=again, seed=3).first_made is None


@pytest.mark.parametrize("size", [(1, 3, 6, 4), (3, 6, 5), (2, 2)])
def test_an_input_of_another_shape_is_refused(size: tuple[int, ...], path: Path, tmp_path: Path) -> None:
    folder = dump(path, tmp_path / "dump", FED, lambda name, value: (NAMES["dots"](name), value))
    np.save(folder / "image.npy", draw(*size))
    with pytest.raises(ArtifactError, match=f"image.npy: is {'x'.join(map(str, size))}; the input x takes 1x3x6x5"):
        jobs.debug(path, against=folder)


def test_another_order_of_axes_is_turned_back_and_told(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dict(values_of(Steps(path), {"x": FED}))["/cube/Conv_output_0"].shape == (1, 4, 4, 4)
    folder = dump(path, tmp_path / "dump", FED, lambda name, value: (NAMES["dots"](name), value.transpose(0, 2, 3, 1)))
    np.save(folder / "image.npy", FED.transpose(0, 2, 3, 1))
    assert run(["debug", str(path), "--against", str(folder)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the 4 values in" in said
    assert "in another order of axes (NHWC, say), turned back" in said
    flat = dump(path, tmp_path / "flat", FED, lambda name, value: (NAMES["dots"](name), value.reshape(-1)))
    np.save(flat / "image.npy", FED)
    assert jobs.debug(path, against=flat).first_made is None


def test_a_value_that_is_wrong_is_found_in_any_order_of_axes(path: Path, tmp_path: Path) -> None:
    def saved(name: str, value: Array) -> tuple[str, Array]:
        value = np.multiply(value, np.float32(1.1)) if name == "/act/Relu_output_0" else value
        return NAMES["dots"](name), value.transpose(0, 2, 3, 1)

    folder = dump(path, tmp_path / "dump", FED, saved)
    np.save(folder / "image.npy", FED)
    found = jobs.debug(path, against=folder)
    assert found.first_made is not None
    assert found.first_made.name == "/act/Relu"


def test_what_is_left_out_and_what_is_twice_is_said(path: Path, tmp_path: Path) -> None:
    folder = dump(path, tmp_path / "dump", FED, lambda name, value: (NAMES["dots"](name), value))
    np.save(folder / "x.npy", FED)
    np.save(folder / "y.npy", np.ones(3))
    found = jobs.debug(path, against=folder)
    assert "of another size than here, and left out: y" in found.against
    np.save(folder / "_stem_Conv_output_0.npy", np.ones(3))
    with pytest.raises(ArtifactError, match="expected one file of it"):
        jobs.debug(path, against=folder)
