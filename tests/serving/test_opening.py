"""What is opened is what its manifest describes: requests are read by the one and computed by the other."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neonext_ascend import jobs
from neonext_ascend.errors import ArtifactError
from neonext_ascend.serving.device.opening import Opened, open_checked
from neonext_ascend.serving.models import read_models
from tests.serving.conftest import Nano


def opened(path: Path) -> Opened:
    (model,) = read_models([str(path)]).all
    found = open_checked(path, "ort", 0, 1, model.sha256)
    found.runner.close()
    return found


def edited(artifact: Path, folder: Path, change: Callable[[Any], object]) -> Path:
    path = folder / artifact.name
    shutil.copy(artifact, path)
    manifest = json.loads(artifact.with_suffix(".json").read_text())
    change(manifest)
    path.with_suffix(".json").write_text(json.dumps(manifest))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        # Half as many bytes a row: what is computed would be half of this request and half of another.
        (lambda m: m["inputs"][0].update(dtype="float16"), "takes image float32[batch, 3, 96, 96], and by its"),
        (lambda m: m["inputs"][0].update(name="x"), "by its manifest x float32"),
        (lambda m: m["outputs"].append(m["outputs"][0] | {"name": "x"}), "manifest logits float32[batch, 10], x"),
        (lambda m: m["outputs"][0].update(dtype="float16"), "by its manifest logits float16"),
        # By its manifest the logit of one class, of which the sigmoid is taken.
        (lambda m: m["outputs"][0].update(shape=["batch", 1]), "gives logits float32[batch, 10], and by its manifest"),
        (lambda m: m["reference"].update(input_shape=[2, 3, 96, 96]), "not those of an input [1, 3, 96, 96]"),
    ],
    ids=["dtype", "name", "more outputs", "output's dtype", "one class", "another reference"],
)
def test_a_manifest_of_another_form_is_refused(nano: Nano, tmp_path: Path, change: Any, words: str) -> None:
    path = edited(nano.free, tmp_path, change)
    with pytest.raises(ArtifactError, match=f"^{re.escape(str(path))}: .*{re.escape(words)}"):
        opened(path)


def test_maps_in_another_order_or_beside_another_manifest_are_refused(nano: Nano, tmp_path: Path) -> None:
    maps = jobs.export("neonext_nano", features="nchw", output=tmp_path / "maps").onnx.path
    with pytest.raises(ArtifactError, match=r"gives stage1 .*, and by its manifest stage4"):
        opened(edited(maps, tmp_path, lambda m: m["outputs"].reverse()))
    shutil.copy(nano.one.with_suffix(".json"), tmp_path / maps.with_suffix(".json").name)
    with pytest.raises(ArtifactError, match=r"^/.*: gives stage1 .*, and by its manifest logits .*; copy both files"):
        opened(tmp_path / maps.name)


def test_untrained_weights_are_told(nano: Nano, tmp_path: Path) -> None:
    assert opened(nano.one).doubts is None
    weights = {"source": "seed", "file": None, "sha256": None, "seed": 0, "trained": False}
    path = edited(nano.one, tmp_path, lambda m: m.update(weights=weights))
    assert opened(path).doubts == "untrained weights: its answers mean nothing"
