"""The command line's contract: files, JSON, words, exit status."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from neonext_ascend.checkpoints.loading import load
from neonext_ascend.cli.main import run
from neonext_ascend.data import data_path, sample_pictures
from neonext_ascend.models.neonext import build
from neonext_ascend.models.variants import VARIANTS
from tests import DATA
from tests.support.outcome import Call, caller


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    return caller(capfd)


Call = Call


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano")
    assert run(["export", "neonext_nano", "-o", str(folder), "--batch-size", "dynamic"]) == 0
    return folder / "neonext_nano-96-bdyn-fp32.onnx"


def test_list_has_every_model_with_exact_counts(call: Call) -> None:
    models = {m["name"]: m for m in call("list", "--json").json["models"]}
    assert set(models) == set(VARIANTS)
    assert models["neonext_t"]["params"] == 27_532_552
    assert models["neonext_t"]["image_size"] == 224
    assert round(models["neonext_b_384.table1"]["macs"]["dense_bn5"] / 1e9, 2) == 45.21
    shown = call("list")
    assert all(name in shown.out for name in VARIANTS)
    assert max(map(len, shown.out.splitlines())) <= 80


def test_export_writes_the_named_files_and_says_what_is_next(call: Call, tmp_path: Path) -> None:
    result = call("export", "neonext_nano", "-o", tmp_path / "new" / "folder")
    assert result.code == 0
    folder = tmp_path / "new" / "folder"
    assert sorted(p.name for p in folder.iterdir()) == [
        "neonext_nano-96-b1-fp32.json",
        "neonext_nano-96-b1-fp32.onnx",
    ]
    assert "parity   passed" in result.out
    assert f"neonext-ascend predict {folder}/neonext_nano-96-b1-fp32.onnx PICTURE" in result.out


def test_export_json_is_one_object_with_absolute_paths(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("export", "neonext_nano", "--json", "--opset", 11, "--dtype", "fp16", "--batch-size", 2)
    (artifact,) = result.json["artifacts"]
    assert artifact["path"] == str(tmp_path / "neonext_nano-96-b2-fp16.onnx")
    assert artifact["manifest"] == str(tmp_path / "neonext_nano-96-b2-fp16.json")
    assert {k: artifact[k] for k in ("format", "dtype", "opset", "layout")} == {
        "format": "onnx",
        "dtype": "fp16",
        "opset": 11,
        "layout": "nchw",
    }
    assert artifact["bytes"] == Path(artifact["path"]).stat().st_size
    assert result.json["parity"]["passed"] is True
    assert result.err.startswith("network  neonext_nano, release definition")


def test_two_exports_are_byte_identical(call: Call, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert call("export", "neonext_nano", "-o", tmp_path / name, "--no-verify").code == 0
    first, second = (tmp_path / n / "neonext_nano-96-b1-fp32.onnx" for n in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    other = tmp_path / "c"
    call("export", "neonext_nano", "--config", "/dev/null", "-o", other)
    assert not other.exists()


def test_an_untrained_network_says_so_everywhere(call: Call, tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(
        'name = "mine.v2"\ndefinition = "paper"\ndepths = [1, 1, 1, 1]\nwidths = [9, 13, 17, 20]\n'
        "cells = [[4, 7], [4, 7], [7], [5, 3]]\nshifts = [true, true, false, false]\nnum_classes = 5\n"
        "image_size = [64, 96]\n"
    )
    result = call("export", "--config", config, "-o", tmp_path)
    assert result.code == 0, result.err
    path = tmp_path / "mine.v2-64x96-b1-fp32.onnx"
    manifest = json.loads((tmp_path / "mine.v2-64x96-b1-fp32.json").read_text())
    assert "untrained" in result.out
    assert "twin" in result.out
    assert manifest["weights"] == {"source": "seed", "file": None, "sha256": None, "seed": 0, "trained": False}
    assert manifest["labels"] == [f"class_{i}" for i in range(5)]
    assert manifest["parity"]["twin"]["passed"] is True
    properties = {p.key: p.value for p in onnx.load(str(path)).metadata_props}
    assert properties["weights"] == "NeoInit seed 0, untrained"
    assert properties["definition"] == "paper"
    predicted = call("predict", path, sample_pictures()[3])
    assert predicted.code == 0
    assert "untrained" in predicted.err


def test_a_checkpoint_goes_from_file_to_verified_artifact(call: Call, tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(
        'name = "small"\ndefinition = "release"\ndepths = [1, 1, 2, 1]\nwidths = [16, 32, 64, 128]\nimage_size = 224\n'
    )
    for file in ("small_release.pt", "small_release_ema.pt"):
        result = call("export", "--config", config, "--checkpoint", DATA / file, "-o", tmp_path, "--json")
        assert result.code == 0, result.err
        manifest = json.loads((tmp_path / "small-224-b1-fp32.json").read_text())
        assert manifest["weights"]["file"] == file
        assert manifest["network"]["num_classes"] == 10
    golden = np.load(DATA / "small_release_io.npz")
    from neonext_ascend.runtimes.ort import OrtRunner

    with OrtRunner(tmp_path / "small-224-b1-fp32.onnx") as runner:
        for row in range(2):
            got = runner.infer({"image": golden["x_224x224"][row : row + 1]})["logits"]
            want = golden["logits_224x224"][row : row + 1]
            assert np.abs(got - want).max() <= 5e-6 * np.abs(want).max()


def test_predict_names_the_digits(call: Call, nano: Path) -> None:
    result = call("predict", nano, *sample_pictures(), "--json", "--top", 3)
    assert result.code == 0
    predictions = result.json["predictions"]
    assert [p["top"][0]["label"] for p in predictions] == [str(d) for d in range(10)]
    assert all(len(p["top"]) == 3 and Path(p["path"]).is_absolute() for p in predictions)
    assert all(abs(sum(g["score"] for g in p["top"])) <= 1.0 + 1e-9 for p in predictions)
    shown = call("predict", nano, data_path("samples", "digit_3.png"))
    assert shown.out.splitlines()[1].endswith("%  3")


def test_predict_reports_a_broken_picture_in_its_place(call: Call, nano: Path, tmp_path: Path) -> None:
    good = sample_pictures()[4]
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:100])
    result = call("predict", nano, tmp_path / "text.png", good, "--json")
    assert result.code == 2
    assert "error" in result.json["predictions"][0]
    assert result.json["predictions"][1]["top"][0]["label"] == "4"
    assert call("predict", nano, tmp_path / "cut.png").code == 5
    assert call("predict", nano, tmp_path / "absent.png", good).code == 5


def test_channel_order_is_rgb(call: Call, nano: Path, tmp_path: Path) -> None:
    # Digits are grey and could not tell; a coloured picture gives other logits when its channels are swapped.
    pixels = np.asarray(Image.open(sample_pictures()[5]).convert("RGB")).copy()
    pixels[..., 2] = 255 - pixels[..., 2]
    Image.fromarray(pixels).save(tmp_path / "rgb.png")
    result = call("predict", nano, tmp_path / "rgb.png", "--json", "--top", 10)
    scores = {g["index"]: g["score"] for g in result.json["predictions"][0]["top"]}
    picture = Image.fromarray(pixels).resize((96, 96), Image.Resampling.BILINEAR)
    x = (np.asarray(picture).astype(np.float64) / 255 - 0.5) / 0.5
    with torch.no_grad():
        logits = load("neonext_nano").network.double()(torch.from_numpy(x.transpose(2, 0, 1)[None]))
        want = torch.softmax(logits, dim=1)[0].tolist()
        swapped = torch.softmax(
            load("neonext_nano").network.double()(torch.from_numpy(x[..., ::-1].transpose(2, 0, 1)[None].copy())), dim=1
        )[0].tolist()
    assert [scores[i] for i in range(10)] == pytest.approx(want, abs=1e-5)
    assert max(abs(a - b) for a, b in zip(want, swapped, strict=True)) > 1e-3


def test_nano_names_held_out_digits_as_pytorch_does(nano: Path) -> None:
    from neonext_ascend.images.preprocessing import preprocessing_for
    from neonext_ascend.runtimes.ort import OrtRunner

    digits = np.load(DATA / "digits.npz")
    prepare = preprocessing_for("neonext_nano", (96, 96))
    x = np.stack([prepare(Image.fromarray(p)) for p in digits["pixels"]])
    with OrtRunner(nano) as runner:
        got = runner.infer({"image": x})["logits"].argmax(1)
    with torch.no_grad():
        want = load("neonext_nano").network(torch.from_numpy(x)).argmax(1).numpy()
    accuracy = float((got == digits["labels"]).mean())
    assert accuracy >= 0.98
    assert accuracy == float((want == digits["labels"]).mean())
    assert (got == want).all()


def test_verify_passes_and_fails_with_the_right_status(call: Call, nano: Path, tmp_path: Path) -> None:
    assert call("verify", nano).code == 0
    assert call("verify", nano, "--seed", 7).code == 2
    for file in (nano, nano.with_name(nano.name.replace(".onnx", ".json"))):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = onnx.load(str(nano))
    (left,) = (i for i in model.graph.initializer if i.name == "stage1.block0.neocell.left")
    matrix = onnx.numpy_helper.to_array(left).swapaxes(1, 2)
    left.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(matrix), left.name))
    onnx.save(model, str(tmp_path / nano.name))
    result = call("verify", tmp_path / nano.name, "--json")
    assert result.code == 1
    assert result.json["parity"]["first_departure"] == "stage1.block0.fc2"
    assert "warning: neonext_nano-96-bdyn-fp32.onnx: changed since its export" in result.err
    assert call("verify", "neonext_nano").code == 0
    assert call("verify", "neonext_nano", "--atol", 0, "--rtol", 0).code == 1


def test_an_ambiguous_checkpoint_lists_the_names(call: Call, tmp_path: Path) -> None:
    with torch.device("meta"):
        state = build(VARIANTS["neonext_t"].config).state_dict()
    torch.save({k: torch.zeros(v.shape, dtype=v.dtype) for k, v in state.items()}, tmp_path / "t.pt")
    result = call("export", "--checkpoint", tmp_path / "t.pt", "-o", tmp_path / "o")
    assert result.code == 2
    assert "it fits neonext_t and neonext_t_384" in result.err
    assert not (tmp_path / "o").exists()


def test_the_other_networks_shifts_are_mentioned(call: Call, tmp_path: Path) -> None:
    result = call("verify", "neonext_nano", "--image-size", "128")
    assert result.code == 0
    assert "warning" not in result.err
    from neonext_ascend.checkpoints.loading import load as load_network

    with torch.device("meta"):
        notes = load_network("neonext_t", image_size=(384, 384)).notes
    assert notes == (
        "neonext_t at 384 keeps its shifts 1,1,1,0; the published 384 network is neonext_t_384 with 1,1,1,1",
    )


def test_an_interrupt_leaves_nothing_and_exits_130(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "neonext_ascend", "export", "neonext_b", "-o", str(tmp_path / "o")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run started in the background hands down an ignored SIGINT, which Python would keep.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 600
    while not list(tmp_path.glob("o/.neonext-staging-*/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=900)
    assert process.returncode == 130
    assert "error: interrupted" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


ASKED = """
import atexit, os, signal, sys
from importlib.machinery import ExtensionFileLoader

def ask():
    os.kill(os.getpid(), {number})

class Late:
    def find_spec(self, name, *_):
        if name == "click":
            ask()

def native(self, module, load=ExtensionFileLoader.exec_module):
    ask()
    load(self, module)
    print("whole")

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a test run in the background hands down ignored
sys.argv[1:] = ["predict", "--help"]
from neonext_ascend.__main__ import main
{when}
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("when", "said", "first"),
    [
        ("sys.meta_path.insert(0, Late())", "error: interrupted\n", ""),
        ("ExtensionFileLoader.exec_module = native", "error: interrupted\n", "whole\n"),  # else C++ may abort
        ("atexit.register(ask)", "", "Usage: "),
    ],
    ids=["before there is a command", "while it loads", "behind it"],
)
def test_a_wish_to_end_is_one_line_whenever_it_comes(number: signal.Signals, when: str, said: str, first: str) -> None:
    code = ASKED.format(number=int(number), when=when)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900, check=False)
    assert (done.returncode, done.stderr) == (130 if said else -number, said)
    assert done.stdout.startswith(first)


def test_a_closed_pipe_is_quiet() -> None:
    shell = f"{sys.executable} -m neonext_ascend list | head -1"
    result = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, timeout=900)
    assert result.stderr == ""
    assert result.stdout.startswith("model")


def test_completion_offers_models() -> None:
    from click.shell_completion import BashComplete

    from neonext_ascend.cli.main import cli

    complete = BashComplete(cli, {}, "neonext-ascend", "_NEONEXT_ASCEND_COMPLETE")
    assert [item.value for item in complete.get_completions(["export"], "neonext_na")] == ["neonext_nano"]
    assert "export" in [item.value for item in complete.get_completions([], "ex")]


def test_names_from_files_cannot_command_the_terminal(call: Call, nano: Path, tmp_path: Path) -> None:
    evil = tmp_path / "a\x1b[31mred.png"
    evil.write_bytes(sample_pictures()[1].read_bytes())
    shown = call("predict", nano, evil, tmp_path / "b\x1bc.png")
    assert "\x1b" not in shown.out + shown.err
    assert "a\\x1b[31mred.png" in shown.out


def test_predict_warns_of_a_changed_file_and_refuses_what_is_not_finite(call: Call, nano: Path, tmp_path: Path) -> None:
    for file in (nano, nano.with_name(nano.name.replace(".onnx", ".json"))):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = onnx.load(str(nano))
    (bias,) = (i for i in model.graph.initializer if i.name == "head.fc.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(10, np.nan, np.float32), bias.name))
    onnx.save(model, str(tmp_path / nano.name))
    result = call("predict", tmp_path / nano.name, sample_pictures()[0])
    assert result.code == 2
    assert "changed since its export" in result.err
    assert "gives NaN or infinity" in result.err
