"""Joining a Ray cluster, or starting one on this machine alone; every way that fails in words."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
from collections.abc import Iterator
from importlib.util import find_spec

from neonext_ascend.errors import ToolchainError, UsageError

EXPECTED = "local, auto, or the HOST:PORT of a cluster's head"
_ADDRESS = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}")
_SECONDS, _MOST = 5.0, 400


@contextlib.contextmanager
def joined(address: str) -> Iterator[None]:
    """Be a driver of the cluster; what a program has joined itself is used and left alone.

    Args:
        address: ``local`` starts a cluster here, on the loopback alone, and ends it; ``auto`` joins the one that this
            machine belongs to; else ``HOST:PORT``.

    Raises:
        UsageError: it is no address.
        ToolchainError: Ray is not installed, or no cluster answers.
    """
    if address not in ("local", "auto") and not _ADDRESS.fullmatch(address):
        raise UsageError(f"--ray {address}: is no address; expected {EXPECTED}")
    if find_spec("ray") is None:
        raise ToolchainError("--ray needs Ray, which is not installed: pip install '.[ray]' in the checkout")
    # Read when Ray is imported. The last is Ray's own for a cluster on 127.0.0.1, whatever its name says.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address.rpartition(":")[0] in ("", "127.0.0.1", "localhost"):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ToolchainError(
            f"--ray needs {error.name}, which is not installed: pip install '.[ray]' in the checkout"
        ) from None
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if address != "local":
        _knock(address)
    try:
        here = {"num_cpus": len(os.sched_getaffinity(0)), "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **(here if address == "local" else {}))
    except Exception as error:  # Ray has many
        words = " ".join(str(error).split())[:_MOST]  # of another version Ray tells in several lines
        raise ToolchainError(f"--ray {address}: cannot join the cluster: {words or type(error).__name__}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """That a cluster's head listens; Ray itself would try for minutes.

    Raises:
        ToolchainError: nobody does.
    """
    import grpc
    from ray._private.services import canonicalize_bootstrap_address

    try:
        found = canonicalize_bootstrap_address(address)
    except ConnectionError:
        found = None
    if found is None:
        raise ToolchainError("--ray auto: no cluster runs on this machine; ray start --head starts one")
    host, _, port = found.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _SECONDS).close()
        with grpc.insecure_channel(found) as channel:
            grpc.channel_ready_future(channel).result(_SECONDS)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error) or "no answer"
        raise ToolchainError(f"--ray {address}: no cluster answers there ({why}); expected {EXPECTED}") from None
    except grpc.FutureTimeoutError:
        raise ToolchainError(f"--ray {address}: what answers there is no Ray; expected {EXPECTED}") from None


def first_line(error: BaseException) -> str:
    """Of a message that may be a page."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
