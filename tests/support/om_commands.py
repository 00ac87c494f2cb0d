"""What the tests of OM files ask the commands, as a person does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neonext_ascend.cli.main import run

SOC = "Ascend310P3"


def ask(capfd: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> Any:
    """The JSON answer of a command."""
    capfd.readouterr()
    status = run([*map(str, arguments), "--json"])
    out, err = capfd.readouterr()
    assert status == code, err
    return json.loads(out)


def export(capfd: pytest.CaptureFixture[str], folder: Path, model: str, *more: object) -> tuple[Path, Path, Any]:
    """OM, ONNX file and the whole answer."""
    answer = ask(capfd, "export", model, "--format", "om", "--soc-version", SOC, "-o", folder, *more)
    om, onnx = answer["artifacts"]
    assert [om["format"], onnx["format"]] == ["om", "onnx"]
    return Path(om["path"]), Path(onnx["path"]), answer
