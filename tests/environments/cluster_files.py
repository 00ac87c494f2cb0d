"""``deploy/`` by others' models, in an environment that has them: ``cluster_files.py DEPLOY``.

KServe's own classes hold the InferenceService's fields and kinds; Kubernetes' schemas, strict, whole objects and the
pods inside; Ray's part of the RayService is held by ``tests/machine/test_deploy_files.py``.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import kserve
import kubernetes_validate
import yaml
from kserve.api_client import ApiClient
from kubernetes.client import V1PodSpec

# The oldest that KServe's documents name, and the newest that the package holds.
VERSIONS = ("1.32", kubernetes_validate.latest_version())
PLAIN: dict[str, type] = {"str": str, "int": int, "bool": bool, "dict(str, str)": dict}


def main(folder: Path) -> None:
    """One line a file, of what was held against what."""
    for path in sorted(folder.rglob("*.yaml")):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        kind, spec, pods, told = data["kind"], data["spec"], {}, ""
        if kind == "InferenceService":
            service = model(kserve.V1beta1InferenceService, data)
            assert ApiClient().sanitize_for_serialization(service) == data
            pods = {"predictor": {k: v for k, v in spec["predictor"].items() if k in V1PodSpec.attribute_map.values()}}
            told = f"kserve {version('kserve')}; "
        elif kind == "RayService":
            cluster = spec["rayClusterConfig"]
            groups = {"head": cluster["headGroupSpec"], **{g["groupName"]: g for g in cluster["workerGroupSpecs"]}}
            pods = {name: group["template"]["spec"] for name, group in groups.items()}
        else:
            _check(data)
        for pod in pods.values():
            _check({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod})
        what = f"pods {', '.join(pods)}: " if pods else ""
        print(f"{path.relative_to(folder)}: {kind}: {told}{what}Kubernetes {', '.join(VERSIONS)}")


def model(kind: Any, data: Any) -> Any:
    """An instance of a class of KServe's, every field one of its own and of its kind; Kubernetes' are left as data."""
    names = {written: name for name, written in kind.attribute_map.items()}
    assert set(data) <= set(names), f"{kind.__name__} has no {sorted(set(data) - set(names))}"
    values = {}
    for written, value in data.items():
        known = kind.openapi_types[names[written]]
        assert isinstance(value, PLAIN.get(known, object)), f"{kind.__name__}.{written}: {value!r} is no {known}"
        values[names[written]] = model(getattr(kserve, known), value) if hasattr(kserve, known) else value
    return kind(**values)


def _check(data: dict[str, Any]) -> None:
    for kubernetes in VERSIONS:
        kubernetes_validate.validate(data, kubernetes, strict=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
