"""``jobs.evaluate`` against ten lines without it, picture by picture; odd pictures; several artifacts."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from neonext_ascend import jobs
from neonext_ascend.cli.main import run
from neonext_ascend.data import imagenet_synsets, sample_pictures
from neonext_ascend.errors import ArtifactError, FileAccessError, UsageError
from neonext_ascend.evaluate import panel
from neonext_ascend.evaluate.accuracy import Published, Share
from neonext_ascend.images import decoding, pace
from neonext_ascend.reporting.accuracy import accuracy_lines, pace_lines
from neonext_ascend.runtimes.base import Runner
from tests.support.digits import plainly


def answers_in(journal: Path) -> dict[str, tuple[int, int]]:
    """Class and rank by the picture's name, for one artifact."""
    entries = map(json.loads, journal.read_text().splitlines()[1:])
    return {name: (index, rank) for name, _, _, [[index, rank]] in entries}


@pytest.fixture
def relabelled(nano: Path, tmp_path: Path) -> Path:
    """nano whose manifest says its classes in reverse order: wrong of all digits."""
    manifest = json.loads(nano.with_suffix(".json").read_text())
    manifest["labels"].reverse()
    (tmp_path / "relabelled").mkdir()
    (tmp_path / "relabelled" / nano.with_suffix(".json").name).write_text(json.dumps(manifest))
    return Path(shutil.copy(nano, tmp_path / "relabelled"))


@pytest.mark.parametrize("which", ["held_out", "mnist"])
def test_it_says_what_ten_lines_say_of_every_picture(
    which: str, nano: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(which)
    found = jobs.evaluate(nano, folder, resume=tmp_path / "answers.jsonl", per_class=True)
    pictures = sorted(folder.glob("*/*.png"))
    want = plainly(nano, pictures)
    assert answers_in(tmp_path / "answers.jsonl") == dict(
        zip((picture.relative_to(folder).as_posix() for picture in pictures), want, strict=True)
    )
    (accuracy,) = found.artifacts
    assert accuracy.top1 == Share(sum(rank == 1 for _, rank in want), len(pictures))
    assert accuracy.top5 == Share(sum(rank <= 5 for _, rank in want), len(pictures))
    assert (found.classes, found.failures, found.exit_code) == ("the names of the network's classes", (), 0)
    assert found.per_class is not None
    assert sum(each["images"] for each in found.per_class.values()) == len(pictures)
    if which == "held_out":
        assert accuracy.top1.value == 1.0  # NANO.md
    else:  # other writers: so right and wrong answers were compared, and ranks from 1 to beyond 5
        assert 0.3 < accuracy.top1.value < accuracy.top5.value < 1


def test_the_object_is_the_contracts(nano: Path, held_out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", str(nano), str(nano), str(held_out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    first, _ = told["artifacts"]
    assert first["path"] == str(nano)
    assert (first["images"], first["failed"], first["top1"]["value"]) == (360, 0, 1.0)
    assert first["top5"].keys() == first["top1"].keys() == {"value", "low", "high"}
    (pair,) = told["paired"]
    assert (pair["first"], pair["second"], pair["only_first"], pair["only_second"]) == (str(nano), str(nano), 0, 0)
    assert (pair["p_value"], pair["test"]) == (1.0, "exact")
    assert 0 < told["speed"]["waiting_for_pictures"] < 1
    assert told["speed"]["images"] == 360


def test_two_are_compared_on_the_same_pictures(
    nano: Path, relabelled: Path, held_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    differing = tmp_path / "made" / "differing.jsonl"
    arguments = ["eval", str(nano), str(relabelled), str(held_out), "--max-drop", "1", "--differing", str(differing)]
    assert run(arguments) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "360 right only in A, 0 only in B; McNemar, continuity-corrected: p = " in said
    assert "gate REFUSED: drops by more than 1 points, at least 98.5" in said
    lines = [json.loads(line) for line in differing.read_text().splitlines()]
    assert [line["path"] for line in lines] == [
        path.relative_to(held_out).as_posix() for path in sorted(held_out.glob("*/*.png"))
    ]
    # Each answer stands in the data set's words, by the artifact's own labels.
    assert lines[0] == {"path": lines[0]["path"], "label": "0", "answers": ["0", "9"], "right": [True, False]}
    assert jobs.evaluate([relabelled, nano], held_out, max_drop=1).exit_code == 0


def test_pictures_that_cannot_be_read_are_counted_and_named(
    nano: Path, held_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(held_out, tmp_path / "data"))
    cut = sorted((data / "3").iterdir())[0]
    cut.write_bytes(cut.read_bytes()[:60])
    (data / "4" / "text.png").write_text("no picture")
    (data / "5" / "dangling.png").symlink_to("nowhere")
    (data / "6" / "notes.txt").write_text("no picture, and no picture's name")
    found = jobs.evaluate(nano, data)
    assert [name for name, _ in found.failures] == [f"3/{cut.name}", "4/text.png", "5/dangling.png"]
    assert (found.artifacts[0].top1, found.exit_code) == (Share(359, 359), 5)
    assert run(["eval", str(nano), str(data)]) == 5
    out, err = capsys.readouterr()
    assert "359; 3 could not be read" in out
    assert all(f"warning: {data}/{name}" in err for name, _ in found.failures)


def test_where_no_picture_can_be_read_there_is_no_accuracy(nano: Path, tmp_path: Path) -> None:
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "a.png").write_text("no picture")
    with pytest.raises(UsageError, match=r"none of its 1 picture could be read: .*a.png: not a picture"):
        jobs.evaluate(nano, tmp_path)
    (tmp_path / "3" / "b.png").symlink_to("nowhere")
    with pytest.raises(FileAccessError, match=r"none of its 2 pictures could be read: .*b.png"):
        jobs.evaluate(nano, tmp_path)


def test_a_static_batch_an_odd_rest_and_a_single_picture_say_the_same(nano: Path, mnist: Path, tmp_path: Path) -> None:
    batched = jobs.export("neonext_nano", batch_size=7, output=tmp_path, verify=False).onnx.path
    found = jobs.evaluate([nano, batched], mnist)
    assert found.differing == ()
    assert found.artifacts[0].top1 == found.artifacts[1].top1
    with pytest.MonkeyPatch.context() as patch:  # the smallest that may be asked together
        patch.setattr(panel, "_FEWEST", 1)
        patch.setattr(panel, "_MOST", 1)
        assert jobs.evaluate([nano, batched], mnist).artifacts == found.artifacts


def test_each_picture_is_decoded_once_for_all_artifacts(
    nano: Path, held_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = jobs.export("neonext_nano", image_size=128, output=tmp_path, verify=False).onnx.path
    decoded: list[Path] = []
    original = decoding.read_picture

    def counted(path: Path, content: bytes | None = None) -> decoding.Picture:
        decoded.append(path)
        return original(path, content)

    monkeypatch.setattr(decoding, "read_picture", counted)
    found = jobs.evaluate([nano, large, nano], held_out)
    assert len(decoded) == len(set(decoded)) == 360
    assert found.artifacts[0].top1 == found.artifacts[2].top1
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 1), (0, 2), (1, 2)]


def test_the_limit_is_said(nano: Path, held_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    infer, read, spent = Runner.infer, decoding.read_picture, [0.0]

    def slow_model(self: Runner, feeds: Any) -> Any:
        spent[0] += 0.02
        return infer(self, feeds)

    def quick_model(self: Runner, feeds: Any) -> Any:
        start = time.perf_counter()
        found = infer(self, feeds)
        spent[0] -= time.perf_counter() - start
        return found

    def slow_picture(path: Path, content: bytes | None = None) -> decoding.Picture:
        time.sleep(0.1)
        return read(path, content)

    index = tmp_path / "few.csv"
    index.write_text("".join(f"{path},3\n" for path in sorted((held_out / "3").iterdir())))
    # On a clock of the test's, so that a busy machine is no limit.
    monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=lambda: spent[0]))
    monkeypatch.setattr(Runner, "infer", slow_model)
    assert " ".join(pace_lines(jobs.evaluate(nano, index).pace)).endswith("the model was the limit")
    monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=lambda: time.perf_counter() + spent[0]))
    monkeypatch.setattr(Runner, "infer", quick_model)
    monkeypatch.setattr(decoding, "read_picture", slow_picture)
    assert " ".join(pace_lines(jobs.evaluate(nano, index).pace)).endswith("decoding was the limit")


def test_a_network_without_a_manifest_is_evaluated_with_a_warning(nano: Path, held_out: Path, tmp_path: Path) -> None:
    warned: list[str] = []
    alone = Path(shutil.copy(nano, tmp_path))
    found = jobs.evaluate(alone, held_out, watch=jobs.Watch(warn=warned.append))
    assert found.classes == "numbers of classes, from 0"
    assert "no manifest" in warned[0]
    (accuracy,) = found.artifacts
    assert warned[0].endswith(accuracy.assumed or "?")
    assert (accuracy.to_json()["trained"], accuracy.to_json()["assumed"]) == (None, accuracy.assumed)


@pytest.mark.full_size
def test_a_published_network_is_compared_with_what_was_published(tmp_path: Path) -> None:
    untrained = jobs.export("neonext_t", output=tmp_path, verify=False).onnx.path
    for synset in imagenet_synsets():
        (tmp_path / "data" / synset).mkdir(parents=True)
    shutil.copy(sample_pictures()[0], tmp_path / "data" / "n01440764")
    (of_nothing,) = jobs.evaluate(untrained, tmp_path / "data").artifacts
    assert (of_nothing.trained, of_nothing.published) == (False, None)
    described = untrained.with_suffix(".json")
    manifest = json.loads(described.read_text())
    manifest["weights"] = {"source": "checkpoint", "file": "a.pt", "sha256": "0" * 64, "seed": None, "trained": True}
    described.write_text(json.dumps(manifest))
    (accuracy,) = jobs.evaluate(untrained, tmp_path / "data").artifacts
    assert accuracy.published == Published(81.44, "the authors' README")
    said = " ".join(" ".join(accuracy_lines([accuracy], "ImageNet's synsets", 0)).split())
    assert "published for ImageNet's 50,000 validation pictures: 81.44 % (the authors' README): outside" in said
    shutil.rmtree(tmp_path / "data" / "n15075141")
    assert jobs.evaluate(untrained, tmp_path / "data").artifacts[0].published is None
    manifest["network"]["shifts"] = [True, True, True, True]  # another network of the same name
    described.write_text(json.dumps(manifest))
    (tmp_path / "data" / "n15075141").mkdir()
    assert jobs.evaluate(untrained, tmp_path / "data").artifacts[0].published is None


def test_wrong_usage_is_refused(nano: Path, held_out: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"artifacts": []}, r"artifacts \[\]: expected a path, or a list of at least one"),
        ({"max_drop": 1}, "--max-drop: compares artifacts"),
        ({"differing": tmp_path / "d.jsonl"}, "--differing: compares artifacts"),
        ({"artifacts": [nano, nano], "max_drop": -1}, "max_drop -1: expected a number from 0 to 100"),
        ({"runtime": "tensorrt"}, "runtime 'tensorrt': expected one of"),
        ({"dataset": tmp_path / "a.png"}, "not a data set; expected a folder per class"),
        ({"dataset": tmp_path}, "no data set; expected a folder per class"),
        ({"artifacts": [nano, nano], "differing": nano}, "is read by this evaluation; give another name"),
        ({"runtime": "acl"}, "opens OM files"),
    ]
    for change, words in cases:
        arguments: dict[str, Any] = {"artifacts": nano, "dataset": held_out, **change}
        with pytest.raises(UsageError, match=words):
            jobs.evaluate(**arguments)
    with pytest.raises(FileAccessError, match="absent: no such data set"):
        jobs.evaluate(nano, tmp_path / "absent")


def test_a_network_of_one_class_is_refused(held_out: Path, tmp_path: Path) -> None:
    made = jobs.export("neonext_t", num_classes=1, image_size=96, output=tmp_path, verify=False)
    with pytest.raises(ArtifactError, match="accuracy needs a known number of classes"):
        jobs.evaluate(made.onnx.path, held_out)
