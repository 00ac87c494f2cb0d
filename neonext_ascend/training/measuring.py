"""How good a network is on what is held out, over all processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from neonext_ascend.models.neonext import NeoNeXt
from neonext_ascend.training.feeding import Batch
from neonext_ascend.training.processes import Team


@dataclass(frozen=True, slots=True)
class Measured:
    """On the held-out pictures: how many are named rightly, of how many, and the mean loss."""

    right: int
    pictures: int
    loss: float

    @property
    def top1(self) -> float:
        """From 0 to 1."""
        return self.right / self.pictures

    def better_than(self, other: Measured | None) -> bool:
        """More right; of as many, the smaller loss."""
        return other is None or (self.right, -self.loss) > (other.right, -other.loss)


@torch.no_grad()
def measure(net: NeoNeXt, held_out: Iterator[Batch], team: Team) -> Measured:
    """In evaluation mode and fp32; the mode is left so.

    Args:
        net: the network; every process takes the first one's statistics.
        held_out: this process's batches.
        team: the processes.
    """
    net.eval()
    team.share(net.buffers())
    right, pictures, loss = 0, 0, 0.0
    for batch in held_out:
        logits, labels = net(batch.x.to(team.device)), batch.labels.to(team.device)
        right += int((logits.argmax(1) == labels).sum())
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        pictures += len(labels)
    totals = team.summed(right, pictures, loss)
    return Measured(round(totals[0]), round(totals[1]), totals[2] / max(totals[1], 1))
