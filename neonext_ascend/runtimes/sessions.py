"""Where ONNX Runtime's sessions are made; a file with operators of the vendor's runs with their twins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neonext_ascend.artifacts.names import utf8_alias
from neonext_ascend.artifacts.vendor_operators import TWINS_IN_WORDS, with_twins
from neonext_ascend.machine.environment import disable_telemetry

disable_telemetry()

CPU = "CPUExecutionProvider"
EXTERNAL = "session.model_external_initializers_file_folder_path"


def make_session(source: str | bytes, options: Any, providers: tuple[Any, ...] = (CPU,)) -> tuple[Any, str]:
    """A session for a path or a model's bytes, and in words which operator runs as its twin; the CPU alone has those.

    Raises:
        Exception: onnxruntime's own.
    """
    import onnxruntime

    def made(source: str | bytes) -> Any:
        # Without fallback: it would print to standard output, and try again what has failed.
        return onnxruntime.InferenceSession(source, options, providers=list(providers), enable_fallback=0)

    try:
        return made(source), ""
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        told = next((words for name, words in TWINS_IN_WORDS.items() if name in str(error)), "")
        if not told or providers != (CPU,):
            raise
    import onnx

    if isinstance(source, bytes):
        return made(with_twins(onnx.load_from_string(source)).SerializeToString(deterministic=True)), told
    model = with_twins(onnx.load(source, load_external_data=False))
    with utf8_alias(Path(source).parent) as folder:
        options.add_session_config_entry(EXTERNAL, folder)
        return made(model.SerializeToString(deterministic=True)), told
