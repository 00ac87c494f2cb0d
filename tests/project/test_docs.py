"""The pages do what they show: snippets and commands run, shown output is printed, links and pictures are current."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import runpy
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.__main__ import NAMES
from neonext_ascend.cli.main import run
from neonext_ascend.cost.count import count_network
from neonext_ascend.data import NANO_WEIGHTS, data_path
from neonext_ascend.machine.container import docker_run_command
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS
from tests import ROOT
from tests.support.pictures import assert_same_picture
from tests.support.serving import serving
from tools.write_ascend_page import ascend_page

RUNNABLE = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# The Chinese pages show the same blocks as the English ones: tests/project/test_chinese.py.
LINKING = [
    *RUNNABLE,
    *sorted(page for page in ROOT.glob("*.md") if page not in RUNNABLE),
    *sorted((ROOT / "docs" / "zh").glob("*.md")),
    *sorted((ROOT / "neonext_ascend" / "data").glob("*.md")),
]

LANGUAGES = {"python", "console", "text", "toml", "json", "sh"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What no two machines agree on: rounding errors and what follows from them, and probabilities to the last digit.
MEASURED = re.compile(r"\d(?:\.\d+)?e[-+]\d+|(?<=cosine )\d\.\d+|\d+\.\d+(?= %)")
# What these print is the machine's own; only their exit status is checked.
MACHINES_OWN = {"benchmark", "doctor"}
# Pages for somebody with a card: followed on a machine of stand-ins.
ON_A_CARD = {"ascend.md"}
# A benchmark is run for as short as it goes: what it measures is not looked at.
SHORT = ("--seconds", "1", "--sittings", "6")
SHELL_SYNTAX = {"|", "||", "&&", ";", ">", "<", "&"}


def shown_path(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def checkpoint_of(name: str, path: Path) -> None:
    """A checkpoint in the authors' layout with weights of order 1."""
    network = build(VARIANTS[name].config)
    redraw_at_order_one(network)
    torch.save(network.state_dict(), path)


def trained_nano(path: Path) -> None:
    """What a training of nano leaves."""
    path.parent.mkdir()
    path.write_bytes(data_path(NANO_WEIGHTS).read_bytes())
    (path.parent / "classes.txt").write_text("".join(f"{digit}\n" for digit in range(10)))


# Files that a reader brings, by the name under which the pages speak of them, and how a stand-in is made.
BROUGHT: dict[str, Callable[[Path], None]] = {
    "epoch_286_ema.pt": lambda path: checkpoint_of("neonext_t", path),
    # Of a training, for which there is no time here: the packaged ones, as good on the held-out digits.
    "nano/best.safetensors": trained_nano,
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``line`` is that of its first line of content, ``end`` that of its closing fence."""

    language: str
    content: str
    line: int
    end: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        first = text.count("\n", 0, match.start(2)) + 1
        found.append(Block(match[1], match[2], first, first + match[2].count("\n")))
    return found


def output_of(block: Block, following: list[Block]) -> str | None:
    """What a Python block is shown to print: the ``text`` block behind it, with at most an empty line between."""
    shown = [after.content for after in following if after.language == "text" and after.line <= block.end + 3]
    return shown[0] if shown else None


def commands(block: Block) -> Iterator[tuple[int, str, str]]:
    """Line, command and shown output of each ``$`` line in a console block."""
    lines = block.content.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
        end = start
        while lines[end].endswith("\\"):
            end += 1
        command = " ".join(line.rstrip("\\").strip() for line in lines[start : end + 1])
        yield block.line + start, command.removeprefix("$ "), "\n".join(lines[end + 1 : stop]).strip()


def assert_printed(shown: str, printed: str, where: str) -> None:
    """``...`` in what is shown stands for anything, and measured numbers for any others."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    want, got = (MEASURED.sub("#", text).strip() + "\n" for text in (shown, printed))
    assert doctest.OutputChecker().check_output(want, got, options), f"{where} shows\n{shown}\nbut prints\n{printed}"


def printed_by(action: Callable[[], Any]) -> tuple[Any, str]:
    """The result and all that was printed, as a terminal shows it."""
    screen = io.StringIO()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
        result = action()
    return result, screen.getvalue()


class Reader:
    """Follows a page from top to bottom in the current folder, as somebody at the repository's root would.

    The page's Python blocks share one namespace. A ``text`` block right behind one is what that block prints. A
    ``toml`` block is kept as the file that its ``name`` tells.
    """

    def __init__(self, page: Path) -> None:
        self.page = page
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.status = 0
        self.port = 0
        self.ending = contextlib.ExitStack()

    def follow(self) -> None:
        with self.ending:
            self._follow()

    def _follow(self) -> None:
        found = blocks(self.page)
        for number, block in enumerate(found):
            if block.language == "toml":
                name = re.search(r'^name = "(.+)"', block.content, re.MULTILINE)
                assert name is not None, f"{shown_path(self.page)}:{block.line} names no network"
                Path(f"{name[1]}.toml").write_text(block.content, encoding="utf-8")
            elif block.language == "console":
                for line, command, shown in commands(block):
                    self.type(command, shown, f"{shown_path(self.page)}:{line}")
            elif block.language == "python":
                self.execute(block, output_of(block, found[number + 1 : number + 2]))

    def type(self, command: str, shown: str, where: str) -> None:
        if command == "echo $?":
            assert shown == str(self.status), f"{where} shows {shown} where the status is {self.status}"
            return
        words = shlex.split(command, comments=True)
        if words[0] == "curl" and self.port:
            done = subprocess.run([self.here(w) for w in words], capture_output=True, text=True, check=True)
            assert_printed(self.here(shown), done.stdout, where)
            return
        if words[0] != "neonext-ascend":
            return
        if words[1] == "serve":  # until the page's end, on a port of its own
            up = self.ending.enter_context(serving(*words[2:]))
            self.port = up.port
            assert_printed(self.here(shown), up.said, where)
            return
        assert not SHELL_SYNTAX & set(words), f"{where}: {command!r} cannot be tested; show it without a shell's syntax"
        for name in BROUGHT.keys() & set(words):
            if not Path(name).exists():
                BROUGHT[name](Path(name))
        if words[1] == "benchmark" and "--repeats" not in words:
            words += SHORT
        self.status, printed = printed_by(lambda: run([self.here(word) for word in words[1:]]))
        refused = any(line.startswith("error:") for line in shown.splitlines())
        answers = (0, 1) if words[1] == "debug" else (0,)  # that a node makes an error is an answer
        assert (self.status not in answers) == refused, f"{where}: {command!r} ends with {self.status}\n{printed}"
        if shown and words[1] not in MACHINES_OWN:
            assert_printed(shown, printed, where)

    def here(self, word: str) -> str:
        """With the port that is served on, and files of the repository by their whole path."""
        if not self.port:
            return word
        word = word.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        return re.sub(r"(?<=[@\"])neonext_ascend/", f"{ROOT}/neonext_ascend/", word)

    def execute(self, block: Block, shown: str | None) -> None:
        # Blank lines in front: a traceback then tells the page's own line.
        code = compile("\n" * (block.line - 1) + self.here(block.content), str(self.page), "exec")
        _, printed = printed_by(lambda: exec(code, self.namespace))
        if shown is not None:
            assert_printed(shown, printed, f"{shown_path(self.page)}:{block.line}")


@pytest.mark.parametrize("page", RUNNABLE, ids=shown_path)
def test_a_page_does_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if page.name in ON_A_CARD:
        request.getfixturevalue("card")
    for folder in ("neonext_ascend", "examples"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    Reader(page).follow()


@pytest.mark.parametrize("page", LINKING, ids=shown_path)
def test_every_block_has_a_language_that_is_looked_at(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = blocks(page)
    assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(found)
    assert {block.language for block in found} <= LANGUAGES
    # What is not in a console block does not run here.
    assert not any(re.search(r"^\W*neonext-ascend", b.content, re.MULTILINE) for b in found if b.language == "sh")


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the page's headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKING, ids=shown_path)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
    targets = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r'(?:src|href|srcset)="([^"\s]+)"', text)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{shown_path(page)}: {target} does not exist"
        assert ROOT in file.parents, f"{shown_path(page)}: {target} is outside the repository"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{shown_path(page)}: {target} has no such heading"


def test_the_table_of_models_is_right() -> None:
    """README's rows: name, image size, shifts, parameters, block-sparse MACs, published accuracy where there is one."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(neonext\w+)` \| (.+?) \|$", page, re.MULTILINE)
    assert [name for name, _ in rows] == [name for name in VARIANTS if "." not in name]
    for name, cells in rows:
        variant, count = VARIANTS[name], count_network(VARIANTS[name].config)
        config, large = variant.config, count.params > 10**6
        want = [
            str(config.image_size[0]),
            ",".join(str(int(shift)) for shift in config.shifts),
            f"{count.params / 1e6:.2f} M" if large else f"{count.params:,}",
            f"{count.sparse / 1e9:.2f} G" if large else f"{count.sparse / 1e6:.2f} M",
        ]
        if variant.top1 is not None:
            want.append(f"{variant.top1:.2f} %")
        assert cells.split(" | ")[: len(want)] == want, name


def test_the_generated_parts_of_the_ascend_page_are_current() -> None:
    page = (ROOT / "docs" / "ascend.md").read_text(encoding="utf-8")
    assert ascend_page(page) == page, "run: python -m tools.write_ascend_page"
    assert docker_run_command([0]) in page


def test_the_command_reference_is_current() -> None:
    written = runpy.run_path(str(ROOT / "tools" / "write_command_reference.py"))["reference"]()
    committed = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert committed == written, "run: python tools/write_command_reference.py"


def test_the_pictures_are_what_the_script_draws() -> None:
    pictures: dict[str, str] = runpy.run_path(str(ROOT / "tools" / "draw_pictures.py"))["pictures"]()
    # The plots of benchmarks belong to tests/benchmarks/test_page.py, those of experiments are drawn by each.
    drawn = (path for path in (ROOT / "docs" / "images").glob("*.svg") if path.stem not in NAMES)
    files = [path for path in drawn if not path.name.startswith("bench_")]
    assert {path.name for path in files} == set(pictures)
    for path in files:  # run: python tools/draw_pictures.py
        assert_same_picture(path.read_text(encoding="utf-8"), pictures[path.name])


def named_matrices(text: str) -> dict[str, np.ndarray[Any, Any]]:
    """Matrices set side by side as ``A = 1 2     B = 5 6`` with their further rows below."""
    rows: dict[str, list[list[float]]] = {}
    columns: list[tuple[int, str]] = []
    for line in text.splitlines():
        titles = [(match.start(), match[1]) for match in re.finditer(r"([A-Zb]) = ", line)]
        columns = titles or columns
        edges = [start for start, _ in columns[1:]] + [len(line)]
        for (start, name), end in zip(columns, edges, strict=True):
            numbers = re.sub(r"[A-Zb] = ", "", line[start:end]).split()
            if numbers:
                rows.setdefault(name, []).append([float(number) for number in numbers])
    return {name: np.array(values) for name, values in rows.items()}


def test_the_example_by_hand_is_right() -> None:
    page = (ROOT / "docs" / "folding.md").read_text(encoding="utf-8")
    by_hand = page.split("## By hand")[1].split("\n## ")[0]
    m: dict[str, np.ndarray[Any, Any]] = {}
    for match in FENCE.finditer(by_hand):
        m |= named_matrices(match[2])
    assert {name: matrix.shape for name, matrix in m.items()} == {
        **dict.fromkeys("XABYZPQ", (4, 4)),
        **dict.fromkeys("LRF", (2, 2)),
        "b": (1, 2),
    }
    s, t, weight, bias = 3 / np.sqrt(4), 1 - 3 / np.sqrt(4) * 2, np.array([2, -1]), np.array([1, 0])
    both = np.eye(2)
    assert np.array_equal(m["A"], np.kron(both, m["L"]))
    assert np.array_equal(m["B"], np.kron(both, m["R"]))
    assert np.array_equal(m["Y"], m["A"] @ m["X"] @ m["B"])
    assert np.array_equal(m["Z"], s * m["Y"] + t)
    assert np.array_equal(m["P"], weight[0] * m["Z"] + bias[0])
    assert np.array_equal(m["Q"], weight[1] * m["Z"] + bias[1])
    # Folded: s is in the cell, t in the linear layer's bias.
    assert np.array_equal(m["F"], s * m["L"])
    assert np.array_equal(m["b"][0], bias + weight * t)
    folded = np.kron(both, m["F"]) @ m["X"] @ m["B"]
    assert np.array_equal(m["P"], weight[0] * folded + m["b"][0, 0])
    assert np.array_equal(m["Q"], weight[1] * folded + m["b"][0, 1])
