"""One step of a run: the parts of a batch forward and backward, then one change of the weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from neonext_ascend.errors import DivergedError, UsageError
from neonext_ascend.models.config import STAGES
from neonext_ascend.models.neonext import NeoNeXt
from neonext_ascend.training.draws import generator_of, seed_of
from neonext_ascend.training.feeding import Batch, Split
from neonext_ascend.training.grouping import freeze, make_optimiser, set_rate, set_training
from neonext_ascend.training.mixing import mixed, soft_targets
from neonext_ascend.training.processes import Team
from neonext_ascend.training.recipe import Recipe

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_SHOWN = 4  # names of pictures in an error


@dataclass(frozen=True, slots=True)
class Step:
    """What came of one step: its learning rate and its loss, the mean over all processes."""

    rate: float
    loss: float


class Trainer:
    """A network, its optimiser, and what else changes with each step.

    Args:
        net: the network; it moves to the team's device.
        recipe: the recipe.
        team: the processes.
        split: how they share a batch.

    Raises:
        UsageError: the recipe asks for what the device has not.
    """

    def __init__(self, net: NeoNeXt, recipe: Recipe, team: Team, split: Split) -> None:
        self._recipe, self._team, self._split = recipe, team, split
        self.net = net.to(team.device)
        if recipe.sync_norm:
            if team.device.type == "cpu":
                raise UsageError("sync_norm: torch has it for cuda and npu; leave it out on a CPU")
            self.net = nn.SyncBatchNorm.convert_sync_batchnorm(self.net)  # type: ignore[no-untyped-call] # torch has no types there
        _refuse_one_value(net, recipe, split)
        freeze(self.net, recipe.freeze)
        self._optimiser = make_optimiser(self.net, recipe)
        self._scaler = torch.amp.GradScaler(team.device.type, enabled=recipe.precision == "fp16")
        self._average = _averaging(self.net, recipe.ema) if recipe.ema else None
        # Wrapped after the average was copied from it; both share the network's own parameters.
        self._run: Any = team.wrapped(self.net)
        if recipe.compile != "none":
            self._run = torch.compile(self._run, backend=recipe.compile)

    @property
    def measured(self) -> NeoNeXt:
        """The network that counts: the averaged one where there is one."""
        if self._average is None:
            return self.net
        return cast(NeoNeXt, self._average.module)

    def begin(self) -> None:
        """Back to training, after the network was measured."""
        set_training(self.net, self._recipe)

    def step(self, number: int, rate: float, parts: Iterable[Batch]) -> Step:
        """Take the step ``number``, counted from 0.

        Args:
            number: decides what is drawn for each part.
            rate: the learning rate.
            parts: this process's parts of the batch, in order.

        Raises:
            DivergedError: the loss is NaN or infinite; it names the step and the pictures. The weights are as before.
        """
        recipe, total, names = self._recipe, torch.zeros((), device=self._team.device), list[str]()
        set_rate(self._optimiser, rate)
        self._optimiser.zero_grad(set_to_none=True)
        for place, (part, batch) in enumerate(zip(self._split.parts, parts, strict=True), 1):
            with self._gradients_stay_here(place < recipe.accumulation):
                loss = self._loss(number, part, batch) / recipe.accumulation
                self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
            names += batch.names
        (mean,) = (loss / self._team.world for loss in self._team.summed(float(total)))
        if not math.isfinite(mean):
            own = "" if self._team.world == 1 else f"process {self._team.rank}: "
            shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
            raise DivergedError(f"step {number}: the loss is {mean}; {own}pictures {shown}")
        self._scaler.unscale_(self._optimiser)
        if recipe.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        if self._average is not None:
            self._average.update_parameters(self.net)
        return Step(rate, mean)

    def _loss(self, number: int, part: int, batch: Batch) -> Tensor:
        """Of a part; whatever is drawn goes by the step and the part's number."""
        recipe, device = self._recipe, self._team.device
        x, labels = batch.x.to(device, non_blocking=True), batch.labels.to(device, non_blocking=True)
        targets = soft_targets(labels, self.net.config.num_classes, recipe.label_smoothing)
        x, targets = mixed(x, targets, recipe, generator_of(recipe.seed, "mixing", number, part))
        torch.manual_seed(seed_of(recipe.seed, "drop path", number, part))
        with self.autocast():
            logits = self._run(x)
        return F.cross_entropy(logits.float(), targets)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The recipe's precision."""
        dtype = _DTYPES.get(self._recipe.precision)
        return torch.autocast(self._team.device.type, dtype) if dtype else contextlib.nullcontext()

    def _gradients_stay_here(self, wanted: bool) -> contextlib.AbstractContextManager[Any]:
        """Processes average their gradients once a step, with the last part."""
        run = getattr(self._run, "_orig_mod", self._run)
        held: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if wanted and isinstance(run, DistributedDataParallel):
            held = run.no_sync()
        return held

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, but for its number."""
        held: dict[str, Any] = {
            "model": self.net.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
        }
        if self._average is not None:
            held["model_ema"] = self._average.module.state_dict()
            held["averaged"] = int(self._average.n_averaged)
        return held

    def load(self, held: Mapping[str, Any]) -> None:
        """Take over :meth:`state`."""
        self.net.load_state_dict(held["model"])
        self._optimiser.load_state_dict(held["optimiser"])
        self._scaler.load_state_dict(held["scaler"])
        if self._average is not None:
            self._average.module.load_state_dict(held["model_ema"])
            self._average.n_averaged.fill_(held["averaged"])


def _refuse_one_value(net: NeoNeXt, recipe: Recipe, split: Split) -> None:
    """BatchNorm of one picture's single pixel has nothing to normalise over."""
    learning = not (recipe.freeze_norm or recipe.sync_norm or recipe.freeze == STAGES)
    if learning and split.size == 1 and net.config.stage_sizes()[-1] == (1, 1):
        raise UsageError(
            f"batch_size {split.batch_size}: parts of one picture, whose last maps are one pixel each, leave BatchNorm "
            "nothing to normalise over; take a larger batch, fewer parts, or freeze_norm"
        )


def _averaging(net: NeoNeXt, decay: float) -> AveragedModel:
    """Of parameters and BatchNorm's statistics."""
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]
    averaged.requires_grad_(False).eval()
    return averaged
