"""What an artifact is, told by a worker that has opened it: the machine that asks may have no NPU."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, NoReturn

from neonext_ascend._version import __version__
from neonext_ascend.errors import NeoNextError, ToolchainError
from neonext_ascend.jobs.cluster.shards import error_json, error_of
from neonext_ascend.jobs.cluster.share import Share
from neonext_ascend.runtimes.base import Arrays, Runner
from neonext_ascend.runtimes.classifying import Recipe, recipe_of
from neonext_ascend.runtimes.registry import Runtime, open_runner, runtime_for
from neonext_ascend.runtimes.sameness import Digests, digests, refuse_another

_ON_NPUS = ("acl", "cann")


class Elsewhere(Runner):
    """A runner's description; it runs on the workers.

    Attributes:
        files: what it was opened from.
    """

    def __init__(self, runner: Runner, files: Digests) -> None:
        self.files = files
        self.name, self.where, self.gears = runner.name, runner.where, tuple(runner.gears)
        self.inputs, self.outputs = runner.inputs, runner.outputs

    def infer_impl(self, feeds: Arrays) -> NoReturn:
        """Never here."""
        raise NotImplementedError


def files_of(runner: Runner) -> Digests:
    """What a description was opened from."""
    assert isinstance(runner, Elsewhere)
    return runner.files


def opened_or_described(path: Path, runtime: Runtime, device: int, share: Share | None) -> tuple[Runner, Recipe | None]:
    """An artifact, opened here, or described by a worker of a cluster where there is one.

    Raises:
        NeoNextError: it cannot be opened.
    """
    if share is None:
        return open_runner(path, runtime=runtime, device=device), None
    return described(path, runtime, share)


def described(path: Path, runtime: Runtime, share: Share) -> tuple[Elsewhere, Recipe]:
    """Of an artifact, which lies under the same path on every node.

    Raises:
        NeoNextError: it cannot be opened there, or is another there than here; where none is here, that one counts.
        ToolchainError: the worker has another version of this package, or none; or only an NPU runs it.
    """
    if runtime_for(path, runtime) in _ON_NPUS and not share.npus:
        raise ToolchainError(
            f"{path}: needs an NPU, and the cluster of --ray has none; a node on which Ray sees none is told with "
            "ray start --resources '{\"NPU\": 1}'"
        )
    import ray

    here = __version__

    def describe(*asked: Any) -> object:  # a function within another travels whole, and so needs nothing there
        try:
            from neonext_ascend._version import __version__ as there
        except ImportError:
            there = "not installed"
        if there != here:
            return {
                "status": 3,
                "error": f"--ray: neonext-ascend is {there} on a worker, {here} here; expected the same",
            }
        from neonext_ascend.jobs.cluster.describing import _describe

        return _describe(*asked)

    told = path, runtime, share.cpus, str(Path.cwd()), digests(path) if path.exists() else None
    with share.waiting():
        found = ray.get(ray.remote(describe).options(**share.options()).remote(*told))
    if isinstance(found, dict):
        raise error_of(found)
    return found  # type: ignore[no-any-return] # what crosses machines has no type


def _describe(path: Path, runtime: Runtime, threads: int, folder: str, expected: Digests | None) -> object:
    with contextlib.suppress(OSError):
        os.chdir(folder)  # so that relative paths mean what they mean to who asks
    try:
        files = refuse_another(path, expected)
        with open_runner(path, runtime=runtime, threads=threads) as runner:
            return Elsewhere(runner, files), recipe_of(path, runner)
    except NeoNextError as error:
        return error_json(error)
