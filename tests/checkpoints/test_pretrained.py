"""The Hugging Face form: what is written comes back bit for bit, shifts included, and faults are told in a line."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import neonext_ascend
from neonext_ascend import jobs
from neonext_ascend.cli.main import run
from neonext_ascend.errors import CheckpointError, FileAccessError, NeoNextError, ToolchainError, UsageError
from neonext_ascend.models.features import NeoNeXtFeatures
from neonext_ascend.models.neonext import NeoNeXt, build
from tests.support.networks import noise, tiny_config, tiny_network


def test_a_network_comes_back_bit_for_bit_with_its_shifts(tmp_path: Path) -> None:
    config = replace(tiny_config(), shifts=(False, True, False, False))
    network = build(config, 3)
    assert neonext_ascend.save_pretrained(network, tmp_path / "mine") == tmp_path / "mine"
    again = neonext_ascend.from_pretrained(tmp_path / "mine")
    assert again.config == config
    assert not again.training
    x = noise(1, 3, 96, 96)
    assert torch.equal(again(x), network(x))
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_the_card_and_the_configuration_tell_what_an_export_knows(tmp_path: Path) -> None:
    made = jobs.export("neonext_nano", output=tmp_path).onnx
    network = neonext_ascend.create("neonext_nano")
    neonext_ascend.save_pretrained(network, tmp_path / "nano", manifest=made.path)
    card = (tmp_path / "nano" / "README.md").read_text(encoding="utf-8")
    for fact in ("neonext_nano.safetensors (sha256 ", "neonext_nano-96-b1-fp32.onnx", "passed, largest", "stretch"):
        assert fact in card
    assert card.startswith("---\nlibrary_name: neonext-ascend\n")
    config = json.loads((tmp_path / "nano" / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {str(digit): str(digit) for digit in range(10)}
    assert config["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    neonext_ascend.save_pretrained(network, tmp_path / "untold")
    assert "nobody has said here" in (tmp_path / "untold" / "README.md").read_text(encoding="utf-8")


def test_the_command_line_takes_such_a_folder_and_asks_nothing_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    neonext_ascend.save_pretrained(tiny_network(), tmp_path / "mine")
    assert run(["export", "--checkpoint", str(tmp_path / "mine"), "-o", str(tmp_path)]) == 0
    artifact = tmp_path / "tiny-96-b1-fp32.onnx"
    assert run(["verify", str(artifact), "--checkpoint", str(tmp_path / "mine")]) == 0
    assert "not the checkpoint" not in capsys.readouterr().err


def edited(change: Any) -> Any:
    def apply(folder: Path) -> None:
        path = folder / "config.json"
        data = json.loads(path.read_text(encoding="utf-8"))
        change(data)
        path.write_text(json.dumps(data), encoding="utf-8")

    return apply


@pytest.mark.parametrize(
    ("damage", "kind", "words"),
    [
        (lambda d: (d / "model.safetensors").unlink(), FileAccessError, "lacks model.safetensors; copy the whole"),
        (lambda d: (d / "config.json").write_text("{"), CheckpointError, "config.json: not JSON"),
        (lambda d: (d / "config.json").write_text("[" * 10**5), CheckpointError, "config.json: not JSON"),
        (lambda d: (d / "config.json").write_bytes(b"\xff\xfe"), CheckpointError, "config.json: not JSON"),
        (lambda d: (d / "config.json").write_text("[]"), CheckpointError, "of model_type 'None'; expected 'neonext'"),
        (edited(lambda c: c.update(model_type="bert")), CheckpointError, "of model_type 'bert'"),
        (edited(lambda c: c.pop("network")), CheckpointError, "expected 'neonext' with its network"),
        (edited(lambda c: c["network"].pop("depths")), CheckpointError, "config.json: depths"),
        (edited(lambda c: c["network"].update(widths=[8, 8, 12, 20])), CheckpointError, "stage 4 has 16 channels"),
        (edited(lambda c: c["network"].update(shifts="no")), CheckpointError, "config.json: shifts"),
        (
            edited(lambda c: c["network"].update(num_classes=9)),
            CheckpointError,
            "tells 9 classes, model.safetensors",
        ),
        (lambda d: (d / "config.json").unlink(), FileAccessError, "lacks config.json; expected a folder that save_pre"),
        (
            lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes()[:-9]),
            FileAccessError,
            "truncated",
        ),
    ],
)
def test_a_damaged_folder_is_told_in_one_line(
    damage: Any, kind: type[NeoNextError], words: str, tmp_path: Path
) -> None:
    neonext_ascend.save_pretrained(tiny_network(), tmp_path / "mine")
    damage(tmp_path / "mine")
    with pytest.raises(kind, match=words) as error:
        neonext_ascend.from_pretrained(tmp_path / "mine")
    assert "\n" not in str(error.value)


def test_another_networks_shifts_are_a_contradiction(tmp_path: Path) -> None:
    neonext_ascend.save_pretrained(tiny_network(), tmp_path / "mine")
    asked = replace(tiny_config(), shifts=(True, True, True, True))
    with pytest.raises(CheckpointError, match=r"describes tiny, with shifts .* in place of .*; leave MODEL out"):
        neonext_ascend.create(asked, checkpoint=tmp_path / "mine")
    larger = replace(tiny_config(), image_size=(128, 96))
    assert neonext_ascend.create(larger, checkpoint=tmp_path / "mine").config == larger


def test_what_cannot_be_saved_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a NeoNeXt with its head"):
        neonext_ascend.save_pretrained(NeoNeXtFeatures(tiny_network()), tmp_path / "a")  # type: ignore[arg-type] # it
    made = jobs.export("neonext_nano", output=tmp_path / "out", verify=False).onnx
    with pytest.raises(UsageError, match=r"of another network \(neonext_nano\) than tiny"):
        neonext_ascend.save_pretrained(tiny_network(), tmp_path / "a", manifest=made.manifest_path)
    with pytest.raises(UsageError, match="tiny: is on the meta device and holds no weights to save"):
        neonext_ascend.save_pretrained(tiny_network().to("meta"), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_hubs_name_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # not installed
    with pytest.raises(ToolchainError, match=r"nobody/tiny: no such folder; .* pip install huggingface_hub"):
        neonext_ascend.from_pretrained("nobody/tiny")
    neonext_ascend.save_pretrained(tiny_network(), tmp_path / "mine")
    hub, asked = types.ModuleType("huggingface_hub"), []

    def snapshot_download(name: str, *, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        if name == "nobody/gone":
            raise OSError("404\nnot found")
        return str(tmp_path / "mine")

    hub.snapshot_download = snapshot_download  # type: ignore[attr-defined] # a stand-in
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert isinstance(neonext_ascend.from_pretrained("nobody/tiny"), NeoNeXt)
    assert asked == [("nobody/tiny", ["config.json", "model.safetensors"])]
    with pytest.raises(FileAccessError, match="huggingface_hub cannot fetch it: 404 not found"):
        neonext_ascend.from_pretrained("nobody/gone")
