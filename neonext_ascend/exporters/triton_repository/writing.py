"""A model's folder in a repository, ``NAME/config.pbtxt`` and ``NAME/1/``: it appears whole, or not at all.

The configuration is there to be changed by hand, and begins with a comment that tells whether it was.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from neonext_ascend.artifacts.staging import staged
from neonext_ascend.errors import FileAccessError, UsageError

CONFIG, VERSION = "config.pbtxt", "1"
_MADE = b"# Made by neonext-ascend export --triton; SHA-256 of what follows: "
# What an earlier export may have left there.
_OURS = (".onnx", ".onnx.data", ".json")


def check_place(folder: Path) -> None:
    """Refuse to put a model in the place of what is none of ours, or was changed since.

    Raises:
        UsageError: the folder is there, and holds something else, or another configuration than was written.
        FileAccessError: the repository is no folder, or the configuration cannot be read.
    """
    if folder.parent.exists() and not folder.parent.is_dir():
        raise FileAccessError(f"{folder.parent}: is not a folder; give a folder for the models")
    found = [path for path in folder.rglob("*") if path != folder / VERSION] if folder.is_dir() else []
    strange = [p for p in found if p != folder / CONFIG and not (p.parent == folder / VERSION and _is_ours(p))]
    if strange or (folder.exists() and not folder.is_dir()):
        what = f"holds {strange[0].relative_to(folder)}" if strange else "is no folder"
        raise UsageError(f"{folder}: {what}, which no export made; remove it, or give another --triton DIR")
    if _was_changed(folder / CONFIG):
        raise UsageError(
            f"{folder / CONFIG}: was changed since it was written; move it away, or give another --triton DIR"
        )


def write_model(repository: Path, name: str, files: Sequence[Path], config: str) -> bool:
    """Copy ``files`` and write the configuration; whether an older folder of that name was replaced.

    Raises:
        UsageError: as of :func:`check_place`.
        FileAccessError: it cannot be written.
    """
    with staged(repository) as stage:
        made = stage.folder / name
        (made / VERSION).mkdir(parents=True)
        for file in files:
            shutil.copyfile(file, made / VERSION / file.name)
        text = config.encode()
        (made / CONFIG).write_bytes(_first_line(text) + text)
        check_place(repository / name)
        replaced = (repository / name).exists()
        stage.publish_folder(name)
    return replaced


def _first_line(text: bytes) -> bytes:
    return _MADE + hashlib.sha256(text).hexdigest().encode() + b"\n"


def _was_changed(config: Path) -> bool:
    """Whether it is another one than was written, by us."""
    try:
        text = config.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FileAccessError(f"{config}: cannot read it: {error.strerror}") from None
    return text != _first_line(rest := text.partition(b"\n")[2]) + rest


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.name.endswith(_OURS)
