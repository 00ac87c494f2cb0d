"""A model for Triton: what its configuration says, what lies beside it, and that it appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, NoReturn

import pytest

from neonext_ascend import jobs
from neonext_ascend.cli.main import run
from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.exporters.triton_repository.writing import write_model
from neonext_ascend.jobs.making.onnx_file import ParityFailedError
from neonext_ascend.jobs.making.triton_model import TritonModel
from tests.support.networks import overflowing_checkpoint

STATIC = """\
name: "neonext_nano"
backend: "npu_ge"
max_batch_size: 0
input [ { name: "image" data_type: TYPE_FP32 dims: [ 2,3,96,96 ] } ]
output [ { name: "logits" data_type: TYPE_FP32 dims: [ 2,10 ] } ]
instance_group [ { count: 1 } ]
parameters { key: "device_ids" value { string_value: "0" } }
parameters { key: "session.ge.exec.precision_mode_v2" value { string_value: "fp16" } }
parameters { key: "static_model" value { string_value: "1" } }
"""
FREE = """\
name: "neonext_nano"
backend: "npu_ge"
max_batch_size: 3
input [ { name: "image" data_type: TYPE_FP16 dims: [ 3,96,96 ] } ]
output [ { name: "logits" data_type: TYPE_FP16 dims: [ 10 ] } ]
instance_group [ { count: 1 } ]
dynamic_batching { preferred_batch_size: [ 3 ] max_queue_delay_microseconds: 1000 }
parameters { key: "device_ids" value { string_value: "0" } }
parameters { key: "session.ge.exec.precision_mode_v2" value { string_value: "origin" } }
parameters { key: "graph.ge.inputShape" value { string_value: "image:-1,3,96,96" } }
parameters { key: "graph.ge.dynamicDims" value { string_value: "1;2;3" } }
parameters { key: "graph.ge.dynamicNodeType" value { string_value: "1" } }
"""


def made(folder: Path, request: dict[str, Any] | None = None, **options: Any) -> TritonModel:
    triton = jobs.TritonRequest(folder / "models", **(request or {}))
    asked = {"verify": False, "output": folder / "out", **options}
    (model,) = (a for a in jobs.export("neonext_nano", triton=triton, **asked).artifacts if isinstance(a, TritonModel))
    return model


def config_of(model: TritonModel) -> str:
    """Without its first line, which holds a checksum of the others."""
    first, _, rest = (model.path / "config.pbtxt").read_text().partition("\n")
    assert first.startswith("# ")
    assert first.endswith(hashlib.sha256(rest.encode()).hexdigest())
    return rest


def test_a_static_batch_is_a_static_graph_and_a_free_one_has_every_gear(tmp_path: Path) -> None:
    static = made(tmp_path, batch_size=2)
    assert config_of(static) == STATIC
    assert not static.replaced
    free = made(tmp_path, {"batch_gears": (1, 2, 3), "soc_version": "Ascend310P3"}, dtype="fp16")
    assert config_of(free) == FREE
    assert free.replaced
    # The earlier file is gone: the backend takes the first .onnx that it finds.
    found = sorted(str(path.relative_to(tmp_path / "models")) for path in tmp_path.glob("models/**/*"))
    name = "neonext_nano-96-bdyn-fp16"
    folders = ["neonext_nano", "neonext_nano/1"]
    assert found == sorted(
        [*folders, *(f"neonext_nano/{n}" for n in ("config.pbtxt", f"1/{name}.onnx", f"1/{name}.json"))]
    )
    # The chip is named, so the form is chosen for it.
    manifest = json.loads((free.path / "1" / f"{name}.json").read_text())
    assert manifest["artifact"]["layout_reason"].startswith("an estimate of")
    assert (free.path / "1" / f"{name}.onnx").read_bytes() == (tmp_path / "out" / f"{name}.onnx").read_bytes()


def test_maps_are_several_outputs_in_the_files_order(tmp_path: Path) -> None:
    model = made(tmp_path, batch_size="dynamic", features="nhwc")
    assert model.path.name == "neonext_nano-features-nhwc"
    assert model.gears == tuple(range(1, 9))
    text = (model.path / "config.pbtxt").read_text()
    manifest = json.loads(next(model.path.glob("1/*.json")).read_text())
    written = re.findall(r'^output \[ \{ name: "(\w+)" data_type: TYPE_FP32 dims: \[ (.+) \] \} \]$', text, re.M)
    wanted = [(o["name"], ",".join(map(str, o["shape"][1:]))) for o in manifest["outputs"]]
    assert written == wanted
    assert len(wanted) == 4


def test_the_command_puts_a_verified_model_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = ["export", "neonext_nano", "--triton", str(tmp_path / "models"), "-o", str(tmp_path / "out")]
    assert run([*given, "--json"]) == 0
    model, onnx = json.loads(capfd.readouterr().out)["artifacts"]
    assert model == {
        "path": str(tmp_path / "models" / "neonext_nano"),
        "format": "triton",
        "model": "neonext_nano",
        "version": "1",
        "batch_gears": [],
        "precision": "fp16",
        "replaced": False,
    }
    assert onnx["format"] == "onnx"
    assert run([*given, "--no-verify"]) == 0
    words = " ".join(capfd.readouterr().out.split())
    assert "replaced the model that was there, with its ONNX file next mount " in words
    assert words.endswith("tritonserver --model-repository /models")
    assert run(["verify", str(Path(model["path"]) / "1" / Path(onnx["path"]).name)]) == 0


@pytest.mark.parametrize("changed", ["by hand", "by its first line", "written by an earlier version"])
def test_a_configuration_that_was_changed_is_not_replaced(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], changed: str
) -> None:
    model = tmp_path / "models" / "neonext_nano"
    write_model(model.parent, model.name, [], STATIC)
    config = model / "config.pbtxt"
    first, _, rest = config.read_text().partition("\n")
    text = {
        "by hand": f"{first}\n{rest.replace('count: 1', 'count: 2')}",
        "by its first line": f"{first}0\n{rest}",
        "written by an earlier version": f"# Made by neonext-ascend export --triton.\n{rest}",
    }[changed]
    config.write_text(text)
    given = ["export", "neonext_nano", "--triton", str(model.parent), "-o", str(tmp_path / "out")]
    assert run(given) == 2
    told = f"{config}: was changed since it was written; move it away, or give another --triton DIR"
    assert capfd.readouterr() == ("", f"error: {told}\n")
    assert config.read_text() == text
    assert not (tmp_path / "out").exists()


def test_half_precision_is_tried_before_the_backend_computes_in_it(tmp_path: Path) -> None:
    weights = overflowing_checkpoint(tmp_path / "large.pt")
    with pytest.raises(
        ParityFailedError, match=r"--precision fp16: stage3.block0.fc1 overflows in fp16: .*nothing was put into"
    ):
        made(tmp_path, checkpoint=weights, verify=True)
    assert not (tmp_path / "models").exists()
    assert made(tmp_path, {"precision": "origin"}, checkpoint=weights, verify=True).precision == "origin"


def test_a_model_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = made(tmp_path)
    before = {path: path.read_bytes() for path in older.path.rglob("*") if path.is_file()}

    def full(*_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    def refused(path: Path, target: Path) -> Path:
        return (
            full()
            if path.parent.name.startswith(".neonext-staging") and path.name == "neonext_nano"
            else move(path, target)
        )

    move = Path.rename
    for place, failing in (("shutil.copyfile", full), ("pathlib.Path.rename", refused)):
        with monkeypatch.context() as patch:
            patch.setattr(place, failing)
            with pytest.raises(FileAccessError, match="No space left on device; nothing was left behind"):
                made(tmp_path, batch_size=2)
        assert {path: path.read_bytes() for path in older.path.rglob("*") if path.is_file()} == before
        assert [path.name for path in (tmp_path / "models").iterdir()] == ["neonext_nano"]
    (older.path / "1" / "model.plan").touch()
    with pytest.raises(UsageError, match=r"holds 1/model\.plan, which no export made"):
        made(tmp_path)
