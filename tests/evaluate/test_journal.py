"""An evaluation that is killed goes on to the same numbers; a file of another evaluation is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from neonext_ascend import jobs
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError, UsageError
from neonext_ascend.jobs.evaluation import pictures as evaluating_pictures
from tests.support import digits
from tests.support.scenario import scenario


def figures(found: jobs.Evaluation) -> dict[str, Any]:
    """All that must not depend on how often it was killed."""
    told = found.to_json()
    told.pop("speed")
    return told


def test_killed_at_20_random_moments_it_ends_with_the_same_numbers(tmp_path: Path) -> None:
    done = scenario("eval", 20, tmp_path)
    print(done)
    assert (done["ends"], done["code"]) == ({"-9": 20}, 0)
    assert len(set(done["sizes"])) > 10  # those that were killed while it wrote had got on
    told, known = json.loads((tmp_path / "said").read_text()), done["known"]
    assert 1250 - known <= told.pop("speed")["images"] <= 1250 - known + 1  # one may have been cut
    (nano,) = (tmp_path / "nano").glob("*.onnx")
    assert told == figures(jobs.evaluate(nano, tmp_path / "mnist"))
    names = [json.loads(line)[0] for line in (tmp_path / "answers.jsonl").read_text().splitlines()[1:]]
    assert len(names) == len(set(names)) == 1250


@pytest.fixture(scope="module")
def whole(nano: Path, held_out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a finished evaluation."""
    journal = tmp_path_factory.mktemp("journal") / "whole.jsonl"
    jobs.evaluate(nano, held_out, resume=journal)
    return journal


def test_cut_anywhere_it_goes_on_to_the_same_file(nano: Path, held_out: Path, whole: Path, tmp_path: Path) -> None:
    content, want = whole.read_bytes(), figures(jobs.evaluate(nano, held_out))
    header = content.index(b"\n") + 1
    for cut in (0, 1, header - 1, header, header + 1, len(content) // 2, len(content) - 1, len(content)):
        journal = tmp_path / "cut.jsonl"
        journal.write_bytes(content[:cut])
        assert figures(jobs.evaluate(nano, held_out, resume=journal)) == want
        assert journal.read_bytes() == content


def test_what_is_known_is_not_asked_again(
    nano: Path, held_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, journal = Path(shutil.copytree(held_out, tmp_path / "data")), tmp_path / "answers.jsonl"
    jobs.evaluate(nano, data, resume=journal)
    (data / "3" / "new.png").write_bytes(next((data / "4").iterdir()).read_bytes())
    next((data / "5").iterdir()).unlink()
    asked: list[int] = []
    original = evaluating_pictures.Asking._take

    def counted(self: evaluating_pictures.Asking, pictures: Any) -> None:
        asked.append(len(pictures))
        original(self, pictures)

    monkeypatch.setattr(evaluating_pictures.Asking, "_take", counted)
    found = jobs.evaluate(nano, data, resume=journal)
    assert asked == [1]
    # The new one is wrong of the 3s, and one that is gone no longer counts.
    assert (found.artifacts[0].top1.right, found.artifacts[0].top1.images) == (359, 360)


def test_a_picture_under_another_label_is_asked_again(nano: Path, held_out: Path, tmp_path: Path) -> None:
    journal, index = tmp_path / "answers.jsonl", tmp_path / "index.csv"
    three, four = (next((held_out / label).iterdir()) for label in "34")
    for labels, right in (("34", 2), ("43", 0), ("34", 2)):
        index.write_text(f"{three},{labels[0]}\n{four},{labels[1]}\n")
        assert jobs.evaluate(nano, index, resume=journal).artifacts[0].top1.right == right


def test_a_picture_that_could_not_be_read_is_tried_again(nano: Path, tmp_path: Path) -> None:
    data, journal = tmp_path / "data", tmp_path / "answers.jsonl"
    pixels, labels = digits.held_out()
    digits.write((pixels[:3], labels[:3]), data)
    late = next(data.glob("*/0002.png"))
    content = late.read_bytes()
    late.write_bytes(content[:50])
    assert len(jobs.evaluate(nano, data, resume=journal).failures) == 1
    late.write_bytes(content)
    found = jobs.evaluate(nano, data, resume=journal)
    assert (found.failures, found.artifacts[0].top1.images) == ((), 3)


def test_another_data_set_with_the_same_names_and_labels_is_asked(nano: Path, held_out: Path, tmp_path: Path) -> None:
    """A copy that keeps size and times too: of each class the first picture, and another of the same size."""
    first, other, journal = tmp_path / "first" / "3", tmp_path / "other" / "3", tmp_path / "answers.jsonl"
    for folder, label in ((first, "3"), (other, "8")):
        folder.mkdir(parents=True)
        with Image.open(next((held_out / label).iterdir())) as picture:
            picture.save(folder / "a.bmp")
        os.utime(folder / "a.bmp", (0, 0))
    assert first.joinpath("a.bmp").stat().st_size == other.joinpath("a.bmp").stat().st_size
    for folder, right in ((first, 1), (other, 0), (first, 1)):
        found = jobs.evaluate(nano, folder.parent, resume=journal)
        assert (found.artifacts[0].top1.right, found.pace.images) == (right, 1)
    # The folder may move; a picture that was changed in its place is another, whatever its times say.
    moved = first.parent.rename(tmp_path / "moved")
    assert jobs.evaluate(nano, moved, resume=journal).pace.images == 0
    (moved / "3" / "a.bmp").write_bytes((other / "a.bmp").read_bytes())
    os.utime(moved / "3" / "a.bmp", (0, 0))
    found = jobs.evaluate(nano, moved, resume=journal)
    assert (found.artifacts[0].top1.right, found.pace.images) == (0, 1)


def test_a_picture_of_a_list_that_is_gone_is_a_failure_and_no_old_answer(
    nano: Path, held_out: Path, tmp_path: Path
) -> None:
    index, journal = tmp_path / "index.csv", tmp_path / "answers.jsonl"
    for label in "34":
        shutil.copy(next((held_out / label).iterdir()), tmp_path / f"{label}.png")
    index.write_text("3.png,3\n4.png,4\n")
    jobs.evaluate(nano, index, resume=journal)
    (tmp_path / "4.png").unlink()
    found = jobs.evaluate(nano, index, resume=journal)
    assert ([name for name, _ in found.failures], found.artifacts[0].top1.images) == (["4.png"], 1)


def refused(error: type[NeoNextError], words: str, nano: Path, data: Path, journal: Path) -> None:
    before = journal.read_bytes() if journal.is_file() else b""
    with pytest.raises(error, match=words):
        jobs.evaluate(nano, data, resume=journal)
    assert not journal.is_file() or journal.read_bytes() == before


def test_another_evaluations_file_is_refused_and_left_as_it_was(
    nano: Path, held_out: Path, whole: Path, tmp_path: Path
) -> None:
    batched = jobs.export("neonext_nano", batch_size=2, output=tmp_path, verify=False).onnx.path
    refused(UsageError, "another evaluation's file", batched, held_out, whole)
    manifest = json.loads(nano.with_suffix(".json").read_text())
    manifest["preprocessing"]["mean"] = [0.4, 0.5, 0.5]
    (tmp_path / "changed").mkdir()
    changed = Path(shutil.copy(nano, tmp_path / "changed"))
    changed.with_suffix(".json").write_text(json.dumps(manifest))
    refused(UsageError, "another evaluation's file", changed, held_out, whole)
    strange = tmp_path / "strange.jsonl"
    for content in ("a text\n", "a text without an end", "{}\n", "[1]\n"):
        strange.write_text(content)
        refused(UsageError, "was not written by eval --resume", nano, held_out, strange)
    lines = whole.read_text().splitlines(keepends=True)
    # Of ten classes there is none before 0 or after 9, and no place but 1 to 10.
    answers = [
        f'["0/a.png", "0", "1.2", {said}]\n' for said in ("[[1]]", "[[1, true]]", "[[-1, 1]]", "[[10, 1]]", "[[1, 0]]")
    ]
    for damage in ("[]\n", "{\n", *answers, '["0/a.png", "0", [[1, 1]]]\n'):
        strange.write_text("".join([lines[0], damage, *lines[1:]]))
        refused(UsageError, "line 2 is damaged", nano, held_out, strange)
    refused(FileAccessError, "is not a regular file", nano, held_out, tmp_path)
    refused(FileAccessError, "cannot write the evaluation", nano, held_out, tmp_path / "absent" / "a.jsonl")


def test_what_runs_the_artifact_is_part_of_what_is_evaluated(
    nano: Path, held_out: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating_pictures, "runtime_for", lambda *_: "cann")
    refused(UsageError, "another evaluation's file.*and this runtime", nano, held_out, whole)


def test_the_differing_pictures_are_not_written_over_the_answers(nano: Path, held_out: Path, whole: Path) -> None:
    before = whole.read_bytes()
    with pytest.raises(UsageError, match="is read by this evaluation"):
        jobs.evaluate([nano, nano], held_out, resume=whole, differing=whole)
    assert whole.read_bytes() == before


def test_weights_beside_the_file_are_part_of_what_is_evaluated(nano: Path, held_out: Path, tmp_path: Path) -> None:
    import onnx

    alone, journal = tmp_path / "a.onnx", tmp_path / "answers.jsonl"
    onnx.save(onnx.load(nano), alone, save_as_external_data=True, location="a.data", size_threshold=0)
    index = tmp_path / "index.csv"
    index.write_text(f"{next((held_out / '3').iterdir())},3\n")
    jobs.evaluate(alone, index, resume=journal)
    data = bytearray((tmp_path / "a.data").read_bytes())
    data[1000] ^= 1
    (tmp_path / "a.data").write_bytes(data)
    refused(UsageError, "another evaluation's file", alone, index, journal)


def test_two_at_once_do_not_write_one_file(
    nano: Path, held_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second ends with a word while the first goes on, and may go on behind it; whole lines alone are left."""
    journal, said = tmp_path / "answers.jsonl", list[str]()
    command = [sys.executable, "-m", "neonext_ascend", "eval", str(nano), str(held_out), "--resume", str(journal)]
    original = evaluating_pictures.Asking._take

    def meanwhile(self: evaluating_pictures.Asking, pictures: Any) -> None:
        if not said:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said.append(f"{done.returncode} {done.stderr}")
        original(self, pictures)

    monkeypatch.setattr(evaluating_pictures.Asking, "_take", meanwhile)
    want = figures(jobs.evaluate(nano, held_out, resume=journal))
    assert said == [f"2 error: {journal}: another evaluation writes it; wait for it, or take another file\n"]
    assert len(journal.read_text().splitlines()) == 361
    assert figures(jobs.evaluate(nano, held_out, resume=journal)) == want


def test_an_artifact_that_gives_nan_ends_it_in_words(
    nano: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from neonext_ascend.runtimes.base import Runner

    monkeypatch.setattr(Runner, "infer", lambda *_: {"logits": np.full((1, 10), np.nan, np.float32)})
    with pytest.raises(ArtifactError, match="gives NaN or infinity"):
        jobs.evaluate(nano, held_out)
