"""Which runner opens an artifact: chosen by the file, and said in the runner's ``where``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from neonext_ascend.artifacts.finding import names_of
from neonext_ascend.errors import UsageError
from neonext_ascend.models.arguments import file_path
from neonext_ascend.runtimes.base import Runner

Runtime = Literal["auto", "ort", "cann", "acl", "npu"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
OM_SUFFIX = ".om"
_OPENS = {
    "ort": "ONNX files",
    "cann": "ONNX files",
    "acl": "OM files",
    "npu": "models by their name, such as neonext_t",
}


def is_artifact(word: str) -> bool:
    """Whether a command's argument means a file rather than a model's name."""
    return word.endswith((".onnx", OM_SUFFIX)) or "/" in word or Path(word).is_file()


def is_om(path: Path) -> bool:
    """Whether a file is an OM by its name, or by the name of what it is a link to."""
    return any(name.suffix == OM_SUFFIX for name in names_of(path))


def runtime_for(path: Path, runtime: Runtime = "auto") -> Runtime:
    """The runtime that opens ``path``: ``acl`` for an OM; ``ort`` for an ONNX file unless ``cann`` is named.

    Raises:
        UsageError: the one that was asked for does not open such a file.
    """
    compiled = is_om(path)
    if runtime == "auto":
        return "acl" if compiled else "ort"
    if (runtime == "acl") != compiled or runtime == "npu":
        fitting = "acl" if compiled else "ort or cann"
        raise UsageError(f"{path}: --runtime {runtime} opens {_OPENS[runtime]}; for this file take {fitting}")
    return runtime


def open_runner(
    path: str | Path,
    *,
    runtime: Runtime = "auto",
    device: int = 0,
    threads: int = 0,
    extra_outputs: Sequence[str] = (),
) -> Runner:
    """Open an artifact.

    Args:
        path: an ONNX or OM file.
        runtime: ``auto`` goes by the file.
        device: number of the NPU.
        threads: of the CPU; 0 lets the runtime choose.
        extra_outputs: tensors inside the graph to give out as well; an OM has none to give.

    Raises:
        UsageError: the runtime does not open such a file.
        FileAccessError, ArtifactError: the file cannot be read or accepted.
        ToolchainError: what runs it is missing here.
    """
    path = file_path(path, "artifact")
    chosen = runtime_for(path, runtime)
    if chosen == "acl":
        from neonext_ascend.runtimes.acl.runner import AclRunner

        return AclRunner(path, device)
    from neonext_ascend.runtimes.ort import OrtRunner

    return OrtRunner(path, threads, extra_outputs, "cann" if chosen == "cann" else "cpu", device)


def opener(path: Path, runtime: Runtime = "auto", device: int = 0) -> Callable[[Sequence[str]], Runner]:
    """A function that opens ``path`` with these further outputs; arguments as of :func:`open_runner`."""
    return lambda extra_outputs: open_runner(path, runtime=runtime, device=device, extra_outputs=extra_outputs)
