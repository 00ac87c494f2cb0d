"""The JSON file beside each artifact: what is written is read back, and what is damaged is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neonext_ascend.artifacts.manifest import VERSION, ArtifactFile, Manifest, Weights, manifest_path
from neonext_ascend.artifacts.reading import manifest_of, read_manifest
from neonext_ascend.errors import ArtifactError, FileAccessError
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.spec import BATCH, INPUT, OUTPUT, TensorSpec
from tests.support.networks import tiny_config

MANIFEST = Manifest(
    files=(ArtifactFile("tiny-96-bdyn-fp32.onnx", "ab" * 32, 12345), ArtifactFile("tiny.data", "cd" * 32, 6)),
    format="onnx",
    dtype="fp32",
    opset=17,
    layout="nchw",
    inputs=(TensorSpec(INPUT, "float32", (BATCH, 3, 96, 96)),),
    outputs=(TensorSpec(OUTPUT, "float32", (BATCH, 5)),),
    network=tiny_config().to_json(),
    weights=Weights("seed", seed=7),
    preprocessing=preprocessing_for("tiny", (96, 96)),
    labels=("zéro", "one", "two", "three", "four"),
    points={"stage_1.0": "stage_1.0.ops"},
    checksums={"stem.conv.weight": "00c0ffee"},
    passes={"fold_batchnorm": {"changed": 4}},
    parity={"passed": True, "max_relative": 2.5e-7},
    reference=None,
    tool="neonext-ascend 0",
    environment={"torch": "2"},
    command=("neonext-ascend", "export"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A written manifest."""
    path = tmp_path / "tiny-96-bdyn-fp32.json"
    MANIFEST.write(path)
    return path


def test_what_was_written_is_read_back(path: Path) -> None:
    read = read_manifest(path)
    assert read.to_json() == MANIFEST.to_json()
    assert replace(read, network=MANIFEST.network) == MANIFEST
    assert NetworkConfig.from_json(read.network) == tiny_config()
    assert not read.weights.trained


@pytest.mark.parametrize("source", ["checkpoint", "package"])
def test_weights_from_a_file_count_as_trained(path: Path, source: str) -> None:
    weights = Weights(source, "epoch_286_ema.pt", "ef" * 32)
    replace(MANIFEST, weights=weights, reference={"seed": 0}, parity=None).write(path)
    read = read_manifest(path)
    assert read.weights == weights
    assert read.weights.trained
    assert (read.reference, read.parity) == ({"seed": 0}, None)


@pytest.mark.parametrize(
    ("artifact", "manifest"),
    [
        ("neonext_t-224-b1-fp32.onnx", "neonext_t-224-b1-fp32.json"),
        ("neonext_t.table1-224-b1-fp32.onnx", "neonext_t.table1-224-b1-fp32.json"),
        ("neonext_t-224-b1-fp16-Ascend310P3.om", "neonext_t-224-b1-fp16-Ascend310P3.json"),
    ],
)
def test_a_manifest_has_its_artifacts_name_whatever_dots_it_holds(artifact: str, manifest: str) -> None:
    assert manifest_path(Path("folder") / artifact) == Path("folder") / manifest


def test_a_manifest_is_found_beside_its_artifact(path: Path) -> None:
    artifact = path.with_name(MANIFEST.files[0].name)
    with pytest.raises(FileAccessError, match="No such file"):
        manifest_of(artifact)
    artifact.touch()
    assert manifest_of(artifact).files == MANIFEST.files
    path.unlink()
    with pytest.raises(ArtifactError, match=r"its manifest tiny-96-bdyn-fp32.json is missing; .* copy both"):
        manifest_of(artifact)


def test_a_manifest_that_ends_too_early_is_truncated_wherever_it_was_cut(path: Path) -> None:
    whole = path.read_text(encoding="utf-8")
    told = {}
    for length in range(len(whole) - 2):  # without the last brace and the line's end
        path.write_text(whole[:length], encoding="utf-8")
        with pytest.raises((FileAccessError, ArtifactError)) as refusal:
            read_manifest(path)
        told[whole[:length][-20:]] = str(refusal.value)
    assert [end for end, words in told.items() if "the manifest is truncated" not in words] == []


def without(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return change


def with_value(value: object, *keys: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        target: Any = data
        for key in keys[:-1]:
            target = target[int(key) if isinstance(target, list) else key]
        target[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *((without(key), f"{key!r} is missing") for key in MANIFEST.to_json() if key != "manifest_version"),
        (without("manifest_version"), "it has no manifest_version"),
        (without("artifact", "opset"), "'opset' is missing"),
        (without("weights", "seed"), "'seed' is missing"),
        (without("preprocessing", "mean"), "'mean'"),
        (with_value(VERSION + 1, "manifest_version"), f"manifest version {VERSION + 1}; this program knows {VERSION}"),
        (with_value("1", "manifest_version"), "it has no manifest_version"),
        (with_value("../../a.onnx", "artifact", "files", "0", "name"), "'../../a.onnx' leaves the manifest's folder"),
        (with_value("/a.onnx", "artifact", "files", "0", "name"), "'/a.onnx' leaves the manifest's folder"),
        (with_value("below/a.onnx", "artifact", "files", "1", "name"), "leaves the manifest's folder"),
        (with_value("..", "artifact", "files", "0", "name"), "leaves the manifest's folder"),
        (with_value("", "artifact", "files", "0", "name"), "leaves the manifest's folder"),
        (with_value([], "artifact", "files"), "it names no file"),
        (with_value("bf16", "artifact", "dtype"), "'bf16' is not one of fp32, fp16"),
        (with_value("luck", "weights", "source"), "'luck' is not one of checkpoint, package, seed"),
        (with_value("seventeen", "artifact", "opset"), "seventeen"),
        (with_value(None, "labels"), "damaged"),
        (with_value([1], "points"), "damaged"),
        (with_value("onnx", "artifact"), "damaged"),
        (with_value("om", "artifact", "format"), "'om' without a compilation"),
        (with_value("engine", "artifact", "format"), "'engine' is not one of onnx, om"),
        (with_value("somewhere", "preprocessing", "normalised_on"), "normalised on 'somewhere'"),
        (with_value([{"name": "x", "dtype": "nonsense", "shape": [1, 3, 96, 96]}], "inputs"), "'nonsense'"),
    ],
)
def test_a_damaged_manifest_is_refused_in_words(
    path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    data = MANIFEST.to_json()
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ArtifactError) as refusal:
        read_manifest(path)
    assert words in str(refusal.value)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    "contents", [b"[1, 2]", b"3", b'{"name": 1}', b"{1: 2}", b"\xff\xfe\x00}", b"[" * 100_000 + b"}"]
)
def test_another_file_is_no_manifest(path: Path, contents: bytes) -> None:
    path.write_bytes(contents)
    with pytest.raises(ArtifactError, match="not a manifest"):
        read_manifest(path)


def test_a_manifest_that_cannot_be_read_or_written_is_told_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="cannot read the manifest: No such file"):
        read_manifest(tmp_path / "absent.json")
    with pytest.raises(FileAccessError, match="cannot write the manifest: Is a directory"):
        MANIFEST.write(tmp_path)
