"""What holds for every plot: readable in light and dark, text kept, the same bytes always, harmless names, no noise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from neonext_ascend.drawing.by_depth import draw_by_depth
from neonext_ascend.drawing.latencies import draw_latencies
from neonext_ascend.drawing.roofline import Point, Roof, draw_roofline
from neonext_ascend.drawing.style import DARK, PAGE, SERIES, SOFT, TEXT, clean, require_matplotlib
from neonext_ascend.errors import ToolchainError
from tests import ROOT
from tests.support.forgetting import forget
from tests.support.pictures import SVG, texts_of

RUNS = 0.004 + 0.001 * np.random.default_rng(0).exponential(size=(2, 500))
POINTS = [
    Point(1, stage, layout, lowering, layout == "nchw", 2.0 / stage, 4e11 / stage)
    for stage in (1, 2)
    for layout in ("nchw", "chnw")
    for lowering in ("blockdiag", "packed", "padded", "patchwise", "kron")
]
DRAWN = {
    "latencies": draw_latencies(["A", "B"], RUNS.tolist(), "a machine"),
    "by depth": draw_by_depth("it", ["a", "b", "c"], {"x": [1e-3, None, 0.2], "y": [0, 0, 0]}, label="e", error=True),
    "roofline": draw_roofline("it", "how", Roof(7e13, 2e11, "70 TFLOPS", "200 GB/s"), POINTS),
    **{path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "images").glob("*.svg"))},
}
every_drawing = pytest.mark.parametrize("svg", DRAWN.values(), ids=DRAWN)
# Draws with names that would tell a difference in anything but the arguments.
DRAW = (
    "import sys; from neonext_ascend.drawing.latencies import draw_latencies\n"
    "sys.stdout.write(draw_latencies(['A \\u6a21\\u578b $x_1$', 'B'], [[0.001, 0.002, 0.004], [0.0012]], 'here'))"
)


def drawn_with(**environment: str) -> tuple[str, str]:
    """The drawing and the words beside it, of another process."""
    done = subprocess.run(
        [sys.executable, "-c", DRAW],
        env={**os.environ, "PYTHONUTF8": "1", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout, done.stderr


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 has it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@every_drawing
def test_every_colour_has_its_dark_one(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    styles = [element.get("style", "") for element in root.iter()]
    used = {pair for style in styles for pair in re.findall(r"(fill|stroke): (#\w+)", style)}
    assert {colour for _, colour in used} <= set(DARK)
    light, dark = (root.findtext(f"{SVG}style") or "").split("@media (prefers-color-scheme: dark)")
    assert "#" not in light
    for what, colour in used:
        assert f'[style*="{what}: {colour}"] {{ {what}: {DARK[colour]} !important; }}' in dark
    # Nothing is drawn in a colour of its own, black included: what has no style inherits none.
    assert not [e for e in root.iter() if e.get("fill") or e.get("stroke") or e.get("color")]
    words = [e.get("style", "") for e in root.iter(f"{SVG}text")]
    assert words
    assert all("fill: #" in style for style in words)


@pytest.mark.parametrize("scheme", [lambda colour: colour, DARK.__getitem__], ids=["light", "dark"])
def test_colours_are_told_from_the_page(scheme: object) -> None:
    assert callable(scheme)
    # WCAG 2: 4.5 for text, 3 for graphics. Series colour text too, but for grey.
    for colour in (TEXT, SOFT, *SERIES):
        assert contrast(scheme(colour), scheme(PAGE)) >= 4.5
    assert len({scheme(colour) for colour in DARK}) == len(DARK)


@every_drawing
def test_text_is_text_of_a_readable_size_and_the_picture_is_named(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img"
    assert root.attrib["viewBox"] == f"0 0 {root.attrib['width']} {root.attrib['height']}"
    assert root.findtext(f"{SVG}title")
    assert len(root.findtext(f"{SVG}desc") or "") > 20
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    # Latin, digits and signs are never turned into outlines.
    assert len(sizes) == len(texts_of(svg)) > 0
    assert min(sizes) >= 11


@every_drawing
def test_nothing_tells_when_or_by_whom_it_was_made(svg: str) -> None:
    assert "metadata" not in svg
    assert "atplotlib v" not in svg
    assert not re.search(r"20\d\d-\d\d-\d\d", svg)


def test_the_bytes_are_the_same_in_every_process(tmp_path: Path) -> None:
    settings = tmp_path / "matplotlibrc"
    settings.write_text("svg.fonttype: path\nfont.size: 30\nsavefig.bbox: tight\naxes.grid: False\nbackend: ps\n")
    here = draw_latencies(["A 模型 $x_1$", "B"], [[0.001, 0.002, 0.004], [0.0012]], "here")
    assert drawn_with(PYTHONHASHSEED="1") == (here, "")
    assert drawn_with(PYTHONHASHSEED="2", MATPLOTLIBRC=str(settings), TZ="Asia/Shanghai", LC_ALL="C") == (here, "")


def test_no_word_of_matplotlib_stands_among_ours(tmp_path: Path) -> None:
    # Its cache cannot be written: a read-only container.
    (tmp_path / "file").touch()
    assert drawn_with(MPLCONFIGDIR=str(tmp_path / "file" / "config"))[1] == ""


def test_a_name_is_shown_as_it_is_but_harmless() -> None:
    name = "A <&> $x$ 模型\x00\x01\x1b[2J\n\t\udcff\u0085 ü"
    drawn = draw_latencies([name], [[0.001, 0.002]], "a\x1bb")
    replaced = "\N{REPLACEMENT CHARACTER}"
    shown = f"A <&> $x$ 模型{replaced * 3}[2J{replaced * 4} ü"
    assert texts_of(drawn).count(shown) == 1
    assert f"a{replaced}b" in texts_of(drawn)
    assert clean(name) == shown
    assert shown in (ElementTree.fromstring(drawn).findtext(f"{SVG}desc") or "")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("raise ModuleNotFoundError(\"No module named 'matplotlib'\", name='matplotlib')", "need matplotlib, which is"),
        ("raise ImportError('numpy.core.multiarray failed to import')", "matplotlib does not load here: numpy.core"),
        ("raise ValueError('backend')", "matplotlib does not load here: backend"),
    ],
)
def test_what_keeps_matplotlib_away_is_said(
    module: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib" / "__init__.py").write_text(module)
    forget(monkeypatch, "matplotlib")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ToolchainError) as caught:
        require_matplotlib("--plot it.svg")
    assert str(caught.value).startswith(f"--plot it.svg: {'plots ' if 'need' in words else ''}{words}")
    assert ("pip install '.[report]' in the checkout" in str(caught.value)) == ("need" in words)
