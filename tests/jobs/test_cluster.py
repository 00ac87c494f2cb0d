"""Pictures over a cluster, as far as it needs no Ray; ``make environments`` runs the rest with it."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neonext_ascend import jobs
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError, ToolchainError, UsageError
from neonext_ascend.evaluate.journal import evaluations
from neonext_ascend.images.dataset import Dataset, Item
from neonext_ascend.jobs.cluster import predicting
from neonext_ascend.jobs.cluster.describing import _describe, described
from neonext_ascend.jobs.cluster.evaluating import _opened
from neonext_ascend.jobs.cluster.shards import Worker, error_json, error_of
from neonext_ascend.jobs.cluster.share import Share
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.runtimes.sameness import digests


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano")
    return jobs.export("neonext_nano", output=folder, verify=False).onnx.path


@pytest.mark.parametrize(
    ("nodes", "share"),
    [
        ([{"CPU": 24.0, "NPU": 8.0}, {"CPU": 192.0, "NPU": 8.0}, {"CPU": 4.0}], Share(16, 3, 1)),
        ([{"CPU": 192.0, "NPU": 4.0}], Share(4, 16, 1)),
        ([{"CPU": 1.0, "NPU": 2.0}], Share(2, 0, 1)),
        ([{"CPU": 16.0}, {"CPU": 6.0}, {"memory": 1.0}], Share(5, 4, 0)),
        ([{"CPU": 2.0}], Share(1, 2, 0)),
    ],
)
def test_a_worker_takes_an_npu_and_its_part_of_the_cpus(
    nodes: list[dict[str, float]], share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = {"Alive": False, "Resources": {"CPU": 1.0, "NPU": 9.0}}
    told = [lost, *({"Alive": True, "Resources": node} for node in nodes)]
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: told))
    assert Share.of_cluster() == share
    assert share.options() == {"num_cpus": share.cpus, "resources": {"NPU": 1} if share.npus else {}}


def test_a_cluster_with_nothing_that_computes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    head = {"Alive": True, "Resources": {"CPU": 0.0}}
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: [head]))
    with pytest.raises(ToolchainError, match="no node with an NPU or a CPU"):
        Share.of_cluster()


def test_a_shard_comes_back_as_this_machine_would_say(nano: Path, tmp_path: Path) -> None:
    """Its answers, its errors with their kinds, in order; what cannot be opened is told with the first shard."""
    (tmp_path / "text.png").write_text("no picture")
    paths = [*sample_pictures()[:3], tmp_path / "text.png", tmp_path / "absent.png", sample_pictures()[3]]
    items = [Item(path.name, path, label, "mark") for path, label in zip(paths, "012443", strict=True)]
    pairs = [[10 + number, [item.name, str(item.path), item.label, item.mark]] for number, item in enumerate(items)]
    data, kind = Dataset(tmp_path, ("0", "1", "2", "3", "4"), ()), evaluations([10])
    worker = Worker(partial(_opened, [(nano, digests(nano))], data, "auto", 1), kind, str(Path.cwd()))
    told: dict[str, Any] = json.loads(worker._answered(json.dumps(pairs)))
    assert told["pairs"] == pairs
    assert [told["answers"][number] for number in (0, 1, 2, 5)] == [[[n, 1]] for n in range(4)]
    assert [type(error_of(told["answers"][number])) for number in (3, 4)] == [UsageError, FileAccessError]
    assert str(error_of(told["answers"][4])) == f"{paths[4]}: cannot read the picture: No such file or directory"
    absent = Worker(partial(_opened, [(tmp_path / "x.onnx", {})], data, "auto", 1), kind, str(Path.cwd()))
    refused: NeoNextError = error_of(json.loads(absent._answered(json.dumps(pairs)))["refused"])
    assert (refused.exit_code, "x.onnx" in str(refused)) == (5, True)
    assert error_json(refused) == {"status": 5, "error": str(refused)}


def test_another_file_on_a_node_is_refused_with_its_name(
    nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, data beside them, and the manifest, by which pictures are prepared; nothing is opened."""
    here, folder = digests(nano), str(Path.cwd())
    weights, manifest = nano.name, nano.with_suffix(".json").name
    assert set(here) == {weights, manifest}
    described = _describe(nano, "auto", 1, folder, None)  # none where it is asked for: this one counts
    assert isinstance(described, tuple)
    runner, recipe = described
    assert runner.files == here
    monkeypatch.setattr(predicting, "spread", lambda _, opened, *others: opened())
    zeros = "0" * 64
    for expected, name, words in (
        ({**here, weights: zeros}, weights, f"SHA-256 {here[weights][:12]} there, expected SHA-256 000"),
        ({weights: here[weights]}, manifest, f"SHA-256 {here[manifest][:12]} there, expected no file;"),
        ({**here, "w.data": zeros}, "w.data", "no file there, expected SHA-256 000"),
    ):
        told = f"{nano.parent / name}: is another on node {socket.gethostname()}: {words}"
        opened = partial(_opened, [(nano, expected)], Dataset(tmp_path, ("0", "1"), ()), "auto", 1)
        found = json.loads(Worker(opened, evaluations([10]), folder)._answered("[]"))["refused"]
        assert (found["status"], found["error"][: len(told)]) == (2, told)
        assert _describe(nano, "auto", 1, folder, expected) == found
        runner.files = expected
        with pytest.raises(ArtifactError, match=re.escape(told)):
            next(predicting.asking_there(nano, runner, recipe, 1, "auto", Share(1, 1, 0))(iter([])))


def test_a_long_wait_for_a_worker_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    free, whole = {"CPU": 20.0, "NPU": 1.0}, {"CPU": 24.0, "NPU": 8.0}  # others hold seven
    ray = SimpleNamespace(available_resources=lambda: free, cluster_resources=lambda: whole)
    monkeypatch.setitem(sys.modules, "ray", ray)
    notes: list[str] = []
    told = threading.Event()

    def note(line: str) -> None:
        notes.append(line)
        told.set()

    for seconds, long in ((600.0, False), (0.01, True)):
        monkeypatch.setattr("neonext_ascend.jobs.cluster.share._PATIENCE", seconds)
        with Share(8, 3, 1, Watch(note=note)).waiting() as up:
            if long:
                assert told.wait(60)
            up()
    assert notes == [
        "--ray: no worker is up after 0.01 s: each takes 1 NPU and 3 CPUs, and free are 1 of 8 NPUs and 20 of 24 CPUs; "
        "this goes on by itself once there is room"
    ]


def test_what_only_an_npu_runs_is_refused_where_a_cluster_has_none(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"x\.om: needs an NPU, and the cluster of --ray has none"):
        described(tmp_path / "x.om", "auto", Share(5, 4, 0))


def test_predict_and_evaluate_say_that_ray_is_missing(
    nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # not installed
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "a.png").write_bytes(sample_pictures()[3].read_bytes())
    missing = pytest.raises(ToolchainError, match=r"--ray needs Ray.*pip install '\.\[ray\]'")
    with missing:
        jobs.predict(nano, tmp_path, ray="local")
    with missing:
        jobs.evaluate(nano, tmp_path, ray="127.0.0.1:6379")
