"""What the application may be told, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from neonext_ascend.artifacts.structs import struct
from neonext_ascend.errors import UsageError
from neonext_ascend.runtimes.registry import Runtime
from neonext_ascend.spec import OPTIONAL, Bounds

if TYPE_CHECKING:
    from neonext_ascend.serving.settings import Settings

_Text = Annotated[str, Bounds(min_length=1, description="text that is not empty")]
_Texts = Annotated[tuple[str, ...], Bounds(min_length=1)]
_Count = Annotated[int, Bounds(ge=1, le=2**20)]
_Delay = Annotated[float, Bounds(ge=0, le=86400)]
_Seconds = Annotated[float, Bounds(ge=0.01, le=86400)]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is not told here is as of ``neonext-ascend serve``.

    Args:
        artifacts: ``[NAME=]ARTIFACT``, one or a list; the same files lie under this path wherever a replica may run.
        npu: whether a replica takes one of Ray's resource ``NPU``; else CPUs alone.
        cpus: that a replica takes.
        min_replicas, max_replicas, target_ongoing_requests, max_ongoing_requests: as Ray Serve has them.
        upscale_delay_s, downscale_delay_s: likewise; how long another number of replicas must be due.
        max_queued_requests: that wait in a door for a replica; more are refused with 429.
        doors: processes that take HTTP, all on the head.
        runtime, threads, max_delay_ms, queue, timeout, max_body_mib, api_key_file: of the server in each replica.
    """

    artifacts: _Text | _Texts
    npu: bool = field(default=True, metadata=OPTIONAL)
    cpus: Annotated[float, Bounds(ge=0, le=1024)] = field(default=1.0, metadata=OPTIONAL)
    min_replicas: Annotated[int, Bounds(ge=0, le=2**20)] = field(default=1, metadata=OPTIONAL)
    max_replicas: _Count = field(default=1, metadata=OPTIONAL)
    target_ongoing_requests: _Count = field(default=16, metadata=OPTIONAL)
    upscale_delay_s: _Delay = field(default=30.0, metadata=OPTIONAL)
    downscale_delay_s: _Delay = field(default=600.0, metadata=OPTIONAL)
    max_ongoing_requests: _Count = field(default=64, metadata=OPTIONAL)
    max_queued_requests: _Count = field(default=1024, metadata=OPTIONAL)
    doors: _Count = field(default=1, metadata=OPTIONAL)
    runtime: Runtime = field(default="auto", metadata=OPTIONAL)
    threads: Annotated[int, Bounds(ge=0, le=1024)] = field(default=0, metadata=OPTIONAL)
    max_delay_ms: Annotated[float, Bounds(ge=0, le=10000)] = field(default=0.0, metadata=OPTIONAL)
    queue: _Count = field(default=256, metadata=OPTIONAL)
    timeout: _Seconds = field(default=30.0, metadata=OPTIONAL)
    max_body_mib: Annotated[int, Bounds(ge=1, le=2**12)] = field(default=64, metadata=OPTIONAL)
    api_key_file: _Text | None = field(default=None, metadata=OPTIONAL)

    @classmethod
    def of(cls, args: Mapping[str, Any]) -> Self:
        """From a configuration's ``args``, or from ``NAME=VALUE`` on a command line, where every value is text.

        Raises:
            UsageError: an argument is unknown, missing or of another kind.
        """
        from neonext_ascend.artifacts.strict import check

        try:
            found = struct(cls, check(cls, dict(args), closed=True, typed=False))
        except ValueError as error:
            raise UsageError(f"the application's arguments: {error}") from None
        if found.min_replicas > found.max_replicas:
            raise UsageError(
                f"the application's arguments: min_replicas is {found.min_replicas}; expected at most max_replicas, "
                f"which is {found.max_replicas}"
            )
        if found.max_delay_ms >= 1000 * found.timeout:
            raise UsageError(
                f"the application's arguments: max_delay_ms is {found.max_delay_ms:g}; expected less than the "
                f"timeout's {1000 * found.timeout:g} ms"
            )
        return found

    @property
    def words(self) -> Sequence[str]:
        """``[NAME=]ARTIFACT``, always several."""
        return (self.artifacts,) if isinstance(self.artifacts, str) else self.artifacts

    def settings(self) -> Settings:
        """Of the server in a replica. Ray makes the NPU that it gives a replica the number 0 there."""
        from neonext_ascend.serving.settings import MIB, Settings

        return Settings(
            runtime=self.runtime,
            threads=self.threads,
            max_delay=self.max_delay_ms / 1000,
            queue=self.queue,
            timeout=self.timeout,
            max_body=self.max_body_mib * MIB,
            api_key_file=None if self.api_key_file is None else Path(self.api_key_file),
        )
