"""The table of bad inputs: what is given, how the command ends, what it says, and what helps.

It is the test (:mod:`tests.cli.test_refusals`) and what the page ``docs/errors.md`` is made from.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image

from neonext_ascend.checkpoints.loading import load
from neonext_ascend.cli.main import run
from neonext_ascend.data import NANO_WEIGHTS, data_path, sample_pictures
from neonext_ascend.exporters import export_onnx
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.passes import prepare
from tests.support.endings import CLASS_NUMBER, OVER_THE_BATCH, classifier
from tests.support.refusal_case import Arguments, Refusal, write
from tests.support.refusals_om import INSPECT, OM
from tests.support.refusals_serving import SERVING, TRITON

ARTIFACT = "neonext_nano-96-b1-fp32.onnx"


class Runs:
    """A pickle that would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.touch, (self.target,))


def state() -> dict[str, torch.Tensor]:
    return dict(load("neonext_nano").network.state_dict())


def saved(folder: Path, contents: object, **options: Any) -> Path:
    torch.save(contents, folder / "weights.pt", **options)
    return folder / "weights.pt"


def export_with(make: Callable[[Path], Path], model: str = "neonext_nano") -> Arguments:
    return lambda folder: ["export", model, "--checkpoint", make(folder)]


def with_nan(folder: Path) -> Path:
    weights = state()
    weights["head.fc.bias"][3] = float("nan")
    return saved(folder, weights)


def of_classes(count: int) -> dict[str, torch.Tensor]:
    weights = state()
    return {**weights, **{key: weights[key][:count] for key in ("head.fc.weight", "head.fc.bias")}}


def lying_header(folder: Path) -> Path:
    data = bytearray(data_path(NANO_WEIGHTS).read_bytes())
    data[8:40] = b'{"stem.conv.weight":{"dtype":"F3'[:32]
    return write(folder / "weights.safetensors", bytes(data))


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def circle(folder: Path) -> Path:
    (folder / "circle").symlink_to(folder / "circle")
    return folder / "circle"


def artifact(folder: Path, change: Callable[[Path], None] = lambda _: None) -> Path:
    """A right artifact with its manifest, then changed."""
    loaded = load("neonext_nano")
    assert run(["export", "neonext_nano", "--no-verify", "-o", str(folder), "--json"]) == 0
    assert loaded.weights.trained
    change(folder / ARTIFACT)
    return folder / ARTIFACT


def maps(folder: Path) -> Path:
    """A right artifact that gives maps."""
    assert run(["export", "neonext_nano", "--features", "--no-verify", "-o", str(folder), "--json"]) == 0
    return folder / "neonext_nano-features-96-b1-fp32.onnx"


def other_folder(folder: Path, config: str) -> Path:
    """A folder in Hugging Face's form, with this configuration."""
    (folder / "theirs").mkdir()
    write(folder / "theirs" / "config.json", config)
    return folder / "theirs"


def manifest(text: Callable[[str], str]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        beside = path.with_name(path.name.replace(".onnx", ".json"))
        beside.write_text(text(beside.read_text()))

    return change


def classify(change: Callable[[Path], None] = lambda _: None) -> Arguments:
    return lambda folder: ["predict", artifact(folder, change), sample_pictures()[0]]


def picture(make: Callable[[Path], Path]) -> Arguments:
    return lambda folder: ["predict", artifact(folder), make(folder)]


def external(folder: Path, change: Callable[[Path], None]) -> list[object]:
    network = prepare(load("neonext_nano").network)[0]
    export_onnx(network, folder / "large.onnx", external_data_above=1000)
    change(folder)
    return ["predict", folder / "large.onnx", sample_pictures()[0]]


def manifest_to_nowhere(path: Path) -> None:
    beside = path.with_name(path.name.replace(".onnx", ".json"))
    beside.unlink()
    beside.symlink_to("gone.json")


def point_outside(folder: Path) -> None:
    (folder.parent / "outside.data").write_bytes((folder / "large.onnx.data").read_bytes())
    model = onnx.load(str(folder / "large.onnx"), load_external_data=False)
    for constant in model.graph.initializer:
        for entry in constant.external_data:
            if entry.key == "location":
                entry.value = "../outside.data"
    (folder / "large.onnx").write_bytes(model.SerializeToString())


def debugged(change: Callable[[onnx.ModelProto], object]) -> Arguments:
    """A right artifact, and a copy that was changed."""

    def arguments(folder: Path) -> list[object]:
        right = artifact(folder)
        model = onnx.load(str(right))
        change(model)
        return ["debug", write(folder / "changed.onnx", model.SerializeToString()), "--against", right]

    return arguments


def shorten(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


def two_inputs(folder: Path) -> Path:
    nodes = [onnx.helper.make_node("Add", ["a", "b"], ["c"])]
    values = [onnx.helper.make_tensor_value_info(n, 1, [1, 3, 8, 8]) for n in "abc"]
    graph = onnx.helper.make_graph(nodes, "sum", values[:2], values[2:])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(folder / "sum.onnx"))
    return folder / "sum.onnx"


def dangling(folder: Path) -> Path:
    made = onnx.load(str(two_inputs(folder)))
    del made.graph.input[1]
    onnx.save(made, str(folder / "sum.onnx"))
    return folder / "sum.onnx"


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4000])


def png(folder: Path, image: Image.Image) -> Path:
    image.save(folder / "picture.png")
    return folder / "picture.png"


def overwrite(text: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text(text)

    return change


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def nothing(folder: Path) -> Path:
    return folder / "absent"


_COPY = "Copy the file again; compare its size and SHA-256 with the original's."
_STATE = "Save the state dict alone: `torch.save(model.state_dict(), FILE)`."
_NAME = "Name the model it was trained as (`neonext-ascend list`), or describe it with `--config`."
_AGAIN = "Export again."

CHECKPOINTS = [
    Refusal(
        "a pickle that runs code", export_with(lambda d: saved(d, {"w": Runs(d / "ran")})), 2, "could run code", _STATE
    ),
    Refusal(
        "a folder of another kind of network",
        export_with(lambda d: other_folder(d, '{"model_type": "bert"}')),
        2,
        "config.json: of model_type 'bert'; expected 'neonext' with its network",
        "Give a folder that `save_pretrained` wrote.",
    ),
    Refusal(
        "a truncated checkpoint",
        export_with(lambda d: write(d / "w.pt", saved(d, state()).read_bytes()[:9999])),
        5,
        "truncated",
        _COPY,
    ),
    Refusal(
        "a checkpoint of another size",
        export_with(lambda d: saved(d, state()), "neonext_t"),
        2,
        "stage 1 has 1 blocks, neonext_t has 3",
        _NAME,
    ),
    Refusal(
        "another class count asked for",
        lambda d: ["export", "neonext_nano", "--checkpoint", saved(d, state()), "--num-classes", 7],
        2,
        "7 classes asked for, but weights.pt holds 10",
        "Leave `--num-classes` out: the weights decide.",
    ),
    Refusal("an absent checkpoint", export_with(nothing), 5, "No such file", "Check the path."),
    Refusal("a list inside", export_with(lambda d: saved(d, [1, 2])), 2, "holds a list; expected a state dict", _STATE),
    Refusal(
        "an optimizer's state alone",
        export_with(lambda d: saved(d, {"optimizer": {"lr": 0.1}})),
        2,
        "entry 'optimizer' is a dict",
        _STATE,
    ),
    Refusal(
        "NaN in the weights",
        export_with(with_nan),
        2,
        "head.fc.bias holds NaN or infinity",
        "Take an earlier checkpoint: the training diverged.",
    ),
    Refusal("an empty file", export_with(lambda d: write(d / "w.pt", "")), 5, "the file is empty", _COPY),
    Refusal(
        "a text file",
        export_with(lambda d: write(d / "w.pt", "hello")),
        2,
        "neither a PyTorch file nor safetensors",
        "Give a `.pt` or `.safetensors` file.",
    ),
    Refusal(
        "safetensors with a lying header", export_with(lying_header), 2, "header is not what the format asks for", _COPY
    ),
    Refusal(
        "truncated safetensors",
        export_with(lambda d: write(d / "w", data_path(NANO_WEIGHTS).read_bytes()[:-1])),
        5,
        "truncated",
        _COPY,
    ),
    Refusal("a folder as checkpoint", export_with(lambda d: d), 5, "is a directory", "Give the file inside."),
    Refusal("a pipe as checkpoint", export_with(fifo), 5, "not a regular file", "Save it to a file first."),
    Refusal(
        "a device as checkpoint", export_with(lambda _: Path("/dev/zero")), 5, "not a regular file", "Give a file."
    ),
    Refusal(
        "another network's weights",
        export_with(lambda d: saved(d, {"fc.weight": torch.ones(2, 2)})),
        2,
        "not a NeoNeXt's weights",
        "Give a NeoNeXt checkpoint.",
    ),
    Refusal(
        "a missing tensor",
        export_with(lambda d: saved(d, {k: v for k, v in state().items() if k != "head.fc.bias"})),
        2,
        "lacks key 'head.fc.bias'",
        _STATE,
    ),
    Refusal(
        "a Git LFS pointer",
        export_with(lambda d: write(d / "w.pt", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")),
        2,
        "a Git LFS pointer in place of the file it stands for",
        "`git lfs pull` in that repository.",
    ),
    Refusal(
        "several networks' weights",
        export_with(lambda d: saved(d, {"student": state(), "teacher": {k: v + 1 for k, v in state().items()}})),
        2,
        "nothing says which to take: 'student', 'teacher'",
        "Save the right one alone: `torch.save(state, FILE)`.",
    ),
    Refusal(
        "another pickle protocol",
        export_with(lambda d: saved(d, state(), pickle_protocol=4)),
        2,
        "written with pickle protocol 4",
        "Save it again without `pickle_protocol`.",
    ),
    Refusal(
        "a checkpoint of other classes than the artifact's",
        lambda d: ["verify", artifact(d), "--checkpoint", saved(d, of_classes(7))],
        2,
        "holds 7 classes, the artifact 10",
        "Give the checkpoint that the artifact was made from.",
    ),
    Refusal(
        "a network without a name",
        lambda d: ["export", "--checkpoint", saved(d, load(own()).network.state_dict())],
        2,
        "give --config FILE.toml",
        "The message holds a configuration to start from.",
    ),
]


def own() -> NetworkConfig:
    """A network that no name fits."""
    return NetworkConfig(
        "own", "release", (1, 1, 1, 1), (8, 8, 12, 16), ((4, 7),) * 4, (True, True, True, False), 3, (96, 96)
    )


USAGE = [
    Refusal(
        "an unknown model",
        lambda _: ["export", "neonext_tt"],
        2,
        "did you mean neonext_t",
        "`neonext-ascend list` shows the names.",
    ),
    Refusal(
        "a layout of maps without maps",
        lambda _: ["export", "neonext_nano", "--features-layout", "nhwc"],
        2,
        "--features-layout nhwc: is of maps; give --features with it",
        "Give --features.",
    ),
    Refusal(
        "names of classes for a file of maps",
        lambda d: ["export", "neonext_nano", "--features", "--labels", write(d / "a.txt", "a")],
        2,
        "--labels: is of a file that gives classes; --features gives maps in their place",
        "Leave one of the two out.",
    ),
    Refusal("no model at all", lambda _: ["export"], 2, "neither a model nor a checkpoint", "Name a model."),
    Refusal("opset 10", lambda _: ["export", "neonext_t", "--opset", 10], 2, "opset 10: expected 11 to 18", "Take 17."),
    Refusal(
        "opset 19",
        lambda _: ["export", "neonext_t", "--opset", 19],
        2,
        "opset 19: expected 11 to 18",
        "Take 17: ATC's ONNX parser ends at 18.",
    ),
    Refusal(
        "batch size 0",
        lambda _: ["export", "neonext_t", "--batch-size", 0],
        2,
        "expected a number from 1",
        "Give 1 or more, or `dynamic`.",
    ),
    Refusal(
        "image size 225",
        lambda _: ["export", "neonext_t", "--image-size", 225],
        2,
        "multiples of 4; near 225: 224",
        "Take a multiple of 4.",
    ),
    Refusal(
        "image size 16",
        lambda _: ["export", "neonext_t", "--image-size", 16],
        2,
        "take at least 96",
        "Shifted cells need a map of their size less 1.",
    ),
    Refusal(
        "an image size in words",
        lambda _: ["export", "neonext_t", "--image-size", "big"],
        2,
        "expected a size such as 224",
        "`224`, or height x width: `224x320`.",
    ),
    Refusal(
        "a folder that cannot be created",
        lambda _: ["export", "neonext_nano", "-o", "/proc/artifacts"],
        5,
        "cannot create",
        "Give a folder that you may write.",
    ),
    Refusal(
        "a file as output folder",
        lambda d: ["export", "neonext_nano", "-o", write(d / "f", "x")],
        5,
        "is not a folder",
        "Give a folder.",
    ),
    Refusal(
        "labels of another count",
        lambda d: ["export", "neonext_nano", "--labels", write(d / "l", "a\nb\n")],
        2,
        "holds 2 labels; the model has 10",
        "One name a line, as many as classes.",
    ),
    Refusal(
        "an unknown option",
        lambda _: ["export", "neonext_nano", "--fast"],
        2,
        "--fast",
        "`neonext-ascend export --help`.",
    ),
    Refusal("an unknown command", lambda _: ["exprot"], 2, "exprot", "`neonext-ascend --help`."),
    Refusal(
        "a configuration that is no TOML",
        lambda d: ["export", "--config", write(d / "c.toml", "= 3")],
        2,
        "not TOML",
        "Compare with the README's example.",
    ),
    Refusal(
        "a configuration with an unknown field",
        lambda d: ["export", "--config", write(d / "c.toml", "depth = 3")],
        2,
        "unknown field 'depth'",
        "The message lists the fields.",
    ),
    Refusal(
        "a pipe as configuration",
        lambda d: ["export", "--config", fifo(d)],
        5,
        "pipe: is not a regular file",
        "Save it to a file first.",
    ),
    Refusal(
        "a device without an end as configuration",
        lambda _: ["inspect", "--config", "/dev/zero", "--soc-version", "Ascend310P3"],
        5,
        "/dev/zero: is not a regular file",
        "Give a file.",
    ),
    Refusal(
        "a pipe as labels",
        lambda d: ["export", "neonext_nano", "--labels", fifo(d)],
        5,
        "is not a regular file; expected names of classes",
        "Save it to a file first.",
    ),
    Refusal(
        "a NUL character in a path",
        lambda _: ["export", "neonext_nano", "-o", "a\0b"],
        2,
        "holds a NUL character",
        "Check the script that made the name.",
    ),
    Refusal(
        "a name that is too long",
        lambda _: ["export", "neonext_nano", "-o", "a" * 300],
        5,
        "File name too long",
        "Give a shorter one.",
    ),
    Refusal(
        "a circle of links as output folder",
        lambda d: ["export", "neonext_nano", "-o", circle(d)],
        5,
        "circle",
        "Give another folder.",
    ),
    Refusal(
        "an infinite tolerance",
        lambda _: ["verify", "neonext_nano", "--rtol", "inf"],
        2,
        "expected a finite number",
        "Give a number such as 1e-3.",
    ),
    Refusal(
        "a tolerance that is no number",
        lambda _: ["verify", "neonext_nano", "--atol", "nan"],
        2,
        "expected a finite number",
        "Give a number such as 1e-4.",
    ),
    Refusal(
        "a model and a configuration",
        lambda d: ["export", "neonext_t", "--config", d / "c.toml"],
        2,
        "give one",
        "Leave one out.",
    ),
]

ARTIFACTS = [
    Refusal(
        "a file of maps to classify with",
        lambda d: ["predict", maps(d), sample_pictures()[0]],
        2,
        "gives maps, no classes",
        "Export it without --features.",
    ),
    Refusal("an absent artifact", lambda d: ["verify", d / "x.onnx"], 5, "No such file", "Check the path."),
    Refusal("a folder as artifact", lambda d: ["verify", d], 5, "is not a regular file", "Give the file inside."),
    Refusal("the root as artifact", lambda _: ["verify", "/"], 5, "/: is not a regular file", "Give a file."),
    Refusal(
        "a pipe as artifact",
        lambda d: ["predict", fifo(d), sample_pictures()[0]],
        5,
        "pipe: is not a regular file; expected an ONNX model",
        "Save it to a file first.",
    ),
    Refusal(
        "a pipe as manifest",
        classify(lambda p: piped(p.with_name(p.name.replace(".onnx", ".json")))),
        5,
        "is not a regular file; expected a manifest",
        "Copy both files.",
    ),
    Refusal(
        "an ONNX file that reads what nobody gives",
        lambda d: ["predict", dangling(d), sample_pictures()[0]],
        2,
        "onnxruntime cannot load it",
        "`neonext-ascend inspect` names node and tensor.",
    ),
    Refusal(
        "verify without the manifest",
        lambda d: ["verify", artifact(d, lambda p: p.with_name(p.name.replace(".onnx", ".json")).unlink())],
        2,
        "its manifest neonext_nano-96-b1-fp32.json is missing",
        "Copy both files.",
    ),
    Refusal(
        "a manifest that is cut", classify(manifest(lambda text: text[:500])), 5, "the manifest is truncated", _AGAIN
    ),
    Refusal(
        "a manifest of a newer version",
        classify(manifest(lambda t: t.replace('"manifest_version": 4', '"manifest_version": 9'))),
        2,
        "manifest version 9; this program knows 4",
        "Update neonext-ascend.",
    ),
    Refusal(
        "a manifest whose file name climbs out",
        classify(manifest(lambda t: t.replace(f'"name": "{ARTIFACT}"', '"name": "../x"'))),
        2,
        "expected a name that stays in the manifest's folder",
        _AGAIN,
    ),
    Refusal(
        "a manifest with a key that stands twice",
        classify(manifest(lambda t: t.replace('"seed": ', '"seed": 7,\n  "seed": ', 1))),
        2,
        "weights.seed stands twice",
        _AGAIN,
    ),
    Refusal("an ONNX file that is cut", classify(cut), 5, "truncated", _COPY),
    Refusal(
        "an ONNX file that is text",
        classify(overwrite("text")),
        2,
        "not an ONNX model",
        _AGAIN,
    ),
    Refusal("an empty ONNX file", classify(overwrite("")), 5, "the file is empty", _AGAIN),
    Refusal(
        "a constant with numbers too few, given to debug",
        debugged(shorten),
        2,
        "has 2300 bytes; 12x3x4x4 of FLOAT takes 2304",
        _AGAIN,
    ),
    Refusal(
        "nodes in a circle, given to debug",
        debugged(lambda model: model.graph.node[0].input.__setitem__(0, model.graph.output[0].name)),
        2,
        "waits for itself",
        _AGAIN,
    ),
    Refusal(
        "external data missing",
        lambda d: external(d, lambda f: (f / "large.onnx.data").unlink()),
        5,
        "large.onnx.data",
        "Keep the `.onnx.data` file beside the `.onnx` file.",
    ),
    Refusal(
        "external data outside the folder",
        lambda d: external(d, point_outside),
        2,
        "outside its folder",
        "Take the file from where it was made.",
    ),
    Refusal(
        "an ONNX file with two inputs",
        lambda d: ["predict", two_inputs(d), sample_pictures()[0]],
        2,
        "turns no pictures into classes",
        "predict and eval take networks with one input (N, 3, H, W).",
    ),
    Refusal(
        "an ONNX file that ends in ArgMax",
        lambda d: ["predict", classifier(d / "a.onnx", CLASS_NUMBER), sample_pictures()[0]],
        2,
        "gives no score for each class",
        "Export it again with the scores as its output.",
    ),
    Refusal(
        "an ONNX file whose Softmax runs over the batch",
        lambda d: ["predict", classifier(d / "a.onnx", OVER_THE_BATCH), sample_pictures()[0]],
        2,
        "does not run over the classes",
        "Export it again with the axis of the classes, 1.",
    ),
    Refusal(
        "a manifest that is a link to nowhere",
        classify(manifest_to_nowhere),
        5,
        "cannot read the manifest: No such file",
        "Fetch what the link leads to; a cache may be half filled.",
    ),
]

CLUSTER = [
    Refusal(
        "Ray, which is not installed",
        lambda d: ["predict", artifact(d), sample_pictures()[0], "--ray", "local"],
        3,
        "--ray needs Ray, which is not installed: pip install '.[ray]' in the checkout",
        "Install the extra.",
    ),
    Refusal(
        "an address that is none",
        lambda d: ["predict", artifact(d), sample_pictures()[0], "--ray", "ray://head:10001"],
        2,
        "--ray ray://head:10001: is no address; expected local, auto, or the HOST:PORT of a cluster's head",
        "Take the address of `ray start`, with its port.",
    ),
    Refusal(
        "a device beside a cluster",
        lambda d: ["predict", artifact(d), sample_pictures()[0], "--ray", "auto", "--device", "1"],
        2,
        "--device 1: Ray gives each worker its NPU",
        "Leave --device out.",
    ),
    Refusal(
        "standard input for a cluster",
        lambda d: ["predict", artifact(d), "-", "--ray", "auto"],
        2,
        "-: standard input is read here, and once",
        "Save the picture to a file first.",
    ),
    Refusal(
        "the file of an evaluation for predictions",
        lambda d: ["predict", artifact(d), sample_pictures()[0], "--resume", write(d / "a", '{"artifacts": []}\n')],
        2,
        "another prediction's file: expected this artifact, its manifest, this runtime and this --top",
        "Give another name.",
    ),
]

PICTURES = [
    Refusal(
        "a picture that is text",
        picture(lambda d: write(d / "a.png", "text")),
        2,
        "not a picture that can be read",
        "Give PNG, JPEG, WebP, BMP, GIF or TIFF.",
    ),
    Refusal(
        "a picture that is cut",
        picture(lambda d: write(d / "a.png", sample_pictures()[0].read_bytes()[:100])),
        5,
        "cannot read the picture",
        _COPY,
    ),
    Refusal("an empty picture file", picture(lambda d: write(d / "a.png", "")), 5, "is empty", _COPY),
    Refusal(
        "a Git LFS pointer in place of a picture",
        picture(lambda d: write(d / "a.png", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")),
        2,
        "a Git LFS pointer in place of the file it stands for",
        "Fetch it: `git lfs pull`.",
    ),
    Refusal(
        "a saved web page in place of a picture",
        picture(lambda d: write(d / "a.jpg", "<!DOCTYPE html><title>Sign in</title>")),
        2,
        "a web page; download the file itself",
        "Download the picture, not the page around it.",
    ),
    Refusal("an absent picture", picture(nothing), 5, "No such file", "Check the path."),
    Refusal(
        "a decompression bomb",
        picture(lambda d: png(d, Image.new("1", (20_000, 10_000)))),
        2,
        "too many pixels",
        "Scale it down first.",
    ),
    Refusal(
        "floating-point pixels",
        picture(lambda d: save_tiff(d)),
        2,
        "floating-point picture has no agreed range",
        "Save it as 8 or 16 bits.",
    ),
    Refusal(
        "a folder without pictures",
        picture(lambda d: empty_folder(d)),
        2,
        "holds no picture",
        "Check the folder.",
    ),
    Refusal("a pipe as picture", picture(fifo), 5, "not a regular file", "Use `-` for standard input."),
]


def save_tiff(folder: Path) -> Path:
    Image.fromarray(np.ones((4, 4), np.float32)).save(folder / "f.tif")
    return folder / "f.tif"


SECTIONS = {
    "Checkpoints": CHECKPOINTS,
    "Options": USAGE,
    "Artifacts": ARTIFACTS,
    "OM": OM,
    "Triton": TRITON,
    "Serving": SERVING,
    "Inspection": INSPECT,
    "Pictures": PICTURES,
    "A cluster": CLUSTER,
}
