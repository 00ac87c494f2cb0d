"""``inspect`` on the command line: what it prints, and its exit status."""

from __future__ import annotations

import json
import re
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from neonext_ascend.cli.main import run
from neonext_ascend.exporters.atc_rules.inspecting import inspect_onnx

CHIP = ["--soc-version", "Ascend310P3"]


def write(path: Path, *kinds: str, opset: int = 17, name: str = "the_{}{}", dtype: int = TensorProto.FLOAT) -> Path:
    """A chain of these operators, ``(1, 4)`` in and out."""
    nodes = [
        make_node(kind, [f"v{i}"], [f"v{i + 1}"], name=name.format(kind, i) if name else "")
        for i, kind in enumerate(kinds)
    ]
    inputs = [make_tensor_value_info("v0", dtype, (1, 4))]
    graph = make_graph(nodes, "g", inputs, [make_tensor_value_info(f"v{len(kinds)}", dtype, (1, 4))])
    path.write_bytes(make_model(graph, opset_imports=[make_opsetid("", opset)]).SerializeToString())
    return path


def test_a_refusal_says_what_where_why_and_what_to_do(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "it.onnx", "Gelu", "Gelu", "Gelu", opset=20)
    assert run(["inspect", str(path), *CHIP]) == 1
    out, err = capfd.readouterr()
    assert err == ""
    assert max(map(len, out.replace(str(path), "").splitlines())) <= 80
    words = " ".join(out.split())
    assert "verdict ATC would refuse it: 2 errors, 1 warning" in words
    assert "error opset (E16002) where the whole file why opset 20; ATC's parser registers operators" in words
    assert "error gelu (E16002) where the_Gelu0 and 2 more why ATC has no parser for ai.onnx's Gelu" in words
    assert "do export it at opset 17 with Gelu as Erf" in words
    assert out.index("error    gelu") < out.index("warning  silent-half")


def test_warnings_alone_exit_0(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(write(tmp_path / "it.onnx", "Relu")), *CHIP]) == 0
    assert "nothing found that ATC would refuse: 0 errors, 1 warning" in capfd.readouterr().out


def test_json_lists_every_node_and_nothing_else_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "it.onnx", "Gelu", "Relu", "Gelu", dtype=TensorProto.FLOAT16)
    assert run(["inspect", str(path), *CHIP, "--json"]) == 1
    data = json.loads(capfd.readouterr().out)
    assert set(data) == {"accepted", "findings", "estimates", "cost", "plot"}
    assert data["accepted"] is False
    assert [(f["rule"], f["node"]) for f in data["findings"]] == [("gelu", "the_Gelu0"), ("gelu", "the_Gelu2")]
    assert set(data["findings"][0]) == {"rule", "severity", "node", "message", "remedy", "atc_code"}


def test_precision_reaches_the_rules(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "it.onnx", "Relu")
    assert run(["inspect", str(path), *CHIP, "--precision", "origin", "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    assert (data["accepted"], data["findings"]) == (True, [])


def test_a_node_without_a_name_is_named_by_its_place(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(write(tmp_path / "it.onnx", "Relu", "Gelu", name="")), *CHIP]) == 1
    assert "where  Gelu #1 -> v2\n" in capfd.readouterr().out


def test_a_name_cannot_write_lines_of_ours(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name = "a\nverdict  fine\x1b[2J{}{}"
    assert run(["inspect", str(write(tmp_path / "it.onnx", "Gelu", name=name)), *CHIP]) == 1
    out = capfd.readouterr().out
    assert "\nverdict  fine" not in out
    assert "\x1b" not in out


def test_images_a_second_stand_behind_the_findings(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "it.onnx", "Relu", "Relu")
    assert run(["inspect", str(path), *CHIP, "--batch-size", "1,8"]) == 0
    words = " ".join(capfd.readouterr().out.split())
    # The file's batch is 1, whatever is asked for.
    assert re.search(r"speed batch 1: about \d+ images a second \(80% between \d+ and \d+\)", words)
    assert "batch 8" not in words
    assert re.search(r"time at batch 1: starting a run \d+%, elementwise \d+%", words)
    assert re.search(r"had not seen it missed by a factor of 1\.\d+ in the middle and \d\.\d+ at the ninth", words)
    assert "nothing ran (docs/cost.md)" in words


@pytest.mark.parametrize(
    ("content", "arguments", "code", "words"),
    [
        (b"x", ["--soc-version", "Ascend310Z9"], 2, "did you mean Ascend310P3?"),
        (b"x", ["--soc-version", "Ascend910B"], 2, "this is the old 910"),
        (b"x", [], 2, "Missing option '--soc-version'"),
        (b"x", [*CHIP, "--precision", "fp64"], 2, "fp64"),
        (None, [*CHIP], 5, "no such file; expected an ONNX file"),
        (None, ["--soc-version", "Ascend310Z9"], 2, "did you mean"),
        (b"", [*CHIP], 5, "the file is empty"),
        (b"# A text\n", [*CHIP], 2, "not an ONNX model"),
        (b"\x3a\x7f\x08", [*CHIP], 5, "truncated"),
    ],
)
def test_what_is_refused(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    content: bytes | None,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    path = tmp_path / "it.onnx"
    if content is not None:
        path.write_bytes(content)
    assert run(["inspect", str(path), *arguments]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


def test_a_folder_is_no_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(tmp_path), *CHIP]) == 5
    assert "not a regular file" in capfd.readouterr().err


def test_the_command_and_the_function_agree(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from neonext_ascend.machine.chips import find_soc

    path = write(tmp_path / "it.onnx", "Erf", "Gelu", opset=20)
    assert run(["inspect", str(path), "--soc-version", "Ascend910B4", "--json"]) == 1
    said = json.loads(capfd.readouterr().out)
    rules = inspect_onnx(path, find_soc("Ascend910B4")).to_json()
    assert {name: said[name] for name in rules} == rules
    assert (said["estimates"], said["cost"]["notes"][0][:16]) == ([], "no time is told:")
    assert onnx.load(str(path)).opset_import[0].version == 20
