"""A model's folder in a repository, ``NAME/config.pbtxt`` and ``NAME/1/``: it appears whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from neonext_ascend.artifacts.staging import staged
from neonext_ascend.errors import FileAccessError, UsageError

CONFIG, VERSION = "config.pbtxt", "1"
# What an earlier export may have left there.
_OURS = (".onnx", ".onnx.data", ".json")


def check_place(folder: Path) -> None:
    """Refuse to put a model in the place of what is none of ours.

    Raises:
        UsageError: the folder is there, and holds something else.
        FileAccessError: the repository is no folder.
    """
    if folder.parent.exists() and not folder.parent.is_dir():
        raise FileAccessError(f"{folder.parent}: is not a folder; give a folder for the models")
    found = [path for path in folder.rglob("*") if path != folder / VERSION] if folder.is_dir() else []
    strange = [p for p in found if p != folder / CONFIG and not (p.parent == folder / VERSION and _is_ours(p))]
    if strange or (folder.exists() and not folder.is_dir()):
        what = f"holds {strange[0].relative_to(folder)}" if strange else "is no folder"
        raise UsageError(f"{folder}: {what}, which no export made; remove it, or give another --triton DIR")


def write_model(repository: Path, name: str, files: Sequence[Path], config: str) -> Path:
    """Copy ``files`` and write the configuration; an older folder of that name is replaced.

    Raises:
        UsageError: as of :func:`check_place`.
        FileAccessError: it cannot be written.
    """
    with staged(repository) as stage:
        made = stage.folder / name
        (made / VERSION).mkdir(parents=True)
        for file in files:
            shutil.copyfile(file, made / VERSION / file.name)
        (made / CONFIG).write_text(config, encoding="utf-8")
        check_place(repository / name)
        stage.publish_folder(name)
    return repository / name


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.name.endswith(_OURS)
