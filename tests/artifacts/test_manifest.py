"""The JSON file beside each artifact: what is written is read back, and what is damaged is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from neonext_ascend.artifacts.manifest import VERSION, Artifact, ArtifactFile, Manifest, Weights, manifest_path
from neonext_ascend.artifacts.reading import manifest_of, read_manifest
from neonext_ascend.artifacts.structs import struct
from neonext_ascend.checkpoints.loading import network_config
from neonext_ascend.errors import ArtifactError, FileAccessError
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.spec import BATCH, INPUT, OUTPUT, TensorSpec
from tests import DATA
from tests.support.networks import tiny_config

MANIFEST = Manifest(
    artifact=Artifact(
        format="onnx",
        dtype="fp32",
        opset=17,
        layout="nchw",
        files=(ArtifactFile("tiny-96-bdyn-fp32.onnx", "ab" * 32, 12345), ArtifactFile("tiny.data", "cd" * 32, 6)),
    ),
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
    assert read == MANIFEST
    assert network_config(read.network) == tiny_config()
    assert not read.weights.trained


@pytest.mark.parametrize("source", ["checkpoint", "package"])
def test_weights_from_a_file_count_as_trained(path: Path, source: Literal["checkpoint", "package"]) -> None:
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
    artifact = path.with_name(MANIFEST.artifact.files[0].name)
    with pytest.raises(FileAccessError, match="No such file"):
        manifest_of(artifact)
    artifact.write_bytes(b"\x08")
    assert manifest_of(artifact).artifact.files == MANIFEST.artifact.files
    path.unlink()
    with pytest.raises(ArtifactError, match=r"its manifest tiny-96-bdyn-fp32.json is missing; .* copy both"):
        manifest_of(artifact)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "is empty"),
        (b"\xff\xd8\xff\xe0", "is a picture; give what export wrote"),
        (b"three\n", "is text; give"),
        (b"\x1f\x8b\x08", "is compressed with gzip"),
    ],
)
def test_what_export_never_wrote_wants_no_manifest(tmp_path: Path, head: bytes, words: str) -> None:
    (tmp_path / "a.onnx").write_bytes(head)
    with pytest.raises((FileAccessError, ArtifactError), match=f"a.onnx: {words}"):
        manifest_of(tmp_path / "a.onnx")


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
        target[int(keys[-1]) if isinstance(target, list) else keys[-1]] = value

    return change


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *(
            (without(key), f"damaged: {key} is missing; expected")
            for key in MANIFEST.to_json()
            if key != "manifest_version"
        ),
        (without("manifest_version"), "it has no manifest_version"),
        (without("artifact", "opset"), "artifact.opset is missing; expected a whole number from 1 to 99"),
        (without("weights", "seed"), "weights.seed is missing"),
        (without("preprocessing", "mean"), "preprocessing.mean is missing; expected a list of 3"),
        (with_value(VERSION + 1, "manifest_version"), f"manifest version {VERSION + 1}; this program knows {VERSION}"),
        (with_value("1", "manifest_version"), "manifest_version is '1'; expected a whole number"),
        (
            with_value("../../a.onnx", "artifact", "files", "0", "name"),
            "artifact.files[0].name is '../../a.onnx'; expected a name that stays in the manifest's folder",
        ),
        (
            with_value("/a.onnx", "artifact", "files", "0", "name"),
            "artifact.files[0].name is '/a.onnx'; expected a name that stays",
        ),
        (with_value("below/a.onnx", "artifact", "files", "1", "name"), "artifact.files[1].name is 'below/a.onnx'"),
        (with_value("..", "artifact", "files", "0", "name"), "artifact.files[0].name is '..'"),
        (with_value("", "artifact", "files", "0", "name"), "artifact.files[0].name is ''"),
        (with_value([], "artifact", "files"), "artifact.files is []; expected a list of 1 or more"),
        (with_value("bf16", "artifact", "dtype"), "artifact.dtype is 'bf16'; expected one of fp16, fp32"),
        (
            with_value("luck", "weights", "source"),
            "weights.source is 'luck'; expected one of checkpoint, package, seed",
        ),
        (with_value("seventeen", "artifact", "opset"), "artifact.opset is 'seventeen'; expected a whole number"),
        (with_value(None, "labels"), "damaged: labels is None; expected a list"),
        (with_value([1], "points"), "damaged: points is [1]; expected an object"),
        (with_value("onnx", "artifact"), "damaged: artifact is 'onnx'; expected an object"),
        (with_value("om", "artifact", "format"), "'om' without a compilation"),
        (with_value("engine", "artifact", "format"), "artifact.format is 'engine'; expected one of om, onnx"),
        (
            with_value("somewhere", "preprocessing", "normalised_on"),
            "preprocessing.normalised_on is 'somewhere'; expected one of device, host",
        ),
        (
            with_value([{"name": "x", "dtype": "nonsense", "shape": [1, 3, 96, 96]}], "inputs"),
            "inputs[0].dtype is 'nonsense'",
        ),
        (with_value([], "inputs"), "inputs is []; expected a list of 1 or more"),
        (with_value(0, "inputs", "0", "shape", "1"), "inputs[0].shape[1] is 0; expected a whole number from 1"),
        (with_value([64, 96], "preprocessing", "image_size"), "preprocessing.image_size is [64, 96]; inputs[0] takes"),
        (with_value(3, "points", "a.b\n"), r"points['a.b\n'] is 3; expected text"),
        (with_value(1e999, "parity", "max_relative"), "parity.max_relative is Infinity, out of range"),
        (with_value(2**63, "passes", "fold"), "passes.fold is 9223372036854775808, out of range"),
        (with_value(10**4000, "weights", "seed"), "weights.seed is 1000000000000000000000000000000000000000, out of"),
        (with_value("half \ud83d", "labels", "0"), r"labels[0] is 'half \ud83d'; expected whole characters"),
        (with_value(0, "half \ud83d"), r"damaged: a key is 'half \ud83d'; expected whole characters"),
        (with_value(nested(40), "passes", "a"), "is nested too deeply"),
        (with_value("a.onnx\n", "artifact", "files", "0", "name"), r"artifact.files[0].name is 'a.onnx\n'"),
        (with_value("x" * 10_000, "artifact"), "artifact is 'xxx"),
    ],
)
def test_a_damaged_manifest_is_refused_in_words(
    path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    data = json.loads(json.dumps(MANIFEST.to_json()))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ArtifactError) as refusal:
        read_manifest(path)
    assert words in str(refusal.value)
    assert refusal.value.exit_code == 2
    assert len(str(refusal.value)) < 400
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("old", "where"),
    [
        ('"seed": 7', "weights.seed"),
        ('"name": "tiny.data"', "artifact.files[1].name"),
        ('"artifact": {', "artifact"),
        ('"changed": 4', "passes.fold_batchnorm.changed"),
        ('"stem.conv.weight": "00c0ffee"', "checksums['stem.conv.weight']"),
        ('"torch": "2"', "environment.torch"),
        (f'"manifest_version": {VERSION}', "manifest_version"),
    ],
)
def test_a_doubled_key_is_refused_wherever_it_stands(path: Path, old: str, where: str) -> None:
    whole = path.read_text(encoding="utf-8")
    assert whole.count(old) == 1
    path.write_text(whole.replace(old, f"{old.partition(': ')[0]}: 7, {old}"), encoding="utf-8")
    with pytest.raises(ArtifactError) as refusal:
        read_manifest(path)
    assert str(refusal.value) == f"{path}: the manifest is damaged: {where} stands twice; export again"


def test_unknown_keys_are_ignored_and_what_a_writer_left_out_has_its_default(path: Path) -> None:
    data = MANIFEST.to_json()
    data["later"] = {"than": "this version"}
    data["weights"]["more"] = [1]
    data["artifact"].pop("layout_reason")
    data["preprocessing"].pop("normalised_on")
    path.write_text(json.dumps(data), encoding="utf-8")
    assert read_manifest(path) == MANIFEST


@pytest.mark.parametrize("old", sorted((DATA / "manifest_v1").iterdir()), ids=lambda path: path.stem)
def test_what_version_1_wrote_is_read_for_good(old: Path, tmp_path: Path) -> None:
    manifest = read_manifest(old)
    assert network_config(manifest.network).name == "tiny"
    assert manifest == struct(Manifest, json.loads(old.read_text(encoding="utf-8")))  # as a bundle reads its own
    manifest.write(tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text(encoding="utf-8"))
    assert again["artifact"].pop("keep_fp32") == []  # since version 2
    assert again["artifact"].pop("gelu") == "erf"  # since version 3
    assert json.dumps(again, indent=1, ensure_ascii=False) + "\n" == old.read_text(encoding="utf-8")


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
