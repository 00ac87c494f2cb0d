"""Labelled pictures in every form: which classes, which parts, in which order, and what is said where it is none."""

from __future__ import annotations

import io
import pickle
import tarfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neonext_ascend.errors import FileAccessError, NeoNextError, UsageError
from neonext_ascend.training.feeding import Order, Split
from neonext_ascend.training.recipe import Recipe
from neonext_ascend.training.sources.census import take_census
from neonext_ascend.training.sources.entries import Source, decoded
from neonext_ascend.training.sources.opening import open_source, ordered
from tests.support.training import write_pictures


def opened(data: Path | str, share: float = 0.25) -> Source:
    return open_source(str(data), share, 0)


def png(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (grey, grey, grey)).save(file, "PNG")
    return file.getvalue()


def write_shard(path: Path, samples: range, classes: int = 3, without: str = "") -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for number in samples:
            for kind, content in (("png", png(number)), ("cls", str(number % classes).encode())):
                if kind != without:
                    info = tarfile.TarInfo(f"sample{number:04d}.{kind}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    return path


def write_cifar(folder: Path, binary: bool, each: int = 6) -> Path:
    folder.mkdir()
    draw = np.random.default_rng(0)
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        pixels = draw.integers(0, 256, (each, 3072), np.uint8)
        labels = [number % 10 for number in range(each)]
        if binary:
            rows = np.concatenate([np.array(labels, np.uint8)[:, None], pixels], axis=1)
            (folder / f"{name}.bin").write_bytes(rows.tobytes())
        else:
            (folder / name).write_bytes(pickle.dumps({b"data": pixels, b"labels": labels}, protocol=2))
    return folder


def test_a_folder_per_class_holds_out_a_share_of_each(tmp_path: Path) -> None:
    source = opened(write_pictures(tmp_path / "data", classes=3, each=8))
    assert source.classes == ("class 0", "class 1", "class 2")
    assert source.held_out is not None
    assert dict(source.training.counts) == dict.fromkeys(range(3), 6)
    assert dict(source.held_out.counts) == dict.fromkeys(range(3), 2)
    names = [{entry.name for entry in part.plain()} for part in (source.training, source.held_out)]
    assert not names[0] & names[1]
    assert [entry.name for entry in opened(tmp_path / "data").held_out.plain()] == [  # type: ignore[union-attr] # is there
        entry.name for entry in source.held_out.plain()
    ]
    assert opened(tmp_path / "data", 0).held_out is None


def test_imagenets_layout_has_its_own_held_out_part(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train", classes=2, each=3)
    write_pictures(tmp_path / "val", classes=2, each=1)
    source = opened(tmp_path)
    assert source.held_out is not None
    assert (source.training.counts.total(), source.held_out.counts.total()) == (6, 2)
    write_pictures(tmp_path / "val", classes=3, each=1)
    with pytest.raises(UsageError, match=r"has 1 class that .*train lacks: class 2"):
        opened(tmp_path)


@pytest.mark.parametrize("binary", [True, False])
def test_cifars_batches_hold_red_green_and_blue_row_by_row(binary: bool, tmp_path: Path) -> None:
    source = opened(write_cifar(tmp_path / "cifar", binary))
    assert source.classes[0] == "airplane"
    assert len(source.classes) == 10
    assert source.held_out is not None
    assert (source.training.counts.total(), source.held_out.counts.total()) == (12, 6)
    entry = next(iter(source.training.plain()))
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3072), np.uint8)[0]
    assert np.array_equal(np.asarray(decoded(entry)), pixels.reshape(3, 32, 32).transpose(1, 2, 0))
    assert take_census(source).empty == ("frog", "horse", "ship", "truck")


def test_a_pickle_that_wants_more_than_arrays_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    folder = write_cifar(tmp_path / "cifar", False)

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "was run",)

    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}))
    with pytest.raises(UsageError, match="nothing was run"):
        opened(folder)
    assert not (tmp_path / "was run").exists()


@pytest.mark.parametrize("binary", [True, False])
def test_a_batch_that_is_cut_or_holds_another_class_is_told(binary: bool, tmp_path: Path) -> None:
    folder = write_cifar(tmp_path / "cifar", binary)
    file = folder / ("data_batch_2.bin" if binary else "data_batch_2")
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    with pytest.raises(FileAccessError, match=r"data_batch_2.*is cut short"):
        opened(folder)
    file.write_bytes(
        b"\x0b" + content[1:] if binary else pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [10]})
    )
    with pytest.raises(UsageError, match="holds a class beyond 9"):
        opened(folder)


def test_digits_are_those_that_nano_was_measured_on() -> None:
    from tests.support.digits import held_out

    source = opened("digits")
    assert source.held_out is not None
    assert source.training.counts.total() == 2 * 1437
    pixels, labels = held_out()
    entries = list(source.held_out.plain())
    assert np.array_equal(np.stack([np.asarray(entry.held) for entry in entries]), pixels)
    assert [entry.label for entry in entries] == labels.tolist()


def test_shards_are_streamed_whole_in_an_order_of_the_seed(tmp_path: Path) -> None:
    for number in range(3):
        write_shard(tmp_path / "shards" / f"train-{number}.tar", range(10 * number, 10 * number + 10))
    write_shard(tmp_path / "shards" / "val-0.tar", range(30, 36))
    source = opened(tmp_path / "shards")
    assert source.classes == ("0", "1", "2")
    assert source.held_out is not None
    assert dict(source.training.counts) == {0: 10, 1: 10, 2: 10}
    orders = [[e.name for e in source.training.shuffled(0, epoch)] for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert len(set(orders[0])) == 30
    assert [e.name for e in source.training.shuffled(0, 0, 7)] == orders[0][7:]
    for entry in source.held_out.plain():
        number = int(entry.name[-8:-4])
        assert entry.label == number % 3
        assert np.asarray(decoded(entry))[0, 0, 0] == number
    assert [e.name for e in source.held_out.plain(1, 2)] == [
        e.name for e in islice(source.held_out.plain(), 1, None, 2)
    ]
    pattern = opened(str(tmp_path / "shards" / "train-{0..1}.tar"))
    assert pattern.training.counts.total() == 20
    piped = opened(f"pipe:cat {tmp_path}/shards/train-0.tar")
    assert piped.training.counts.total() == 10
    assert take_census(source, whole=True).problems == []


def test_a_shard_that_is_cut_short_is_told_at_the_start_and_in_the_stream(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "s" / "a.tar", range(10))
    whole = shard.read_bytes()
    source = opened(shard)
    for length in (len(whole) - 10_240, 5_000, 512 * 9, 100):
        shard.write_bytes(whole[:length])
        with pytest.raises(FileAccessError, match=r"a\.tar: the shard is cut short"):
            opened(shard)
    shard.write_bytes(whole[:5_000])
    with pytest.raises(FileAccessError, match=r"a\.tar.*the shard is cut short or damaged"):
        list(source.training.shuffled(0, 0))


def test_a_sample_without_a_picture_or_class_is_told(tmp_path: Path) -> None:
    good = write_shard(tmp_path / "s" / "a.tar", range(10))
    source = opened(good)
    for kind, says in (("png", "has no picture"), ("cls", r"has no \.cls")):
        write_shard(good, range(10), without=kind)
        with pytest.raises(UsageError, match=says):
            list(source.training.plain())


def test_classes_that_count_from_nought_stand_in_their_own_order() -> None:
    assert ordered([str(n) for n in (0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9)]) == tuple(str(n) for n in range(11))
    assert ordered(["10", "2", "1"]) == ("1", "10", "2")


@pytest.mark.parametrize("content", [None, "empty folder", "text"])
def test_what_is_no_data_is_told(content: str | None, tmp_path: Path) -> None:
    place = tmp_path / "data"
    if content == "text":
        place.write_text("no")
    elif content:
        place.mkdir()
    with pytest.raises(NeoNextError, match="data: "):
        opened(place)


def test_missing_corrupt_and_empty_are_counted(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "data", classes=2, each=4)
    (folder / "class 2").mkdir()
    cut = folder / "class 0" / "01.png"
    cut.write_bytes(cut.read_bytes()[:200])
    (folder / "class 1" / "02.png").write_text("hello")
    (folder / "class 1" / "03.png").write_bytes(b"")
    census = take_census(opened(folder))
    assert census.empty == ("class 2",)
    assert sorted(name for name, _ in census.corrupt) == ["class 0/01.png", "class 1/02.png", "class 1/03.png"]
    assert census.looked == "all were decoded"
    with pytest.raises(UsageError) as caught:
        census.refuse_problems()
    assert "1 class without a picture: class 2; 3 pictures that cannot be read: " in str(caught.value)
    assert "\n" not in str(caught.value)
    rows = tmp_path / "rows.csv"
    rows.write_text("data/class 0/00.png,a\ndata/class 0/02.png,b\nabsent.png,a\n")
    census = take_census(opened(rows, 0))
    assert census.missing == ("absent.png",)
    assert census.problems == ["1 picture missing: absent.png"]
    alone = take_census(opened(write_pictures(tmp_path / "one", classes=1)))
    assert alone.problems == ["1 class; a classifier needs two or more"]


def test_of_a_large_set_some_heads_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_pictures(tmp_path / "data", classes=2, each=8)
    cut = folder / "class 0" / "01.png"
    cut.write_bytes(cut.read_bytes()[:200])
    monkeypatch.setattr("neonext_ascend.training.sources.census._WHOLE", 10)
    assert take_census(opened(folder, 0)).corrupt == ()  # its head is whole
    assert len(take_census(opened(folder, 0), whole=True).corrupt) == 1
    (folder / "class 0" / "02.png").write_text("hello")
    assert len(take_census(opened(folder, 0)).corrupt) == 1
    monkeypatch.setattr("neonext_ascend.training.sources.census._GLANCES", 4)
    assert take_census(opened(folder, 0)).looked == "the heads of 4 were read; --check-data decodes all"


def test_each_picture_comes_once_an_epoch_however_a_batch_is_shared(tmp_path: Path) -> None:
    part = opened(write_pictures(tmp_path / "data", each=10), 0).training
    alone = [sample for batch in Order(part, Recipe(), Split(4, 2, 0, 1)) for sample in batch]
    names = [sample.entry.name for sample in alone]
    assert len(set(names)) == len(names) == 20
    shares = [list(Order(part, Recipe(), Split(4, 1, rank, 2))) for rank in range(2)]
    # Whoever takes a picture draws the same for it.
    together = [sample for batches in zip(*shares, strict=True) for batch in batches for sample in batch]
    assert together == alone
    order = Order(part, Recipe(), Split(4, 1, 0, 1))
    order.first = 3
    assert [sample for batch in order for sample in batch] == alone[12:]
    order.epoch = 1
    assert [s.entry.name for batch in order for s in batch] != names[12:]
    with pytest.raises(UsageError, match="expected a multiple of 6"):
        Split(4, 3, 0, 2)
