"""The JSON Schemas: made from the structs that read the files, so that no second description of them exists."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from neonext_ascend.artifacts.manifest import FeatureMaps
from neonext_ascend.artifacts.reading import read_manifest
from tests import DATA
from tools.write_schemas import schemas


@pytest.mark.parametrize(("path", "text"), schemas().items(), ids=lambda value: getattr(value, "name", ""))
def test_the_schemas_are_those_of_the_structs(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run: python -m tools.write_schemas"


def test_the_schema_has_every_key_that_is_written_in_its_order(tmp_path: Path) -> None:
    defined = json.loads(next(text for path, text in schemas().items() if path.name == "manifest.schema.json"))["$defs"]
    (path,) = (DATA / "manifest_v1").glob("*-aipp-*.json")
    maps = FeatureMaps("nhwc", (16, 32, 64, 128), (4, 8, 16, 32))
    replace(read_manifest(path), features=maps, int8={"form": "deploy"}).write(tmp_path / "now.json")
    data = json.loads((tmp_path / "now.json").read_text(encoding="utf-8"))
    written = {
        "Manifest": data,
        "Artifact": data["artifact"],
        "ArtifactFile": data["artifact"]["files"][0],
        "TensorSpec": data["inputs"][0],
        "Weights": data["weights"],
        "Preprocessing": data["preprocessing"],
        "Compilation": data["compilation"],
        "OnnxSource": data["compilation"]["onnx"],
        "FeatureMaps": data["features"],
    }
    assert {name: list(part["properties"]) for name, part in defined.items()} == {
        k: list(v) for k, v in written.items()
    }
