"""The files of ``deploy/``: what all pods have alike, what they start, and a RayService's own fields.

``make environments`` holds them against KServe's and Kubernetes' models, ``make container`` starts what KServe would.
"""

from __future__ import annotations

import copy
import json
import re
import shlex
import tomllib
from typing import Any

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from neonext_ascend.cli.main import cli
from neonext_ascend.exporters.om_file.manifest import om_name
from neonext_ascend.exporters.om_file.options import AtcOptions
from neonext_ascend.machine.chips import find_soc
from neonext_ascend.machine.container import IMAGES
from neonext_ascend.serving import ray as serving_ray
from neonext_ascend.serving.ray.arguments import Arguments
from tests import ROOT
from tests.environments.ray_cluster import RAY
from tests.support.deploy import JOB, KSERVE, KUBERAY, TRITON, deployed, parsed, server
from tests.support.rayservice import faults

DEVICE = "huawei.com/Ascend310P"
OM = om_name("neonext_nano-96-bdyn-fp32.onnx", AtcOptions(soc=find_soc("Ascend310P3"), gears=(1, 2, 4, 8)))


def cluster() -> Any:
    return deployed(KUBERAY)["spec"]["rayClusterConfig"]


def pods() -> dict[str, Any]:
    """Every pod that is ours."""
    head, (workers,) = cluster()["headGroupSpec"], cluster()["workerGroupSpecs"]
    return {
        "job": deployed(JOB)["spec"]["template"]["spec"],
        "predictor": deployed(KSERVE)["spec"]["predictor"],
        "head": head["template"]["spec"],
        "worker": workers["template"]["spec"],
    }


def containers(pod: Any) -> list[Any]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def test_every_pod_is_confined_alike_to_a_user_that_the_image_has() -> None:
    user = re.findall(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(), re.M)[-1]
    (one,) = {json.dumps(pod["securityContext"], sort_keys=True) for pod in pods().values()}
    assert json.loads(one)["runAsUser"] == int(user)
    assert json.loads(one)["runAsNonRoot"]
    assert not any(pod["automountServiceAccountToken"] for pod in pods().values())
    (all_alike,) = {
        json.dumps(container["securityContext"], sort_keys=True)
        for pod in pods().values()
        for container in containers(pod)
    }
    assert json.loads(all_alike) == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", ["job", "predictor", "head", "worker"])
def test_what_a_pod_may_write_is_what_it_needs(name: str) -> None:
    pod = pods()[name]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for container in containers(pod):
        assert container["image"] in (IMAGES["ascend"], f"{IMAGES['ascend']}-ray")
        mounts = container["volumeMounts"]
        writable = {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}
        assert writable == ({"/data", "/tmp"} if name in ("head", "worker") else {"/data"})
        for mount in mounts:
            assert ("emptyDir" in volumes[mount["name"]]) != bool(mount.get("readOnly"))


def test_a_device_is_asked_for_where_an_om_runs_and_nowhere_else() -> None:
    asked = {
        f"{name}/{container['name']}": container["resources"]["limits"].get(DEVICE)
        for name, pod in pods().items()
        for container in containers(pod)
    }
    assert asked == {
        "job/compile": None,
        "job/verify": 1,
        "predictor/kserve-container": 1,
        "head/ray-head": None,
        "worker/ray-worker": 1,
    }
    (triton,) = deployed(TRITON)["spec"]["template"]["spec"]["containers"]
    assert triton["resources"]["limits"][DEVICE] == triton["resources"]["requests"][DEVICE] == 1


def test_kserve_starts_the_server_with_options_that_it_has() -> None:
    container = server()
    command, artifact, *options = container["args"]
    known = CliRunner().invoke(cli, [command, "--help"]).output
    assert all(option.partition("=")[0] in known for option in options)
    assert artifact == f"neonext=models/{OM}"
    said = dict(option.removeprefix("--").split("=") for option in options)
    assert {port["containerPort"] for port in container["ports"]} == {int(said["port"])}
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/v2/health/ready",
        "readiness": "/v2/health/ready",
        "liveness": "/v2/health/live",
    }
    assert {probe["port"] for probe in probes.values()} == {int(said["port"])}
    # After the drain a second for what was told at its end, 5 for a device that hangs, 2.5 for traces.
    assert deployed(KSERVE)["spec"]["predictor"]["terminationGracePeriodSeconds"] > int(said["drain"]) + 10


def test_a_rayservice_has_kuberays_fields() -> None:
    service = deployed(KUBERAY)
    assert faults(service) == []
    # The table finds what is wrong.
    wrong = copy.deepcopy(service)
    spec = wrong["spec"]["rayClusterConfig"]
    spec["headGroup"] = spec.pop("headGroupSpec")
    spec["workerGroupSpecs"][0] |= {"replicas": "2", "rayStartParams": {"num-cpus": 2}}
    where = ".spec.rayClusterConfig"
    assert faults(wrong) == [
        f"{where}.headGroup: RayClusterSpec has no such field",
        f"{where}.headGroupSpec: is missing",
        f"{where}.workerGroupSpecs[0].replicas: '2' is no int",
        f"{where}.workerGroupSpecs[0].rayStartParams.num-cpus: 2 is no text",
    ]


def test_ray_is_told_of_the_device_that_kubernetes_gives() -> None:
    (workers,) = cluster()["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    # As KubeRay puts it into the command that the entry point's bash evaluates.
    (resources,) = shlex.split(workers["rayStartParams"]["resources"])
    assert json.loads(resources) == {"NPU": container["resources"]["limits"][DEVICE]}
    (application,) = parsed(deployed(KUBERAY)["spec"]["serveConfigV2"])["applications"]
    assert application["import_path"] == f"{serving_ray.__name__}:{serving_ray.application.__name__}"
    told = Arguments.of(application["args"])
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert told.artifacts == f"neonext={mounts['models']}/{OM}"
    assert told.npu
    assert workers["minReplicas"] <= told.min_replicas <= told.max_replicas <= workers["maxReplicas"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (wanted,) = (found for line in extras["ray"] if (found := Requirement(line)).name == "ray")
    assert wanted.specifier.contains(cluster()["rayVersion"])
    assert cluster()["rayVersion"] == RAY.rpartition("==")[2], "the one that `make clusters` runs"


def test_triton_probes_and_works_outside_its_repository() -> None:
    (container,) = deployed(TRITON)["spec"]["template"]["spec"]["containers"]
    ours = server()
    for name in ("startup", "readiness", "liveness"):
        assert container[f"{name}Probe"]["httpGet"]["path"] == ours[f"{name}Probe"]["httpGet"]["path"]
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounts == {container["workingDir"]: False, "/models": True}
    assert "--model-repository=/models" in container["args"][0]
