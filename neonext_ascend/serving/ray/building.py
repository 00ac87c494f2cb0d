"""The application, built from its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neonext_ascend._version import __version__
from neonext_ascend.errors import NeoNextError, ToolchainError
from neonext_ascend.serving.ray.arguments import Arguments

if TYPE_CHECKING:
    from neonext_ascend.runtimes.sameness import Digests

_HEAD = {"node:__internal_head__": 0.001}  # Ray gives this to the head alone; where the head ends, the cluster ends
_END = 10.0  # seconds for the last answer's way, and for a device's process to end


def application(args: Mapping[str, Any]) -> Any:
    """For ``serve run``, or a RayService: its ``args`` are the fields of :class:`~.arguments.Arguments`.

    Raises:
        ToolchainError: Ray is not installed, or the extra ``[serve]``.
        UsageError: an argument is unknown, missing or of another kind.
    """
    asked = Arguments.of(args)
    try:
        from ray import serve

        from neonext_ascend.serving.ray.door import Door
        from neonext_ascend.serving.ray.replica import Replica
    except ImportError as error:
        raise ToolchainError(
            f"Ray Serve needs {error.name}, which is not installed: pip install '.[ray]' in the checkout"
        ) from None
    settings = asked.settings()
    scaling = ("min_replicas", "max_replicas", "target_ongoing_requests", "upscale_delay_s", "downscale_delay_s")
    quiet = {"enable_access_log": False}  # two lines for each request
    replicas = serve.deployment(Replica).options(
        logging_config=quiet,
        ray_actor_options={"num_cpus": asked.cpus, "resources": {"NPU": 1} if asked.npu else {}},
        autoscaling_config={name: getattr(asked, name) for name in scaling},
        max_ongoing_requests=asked.max_ongoing_requests,
        max_queued_requests=asked.max_queued_requests,
        graceful_shutdown_timeout_s=settings.timeout + _END,  # what a replica has under way when it is to end
    )
    door = serve.deployment(serve.ingress()(Door)).options(
        logging_config=quiet,
        ray_actor_options={"num_cpus": 0, "resources": _HEAD},
        num_replicas=asked.doors,
        max_ongoing_requests=2**20,  # what waits is bounded above
    )
    files = [files_here(word) for word in asked.words]
    return door.bind(replicas.bind(list(asked.words), settings, __version__, files), settings)


def files_here(word: str) -> Digests | None:
    """Of an artifact, to which each replica's is held; ``None`` where none can be read here, as it need not."""
    from neonext_ascend.runtimes.sameness import digests
    from neonext_ascend.serving.models import read_models

    try:
        return digests(read_models([word]).all[0].path)
    except (NeoNextError, OSError):
        return None
