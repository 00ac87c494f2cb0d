"""Checkpoints of a run: whole or not there, the last few and the best, and what a run needs to go on from one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from neonext_ascend.artifacts.staging import Staging, staged
from neonext_ascend.checkpoints import pickled
from neonext_ascend.errors import CheckpointError, DivergedError, FileAccessError
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.training.recipe import Recipe, from_json

_STEP = re.compile(r"step-(\d{8})\.pt")
_FORMAT, _ZIP = 1, b"PK\x03\x04"
BEST, LAST, RECIPE, CLASSES = "best.safetensors", "last.safetensors", "recipe.toml", "classes.txt"


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two runs one: a checkpoint of another goes on nowhere.

    Args:
        network: what decides the graph.
        recipe: what decides the weights.
        classes: names by number.
        pictures: digest of the training part.
        world: processes.
    """

    network: dict[str, Any]
    recipe: Recipe
    classes: tuple[str, ...]
    pictures: str
    world: int

    @classmethod
    def of(cls, config: NetworkConfig, recipe: Recipe, classes: tuple[str, ...], pictures: str, world: int) -> Identity:
        """Of a run."""
        return cls(config.to_json(), recipe, classes, pictures, world)

    def to_json(self) -> dict[str, Any]:
        """As a checkpoint holds it."""
        return {**asdict(self), "network": _plain(self.network), "classes": list(self.classes)}


_IDENTITY = {member.name for member in fields(Identity)}


@dataclass(frozen=True, slots=True)
class Resumed:
    """A checkpoint that a run goes on from."""

    path: Path
    held: dict[str, Any]

    @property
    def step(self) -> int:
        """Steps that were taken."""
        return int(self.held["step"])

    @property
    def recipe(self) -> Recipe:
        """With which."""
        return from_json(self.held["run"]["recipe"], str(self.path))

    def refuse_other(self, run: Identity) -> None:
        """Raise where it is of another run.

        Raises:
            CheckpointError: says what differs.
        """
        theirs, ours = self.held["run"], run.to_json()
        name, own = theirs["network"]["name"], ours["network"]["name"]
        if theirs["network"] != ours["network"]:
            what = f"of {name}, not {own}" if name != own else f"of another {name}: {_differing(theirs, ours)}"
        elif theirs["classes"] != ours["classes"] or theirs["pictures"] != ours["pictures"]:
            what = "on other pictures"
        elif theirs["world"] != ours["world"]:
            what = f"of {theirs['world']} processes, not {ours['world']}"
        else:
            return
        raise CheckpointError(f"{self.path}: is a run {what}; it goes on as it began, or begin anew with --from")


def read_run(path: Path) -> Resumed:
    """A checkpoint of a run, or the newest one of a folder; nothing in it is run.

    Raises:
        FileAccessError: it cannot be read, or is cut short.
        CheckpointError: it is no checkpoint of a run.
    """
    if path.is_dir():
        found = steps_in(path)
        if not found:
            raise FileAccessError(f"{path}: holds no checkpoint of a run; expected step-NNNNNNNN.pt")
        path = found[-1]
    try:
        FileAccessError.refuse_special(path, "a checkpoint of a run")
        with path.open("rb") as file:
            head = file.read(len(_ZIP))
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the checkpoint: {error.strerror}") from None
    if not head:
        raise FileAccessError(f"{path}: the file is empty; take the checkpoint before")
    if head != _ZIP:
        raise CheckpointError(f"{path}: is no checkpoint of a run; expected step-NNNNNNNN.pt of a run's folder")
    held, _ = pickled.load(path)
    if not _is_a_run(held):
        raise CheckpointError(f"{path}: holds no run to go on with; weights alone are given with --from")
    return Resumed(path, held)


def _is_a_run(held: Any) -> bool:
    """Whether all is there that :class:`Resumed` reads; what a trainer takes over it looks at itself."""
    if not isinstance(held, dict) or held.get("format") != _FORMAT:
        return False
    step, run, network = held.get("step"), held.get("run"), None
    if isinstance(run, dict) and run.keys() >= _IDENTITY:
        network = run["network"]
    return isinstance(network, dict) and "name" in network and isinstance(step, int) and step >= 0


def steps_in(folder: Path) -> list[Path]:
    """The checkpoints of a run in a folder, the newest last."""
    return sorted(path for path in folder.glob("step-*.pt") if _STEP.fullmatch(path.name))


class Shelf:
    """Where a run keeps its checkpoints.

    Args:
        folder: it is made where absent.
        keep: how many of the last.
        run: whose they are.
    """

    def __init__(self, folder: Path, keep: int, run: Identity) -> None:
        self.folder, self._keep, self._run = folder, keep, run
        self._known: list[Path] = []

    def begin(self) -> None:
        """Write the resolved recipe and the names of the classes.

        Raises:
            FileAccessError: the system refuses.
        """
        texts = {RECIPE: self._run.recipe.to_toml(), CLASSES: "".join(f"{name}\n" for name in self._run.classes)}
        with self._writing() as stage:
            for name, text in texts.items():
                (stage.folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
            stage.publish(*texts)

    def save(self, step: int, state: Mapping[str, Any], best: Mapping[str, Tensor] | None = None) -> None:
        """Write a checkpoint, and the best weights where these are; then the oldest beyond ``keep`` goes.

        Raises:
            DivergedError: a weight is NaN or infinite.
            FileAccessError: the system refuses; the last whole one is named.
        """
        for name, tensor in state["model"].items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise DivergedError(f"step {step}: {name} holds NaN or infinity; {self.last_words()}")
        path = self._of(step)
        with self._writing() as stage:
            with (stage.folder / path.name).open("wb") as file:
                torch.save({"format": _FORMAT, "step": step, "run": self._run.to_json(), **state}, file)
            if best is not None:
                _save_weights(stage.folder / BEST, best)
                stage.publish(BEST)
            stage.publish(path.name)
        self.knows(path)
        for old in steps_in(self.folder)[: -self._keep]:
            with contextlib.suppress(OSError):
                old.unlink()

    def save_weights(self, name: str, weights: Mapping[str, Tensor]) -> Path:
        """Weights alone, as every command takes them.

        Raises:
            FileAccessError: the system refuses.
        """
        with self._writing() as stage:
            _save_weights(stage.folder / name, weights)
            return stage.publish(name)[0]

    def knows(self, checkpoint: Path | int) -> None:
        """There is this checkpoint, or will be when the first process has written that of this step."""
        self._known.append(self._of(checkpoint) if isinstance(checkpoint, int) else checkpoint)

    def last_words(self) -> str:
        """Which checkpoint is good; each appears whole."""
        last = next((path for path in reversed(self._known) if path.exists()), None)
        return f"the last good checkpoint is {last}" if last else "there is no checkpoint yet"

    def _of(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.pt"

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Staging]:
        try:
            with staged(self.folder) as stage:
                try:
                    yield stage
                except RuntimeError as error:  # torch and safetensors say so where the disk is full
                    raise OSError(_line(error)) from None
        except FileAccessError as error:
            raise FileAccessError(f"{error}; {self.last_words()}") from None


def _save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    # As bytes: the library's own way to write a file makes it its owner's alone.
    path.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}))


def _line(error: Exception) -> str:
    """The first line of what torch says, which may be nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _plain(value: Any) -> Any:
    """Lists in place of tuples, as they come back."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    keys = [key for key in ours["network"] if theirs["network"].get(key) != ours["network"][key]]
    return ", ".join(f"{key} {theirs['network'].get(key)}, not {ours['network'][key]}" for key in keys[:3])
