"""A model's own functions put in place of their calls, so that whoever looks at its nodes sees them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neonext_ascend.errors import ArtifactError

if TYPE_CHECKING:
    from onnx import ModelProto


def without_functions(model: ModelProto) -> ModelProto:
    """The model itself where it has none.

    Raises:
        ArtifactError: a call cannot be replaced; the message has no file's name.
    """
    if not model.functions:
        return model
    import onnx.inliner

    try:
        inlined: ModelProto = onnx.inliner.inline_local_functions(model, convert_version=True)
    except Exception as error:  # a broken model may raise anything here
        raise ArtifactError(f"its functions cannot be put in their places: {type(error).__name__}") from None
    return inlined
