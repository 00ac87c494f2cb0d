"""The processes of a run, as torchrun starts them, and the device of this one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from neonext_ascend.errors import ToolchainError, UsageError

DeviceName = Literal["auto", "cpu", "cuda", "npu"]
_LATE = 10.0  # seconds that a thread of gloo may be kept from running
_BACKENDS = {"cpu": "gloo", "cuda": "nccl", "npu": "hccl"}


@dataclass(frozen=True, slots=True)
class Team:
    """This process among those that share each batch.

    Args:
        rank, world: its number, and how many there are.
        device: of this process.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and words."""
        return self.rank == 0

    def summed(self, *numbers: float) -> list[float]:
        """Each number, summed over all processes."""
        if self.world == 1:
            return list(numbers)
        # NCCL sums what lies on its device; HCCL knows no float64 there.
        kind = torch.float64 if self.device.type != "npu" else torch.float32
        held = torch.tensor(numbers, dtype=kind, device=self.device)
        with _given_back(held):
            dist.all_reduce(held)
        totals: list[float] = held.tolist()
        return totals

    def share(self, tensors: Iterator[Tensor]) -> None:
        """Give every process the first one's tensors, in place."""
        if self.world > 1:
            for tensor in tensors:
                with _given_back(tensor):
                    dist.broadcast(tensor, 0)

    def wrapped(self, net: nn.Module) -> nn.Module:
        """The network with gradients averaged over all processes; alone, itself."""
        if self.world == 1:
            return net
        return DistributedDataParallel(net, device_ids=None if self.device.type == "cpu" else [self.device])


@contextlib.contextmanager
def team(name: DeviceName) -> Iterator[Team]:
    """Join the processes that torchrun has started; alone where it has not.

    Args:
        name: kind of device; ``auto`` takes cuda, then npu, where they are.

    Raises:
        ToolchainError: the device is missing, or too few of it; the others cannot be joined, or one of them ended.
        UsageError: the environment tells what torchrun would not.
    """
    rank, world, local = (_told(key, default) for key, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    device = _device(name, local)
    joined = world > 1 and not dist.is_initialized()
    if joined:
        try:
            dist.init_process_group(_BACKENDS[device.type])
        except (ValueError, RuntimeError) as error:
            why = next(iter(str(error).splitlines()), type(error).__name__)
            raise ToolchainError(
                f"WORLD_SIZE={world} in the environment, and the others cannot be joined: {why}; "
                "start all with torchrun, or unset WORLD_SIZE to train alone"
            ) from None
    try:
        yield Team(rank, world, device)
    except RuntimeError as error:
        if not (joined and (isinstance(error, dist.DistError) or "gloo" in str(error))):
            raise
        what = "another process of the run ended, and this one cannot go on alone; what that one said tells why"
        raise ToolchainError(f"process {rank}: {what}") from None
    finally:
        if joined:
            dist.destroy_process_group()


@contextlib.contextmanager
def _given_back(tensor: Tensor) -> Iterator[None]:
    """Leave when gloo's threads hold the tensor no longer, which may be after they told the result.

    A thread that drops a tensor of Python's while Python ends aborts the process (pytorch pull request 179291), and
    DistributedDataParallel keeps these threads alive beyond ``destroy_process_group``.
    """
    before = _holders(tensor)
    yield
    late = time.monotonic() + _LATE
    while tensor.device.type == "cpu" and _holders(tensor) > before and time.monotonic() < late:
        time.sleep(0)


def _holders(tensor: Tensor) -> int:
    return int(tensor._use_count())  # type: ignore[attr-defined] # torch has no public name for it


def _told(key: str, default: int) -> int:
    """A number that torchrun puts into the environment."""
    text = os.environ.get(key, str(default))
    if not text.isdecimal():
        raise UsageError(f"{key}={text!r} in the environment: expected a number, as torchrun sets it; unset it")
    return int(text)


def _device(name: DeviceName, local: int) -> torch.device:
    kind = name if name != "auto" else "cuda" if torch.cuda.is_available() else "npu" if _has_npu() else "cpu"
    if kind == "cpu":
        return torch.device("cpu")
    if kind == "npu" and not _has_npu():
        raise ToolchainError("device npu: torch_npu is missing, or finds no card; see neonext-ascend doctor")
    held: Any = getattr(torch, kind)
    if local >= (count := held.device_count()):
        raise ToolchainError(f"device {kind}: process {local} of this machine has none; there are {count}")
    held.set_device(local)
    return torch.device(kind, local)


def _has_npu() -> bool:
    try:
        import torch_npu  # noqa: F401 -- registers torch.npu

        return bool(getattr(torch, "npu").is_available())  # noqa: B009 -- the attribute is torch_npu's
    except Exception:  # without CANN its import raises nearly anything
        return False
