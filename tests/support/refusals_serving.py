"""Bad requests for a server and for Triton's model: part of the table in tests/support/refusals.py."""

from __future__ import annotations

from pathlib import Path

from neonext_ascend import jobs
from neonext_ascend.data import sample_pictures
from tests.support.refusal_case import Arguments, Refusal, write


def triton(*more: object) -> Arguments:
    """An export of a model for Triton."""
    return lambda folder: ["export", "neonext_nano", "--triton", folder / "models", "-o", folder / "out", *more]


def somebodys(folder: Path) -> Path:
    """A folder of the model's name that holds something else."""
    (folder / "models" / "neonext_nano").mkdir(parents=True)
    write(folder / "models" / "neonext_nano" / "notes.txt", "mine")
    return folder / "models"


def changed(folder: Path) -> Path:
    """A model's folder with a configuration that is not as it was written."""
    (folder / "models" / "neonext_nano").mkdir(parents=True)
    write(folder / "models" / "neonext_nano" / "config.pbtxt", "instance_group [ { count: 2 } ]")
    return folder / "models"


TRITON = [
    Refusal(
        "int8 for Triton",
        lambda folder: triton("--dtype", "int8", "--calibration", folder)(folder),
        2,
        "the parser of ATC, which does not know QDQ",
        "fp32 or fp16.",
    ),
    Refusal(
        "a file as Triton's repository",
        lambda d: ["export", "neonext_nano", "--triton", write(d / "models", "x"), "-o", d / "out"],
        5,
        "models: is not a folder",
        "Give a folder.",
    ),
    Refusal("the vendor's GELU for Triton", triton("--gelu", "npu"), 2, "does not know NPUGeluV2", "`--gelu erf`."),
    Refusal(
        "an OM and Triton's model", triton("--format", "om", "--soc-version", "Ascend310P3"), 2, "give one", "One each."
    ),
    Refusal(
        "several image sizes for Triton",
        triton("--image-sizes", "96,128"),
        2,
        "holds one image size",
        "A call and a folder for each.",
    ),
    Refusal(
        "gears with gaps for Triton",
        triton("--batch-gears", "1,2,4,8"),
        2,
        "each needs a gear",
        "`1,2,3,4,5,6,7,8`, or `--batch-size dynamic`.",
    ),
    Refusal(
        "gears and a batch size for Triton",
        triton("--batch-gears", "1,2", "--batch-size", 2),
        2,
        "a batch is static or free",
        "Leave one out.",
    ),
    Refusal(
        "half precision for nodes that are kept from it",
        triton("--dtype", "fp16", "--keep-fp32", "head.fc", "--precision", "fp16"),
        2,
        "leave it out",
        "Leave `--precision` out.",
    ),
    Refusal(
        "`--precision origin` on a chip whose cube unit lacks the file's dtype",
        triton("--precision", "origin", "--soc-version", "Ascend310P3"),
        2,
        "which the cube unit of Ascend310P3 lacks",
        "`--dtype fp16`, or leave it out.",
    ),
    Refusal("an option of an OM with Triton", triton("--aipp"), 2, "--aipp is of an OM", "Leave it out."),
    Refusal(
        "a folder of the model's name that no export made",
        lambda folder: ["export", "neonext_nano", "--triton", somebodys(folder), "-o", folder / "out"],
        2,
        "holds notes.txt, which no export made",
        "Remove it, or another `--triton DIR`.",
    ),
    Refusal(
        "a configuration of Triton's model that was changed by hand",
        lambda folder: ["export", "neonext_nano", "--triton", changed(folder), "-o", folder / "out"],
        2,
        "was changed since it was written",
        "Move it away, or another `--triton DIR`.",
    ),
]


def exported(folder: Path) -> Path:
    return jobs.export("neonext_nano", verify=False, output=folder).onnx.path


def serve(*more: object) -> Arguments:
    """A server of a file that is not there: what is refused before it is looked for."""
    return lambda folder: ["serve", folder / "absent.onnx", "--port", 0, *more]


SERVING = [
    Refusal("a file to serve that is not there", serve(), 5, "cannot read the artifact", "Check the path."),
    Refusal(
        "a name with a slash",
        lambda folder: ["serve", f"a/b={exported(folder)}", "--port", 0],
        2,
        "'a/b': no model can be served so",
        "Letters, digits, `.`, `_` and `-`.",
    ),
    Refusal(
        "a picture to serve",
        lambda _: ["serve", sample_pictures()[0], "--port", 0],
        2,
        "is a picture; give what export wrote",
        "`predict ARTIFACT PICTURE` classifies it.",
    ),
    Refusal(
        "requests that wait for others until their time is over",
        serve("--max-delay-ms", 2000, "--timeout", 2),
        2,
        "--max-delay-ms 2000: expected less than the timeout's 2000 ms",
        "A shorter delay, or a longer `--timeout`.",
    ),
    Refusal("a device given twice", serve("--device", 1, "--device", 1), 2, "each number once", "Each once."),
    Refusal(
        "one port for REST and gRPC",
        serve("--port", 8000, "--grpc-port", 8000),
        2,
        "is --port as well",
        "Two ports.",
    ),
    Refusal(
        "a model's name in place of a file",
        lambda _: ["serve", "neonext_nano", "--port", 0],
        2,
        "is a model's name; what is served is a file",
        "`neonext-ascend export neonext_nano`, then serve what it wrote.",
    ),
    Refusal(
        "a name that is kept for pictures",
        lambda folder: ["serve", f"digits-pictures={exported(folder)}", "--port", 0],
        2,
        "no model can be served so",
        "A name without `-pictures`: it is served for pictures as well.",
    ),
    Refusal(
        "an ONNX file served on the device",
        lambda folder: ["serve", exported(folder), "--port", 0, "--runtime", "acl"],
        2,
        "--runtime acl opens OM files",
        "Leave `--runtime` out, or serve the OM.",
    ),
    Refusal(
        "an address that is none of this machine's",
        serve("--host", "192.0.2.1"),
        5,
        "192.0.2.1:0: cannot listen there",
        "`--host 0.0.0.0` listens on all.",
    ),
    Refusal("room for no request", serve("--queue", 0), 2, "--queue 0: expected", "1 at least."),
    Refusal(
        "a key of five letters",
        lambda folder: serve("--api-key-file", write(folder / "key", "short\n"))(folder),
        2,
        "expected one line of at least 8",
        "`openssl rand -hex 16 > FILE`.",
    ),
    Refusal(
        "a key for TLS without its certificate",
        lambda folder: serve("--tls-key", write(folder / "key.pem", "x"))(folder),
        2,
        "--tls-cert and --tls-key belong together",
        "Give both.",
    ),
    Refusal(
        "a certificate for TLS that is none",
        lambda folder: serve("--tls-cert", write(folder / "x", "x"), "--tls-key", folder / "x")(folder),
        2,
        "not to be read; expected PEM files",
        "Files that begin with `-----BEGIN`.",
    ),
]
