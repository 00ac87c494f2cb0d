"""The files of ``deploy/``, as data."""

from __future__ import annotations

import importlib
from typing import Any

from tests import ROOT

KSERVE, KUBERAY, JOB = "kserve/inference-service.yaml", "kuberay/ray-service.yaml", "kubernetes-job.yaml"
TRITON = "triton/deployment.yaml"


def parsed(text: str) -> Any:
    """YAML as data."""
    return importlib.import_module("yaml").safe_load(text)


def deployed(name: str) -> Any:
    """The one object of a file in ``deploy/``."""
    return parsed((ROOT / "deploy" / name).read_text(encoding="utf-8"))


def server() -> Any:
    """The container that KServe runs."""
    (container,) = deployed(KSERVE)["spec"]["predictor"]["containers"]
    return container
