"""``jobs.predict``: what the command does, without printing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neonext_ascend import jobs
from neonext_ascend.cli.main import run
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import ArtifactError, FileAccessError, UsageError
from neonext_ascend.runtimes.ort import OrtRunner
from tests.support.endings import classifier, node


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano")
    assert run(["export", "neonext_nano", "-o", str(folder), "--no-verify", "--batch-size", "3"]) == 0
    return folder / "neonext_nano-96-b3-fp32.onnx"


def test_the_name_works_twice_and_answers_stream(nano: Path) -> None:
    pictures = sample_pictures()
    for images in (pictures, str(pictures[0].parent)):
        with jobs.predict(str(nano), images) as answers:
            assert (answers.count, answers.recipe.trained, answers.recipe.assumed) == (10, True, None)
            first = next(answers)
            assert (first.path.name, first.top[0].label, len(first.top)) == ("digit_0.png", "0", 5)
            assert [p.top[0].label for p in answers] == [str(d) for d in range(1, 10)]
            assert (answers.failed, answers.exit_code) == (0, 0)


def test_a_watch_is_told_what_the_result_says(nano: Path, tmp_path: Path) -> None:
    (tmp_path / nano.name).write_bytes(nano.read_bytes())
    (tmp_path / "a.png").write_bytes(sample_pictures()[1].read_bytes())
    warned: list[str] = []
    noted: list[str] = []
    watch = jobs.Watch(warn=warned.append, note=noted.append)
    with jobs.predict(tmp_path / nano.name, tmp_path, watch=watch) as answers:
        assert warned == [f"{nano.name}: {answers.recipe.assumed}"]
        assert answers.left_out == "left out 1 file that is no picture which Pillow opens: 1 .onnx"
        assert noted == []  # the folders are listed while the answers come; the command says it at the end


def test_a_picture_that_fails_is_counted_and_the_rest_goes_on(nano: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    images = [tmp_path / "text.png", tmp_path / "absent.png", sample_pictures()[4]]
    top: Any = np.int64(2)  # numpy's numbers are numbers
    answers = jobs.predict(nano, images, top=top)
    bad, absent, good = answers
    assert isinstance(bad.error, UsageError)
    assert isinstance(absent.error, FileAccessError)
    assert [g.label for g in good.top][:1] == ["4"]
    assert (len(good.top), answers.failed, answers.exit_code) == (2, 2, 5)


def test_the_end_and_leaving_close_the_artifact(nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    close = OrtRunner.close

    def noting(runner: OrtRunner) -> None:
        closed.append(runner.name)
        close(runner)

    monkeypatch.setattr(OrtRunner, "close", noting)
    list(jobs.predict(nano, sample_pictures()[0]))
    assert closed
    closed.clear()
    with jobs.predict(nano, sample_pictures()):
        assert not closed
    assert closed
    closed.clear()
    with pytest.raises(UsageError, match="no picture"):
        jobs.predict(nano, nano.parent / "*.png")
    assert not closed  # what can be known before is known before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"top": 0}, "top 0: expected a whole number from 1 to"),
        ({"top": 1.5}, "top 1.5: expected a whole number"),
        ({"top": "5"}, "top '5': expected a whole number"),
        ({"device": -1}, "device -1: expected a whole number from 0 to 1023"),
        ({"runtime": "tensorrt"}, "runtime 'tensorrt': expected one of auto, ort"),
        ({"runtime": "acl"}, "opens OM files"),
        ({"images": []}, r"images \[\]: expected a path, or a list of at least one"),
        ({"images": 7}, "images 7: expected a path"),
        ({"images": [None]}, "images None: expected a path"),
        ({"artifact": None}, "artifact None: expected a path"),
    ],
)
def test_wrong_arguments_are_refused_as_the_command_does(nano: Path, change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"artifact": nano, "images": sample_pictures()[0], **change}
    with pytest.raises(UsageError, match=words):
        jobs.predict(**arguments)


def test_an_artifact_of_ours_with_one_class_gives_a_sigmoid(tmp_path: Path) -> None:
    arguments = ["export", "neonext_t", "--num-classes", "1", "--image-size", "96", "--no-verify", "-o", str(tmp_path)]
    assert run(arguments) == 0
    with jobs.predict(tmp_path / "neonext_t-96-b1-fp32.onnx", sample_pictures()[0]) as answers:
        (prediction,) = answers
    assert "the logit of its one class" in (answers.recipe.assumed or "")
    (guess,) = prediction.top
    assert 0.3 < guess.score < 0.7  # untrained: a logit near 0


def test_of_a_file_without_a_manifest_nobody_knows_whether_it_is_trained(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = classifier(tmp_path / "net.onnx", [node("Tanh", "x", "y")])
    with jobs.predict(path, sample_pictures()[0]) as answers:
        (prediction,) = answers
    assert answers.recipe.trained is None
    assumed, best = answers.recipe.assumed or "", prediction.top[0]
    assert "scores as they are: the values are between -1 and 1 (it ends in Tanh)" in assumed
    capfd.readouterr()
    words = ["predict", str(path), *map(str, sample_pictures()[:2])]
    assert run([*words, "--json"]) == 0
    said = capfd.readouterr()
    found = json.loads(said.out)
    assert (found["trained"], found["assumed"]) == (None, assumed)
    assert found["predictions"][0]["top"][0]["score"] == best.score
    assert "untrained" not in said.err
    assert run([*words, "--jsonl"]) == 0
    assert [json.loads(line)["assumed"] for line in capfd.readouterr().out.splitlines()] == [assumed] * 2
    # What is no probability is no percentage.
    for top in ([], ["--top", "3"]):
        assert run([*words, *top]) == 0
        said = capfd.readouterr()
        assert "%" not in said.out
        assert f"{best.score:.4g}" in said.out
        assert assumed in said.err


def test_what_a_manifest_tells_is_not_assumed(nano: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert run(["predict", str(nano), str(sample_pictures()[0]), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["trained"], found["assumed"]) == (True, None)
    assert run(["predict", str(nano), str(sample_pictures()[0]), "--jsonl"]) == 0
    assert "assumed" not in json.loads(capfd.readouterr().out)


def test_a_folder_of_pictures_that_all_fail_says_why_of_each(
    nano: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "b.jpg").write_text("<html>Sign in</html>")
    (tmp_path / "c.png").symlink_to("nowhere.png")
    (tmp_path / "d.png").mkdir()
    capfd.readouterr()
    assert run(["predict", str(nano), str(tmp_path), "--json"]) == 5
    said = capfd.readouterr()
    reasons = [prediction["error"] for prediction in json.loads(said.out)["predictions"]]
    assert [reason.split(": ")[1].split(";")[0] for reason in reasons] == [
        "a Git LFS pointer in place of the file it stands for",
        "a web page",
        "cannot read the picture",
    ]
    assert "note: 3 of 3 pictures could not be read" in said.err


def test_pictures_that_no_command_can_take_are_told_alike(tmp_path: Path) -> None:
    (tmp_path / "data" / "0").mkdir(parents=True)
    (tmp_path / "data" / "0" / "a.png").write_bytes(sample_pictures()[0].read_bytes())
    path = classifier(tmp_path / "net.onnx", [node("Reshape", "x cube", "y")], columns=7)
    for ask in (lambda: jobs.predict(path, sample_pictures()[0]), lambda: jobs.evaluate(path, tmp_path / "data")):
        with pytest.raises(ArtifactError, match=r"turns no pictures into classes: expected one input .* \(N, K\)"):
            ask()


def test_a_file_of_answers_is_gone_on_with(nano: Path, tmp_path: Path) -> None:
    """Cut anywhere it ends the same; what is known is not asked again, and what failed or changed is."""
    pictures = [tmp_path / path.name for path in sample_pictures()]
    for here, path in zip(pictures, sample_pictures(), strict=True):
        here.write_bytes(path.read_bytes())
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    images, kept = [*pictures[:4], bad, *pictures[4:]], tmp_path / "answers.jsonl"

    def told() -> list[tuple[str, Any]]:
        with jobs.predict(nano, images, top=2, resume=kept) as answers:
            return [(p.path.name, str(p.error) if p.error else p.top) for p in answers]

    want = [(p.path.name, str(p.error) if p.error else p.top) for p in jobs.predict(nano, images, top=2)]
    assert told() == want
    whole = kept.read_bytes()
    assert len(whole.splitlines()) == 11
    for cut in (0, 1, len(whole) // 2, len(whole) - 1, len(whole)):
        kept.write_bytes(whole[:cut])
        assert told() == want
        assert kept.read_bytes() == whole
    lines = whole.splitlines()
    kept.write_bytes(b"\n".join([*lines[:3], lines[3].replace(b"[[[2, ", b"[[[7, "), *lines[4:], b""]))
    assert [name for name, found in told() if found != dict(want)[name]] == ["digit_2.png"]  # it was not asked again
    pictures[2].write_bytes(pictures[6].read_bytes())
    bad.write_bytes(pictures[9].read_bytes())
    assert [found[0].label for _, found in told()] == list("01639456789")
    with pytest.raises(UsageError, match="another prediction's file"):
        jobs.predict(nano, pictures, top=3, resume=kept)
    with pytest.raises(UsageError, match="standard input is read here"):
        jobs.predict(nano, "-", top=2, resume=kept)
