"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from neonext_ascend.errors import FileAccessError, NeoNextError

_STAGING_PREFIX = ".neonext-staging-"


class Staging:
    """A folder beside the final files in which they are made.

    Args:
        folder: where files are written, on the file system of ``target``.
        target: where they belong.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder, self.target = folder, target

    def publish(self, *names: str) -> list[Path]:
        """Move finished files to their final names, replacing older ones; another one's files come before or after.

        Raises:
            FileAccessError: the target folder is gone or refuses them.
        """
        with _locked(self.target):
            return [self._move(name) for name in names]

    def publish_folder(self, name: str) -> Path:
        """Likewise for a folder; an older one goes with the staging folder. Killed in between, neither is left.

        Raises:
            OSError: the target folder is gone or refuses it; the older one is as before.
        """
        final, older = self.target / name, self.folder / f"older-{name}"
        with _locked(self.target):
            if final.exists():
                final.rename(older)
            try:
                return (self.folder / name).rename(final)
            except OSError:
                if older.exists():
                    older.rename(final)
                raise

    def _move(self, name: str) -> Path:
        final = self.target / name
        _refuse_special(final)
        try:
            return (self.folder / name).replace(final)
        except OSError as error:
            raise FileAccessError(f"{final}: cannot write it: {error.strerror}") from None


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """No other publishes there meanwhile: else one's artifact could lie beside the manifest of another of its name."""
    with contextlib.ExitStack() as stack:
        # A staging folder is locked already, by whom it belongs to; a file system may have no locks.
        if not target.name.startswith(_STAGING_PREFIX):
            with contextlib.suppress(OSError):
                lock = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _refuse_special(path: Path) -> None:
    """A rename replaces whatever stands there, a device included."""
    FileAccessError.refuse_special(path, "another name: it will not be replaced")


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Staging]:
    """A staging folder inside ``target``, which is created where absent; removed at the end in any case.

    A process that was killed leaves its folder; the next one to stage in ``target`` removes it.

    Raises:
        FileAccessError: the folder cannot be created or written.
    """
    created = _create(target)
    try:
        _remove_abandoned(target)
        folder, lock = _locked_folder(target)
    except OSError as error:
        raise FileAccessError(f"{target}: cannot write into this folder: {error.strerror}") from None
    done = False
    try:
        yield Staging(folder, target)
        done = True
    except OSError as error:
        raise FileAccessError(
            f"{target}: writing failed: {error.strerror or error}; nothing was left behind"
        ) from error
    except KeyboardInterrupt as error:
        # Worth a word only where something was being written.
        error.args = error.args or ("nothing was left half-written",)
        raise
    except NeoNextError as error:
        # The folder is gone when this is read.
        error.args = tuple(_of_target(word, folder, target) for word in error.args)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        if not done:
            for made in created:
                with contextlib.suppress(OSError):
                    made.rmdir()


def _of_target(word: object, folder: Path, target: Path) -> object:
    """What is said of the staging folder, said of the final one."""
    if isinstance(word, str):
        for place in (folder, folder.resolve()):
            word = word.replace(str(place), str(target))
    return word


def _locked_folder(target: Path) -> tuple[Path, int]:
    """A new staging folder and the open descriptor that marks it as in use: the lock ends with the process."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=target))
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            with contextlib.suppress(OSError):  # a file system without locks: nothing is removed there either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)
        # Another export saw the folder before it was locked and has removed it: take a new one.


def _remove_abandoned(target: Path) -> None:
    """Remove staging folders whose owner is gone, which the lock tells."""
    for folder in target.glob(f"{_STAGING_PREFIX}*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # removed meanwhile, somebody else's, or no folder
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # its owner works on, or the file system has no locks
            continue
        finally:
            os.close(lock)


def _create(target: Path) -> list[Path]:
    """Create a folder and its parents; the ones that were made, innermost first."""
    absent: list[Path] = []
    try:
        for folder in (target, *target.parents):
            if folder.exists():
                break
            absent.append(folder)
        if not absent and not target.is_dir():
            raise FileAccessError(f"{target}: is not a folder; give a folder for the artifacts")
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        for made in absent:
            with contextlib.suppress(OSError):
                made.rmdir()
        raise FileAccessError(f"{target}: cannot create this folder: {error.strerror}") from None
    return absent


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes.

    Raises:
        FileAccessError: the file cannot be read.
    """
    try:
        FileAccessError.refuse_special(path, "a file of an artifact")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read it: {error.strerror}") from None
