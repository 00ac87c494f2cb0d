"""What may be timed, by the word that names it: an ONNX file, or a model in PyTorch, folded or not."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import ArtifactError, UsageError
from neonext_ascend.models.variants import VARIANTS, find_variant
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.ort import OrtRunner
from neonext_ascend.spec import BATCH, INPUT, NUMPY_DTYPES, OUTPUT, TensorSpec

UNFOLDED = ":unfolded"
_DTYPES = {numpy_name: name for name, numpy_name in NUMPY_DTYPES.items()} | {"float64": "fp64"}


@dataclass(frozen=True, slots=True)
class Named:
    """A contender by name, not opened: the file, or the model and whether it is folded."""

    word: str
    path: Path | None = None
    model: str = ""
    folded: bool = True


@dataclass(frozen=True, slots=True)
class Contender:
    """Ready to be timed.

    Attributes:
        name: as the user wrote it.
        path: absolute, of a file; ``None`` for a model.
        dtype, batch: of the input.
        threads: in which it computes.
        open: opens it afresh, with a place in memory of its own, and gives a function that runs it once on noise.
    """

    name: str
    path: Path | None
    dtype: str
    batch: int
    threads: int
    open: Callable[[], AbstractContextManager[Callable[[], object]]]


def named_by(word: str) -> Named:
    """What ``word`` names: ``FILE.onnx``, ``neonext_t`` (folded for deployment) or ``neonext_t:unfolded``.

    Raises:
        UsageError: it is no file, no model and no form of one.
    """
    model, colon, form = word.partition(":")
    path = Path(word)
    if word.endswith(".onnx") or "/" in word or path.is_file() or (path.is_dir() and word not in VARIANTS):
        return Named(word, path=path)
    find_variant(model)
    if colon + form not in ("", UNFOLDED):
        raise UsageError(f"{word}: unknown form {form!r}; expected {model}, folded, or {model}{UNFOLDED}")
    return Named(word, model=model, folded=not colon)


def contender_of(named: Named, batch_size: int | None, threads: int) -> Contender:
    """Open once, run once, and make it ready to be opened again.

    Args:
        named: the file or the model.
        batch_size: of a model or a file with a dynamic batch, 1 by default; a file with a batch of its own must agree.
        threads: in which it computes.

    Raises:
        FileAccessError: the file cannot be read.
        ArtifactError: onnxruntime cannot load or run it, or it has other inputs than one batch.
        UsageError: another batch was asked for than the file has.
    """
    if named.path is not None:
        return _file(named, named.path, batch_size, threads)
    return _network(named, batch_size or 1, threads)


def _file(named: Named, path: Path, batch_size: int | None, threads: int) -> Contender:
    with OrtRunner(path, threads) as runner:
        spec = _only_input(runner, path)
        batch = _batch(spec, path, batch_size)
        feed = {spec.name: _noise((batch, *spec.shape[1:]), spec.dtype)}
        runner.infer(feed)

    @contextlib.contextmanager
    def opened() -> Iterator[Callable[[], object]]:
        with OrtRunner(path, threads) as again:
            yield partial(again.infer_impl, feed)

    return Contender(named.word, path.absolute(), _DTYPES[spec.dtype], batch, threads, opened)


def _network(named: Named, batch: int, threads: int) -> Contender:
    import torch
    from torch import nn

    from neonext_ascend.models.loading import load
    from neonext_ascend.passes.pipeline import prepare
    from neonext_ascend.runtimes.eager import EagerRunner

    unfolded = load(named.model).network
    network: nn.Module = prepare(unfolded)[0] if named.folded else unfolded
    config = unfolded.config
    inputs = (TensorSpec(INPUT, "float32", (BATCH, 3, *config.image_size)),)
    outputs = (TensorSpec(OUTPUT, "float32", (BATCH, config.num_classes)),)
    feed = {INPUT: _noise((batch, 3, *config.image_size), "float32")}

    @contextlib.contextmanager
    def opened() -> Iterator[Callable[[], object]]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with EagerRunner(copy.deepcopy(network), inputs, outputs) as runner:
                yield partial(runner.infer_impl, feed)
        finally:
            torch.set_num_threads(before)

    return Contender(named.word, None, "fp32", batch, threads, opened)


def _only_input(runner: Runner, path: Path) -> TensorSpec:
    """The input, with all dimensions but the first one known."""
    shown = ", ".join(map(str, runner.inputs)) or "none"
    if len(runner.inputs) != 1:
        raise ArtifactError(f"{path}: has {len(runner.inputs)} inputs ({shown}); expected one, the picture")
    (spec,) = runner.inputs
    if any(not isinstance(size, int) for size in spec.shape[1:]):
        raise ArtifactError(f"{path}: input {shown}; only the first dimension, the batch, may be dynamic")
    return spec


def _batch(spec: TensorSpec, path: Path, batch_size: int | None) -> int:
    own = spec.shape[0]
    if not isinstance(own, int):
        return batch_size or 1
    if batch_size not in (None, own):
        raise UsageError(
            f"{path}: its batch is {own}, not {batch_size}; export it with --batch-size {batch_size} or dynamic"
        )
    return own


def _noise(shape: tuple[Any, ...], dtype: str) -> NDArray[np.generic]:
    return np.random.RandomState(0).standard_normal(shape).astype(dtype)
