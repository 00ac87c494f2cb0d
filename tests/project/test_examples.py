"""Every example runs as its first lines say, from the repository's root, and prints what it promises."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from neonext_ascend.cli.main import run
from tests import ROOT

EXAMPLES = ROOT / "examples"
DIGIT = ROOT / "neonext_ascend" / "data" / "samples" / "digit_3.png"


@pytest.fixture(autouse=True)
def _in_a_folder_like_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "neonext_ascend").symlink_to(ROOT / "neonext_ascend")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Output:
    return Output(capsys, monkeypatch)


class Output:
    """Runs an example as a script and gives what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys, self.monkeypatch = capsys, monkeypatch

    def of(self, name: str, *arguments: object) -> str:
        self.monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        self.capsys.readouterr()
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return self.capsys.readouterr().out


def test_no_example_is_left_out() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in tested] == []


def test_a_module_of_ones_own_folds(output: Output) -> None:
    printed = output.of("fold_your_own_module.py")
    assert "fold_batchnorm: 1 changed, 1 refused" in printed
    assert "refused 1: add at " in printed
    difference, largest = (float(part.split()[-1]) for part in printed.splitlines()[-1].split(","))
    assert difference <= 2e-6 * largest


def test_a_custom_network_exports(output: Output) -> None:
    printed = output.of("export_a_custom_network.py")
    assert printed == "wrote mine-96x128-b1-fp32.onnx and mine-96x128-b1-fp32.json, untrained\nparity passed: True\n"
    assert sorted(path.suffix for path in Path("artifacts").iterdir()) == [".json", ".onnx"]


def test_two_files_are_compared(output: Output) -> None:
    for dtype in ("fp32", "fp16"):
        assert run(["export", "neonext_nano", "-o", "artifacts", "--dtype", dtype, "--no-verify"]) == 0
    files = [f"artifacts/neonext_nano-96-b1-{dtype}.onnx" for dtype in ("fp16", "fp32")]
    assert "within the bounds for fp16" in output.of("compare_two_files.py", *files)
    with pytest.raises(SystemExit, match="give two ONNX files"):
        output.of("compare_two_files.py")


def test_a_segmentation_head_is_exported_whole(output: Output) -> None:
    """A few steps, not its minute; NeoNeXt's NeoCells and those of the head."""
    before = torch.random.get_rng_state()
    overlap, wrote, inspected = output.of("segment_shapes.py", 3).splitlines()
    torch.random.set_rng_state(before)
    assert overlap.startswith("overlap background 0.")
    match = re.fullmatch(r"wrote shapes.onnx, 9 NeoCells; largest difference (\S+) of (\S+)", wrote)
    assert match is not None
    assert float(match[1]) <= 5e-6 * float(match[2])
    assert inspected == "inspect: accepted for Ascend310P3"


def alone(*arguments: str) -> list[str]:
    """Runs the example in a fresh interpreter and makes sure that it stays alone."""
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['example', *{arguments!r}]\n"
        f"runpy.run_path({str(EXAMPLES / 'use_the_onnx_file_alone.py')!r}, run_name='__main__')\n"
        "assert not {'neonext_ascend', 'torch', 'onnx'} & set(sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
    return done.stdout.splitlines()


def predicted(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """What ``predict`` says of the same picture, in the example's form."""
    capsys.readouterr()
    assert run(["predict", *arguments, "--top", "3", "--json"]) == 0
    (prediction,) = json.loads(capsys.readouterr().out)["predictions"]
    return [f"{100 * guess['score']:6.2f} %  {guess['label']}" for guess in prediction["top"]]


def test_the_file_alone_gives_what_predict_gives(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "neonext_nano", "-o", "artifacts", "--no-verify"]) == 0
    want = predicted(capsys, "artifacts/neonext_nano-96-b1-fp32.onnx", str(DIGIT))
    assert want[0].endswith("%  3")
    assert alone() == want


def test_the_file_alone_crops_as_predict_does(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    output.of("export_a_custom_network.py")
    arguments = ("artifacts/mine-96x128-b1-fp32.onnx", str(DIGIT))
    assert alone(*arguments) == predicted(capsys, *arguments)
