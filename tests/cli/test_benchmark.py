"""``neonext-ascend benchmark``: its JSON, words, drawing and exit status. Nothing depends on real speed."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from neonext_ascend.cli import benchmark
from neonext_ascend.cli.main import run
from neonext_ascend.errors import ToolchainError
from neonext_ascend.machine import environment
from neonext_ascend.reporting.words import WIDTH
from neonext_ascend.timing import latency
from neonext_ascend.timing.contenders import contender_of, named_by
from tests.project.test_imports import loaded_by
from tests.support.outcome import Call, caller
from tests.support.pictures import texts_of

# As few runs as there can be.
QUICK = ("--repeats", "6")


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    return caller(capfd, "benchmark")


def exported(folder: Path, *options: str) -> Path:
    assert run(["export", "neonext_nano", "-o", str(folder), "--no-verify", *options]) == 0
    (path,) = folder.glob("*.onnx")
    return path


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("static"))


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("dynamic"), "--batch-size", "dynamic", "--dtype", "fp16")


def test_json_is_one_object_with_all_that_the_result_depends_on(
    call: Call, nano: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(nano.parent)
    # The manifest is not needed.
    result = call(nano.name, nano.name, "neonext_nano:unfolded", "--json", "--repeats", 13, "--threads", 1)
    assert result.code == 0, result.err
    assert result.err == ""
    data = result.json
    assert set(data) == {"machine", "versions", "settings", "artifacts"}
    assert set(data["machine"]) == {"cpu", "cores", "governor", "load"}
    assert {"python", "platform", "torch", "onnxruntime", "numpy"} <= set(data["versions"])
    assert data["settings"] == {
        "threads": 1,
        "batch_size": None,
        "seconds": None,
        "repeats": 13,
        "sittings": 10,
        "confidence": 0.95,
    }
    first, second, unfolded = data["artifacts"]
    assert first["path"] == second["path"] == str(nano)
    assert first["name"] == nano.name
    assert (unfolded["path"], unfolded["name"]) == (None, "neonext_nano:unfolded")
    assert first["ratio"] is None
    for artifact in data["artifacts"]:
        assert (artifact["dtype"], artifact["batch"], artifact["threads"], artifact["runs"]) == ("fp32", 1, 1, 13)
        assert artifact["warm_up_runs"] >= 10
        figures = artifact["latency_ms"]
        assert list(figures) == ["p50", "p90", "p95", "p99", "min", "mean"]
        assert 0 < figures["min"] <= figures["p50"] <= figures["p90"] <= figures["p95"] <= figures["p99"]
        assert artifact["images_per_second"] == pytest.approx(1000 / figures["mean"])
    for artifact in (second, unfolded):
        assert set(artifact["ratio"]) == {"median", "low", "high"}
        assert 0 < artifact["ratio"]["low"] <= artifact["ratio"]["median"] <= artifact["ratio"]["high"]


def test_batch_size_is_for_models_and_dynamic_files(call: Call, dynamic: Path) -> None:
    result = call(dynamic, "neonext_nano", "--batch-size", 3, "--json", *QUICK)
    assert result.code == 0, result.err
    artifacts = result.json["artifacts"]
    assert [(a["dtype"], a["batch"]) for a in artifacts] == [("fp16", 3), ("fp32", 3)]
    assert artifacts[0]["images_per_second"] == pytest.approx(3000 / artifacts[0]["latency_ms"]["mean"])
    assert call(dynamic, "--json", *QUICK).json["artifacts"][0]["batch"] == 1


def test_a_static_batch_is_taken_from_the_file(call: Call, tmp_path: Path) -> None:
    path = exported(tmp_path, "--batch-size", "2")
    assert call(path, "--json", *QUICK).json["artifacts"][0]["batch"] == 2
    assert call(path, "--batch-size", 2, "--json", *QUICK).code == 0


def test_a_foreign_onnx_file_needs_no_manifest(call: Call, tmp_path: Path) -> None:
    path = saved(tmp_path / "other.onnx", {"x": [1, 7]})
    (artifact,) = call(path, "--json", *QUICK).json["artifacts"]
    assert (artifact["batch"], artifact["dtype"]) == (1, "fp32")


def test_words_are_at_most_80_wide_and_name_everything(call: Call, nano: Path, tmp_path: Path) -> None:
    result = call(nano, "neonext_nano", "--plot", tmp_path / "p.svg", *QUICK)
    assert result.code == 0
    lines = result.out.splitlines()
    assert max(len(line) for line in lines if not line.startswith("plot")) <= WIDTH
    assert "1 thread each; 6 sittings" in lines
    assert "B  neonext_nano" in lines
    assert any(line.startswith("A  ") and line.endswith(nano.name) for line in lines)
    assert re.fullmatch(r"B / A: \S+ \(95 % interval \S+ to \S+\)(: no difference seen)?", lines[-2])
    assert lines[-1] == f"plot     {tmp_path / 'p.svg'}"


def test_the_drawing_names_every_artifact(call: Call, nano: Path, tmp_path: Path) -> None:
    drawing = tmp_path / "new" / "p.svg"
    assert call(nano, "neonext_nano", "neonext_nano:unfolded", "--plot", drawing, *QUICK).code == 0
    assert list(drawing.parent.iterdir()) == [drawing]
    texts = texts_of(drawing.read_text(encoding="utf-8"))
    for name in (nano.name, "neonext_nano", "neonext_nano:unfolded"):
        assert any(text.endswith(name) for text in texts)
    assert any("milliseconds" in text for text in texts)


def test_an_interrupt_leaves_no_drawing(
    call: Call, nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("neonext_ascend.jobs.benchmarking.measure", interrupted)
    drawing = call(nano, "--plot", tmp_path / "new" / "p.svg")
    assert (drawing.code, drawing.err.strip()) == (130, "error: interrupted; nothing was left half-written")
    assert list(tmp_path.iterdir()) == []
    # Of what is not written there is nothing to say.
    writing_nothing = call(nano)
    assert (writing_nothing.code, writing_nothing.err.strip()) == (130, "error: interrupted")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted; nothing was left half-written"),
        (ToolchainError("the device is lost"), 3, "the device is lost"),
    ],
)
def test_what_ends_early_tells_its_whole_sittings(
    error: BaseException,
    code: int,
    words: str,
    call: Call,
    nano: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warm_up, opened = latency.warm_up, []

    def ended(*given: Any) -> list[float]:
        opened.append(given)
        if len(opened) == 6:  # the second one's, in the third sitting
            raise error
        return warm_up(*given)

    monkeypatch.setattr(latency, "warm_up", ended)
    result = call(nano, nano, "--plot", tmp_path / "p.svg", "--json", *QUICK)
    assert (result.code, result.out) == (code, "")
    *told, last = filter(None, result.err.splitlines())  # click has sent a line of its own
    sittings = r": until then 2 of 6 sittings: [\d.]+ images/s, p50 [\d.]+ ms, p99 [\d.]+ ms"
    assert [bool(re.fullmatch(f"note: .*{re.escape(nano.name)}{sittings}", line)) for line in told] == [True, True]
    assert last == f"error: {words}"
    assert list(tmp_path.iterdir()) == []


def saved(path: Path, inputs: dict[str, list[int | str]], kind: int = TensorProto.FLOAT, op: str = "Neg") -> Path:
    """A model of one node over all inputs."""
    values = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()]
    output = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph([helper.make_node(op, list(inputs), ["y"])], "g", values, [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def only_one_row(path: Path) -> Path:
    """A model that says its batch is dynamic and cannot run but with 1."""
    shape = onnx.numpy_helper.from_array(np.array([1, 3]), "s")
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "s"], ["y"])], "g", values, [output], [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


Arguments = Callable[[Path, Path], list[object]]
REFUSED: list[tuple[str, Arguments, int, str]] = [
    ("no artifact", lambda d, n: [], 2, "Missing argument 'ARTIFACT...'"),
    ("an absent file", lambda d, n: [n, d / "x.onnx"], 5, "x.onnx: cannot read the model: No such file"),
    ("a folder", lambda d, n: [n, folder(d / "f")], 5, "f: is not a regular file; expected an ONNX model"),
    ("an unknown model", lambda d, n: ["neonext_tt"], 2, "unknown model 'neonext_tt': did you mean neonext_t"),
    ("an unknown form", lambda d, n: ["neonext_t:fast"], 2, "unknown form 'fast'; expected neonext_t, folded, or"),
    ("another batch", lambda d, n: [n, "--batch-size", 8], 2, "its batch is 1, not 8; export it with --batch-size 8"),
    ("several inputs", lambda d, n: [saved(d / "a.onnx", {"a": [1], "b": [1]}, op="Add")], 2, "has 2 inputs"),
    ("a dynamic size", lambda d, n: [saved(d / "a.onnx", {"a": ["n", 3, "h", "w"]})], 2, "only the first dimension"),
    ("whole numbers", lambda d, n: [saved(d / "a.onnx", {"a": [1]}, TensorProto.INT64)], 2, "floating-point"),
    ("a batch it cannot run", lambda d, n: [only_one_row(d / "a.onnx"), "--batch-size", 2], 2, "cannot run it"),
    ("seconds and repeats", lambda d, n: [n, "--seconds", 1, "--repeats", 9], 2, "both --seconds 1.0 and --repeats 9"),
    ("no number", lambda d, n: [n, "--seconds", "nan"], 2, "--seconds nan: expected a number of at least 0.001"),
    ("endless", lambda d, n: [n, "--seconds", "inf"], 2, "--seconds inf: expected a number of at least 0.001"),
    ("too few repeats", lambda d, n: [n, "--repeats", 5], 2, "--repeats 5: expected a whole number from 6 to"),
    ("too few sittings", lambda d, n: [n, "--sittings", 5], 2, "--sittings 5: expected a whole number from 6 to 1000"),
    ("no time", lambda d, n: [n, "--seconds", 0], 2, "--seconds 0.0: expected a number of at least 0.001"),
    ("no threads", lambda d, n: [n, "--threads", 0], 2, "--threads 0: expected a whole number from 1 to 1024"),
    ("no images", lambda d, n: [n, "--batch-size", 0], 2, "--batch-size 0: expected a whole number from 1 to 65536"),
    ("another drawing", lambda d, n: [n, "--plot", d / "p.png"], 2, "give a file name that ends in .svg"),
    ("a folder to draw in", lambda d, n: [n, "--plot", folder(d / "p.svg")], 2, "is a folder"),
    ("no place to draw", lambda d, n: [n, "--plot", "/proc/no/p.svg"], 5, "cannot create this folder"),
    ("too many", lambda d, n: [n] * 27, 2, "27 artifacts; at most 26"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
def test_a_mistake_gets_one_clear_line_and_leaves_nothing(
    call: Call,
    nano: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: Arguments,
    code: int,
    words: str,
) -> None:
    given = arguments(tmp_path, nano)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    result = call(*given)
    assert words in result.err
    assert result.code == code
    assert result.out == ""
    assert [line[:7] for line in result.err.splitlines()] == ["error: "]
    assert sorted(tmp_path.rglob("*")) == before


def test_onnx_files_are_timed_without_torch(nano: Path, tmp_path: Path) -> None:
    arguments = ["benchmark", str(nano), str(nano), *QUICK]
    code = "from neonext_ascend.cli.main import run; assert run({}) == 0"
    assert loaded_by(code.format(arguments)) <= {"numpy", "onnxruntime"}
    drawn = loaded_by(code.format([*arguments, "--plot", str(tmp_path / "p.svg")]))
    assert drawn <= {"numpy", "onnxruntime", "matplotlib", "PIL"}  # matplotlib brings PIL
    assert loaded_by("from neonext_ascend.cli.main import run; run(['benchmark', '--help'])") == set()


def test_the_help_names_what_the_measurement_does() -> None:
    words = " ".join(param.help or "" for param in benchmark.command.params if isinstance(param, click.Option))
    assert latency.Plan().sittings == benchmark.SITTINGS
    assert f"[default: {latency.Plan().seconds:g}]" in words
    assert f"at least {latency.FEWEST_SITTINGS}." in words
    assert f"afresh, {latency.FEWEST_SITTINGS} to 1000" in words
    assert f"{100 * latency.CONFIDENCE:g} % interval" in " ".join((benchmark.command.help or "").split())


def test_a_name_is_a_model_and_anything_like_a_path_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "neonext_t")
    assert named_by("neonext_t").model == "neonext_t"
    assert named_by("neonext_t:unfolded").folded is False
    assert named_by("./neonext_t").path == Path("neonext_t")
    assert named_by("neonext_tt.onnx").path == Path("neonext_tt.onnx")
    (tmp_path / "plain").touch()
    assert named_by("plain").path == Path("plain")


def test_both_forms_of_a_model_compute_the_same_in_the_threads_asked_for() -> None:
    before = torch.get_num_threads()
    outputs = []
    for word in ("neonext_nano", "neonext_nano:unfolded"):
        with contender_of(named_by(word), 2, before + 1).open() as once:
            assert torch.get_num_threads() == before + 1
            outputs.append(once())
        assert torch.get_num_threads() == before
    folded, unfolded = (np.asarray(output["logits"]) for output in outputs if isinstance(output, dict))
    assert folded.shape == (2, 10)
    assert np.abs(folded - unfolded).max() <= 5e-6 * np.abs(unfolded).max()
    assert not np.array_equal(folded, unfolded)


def test_the_bar_is_drawn_between_sittings_only(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    drawn = []
    with benchmark._bar(3) as advance:
        for _ in range(3):
            capfd.readouterr()
            advance()
            drawn.append(capfd.readouterr().err)
            time.sleep(0.15)  # where a thread redrew, it would by now
            assert capfd.readouterr() == ("", "")
    assert [f"{n}/3" in text for n, text in enumerate(drawn, 1)] == [True] * 3


def test_the_governor_is_told_where_the_system_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_GOVERNOR", tmp_path / "scaling_governor")
    assert environment.machine()["governor"] is None
    (tmp_path / "scaling_governor").write_text("performance\n")
    machine = environment.machine()
    assert machine["governor"] == "performance"
    assert machine["cores"] >= 1
    assert machine["cpu"]
