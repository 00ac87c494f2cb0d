"""Bad requests for an OM, and OM files that cannot be run: part of the table in tests/support/refusals.py."""

from __future__ import annotations

import os
from pathlib import Path

from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from tests.support.refusal_case import Arguments, Refusal, write

SOC = ("--soc-version", "Ascend310P3")


def om(*more: object) -> Arguments:
    """An export of an OM."""
    return lambda folder: ["export", "neonext_nano", "--format", "om", "-o", folder / "out", *more]


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "waits")
    return folder / "waits"


OM = [
    Refusal(
        "an unknown chip",
        om("--soc-version", "Ascend310Z9"),
        2,
        "did you mean Ascend310P3?",
        "`Ascend` and the name from `npu-smi info`.",
    ),
    Refusal(
        "the old 910's name for an Atlas A2",
        om("--soc-version", "Ascend910B"),
        2,
        "take Ascend910B1 to Ascend910B4",
        "`Ascend` and the name from `npu-smi info`.",
    ),
    Refusal(
        "the vendor's GELU without a chip",
        lambda folder: ["export", "neonext_nano", "--gelu", "npu", "-o", folder / "out"],
        2,
        "--format om and --soc-version",
        "Name the chip that it is for, a 910B, or leave `--gelu` out.",
    ),
    Refusal(
        "the vendor's GELU for a chip of which nobody knows that it has it",
        om("--gelu", "npu", *SOC),
        2,
        "is not established",
        "Leave `--gelu` out.",
    ),
    Refusal("no chip", om(), 2, "--format om needs --soc-version", "Name the chip."),
    Refusal(
        "a chip without an OM",
        lambda _: ["export", "neonext_nano", *SOC],
        2,
        "--soc-version is of an OM or the deploy form; give --format om or --format deploy with it",
        "Give `--format om`, or `--format deploy`.",
    ),
    Refusal(
        "a chip for int8 of a file, without the deploy form",
        lambda _: ["export", "net.onnx", "--dtype", "int8", "--calibration", "pictures", *SOC],
        2,
        "give --format deploy with it",
        "Give `--format deploy`.",
    ),
    Refusal(
        "a dynamic batch", om(*SOC, "--batch-size", "dynamic"), 2, "give --batch-gears", "`--batch-gears 1,2,4,8`."
    ),
    Refusal(
        "gears and a batch size", om(*SOC, "--batch-size", 2, "--batch-gears", "1,2"), 2, "E10009", "Leave one out."
    ),
    Refusal("one gear", om(*SOC, "--batch-gears", "4"), 2, "E10035", "Two gears at least, or `--batch-size 4`."),
    Refusal("a gear twice", om(*SOC, "--batch-gears", "4,4"), 2, "E10039", "Name each once."),
    Refusal(
        "101 gears", om(*SOC, "--batch-gears", ",".join(map(str, range(1, 102)))), 2, "E10036", "At most 100 gears."
    ),
    Refusal("gears in words", om(*SOC, "--batch-gears", "one,two"), 2, "expected batch sizes", "`1,2,4,8`."),
    Refusal("an image size twice", om(*SOC, "--image-sizes", "96,96"), 2, "names a size twice", "Name each once."),
    Refusal(
        "an image size and image sizes",
        om(*SOC, "--image-size", 96, "--image-sizes", "96,128"),
        2,
        "give one",
        "Leave one out.",
    ),
    Refusal(
        "dynamic image sizes",
        om(*SOC, "--atc-arg", "--dynamic_image_size=96,96;128,128"),
        2,
        "A and B of NeoCell are constants of H and W",
        "`--image-sizes 96,128`: an OM for each.",
    ),
    Refusal(
        "both precision flags",
        om(*SOC, "--atc-arg", "--precision_mode=force_fp16"),
        2,
        "E10056",
        "`--precision` alone.",
    ),
    Refusal("a precision that is none", om(*SOC, "--precision", "int4"), 2, "int4", "`neonext-ascend export --help`."),
    Refusal(
        "fp32 kept in fp32 anyway",
        om(*SOC, "--precision", "origin", "--keep-fp32", "x"),
        2,
        "void with --precision origin",
        "Leave one out.",
    ),
    Refusal(
        "an unknown node",
        om(*SOC, "--keep-fp32", "stem"),
        2,
        "has no such node; near ones: stem.conv",
        "Take the ONNX file's node names.",
    ),
    Refusal(
        "an unknown node of an ONNX file",
        lambda folder: ["export", "neonext_nano", "--dtype", "fp16", "--keep-fp32", "head", "-o", folder / "out"],
        2,
        "--keep-fp32 head: expected a node of the graph, such as head.ln",
        "Take a name of those.",
    ),
    Refusal(
        "nodes in fp32 of an fp16 file",
        om(*SOC, "--dtype", "fp16", "--keep-fp32", "stem.conv"),
        2,
        "give --dtype fp32 with it",
        "`--dtype fp32`.",
    ),
    Refusal(
        "an fp32 file kept on a 310P",
        om(*SOC, "--precision", "origin"),
        2,
        "the cube unit of Ascend310P3 lacks",
        "`--dtype fp16`, or another `--precision`.",
    ),
    Refusal(
        "a flag's file that is absent",
        om(*SOC, "--atc-arg", "--op_precision_mode=absent.ini"),
        5,
        "cannot read absent.ini",
        "Check the path.",
    ),
    Refusal(
        "a flag's file that is a pipe without a writer",
        lambda d: om(*SOC, "--atc-arg", f"--op_precision_mode={fifo(d)}")(d),
        5,
        "is not a regular file; expected a text file",
        "Save it to a file first.",
    ),
    Refusal(
        "a dry run into a folder that atc refuses",
        lambda d: ["export", "neonext_nano", "--format", "om", "-o", d / "my models", *SOC, "--dry-run"],
        2,
        "my models/neonext_nano-96-b1-fp32.onnx: atc takes no ' ' in a path (E10001)",
        "Give `-o` a folder whose path holds A-Z a-z 0-9 . _ - and Chinese characters alone.",
    ),
    Refusal(
        "a time limit without end", om(*SOC, "--time-limit", "inf"), 2, "expected a finite number", "Give seconds."
    ),
    Refusal("an archive of another kind", om(*SOC, "--bundle", "x.zip"), 2, "ends in .tar.gz", "`FILE.tar.gz`."),
    Refusal("a dry run and a bundle", om(*SOC, "--dry-run", "--bundle", "x.tar.gz"), 2, "give one", "Leave one out."),
    Refusal(
        "an OM without atc",
        om(*SOC),
        3,
        "atc is missing",
        "Source CANN's `set_env.sh`; or `--dry-run`, or `--bundle FILE.tar.gz`.",
    ),
    Refusal(
        "an absent OM",
        lambda d: ["predict", d / "x.om", write(d / "x.png", b"x")],
        5,
        "No such file",
        "Check the path.",
    ),
    Refusal(
        "an empty OM",
        lambda d: ["predict", write(d / "x.om", b""), write(d / "x.png", b"x")],
        5,
        "empty",
        "Compile it again.",
    ),
    Refusal(
        "an OM without pyACL",
        lambda d: ["predict", write(d / "x.om", b"x"), write(d / "x.png", b"x")],
        3,
        "acl",
        "Source CANN's `set_env.sh`, or run it in the `ascend` image.",
    ),
    Refusal(
        "an OM in ONNX Runtime",
        lambda d: ["verify", write(d / "x.om", b"x"), "--runtime", "ort"],
        2,
        "for this file take acl",
        "Leave `--runtime` out.",
    ),
    Refusal(
        "a model on an NPU without torch_npu",
        lambda _: ["verify", "neonext_nano", "--runtime", "npu"],
        3,
        "torch_npu",
        "Install the torch_npu of your PyTorch: see `neonext-ascend doctor`.",
    ),
]


def relu(folder: Path) -> Path:
    """A file of one node."""
    ports = [make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = make_graph([make_node("Relu", ["x"], ["y"], name="relu")], "g", ports[:1], ports[1:])
    model = make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)
    return write(folder / "x.onnx", model.SerializeToString())


INSPECT = [
    Refusal(
        "an absent file",
        lambda d: ["inspect", d / "x.onnx", *SOC],
        5,
        "no such file",
        "Check the path.",
    ),
    Refusal(
        "a text file",
        lambda d: ["inspect", write(d / "x.onnx", "hello"), *SOC],
        2,
        "not an ONNX model",
        "Give an ONNX file.",
    ),
    Refusal(
        "measured times in a table that is not msprof's",
        lambda d: ["inspect", relu(d), *SOC, "--measured", write(d / "op.csv", "name,time\na,1\n")],
        2,
        "has no column 'Op Name'",
        "Give `op_summary_*.csv`.",
    ),
    Refusal(
        "measured times of another model",
        lambda d: ["inspect", relu(d), *SOC, "--measured", write(d / "op.csv", "Op Name,Task Duration(us)\na,1\n")],
        2,
        "none of its 1 operator is a node of the file",
        "Give the file whose OM was measured.",
    ),
    Refusal("an unknown chip", lambda d: ["inspect", d / "x.onnx", "--soc-version", "310"], 2, "310", "See `npu-smi`."),
]
