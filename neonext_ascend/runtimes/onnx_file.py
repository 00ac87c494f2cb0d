"""An ONNX file looked at before it is loaded: whether it is whole, without reading its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neonext_ascend.artifacts.wire import Fields
from neonext_ascend.errors import ArtifactError, FileAccessError
from neonext_ascend.files import foreign

# ModelProto has fields 1 to 8, 14, 20, 25 and 26 (onnx.proto); a higher number means another kind of file.
_HIGHEST_FIELD = 100
_PICTURE = ("1", "3", "224", "224")


def free_words(name: str, shape: Sequence[int | str]) -> str:
    """That an input takes pictures, or what else it is, of any size, and how to fix one."""
    known = ["" if isinstance(length, str) or length < 1 else str(length) for length in shape]
    what, like = ("pictures", _PICTURE) if len(shape) == len(_PICTURE) else ("inputs", ("1", *"N" * (len(shape) - 1)))
    fixed = [length or instead for length, instead in zip(known, like, strict=True)]
    return (
        f"takes {what} of any size ({name}: {'x'.join(one or '?' for one in known)}); "
        "give it one: python -m onnxruntime.tools.make_dynamic_shape_fixed "
        f"--input_name {name} --input_shape {','.join(fixed)} IN.onnx OUT.onnx"
    )


def check_onnx_file(path: Path) -> None:
    """Refuse what cannot be a whole ONNX model.

    Raises:
        FileAccessError: it cannot be read, is empty, or ends too early.
        ArtifactError: it is no ONNX model.
    """
    try:
        FileAccessError.refuse_special(path, "an ONNX model")
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            if what := foreign.describe(file.read(foreign.HEAD), "the ONNX file"):
                raise ArtifactError(f"{path}: {what}")
            file.seek(0)
            if size == 0:
                raise FileAccessError(f"{path}: the file is empty; expected an ONNX model; export it again")
            fields = Fields(file, path, size)
            while file.tell() < size:
                file.seek(fields.next(size, _HIGHEST_FIELD)[2], 1)
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the model: {error.strerror}") from None
