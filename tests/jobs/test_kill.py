"""Exports that are killed leave the old artifact or the new one, whole; what else they leave the next one removes."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from neonext_ascend.artifacts.staging import staged
from tests.support.scenario import scenario

LEFT = ".neonext-staging-left"


def test_a_killed_export_leaves_whole_files_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    done = scenario("kill", 50, tmp_path)
    print({key: done[key] for key in ("states", "ends", "most_leftovers", "seconds_an_export")})
    # The manifest follows the ONNX file: between the two, the new file lies beside the old manifest.
    assert set(done["states"]) <= {"old+old", "new+old", "new+new"}
    assert done["ends"]["-9"] >= 15  # the others were done before the signal came
    # Two renamings inside the staging folder, then the ONNX file's and the manifest's.
    assert [renaming["code"] for renaming in done["renamings"]] == [-9] * 4
    assert [renaming["state"] for renaming in done["renamings"]][-2:] == ["old+old", "new+old"]
    between = done["renamings"][-1]
    assert between["verify"] == 1
    assert "changed since its export (its SHA-256 differs from the manifest's)" in between["words"]
    assert all(renaming["verify"] == 0 for renaming in done["renamings"][:-1])
    assert done["most_leftovers"] == done["abandoned"] == 1
    assert done["last"] == {"code": 0, "state": "new+new", "leftovers": []}


def test_eight_exports_at_once_into_one_folder_all_succeed(tmp_path: Path) -> None:
    done = scenario("eight", 3, tmp_path)
    names = ["tiny", "tiny_a", "tiny_b", "tiny_c", "tiny_d"]
    files = sorted(f"{name}-64x96-b1-fp32.{kind}" for name in names for kind in ("json", "onnx"))
    # Of those of one name the last wins, with its manifest: the others' weights are others.
    assert done["rounds"] == [{"codes": [0] * 8, "files": files, "match": [True] * 5}] * 3


def test_a_staging_folder_in_use_is_kept_and_an_abandoned_one_removed(tmp_path: Path) -> None:
    (tmp_path / LEFT / "below").mkdir(parents=True)
    (tmp_path / LEFT / "below" / "a.onnx").write_text("half")
    with staged(tmp_path) as first:
        assert not (tmp_path / LEFT).exists()
        with staged(tmp_path) as second:
            assert first.folder.is_dir()
            assert second.folder != first.folder
        assert first.folder.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_only_has_the_name_of_a_staging_folder_is_kept(tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    target.mkdir()
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    (target / ".neonext-staging-file").touch()
    (target / ".neonext-staging-link").symlink_to(elsewhere)
    with staged(target):
        pass
    assert sorted(path.name for path in target.iterdir()) == [".neonext-staging-file", ".neonext-staging-link"]
    assert (elsewhere / "mine").exists()


def test_a_folder_that_is_taken_for_abandoned_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Path] = []

    def late(lock: int, operation: int) -> None:
        if not removed:
            removed.extend(tmp_path.iterdir())
            shutil.rmtree(removed[0])
        original(lock, operation)

    original = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", late)
    with staged(tmp_path) as stage:
        assert stage.folder.is_dir()
        assert [stage.folder] != removed
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_written_and_nothing_of_others_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_lock: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / LEFT).mkdir()
    with staged(tmp_path) as stage:
        (stage.folder / "a.onnx").write_text("a")
        stage.publish("a.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == [LEFT, "a.onnx"]
