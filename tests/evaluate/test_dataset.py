"""Every way in which people keep labelled pictures, and what is said of those that are none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from neonext_ascend.data import imagenet_synsets, labels_for
from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.evaluate.classes import classes_of
from neonext_ascend.images.dataset import open_dataset

DIGITS = tuple("0123456789")


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Three pictures, by name alone: these rooms open none."""
    for name in ("b.png", "a c.JPEG", "d.png", "._a.png", "read.me"):
        (tmp_path / name).touch()
    return tmp_path


def rows(path: Path, labels: Path | None = None) -> list[tuple[str, str]]:
    return [(item.name, item.label) for item in open_dataset(path, labels)]


def test_a_folder_per_class_with_folders_inside(tmp_path: Path) -> None:
    for name in ("dog/b.png", "dog/a.png", "cat/x/c.jpg", "cat/notes.txt", ".git/d.png", "cat/._c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "index.csv").touch()  # folders tell, whatever lies beside them
    assert rows(tmp_path) == [("cat/x/c.jpg", "cat"), ("dog/a.png", "dog"), ("dog/b.png", "dog")]
    assert next(iter(open_dataset(tmp_path))).path == tmp_path / "cat" / "x" / "c.jpg"


def test_a_class_is_listed_when_its_turn_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label in "abc":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").touch()
    listed: list[str] = []
    original = os.scandir

    def told(path: str) -> object:
        listed.append(Path(path).name)
        return original(path)

    monkeypatch.setattr(os, "scandir", told)
    items = iter(open_dataset(tmp_path))
    assert next(items).label == "a"
    assert listed == [tmp_path.name, "a"]
    assert [item.label for item in items] == ["b", "c"]
    # To see that there is a picture takes no listing more.
    listed.clear()
    data = open_dataset(tmp_path).refusing_empty()
    assert [item.label for item in data] == ["a", "b", "c"]
    assert listed == [tmp_path.name, "a", "b", "c"]
    assert [item.label for item in data] == ["a", "b", "c"]


CONTENT = {
    "labels.csv": "path,label\nb.png,3\n\na c.JPEG,1\n",
    "columns.csv": "\ufefflabel,id,filename\r\n3,0,b.png\r\n1,1,a c.JPEG\r\n",
    "bare.csv": 'b.png,3\n"a c.JPEG",1\n',
    "labels.tsv": "b.png\t3\na c.JPEG\t1\n",
    "labels.jsonl": '{"path": "b.png", "label": 3}\n{"file": "a c.JPEG", "class": "1"}\n',
    "labels.txt": "b.png 3\na c.JPEG\t1\n",
}


@pytest.mark.parametrize("name", CONTENT)
def test_an_index_of_paths_and_labels(name: str, flat: Path) -> None:
    (flat / name).write_text(CONTENT[name])
    want = [("b.png", "3"), ("a c.JPEG", "1")]
    assert rows(flat / name) == rows(flat) == want
    elsewhere = flat / "elsewhere"
    elsewhere.mkdir()
    (flat / name).rename(elsewhere / name)
    assert rows(flat, elsewhere / name) == want
    assert [item.path for item in open_dataset(elsewhere / name)] == [elsewhere / "b.png", elsewhere / "a c.JPEG"]


def test_labels_alone_are_those_of_the_sorted_pictures(flat: Path) -> None:
    (flat / "labels.txt").write_text("n01440764\nn01443537\nn01440764\n")
    dataset = open_dataset(flat)
    want = [("a c.JPEG", "n01440764"), ("b.png", "n01443537"), ("d.png", "n01440764")]
    assert [(item.name, item.label) for item in dataset] == want
    assert dataset.classes == ("n01440764", "n01443537")
    (flat / "labels.txt").write_text("n01440764\n")
    with pytest.raises(UsageError, match=r"holds 1 label for 3 pictures in .*; expected one a picture"):
        open_dataset(flat)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "path,label\nb.png\n", "line 2 is 'b.png'; expected a path and a label"),
        ("a.csv", "path,label\nb.png,\n", "line 2 is"),
        ("a.csv", '"b.png,3\n', "damaged table"),
        ("a.csv", "path,label\n", "holds no label"),
        ("a.csv", "b.png,3\nb.png,4\n", "names b.png twice"),
        ("a.csv", "x" * 140_000 + ",3\n", "damaged table"),
        ("a.jsonl", '{"path": "b.png"}\n', r'line 1: expected an object such as \{"path"'),
        ("a.jsonl", '{"path": "b.png", "label": true}\n', "line 1"),
        ("a.jsonl", "[" * 100_000 + "\n", "line 1"),
        ("a.txt", "", "holds no label"),
        ("a.txt", "b.png 3\n4\n", "entry 2 names no picture"),
        ("ILSVRC2012_validation_ground_truth.txt", "490\n361\n171\n", "which count from 1 in another order"),
    ],
)
def test_a_damaged_label_file_is_refused(name: str, content: str, words: str, flat: Path) -> None:
    (flat / name).write_text(content)
    with pytest.raises(UsageError, match=words):
        rows(flat)


def test_what_is_no_text_or_no_file_is_refused(flat: Path) -> None:
    (flat / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        rows(flat)
    os.mkfifo(flat / "pipe.csv")
    with pytest.raises(FileAccessError, match="not a regular file"):
        rows(flat / "pipe.csv")
    with pytest.raises(UsageError, match=r"holds a.csv, pipe.csv: name one with --labels"):
        rows(flat)
    with pytest.raises(UsageError, match="--labels goes with a folder"):
        rows(flat / "a.csv", flat / "a.csv")
    (flat / "empty" / "3").mkdir(parents=True)
    with pytest.raises(UsageError, match="the data set holds no picture"):
        open_dataset(flat / "empty").refusing_empty()


REVERSED = tuple(reversed(DIGITS))
TWICE = ("crane", "dog", "crane")


@pytest.mark.parametrize(
    ("names", "labels", "count", "folders", "want", "words"),
    [
        (("3", "7"), DIGITS, 10, True, {"3": 3, "7": 7}, "names of the network"),
        (("3", "7"), REVERSED, 10, True, {"3": 6, "7": 2}, "names of the network"),
        (("0", "2"), TWICE, 3, False, {"0": 0, "2": 2}, "numbers of classes"),
        (("003", "10"), (), 11, True, {"003": 3, "10": 10}, "numbers of classes"),
        (("a", "b", "c"), DIGITS[:3], 3, True, {"a": 0, "b": 1, "c": 2}, "sorted order of its folders"),
    ],
)
def test_names_are_found_in_the_first_way_that_finds_all(
    names: tuple[str, ...], labels: tuple[str, ...], count: int, folders: bool, want: dict[str, int], words: str
) -> None:
    found = classes_of(names, labels, count, folders)
    assert dict(found.indices) == want
    assert words in found.words


def test_imagenets_synsets_and_words_are_its_classes() -> None:
    labels = labels_for("", 1000)
    found = classes_of(["n01440764", "n15075141"], labels, 1000, True)
    assert (dict(found.indices), found.words) == ({"n01440764": 0, "n15075141": 999}, "ImageNet's synsets")
    assert len(set(imagenet_synsets())) == 1000
    assert dict(classes_of(["tench, Tinca tinca"], labels, 1000, True).indices) == {"tench, Tinca tinca": 0}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: classes_of(["a", "b"], DIGITS, 10, True), "is called a, b; .* as many folders as classes: 2 for 10"),
        (lambda: classes_of(list("abc"), DIGITS[:3], 3, False), "is called a, b, c; expected names such as 0, 1, 2"),
        (lambda: classes_of(["9", "10"], DIGITS, 10, False), "is called 10; .* numbers from 0 to 9"),
        (lambda: classes_of(["crane"], TWICE, 3, True), "is called crane"),
        (lambda: classes_of(["1000"], labels_for("", 1000), 1000, False), "or synsets such as n01440764"),
    ],
)
def test_a_name_that_is_no_class_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()
