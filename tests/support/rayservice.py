"""The fields of a RayService, down to its pods: name, kind, and which must be there.

Source: ray-project/kuberay v1.7.0 (59d663a), ray-operator/config/crd/bases/ray.io_rayservices.yaml, version v1. No
package of Python has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXTS = "map of text"
# Objects that are not looked into: Kubernetes' own, which its schemas hold, and what our file does not use.
OBJECT = "object"
_ANY_CLUSTER = (
    "authOptions autoscalerOptions gcsFaultToleranceOptions historyServerOptions networkPolicy tlsOptions "
    "upgradeStrategy"
)
FIELDS: Mapping[str, Mapping[str, object]] = {
    "RayService": {"apiVersion": str, "kind": str, "metadata": OBJECT, "spec": "RayServiceSpec"},
    "RayServiceSpec": {
        "deploymentUnhealthySecondThreshold": int,
        "excludeHeadPodFromServeSvc": bool,
        "managedBy": str,
        "rayClusterConfig": "RayClusterSpec",
        "rayClusterDeletionDelaySeconds": int,
        "serveConfigV2": str,
        "serveService": OBJECT,
        "serviceUnhealthySecondThreshold": int,
        "suspend": bool,
        "upgradeStrategy": OBJECT,
    },
    "RayClusterSpec": {
        **dict.fromkeys(_ANY_CLUSTER.split(), OBJECT),
        "enableInTreeAutoscaling": bool,
        "headGroupSpec": "HeadGroupSpec",
        "headServiceAnnotations": TEXTS,
        "managedBy": str,
        "rayVersion": str,
        "suspend": bool,
        "workerGroupSpecs": ["WorkerGroupSpec"],
    },
    "HeadGroupSpec": {
        "enableIngress": bool,
        "headService": OBJECT,
        "ingressOptions": OBJECT,
        "labels": TEXTS,
        "rayStartParams": TEXTS,
        "resources": TEXTS,
        "serviceType": str,
        "template": OBJECT,
    },
    "WorkerGroupSpec": {
        "groupName": str,
        "idleTimeoutSeconds": int,
        "labels": TEXTS,
        "maxReplicas": int,
        "minReplicas": int,
        "numOfHosts": int,
        "priority": int,
        "rayStartParams": TEXTS,
        "replicas": int,
        "resources": TEXTS,
        "scaleStrategy": OBJECT,
        "suspend": bool,
        "template": OBJECT,
    },
}
REQUIRED: Mapping[str, frozenset[str]] = {
    "RayService": frozenset({"apiVersion", "kind", "metadata", "spec"}),
    "RayServiceSpec": frozenset({"rayClusterConfig"}),
    "RayClusterSpec": frozenset({"headGroupSpec"}),
    "HeadGroupSpec": frozenset({"template"}),
    "WorkerGroupSpec": frozenset({"groupName", "maxReplicas", "minReplicas", "template"}),
}


def faults(data: Any, kind: object = "RayService", where: str = "") -> list[str]:
    """What is not as the table has it, by place."""
    if isinstance(kind, list):
        if not isinstance(data, list):
            return [f"{where}: no list"]
        return [fault for n, item in enumerate(data) for fault in faults(item, kind[0], f"{where}[{n}]")]
    if isinstance(kind, type):
        return [] if type(data) is kind else [f"{where}: {data!r} is no {kind.__name__}"]
    if not isinstance(data, dict):
        return [f"{where}: no object"]
    if kind == TEXTS:
        return [f"{where}.{name}: {value!r} is no text" for name, value in data.items() if not isinstance(value, str)]
    if kind == OBJECT:
        return []
    fields = FIELDS[str(kind)]
    found = [f"{where}.{name}: {kind} has no such field" for name in data if name not in fields]
    found += [f"{where}.{name}: is missing" for name in sorted(REQUIRED[str(kind)] - set(data))]
    return found + [
        fault for name in data if name in fields for fault in faults(data[name], fields[name], f"{where}.{name}")
    ]
