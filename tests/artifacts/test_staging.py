"""Files that appear whole or not at all: publishing, failing, and folders that refuse."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from neonext_ascend.artifacts.staging import sha256_of, staged
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError, UsageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail_half_way(target: Path, error: BaseException, also: Path | None = None) -> None:
    with staged(target) as stage:
        (stage.folder / "a.onnx").write_text("ne")
        if also:
            also.touch()
        raise error


def test_files_appear_under_their_names_when_they_are_published(tmp_path: Path) -> None:
    target = tmp_path / "made" / "on the way"
    with staged(target) as stage:
        (stage.folder / "a.onnx").write_text("a")
        (stage.folder / "a.json").write_text("{}")
        (stage.folder / "scratch").write_text("left")
        assert not (target / "a.onnx").exists()
        assert stage.publish("a.onnx", "a.json") == [target / "a.onnx", target / "a.json"]
        assert (target / "a.onnx").read_text() == "a"
    assert names(target) == ["a.json", "a.onnx"]


def test_work_happens_on_the_file_system_of_the_target(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        assert stage.folder.parent == stage.target == tmp_path


def test_a_new_file_replaces_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("old")
    with staged(tmp_path) as stage:
        (stage.folder / "a.onnx").write_text("new")
        stage.publish("a.onnx")
    assert (tmp_path / "a.onnx").read_text() == "new"
    assert names(tmp_path) == ["a.onnx"]


@pytest.mark.parametrize("error", [ValueError, UsageError, KeyboardInterrupt, SystemExit])
def test_an_error_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a.onnx").write_text("old")
    with pytest.raises(error, match="half way"):
        fail_half_way(tmp_path, error("half way"))
    assert (tmp_path / "a.onnx").read_text() == "old"
    assert names(tmp_path) == ["a.onnx"]


def test_a_refusal_of_the_system_is_told_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="writing failed: No space left on device; nothing was left behind"):
        fail_half_way(tmp_path / "new", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert names(tmp_path) == []


def test_folders_made_for_a_failed_export_are_removed_again(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="half way"):
        fail_half_way(tmp_path / "there" / "new" / "newer", ValueError("half way"))
    assert names(tmp_path) == ["there"]
    assert names(tmp_path / "there") == []


def test_a_folder_that_someone_has_filled_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half way"):
        fail_half_way(tmp_path / "new" / "newer", ValueError("half way"), also=tmp_path / "new" / "notes.txt")
    assert names(tmp_path / "new") == ["notes.txt"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileAccessError, match="is not a folder") as refusal, staged(tmp_path / "file"):
        pass
    assert refusal.value.exit_code == 5
    with pytest.raises(FileAccessError, match="Not a directory"), staged(tmp_path / "file" / "new"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["a" * 300, "new/" + "a" * 300], ids=["alone", "in a new folder"])
def test_a_name_that_is_too_long_is_refused_in_words(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileAccessError, match="File name too long"), staged(tmp_path / name):
        pass
    assert names(tmp_path) == []


def test_a_file_system_that_takes_no_folders_is_refused() -> None:
    folder = Path("/proc/neonext")  # refuses even the superuser
    with pytest.raises(FileAccessError, match="cannot create this folder"), staged(folder):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FileAccessError, match="Permission denied"), staged(tmp_path):
        pass


def test_what_was_never_made_or_cannot_be_replaced_is_not_published(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        with pytest.raises(FileAccessError, match=r"absent\.onnx: cannot write it: No such file"):
            stage.publish("absent.onnx")
        (tmp_path / "taken").mkdir()
        (stage.folder / "taken").touch()
        with pytest.raises(
            FileAccessError, match="taken: is not a regular file; expected another name: it will not be replaced"
        ) as refusal:
            stage.publish("taken")
    assert isinstance(refusal.value, NeoNextError)


def test_a_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # The test vector of FIPS 180-2.
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(FileAccessError, match="absent: cannot read it: No such file"):
        sha256_of(tmp_path / "absent")


def test_an_error_inside_names_the_final_folder(tmp_path: Path) -> None:
    """The staging folder is gone when the words are read; folders within folders, and links, are seen through."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    target = tmp_path / "link" / "out"
    with pytest.raises(FileAccessError) as full, staged(target) as outer, staged(outer.folder / "inner"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(full.value) == f"{target}/inner: writing failed: No space left on device; nothing was left behind"
    for resolved in (False, True):
        with pytest.raises(ArtifactError, match=f"^{target}/x.onnx: is bad$"), staged(target) as stage:
            raise ArtifactError(f"{stage.folder.resolve() if resolved else stage.folder}/x.onnx: is bad")
