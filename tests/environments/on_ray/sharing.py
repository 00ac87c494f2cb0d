"""A cluster whose NPUs others hold, one that has none, and an artifact that is not the same on every node."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from neonext_ascend import jobs
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import ToolchainError, UsageError
from tests.environments.on_ray import HELD
from tests.environments.on_ray.cluster import two_nodes

FREE = "and free are 0 of 2 NPUs and 4 of 4 CPUs; this goes on by itself once there is room"


def main(folder: str) -> None:
    """Raise where a wait is silent, or an artifact is not held to the others."""
    artifact = jobs.export("neonext_nano", batch_size=8, output=folder).onnx.path
    other = jobs.export("neonext_nano", batch_size=4, output=Path(folder, "other")).onnx.path
    labelled = Path(folder, "data", "3", "3.png")
    labelled.parent.mkdir(parents=True)
    shutil.copy(sample_pictures()[3], labelled)
    with two_nodes() as (cluster, _):
        import ray

        ray.init(cluster.address, log_to_driver=False)
        _tells_what_it_waits_for(artifact, cluster.address)
        with (
            mock.patch("neonext_ascend.jobs.cluster.describing.digests", return_value={artifact.name: 64 * "0"}),
            _refused_as_another(),
        ):
            jobs.predict(artifact, labelled, ray=cluster.address)
        _takes_no_other(artifact, other, labelled, cluster.address)
        ray.shutdown()
        with pytest.raises(ToolchainError, match="needs an NPU, and the cluster of --ray has none"):
            jobs.predict(Path(folder, "x.om"), labelled, ray="local")


def _tells_what_it_waits_for(artifact: Path, address: str) -> None:
    """Others hold both NPUs until it is told, and again once the artifact is described, before its workers start."""
    import ray

    class Holder:
        def up(self) -> None:
            pass

    other: Any = ray.remote(Holder).options(num_cpus=0, resources={"NPU": 1})
    notes: list[str] = []
    holders: list[Any] = []

    def hold() -> None:
        holders.extend(other.remote() for _ in range(2))
        ray.get([holder.up.remote() for holder in holders])

    def note(line: str) -> None:
        print(f"{HELD}{line}")
        notes.append(line)
        while holders:
            ray.kill(holders.pop())

    hold()
    with jobs.predict(artifact, sample_pictures(), top=1, ray=address, watch=jobs.Watch(note=note)) as found:
        assert [line.endswith(FREE) for line in notes] == [True]
        hold()
        assert [guess.top[0].label for guess in found] == list("0123456789")
    assert [line.endswith(FREE) for line in notes] == [True, True]


def _takes_no_other(artifact: Path, other: Path, labelled: Path, address: str) -> None:
    """The file is replaced once it has been described, and before the workers that are asked open it."""
    kept = artifact.read_bytes()

    @contextlib.contextmanager
    def working(what: str) -> Iterator[Callable[[str], None]]:
        if what == "evaluating":
            shutil.copy(other, artifact)
        yield lambda _: None

    with _refused_as_another():
        jobs.evaluate(artifact, labelled.parent.parent, ray=address, watch=jobs.Watch(working=working))
    artifact.write_bytes(kept)
    with jobs.predict(artifact, labelled, ray=address) as found, _refused_as_another():
        shutil.copy(other, artifact)
        list(found)
    artifact.write_bytes(kept)


@contextlib.contextmanager
def _refused_as_another() -> Iterator[None]:
    with pytest.raises(UsageError, match=r"is another on node .*: SHA-256") as caught:
        yield
    print(f"{HELD}{caught.value}")
