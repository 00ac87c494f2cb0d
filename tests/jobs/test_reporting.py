"""The report of an artifact: what is in it, what is left out and why, and that it is written whole or not at all."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from neonext_ascend import create, jobs
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.cli.main import run
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import CheckpointError, FileAccessError, ToolchainError
from tests.support import digits
from tests.support.html import Page
from tests.support.networks import tiny_config
from tests.support.om_commands import SOC, ask, export


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jobs.export("neonext_nano", verify=False, output=tmp_path_factory.mktemp("nano")).onnx.path


@pytest.fixture
def own(nano: Path, tmp_path: Path) -> Path:
    """A copy in a folder of its own."""
    for file in (nano, nano.with_suffix(".json")):
        shutil.copy(file, tmp_path)
    return tmp_path / nano.name


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Three digits in a folder per class."""
    pixels, labels = digits.held_out()
    return digits.write((pixels[:3], labels[:3]), tmp_path / "few")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_command_writes_two_files_beside_the_artifact(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = names(own.parent)
    assert run(["report", str(own)]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.splitlines()[0] == "verdict  every rung of the parity ladder holds"
    stem = own.name.removesuffix(".onnx")
    assert names(own.parent) == sorted([*before, f"{stem}.report.html", f"{stem}.report.json"])
    contents = json.loads((own.parent / f"{stem}.report.json").read_text())
    assert contents["verdict"] == {"passed": True, "words": "every rung of the parity ladder holds"}
    assert set(contents["missing"]) == {"accuracy", "speed"}
    assert contents["nodes"]["first_made"] is None
    assert [way["passed"] for way in contents["half"]] == [True, True]
    assert len(contents["half"][0]["nodes"]) == contents["nodes"]["matched"]
    # The manifest beside it stays the artifact's.
    assert jobs.verify(own).verdict.passed


def test_the_same_artifact_gives_the_same_bytes(own: Path, nano: Path, tmp_path: Path) -> None:
    once, again = jobs.report(own), jobs.report(own, output=tmp_path / "again")
    assert once.page.read_bytes() == again.page.read_bytes()
    assert once.data.read_bytes() == again.data.read_bytes()
    assert json.loads(again.data.read_text()) == again.contents
    assert again.to_json() == {"page": str(again.page), "data": str(again.data), **again.contents}


def test_the_commands_repeat_what_they_say(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    contents = jobs.report(own).contents
    parts = {one["part"]: shlex.split(one["command"])[1:] for one in contents["commands"]}
    assert ask(capfd, *parts["ladder"])["rungs"] == contents["ladder"]["rungs"]
    assert ask(capfd, *parts["nodes"])["nodes"] == contents["nodes"]["nodes"]
    (estimate,) = ask(capfd, *parts["cost on Ascend310P3"])["estimates"]
    assert estimate.items() <= contents["cost"][0].items()


def test_an_untrained_network_is_said_to_be_one(tmp_path: Path) -> None:
    made = jobs.export(tiny_config(), seed=3, verify=False, output=tmp_path).onnx.path
    warned: list[str] = []
    told = jobs.report(made, watch=jobs.Watch(warn=warned.append))
    assert warned == ["untrained weights: the answers mean nothing"] == told.contents["warnings"]
    assert "Warning: untrained weights" in Page(told.page.read_text(encoding="utf-8")).root.words


def test_flips_on_a_data_set_show_the_picture_and_both_answers(own: Path, tmp_path: Path) -> None:
    state = create("neonext_nano").state_dict()
    for name in ("head.fc.weight", "head.fc.bias"):
        state[name] = state[name].roll(1, 0)
    torch.save(state, tmp_path / "rolled.pt")
    weights = tmp_path / "rolled.pt"
    against = jobs.export("neonext_nano", checkpoint=weights, verify=False, output=tmp_path / "other").onnx.path
    for digit in (3, 4, 5):
        folder = tmp_path / "data" / str(digit)
        folder.mkdir(parents=True)
        shutil.copy(sample_pictures()[digit], folder / f"<b>{digit}.png")
    told = jobs.report(own, against=against, data=tmp_path / "data")
    contents = told.contents
    assert [one["images"] for one in contents["accuracy"]["artifacts"]] == [3, 3]
    assert contents["flipped"] == len(contents["flips"]) == 3
    assert [[answer["says"] for answer in flip["answers"]] for flip in contents["flips"]] == [
        [str(digit + 1), str(digit)] for digit in (3, 4, 5)
    ]
    found = Page(told.page.read_text(encoding="utf-8"))
    images = found.all("img")
    assert [image.attributes["alt"] for image in images] == [flip["picture"] for flip in contents["flips"]]
    assert all(image.attributes["src"].startswith("data:image/png;base64,iVBOR") for image in images)
    assert contents["nodes"]["first_made"] is not None


def test_speed_is_told_where_it_is_asked_for(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neonext_ascend.jobs.inquiry.parts._SECONDS", 0.2)
    told = jobs.report(own, benchmark=True)
    assert "speed" not in told.missing
    head, *rows = Page(told.page.read_text(encoding="utf-8")).table("Latency of one run")
    speed = told.contents["speed"]["artifacts"][0]
    assert head == ["", "fp32"]
    found = {row[0]: row[1] for row in rows}
    assert float(found["images a second"].replace(",", "")) == pytest.approx(speed["images_per_second"], rel=5e-3)


def test_without_its_checkpoint_the_rest_is_told(tmp_path: Path, own: Path) -> None:
    torch.save(create("neonext_nano").state_dict(), tmp_path / "mine.pt")
    made = jobs.export("neonext_nano", checkpoint=tmp_path / "mine.pt", verify=False, output=tmp_path / "of").onnx.path
    told = jobs.report(made)
    reason = "its weights are those of mine.pt: give it with --checkpoint"
    assert {part: told.missing[part] for part in ("ladder", "nodes")} == {"ladder": reason, "nodes": reason}
    assert told.verdict == "nothing overflows in fp16; the ladder was not climbed"
    assert f"Not here: {reason}." in Page(told.page.read_text(encoding="utf-8")).root.words
    whole = jobs.report(made, checkpoint=tmp_path / "mine.pt")
    assert whole.verdict == "every rung of the parity ladder holds"
    (tmp_path / "wrong.pt").write_bytes((tmp_path / "mine.pt").read_bytes()[:1000])
    before = whole.page.read_bytes()
    with pytest.raises((CheckpointError, FileAccessError)):
        jobs.report(made, checkpoint=tmp_path / "wrong.pt")
    assert whole.page.read_bytes() == before


def test_an_om_without_a_device_shows_its_onnx_file(
    card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    om, onnx, _ = export(capfd, tmp_path / "made", "neonext_nano")
    on_card = jobs.report(om, output=tmp_path / "card").contents
    assert on_card["ladder"]["checked"] == om.name
    assert on_card["ladder"]["rungs"][-1]["name"] == "om"
    assert on_card["warnings"] == []
    monkeypatch.setitem(sys.modules, "acl", None)
    told = jobs.report(om, benchmark=True)
    contents = told.contents
    assert contents["ladder"]["checked"] == contents["graph"] == onnx.name
    assert any(rung["name"] == "artifact" for rung in contents["ladder"]["rungs"])
    assert "om" not in [rung["name"] for rung in contents["ladder"]["rungs"]]
    # The chip's way of overflowing alone.
    assert [way["overflow"] for way in contents["half"]] == ["saturate"]
    assert "acl" in contents["missing"]["speed"]
    found = Page(told.page.read_text(encoding="utf-8"))
    assert f"Warning: {om.name} itself was not run here" in found.root.words
    assert f"compiled for {SOC}" in found.root.words
    onnx.unlink()
    alone = jobs.report(om).contents
    assert alone["graph"] is None
    assert "not beside it" in alone["missing"]["nodes"] == alone["missing"]["half"]
    assert alone["ladder"]["checked"] == om.name
    with pytest.raises(ToolchainError):
        jobs.report(om, runtime="acl")


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_told_before_anything_is_done(
    library: str, own: Path, monkeypatch: pytest.MonkeyPatch, no_matplotlib: None, capfd: pytest.CaptureFixture[str]
) -> None:
    if library == "jinja2":
        monkeypatch.setitem(sys.modules, "jinja2", None)
    before = names(own.parent)
    assert run(["report", str(own), "-o", str(own.parent / "new")]) == 3
    out, err = capfd.readouterr()
    assert out == ""
    assert f"need {library}, which is not installed; pip install '.[report]' in the checkout" in err
    assert names(own.parent) == before


def test_a_page_that_fails_leaves_nothing(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> str:
        raise OSError(28, "No space left on device")

    before = names(own.parent)
    monkeypatch.setattr("neonext_ascend.jobs.reporting.page", failing)
    assert run(["report", str(own), "-o", str(own.parent / "new")]) == 5
    assert names(own.parent) == before


def test_a_name_that_is_markup_stays_a_name(own: Path) -> None:
    odd = own.with_name("<img src=x onerror=alert(1)> & 模型.onnx")
    manifest: dict[str, Any] = json.loads(own.with_suffix(".json").read_text())
    manifest["labels"][3] = "<script>alert(1)</script>"
    odd.with_name(odd.name.replace(".onnx", ".json")).write_text(json.dumps(manifest))
    own.rename(odd)
    told = jobs.report(odd)
    found = Page(told.page.read_text(encoding="utf-8"))
    assert not found.all("script", "img")
    assert found.all("h1")[0].words == odd.name
    assert told.page.name == "<img src=x onerror=alert(1)> & 模型.report.html"


def test_a_file_that_was_changed_is_said_so(own: Path) -> None:
    model = onnx.load(str(own))
    model.doc_string = "another"
    onnx.save(model, str(own))
    assert "changed since its export" in jobs.report(own).contents["warnings"][0]


def test_a_file_without_a_manifest_is_told_as_far_as_it_tells_itself(own: Path, few: Path) -> None:
    own.with_suffix(".json").unlink()
    told = jobs.report(own, data=few, against=own)
    contents, page = told.contents, Page(told.page.read_text(encoding="utf-8")).root.words
    assert contents["manifest"] is None
    assert contents["file"]["inputs"] == [{"name": "image", "dtype": "float32", "shape": [1, 3, 96, 96]}]
    assert contents["file"]["files"][0]["sha256"] == sha256_of(own)
    assert contents["missing"].keys() == {"ladder", "speed"}
    assert contents["missing"]["ladder"] == "no manifest tells its network"
    assert contents["verdict"] == {"passed": None, "words": "nothing overflows in fp16; the ladder was not climbed"}
    assert contents["accuracy"]["artifacts"][0]["images"] == 3
    assert contents["nodes"]["first_made"] is None
    assert "opset 17, 67 nodes" in page
    assert "No manifest tells more." in page
    assert "assuming ImageNet's resize, crop, mean and std" in page
    assert "No decision changes." in page  # of the file and itself
    again = jobs.report(own, data=few)
    alone, page = again.contents["missing"], Page(again.page.read_text(encoding="utf-8")).root.words
    assert "Nothing was compared." in page
    assert "error of the file" not in page  # a column without a number
    assert alone["nodes"] == "no manifest tells its network; give another file with --against"


def test_a_strangers_file_that_cannot_be_run_here_has_a_page_with_the_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = onnx.helper.make_tensor_value_info("words", onnx.TensorProto.INT64, ["n", 8])
    table = onnx.helper.make_tensor_value_info("table", onnx.TensorProto.FLOAT, [5, 4])
    result = onnx.helper.make_tensor_value_info("result", onnx.TensorProto.FLOAT, ["n", 8, 4])
    node = onnx.helper.make_node("Gather", ["table", "words"], ["result"])
    graph = onnx.helper.make_graph([node], "g", [words, table], [result])
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "theirs.onnx")
    assert run(["report", str(tmp_path / "theirs.onnx"), "--benchmark"]) == 0
    said = capfd.readouterr()
    assert "theirs.onnx itself was not run here: " in said.err
    contents = json.loads((tmp_path / "theirs.report.json").read_text())
    assert contents["file"]["inputs"][0] == {"name": "words", "dtype": "int64", "shape": ["n", 8]}
    assert set(contents["missing"]) == {"accuracy", "ladder", "nodes", "half", "speed"}
    assert "2 inputs" in contents["missing"]["half"]
    assert contents["verdict"]["words"] == "not judged here"


def test_what_is_no_artifact_is_refused(tmp_path: Path, own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = names(tmp_path)
    assert run(["report", str(tmp_path / "absent.onnx"), "-o", str(tmp_path / "new")]) == 5
    assert run(["report", str(own), "--data", str(tmp_path / "nothing"), "-o", str(tmp_path / "new")]) == 5
    own.with_suffix(".json").write_text("{}")
    assert run(["report", str(own), "-o", str(tmp_path / "new")]) == 2
    own.with_suffix(".json").unlink()
    own.write_bytes(own.read_bytes()[:1000])
    assert run(["report", str(own), "-o", str(tmp_path / "new")]) == 5
    err = capfd.readouterr().err
    assert err.count("error: ") == len(err.splitlines()) == 4
    assert names(tmp_path) == [own.name]
    assert before != names(tmp_path)


@pytest.mark.parametrize("command", [["verify"], ["verify", "--ladder"], ["debug"]])
def test_a_file_made_elsewhere_is_refused_with_what_takes_it(
    command: list[str], own: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own.with_suffix(".json").unlink()
    assert run([*command, str(own)]) == 2
    missing = f"its manifest {own.stem}.json is missing; expected beside it: copy both files"
    rest = "a file made elsewhere has none: predict, eval, benchmark and debug --against do without"
    assert capfd.readouterr().err == f"error: {own}: {missing}; {rest}\n"
    assert names(own.parent) == [own.name]


def test_what_the_refusal_names_takes_a_file_without_a_manifest(
    own: Path, nano: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own.with_suffix(".json").unlink()
    picture, data = str(sample_pictures()[3]), own.parent / "data" / "3"
    data.mkdir(parents=True)
    shutil.copy(picture, data)
    brief = ["--sittings", "6", "--repeats", "6"]
    for name, *words in (
        ["predict", str(own), picture],
        ["eval", str(own), str(data.parent)],
        ["benchmark", str(own), *brief],
        ["debug", str(own), "--against", str(nano)],
    ):
        assert run([name, *words]) == 0, capfd.readouterr().err
