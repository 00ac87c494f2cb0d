"""What may be timed, by the word that names it: an ONNX or OM file, or a model in PyTorch, folded or not."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.artifacts.finding import manifest_beside
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.errors import ArtifactError, UsageError
from neonext_ascend.models.variants import VARIANTS, find_variant
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.registry import Runtime, is_artifact, is_om, open_runner, runtime_for
from neonext_ascend.spec import BATCH, INPUT, NUMPY_DTYPES, OUTPUT, TensorSpec
from neonext_ascend.timing.entry import Contender

UNFOLDED = ":unfolded"
# An address of another scheme, or of none, without user and password: http:// is a server's, and told apart before.
_HOST = r"((?:[\w.-]+|\[[0-9a-f:]+\]):\d+(?:/.*)?)"
_ADDRESS = re.compile(rf"(?!file:)[a-z][a-z0-9+.-]*://(?:.*@)?([^@]+)|(?:.*@)?{_HOST}", re.IGNORECASE)
_DTYPES = {numpy_name: name for name, numpy_name in NUMPY_DTYPES.items()} | {"float64": "fp64"}


@dataclass(frozen=True, slots=True)
class Named:
    """A contender by name, not opened: the file, or the model and whether it is folded."""

    word: str
    path: Path | None = None
    model: str = ""
    folded: bool = True


def named_by(word: str | Path) -> Named:
    """What ``word`` names: ``FILE.onnx``, ``FILE.om``, ``neonext_t`` (folded for deployment) or ``neonext_t:unfolded``.

    A path is always a file.

    Raises:
        UsageError: it is no file, no model and no form of one.
    """
    if isinstance(word, Path):
        return Named(str(word), path=word)
    model, colon, form = word.partition(":")
    path = Path(word)
    if model not in VARIANTS and not path.exists() and (found := _ADDRESS.fullmatch(word)):
        address = found[1] or found[2]
        raise UsageError(f"{address}: is a server meant? write http://{address}")
    if is_artifact(word) or (path.is_dir() and word not in VARIANTS):
        return Named(word, path=path)
    find_variant(model)
    if colon + form not in ("", UNFOLDED):
        raise UsageError(f"{word}: unknown form {form!r}; expected {model}, folded, or {model}{UNFOLDED}")
    return Named(word, model=model, folded=not colon)


def contender_of(
    named: Named, batch_size: int | None, threads: int, runtime: Runtime = "auto", device: int = 0
) -> Contender:
    """Open once, run once, and make it ready to be opened again.

    Args:
        named: the file or the model.
        batch_size: of a model or a file with a dynamic batch, 1 by default; a file with a batch of its own must agree.
        threads: in which it computes on the CPU.
        runtime: that opens files, or ``npu`` for models in fp16 on an NPU.
        device: number of the NPU.

    Raises:
        FileAccessError: the file cannot be read.
        ArtifactError: its runtime cannot load or run it, or it has other inputs than one batch.
        ToolchainError: what runs it is missing here.
        UsageError: another batch was asked for than the file has.
    """
    if named.path is not None:
        return _file(named, named.path, batch_size, threads, runtime, device)
    if runtime not in ("auto", "npu"):
        raise UsageError(f"--runtime {runtime} opens files; {named.word} is a model: leave it out, or take npu")
    return _network(named, batch_size or 1, threads, device if runtime == "npu" else None)


def _file(named: Named, path: Path, batch_size: int | None, threads: int, runtime: Runtime, device: int) -> Contender:
    def open_file() -> Runner:
        return open_runner(path, runtime=runtime, device=device, threads=threads)

    with open_file() as runner:
        spec, where = _only_input(runner, path), runner.where
        batch = _batch(spec, path, batch_size, runner.gears)
        feed = {spec.name: _noise((batch, *spec.shape[1:]), spec.dtype)}
        runner.infer(feed)

    @contextlib.contextmanager
    def opened() -> Iterator[Callable[[], object]]:
        with open_file() as again:
            yield partial(again.infer_impl, feed)

    on_cpu = runtime_for(path, runtime) == "ort"
    dtype = _precision(path) or _DTYPES.get(spec.dtype, spec.dtype)
    return Contender(named.word, path.absolute(), dtype, batch, threads if on_cpu else None, where, opened)


def _precision(path: Path) -> str | None:
    """In which an OM computes, as its manifest tells."""
    beside = manifest_beside(path) if is_om(path) else None
    if beside is None:
        return None
    compilation = read_manifest(beside).compilation
    return None if compilation is None else compilation.precision


def _network(named: Named, batch: int, threads: int, npu: int | None) -> Contender:
    import torch
    from torch import nn

    from neonext_ascend.checkpoints.loading import load
    from neonext_ascend.passes.pipeline import prepare
    from neonext_ascend.runtimes.eager import EagerRunner

    unfolded = load(named.model).network
    network: nn.Module = prepare(unfolded)[0] if named.folded else unfolded
    config = unfolded.config
    inputs = (TensorSpec(INPUT, "float32", (BATCH, 3, *config.image_size)),)
    outputs = (TensorSpec(OUTPUT, "float32", (BATCH, config.num_classes)),)
    feed = {INPUT: _noise((batch, 3, *config.image_size), "float32")}

    def open_network() -> Runner:
        if npu is None:
            return EagerRunner(copy.deepcopy(network), inputs, outputs)
        from neonext_ascend.runtimes.npu import NpuRunner

        return NpuRunner(copy.deepcopy(network), inputs, outputs, dtype="fp16", device=npu)

    with open_network() as runner:
        where = runner.where

    @contextlib.contextmanager
    def opened() -> Iterator[Callable[[], object]]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with open_network() as runner:
                yield partial(runner.infer_impl, feed)
        finally:
            torch.set_num_threads(before)

    if npu is not None:
        return Contender(named.word, None, "fp16", batch, None, where, opened)
    return Contender(named.word, None, "fp32", batch, threads, where, opened)


def _only_input(runner: Runner, path: Path) -> TensorSpec:
    """The input, with all dimensions but the first one known."""
    shown = ", ".join(map(str, runner.inputs)) or "none"
    if len(runner.inputs) != 1:
        raise ArtifactError(f"{path}: has {len(runner.inputs)} inputs ({shown}); expected one, the picture")
    (spec,) = runner.inputs
    if any(not isinstance(size, int) for size in spec.shape[1:]):
        raise ArtifactError(f"{path}: input {shown}; only the first dimension, the batch, may be dynamic")
    return spec


def _batch(spec: TensorSpec, path: Path, batch_size: int | None, gears: tuple[int, ...]) -> int:
    own = spec.shape[0]
    if gears:
        batch = batch_size or min(gears)
        if batch not in gears:
            raise UsageError(f"{path}: its batch gears are {', '.join(map(str, gears))}, not {batch}; take one of them")
        return batch
    if not isinstance(own, int):
        return batch_size or 1
    if batch_size not in (None, own):
        raise UsageError(
            f"{path}: its batch is {own}, not {batch_size}; export it with --batch-size {batch_size} or dynamic"
        )
    return own


def _noise(shape: tuple[Any, ...], dtype: str) -> NDArray[np.generic]:
    random = np.random.RandomState(0)
    if dtype == "uint8":
        return random.randint(0, 256, shape).astype(np.uint8)
    return random.standard_normal(shape).astype(dtype)
