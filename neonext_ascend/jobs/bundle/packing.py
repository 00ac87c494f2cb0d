"""A bundle: all that a machine with CANN needs to make an OM, run it and compare, in one archive.

It holds the ONNX file with its manifest, the OM's manifest to be, ATC's configuration files and command, inputs with
the unfolded network's answers, this package's own code without its weights, and ``run.py``, which starts
:mod:`neonext_ascend.jobs.bundle.running` there. The same call gives the same bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import shlex
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import neonext_ascend
from neonext_ascend.artifacts.manifest import Manifest, manifest_path
from neonext_ascend.artifacts.staging import sha256_of, staged
from neonext_ascend.checkpoints.loading import LoadedNetwork
from neonext_ascend.data import sample_pictures
from neonext_ascend.exporters.om_file.command import atc_command
from neonext_ascend.exporters.om_file.options import AtcOptions
from neonext_ascend.jobs.bundle.running import EXPECTED, INPUTS, OPTIONS, options_json
from neonext_ascend.jobs.gating import Gated
from neonext_ascend.jobs.making.om_file import check_accepted, planned_manifest
from neonext_ascend.jobs.making.onnx_file import OnnxExport
from neonext_ascend.verify.feeds import Feed, feeds_for
from neonext_ascend.verify.subject import Subject

_RUN = '''"""Compile the ONNX file beside this script, run it on the NPU, compare; writes report.json and report.txt."""

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if sys.version_info < (3, 11) or importlib.util.find_spec("numpy") is None:
    sys.stderr.write("error: run.py needs Python 3.11 or newer with numpy; this is Python %s: take another python3\\n"
                     % sys.version.split()[0])
    sys.exit(3)
sys.path.insert(0, str(HERE / "lib"))

from neonext_ascend.jobs.bundle.running import main

sys.exit(main(HERE, sys.argv[1:]))
'''
_README = """What this is
  {name}: an ONNX file of NeoNeXt with all that is needed to make an OM of it and to check that OM on an Ascend NPU.

What to do, on a machine with CANN, its device and Python 3.11 or newer with numpy
  source /usr/local/Ascend/ascend-toolkit/set_env.sh     (from CANN 8.5 also /usr/local/Ascend/cann/set_env.sh)
  python3 run.py             (or: python3 run.py --profile, which then also runs the vendor's msprof)

What you get
  out/{name}       the OM, with its manifest
  report.txt       what ran where, and how far it is from PyTorch's answers
  report.json      the same for programs; please attach both to your report
  op_summary.csv   with --profile: the time of each operator; neonext-ascend inspect FILE.onnx --soc-version NAME
                   --measured op_summary.csv holds it against the estimate
  Exit status: 0 the numbers agree; 1 they differ; 2 ATC refuses the file; 3 a tool or the device is missing; 5 a file
  cannot be read or written; 70 a bug of ours.

What ATC is called with, for a try by hand in this folder, if its path is of A-Z a-z 0-9 . _ - and Chinese characters
(atc refuses others, E10001; run.py works in any folder)
  mkdir -p out && {command}
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was packed: the archive, its SHA-256 and size in bytes, the folder inside, and what the gate said."""

    path: Path
    sha256: str
    nbytes: int
    top: str
    gated: Gated | None = None

    def to_json(self) -> dict[str, Any]:
        """The archive's entry in ``--json``."""
        gated = None if self.gated is None else self.gated.to_json()
        path = str(self.path.absolute())
        return {"path": path, "format": "bundle", "sha256": self.sha256, "bytes": self.nbytes, "gate": gated}


def write_bundle(
    path: Path, loaded: LoadedNetwork, made: OnnxExport, options: AtcOptions, command: Sequence[str] = ()
) -> Bundle:
    """Pack a verified ONNX file for a machine with CANN.

    Args:
        path: of the archive, ``.tar.gz``.
        loaded: the network.
        made: its ONNX file.
        options: of ATC, carried out there.
        command: recorded in the manifest.

    Raises:
        UsageError, ArtifactError: the pre-check refuses the file.
        FileAccessError: the archive cannot be written.
    """
    check_accepted(made.path, options)
    subject = Subject(loaded.network)
    planned = planned_manifest(subject, made, options, command)
    top = planned.artifact.files[0].name.removesuffix(".om")
    with staged(path.parent) as stage:
        temporary = stage.folder / path.name
        with (
            temporary.open("wb") as file,
            gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for source in (made.path, *(made.path.with_name(f.name) for f in made.manifest.artifact.files[1:])):
                archive.add(source, f"{top}/{source.name}", filter=_plain)
            for name, data in _members(subject, made, options, planned):
                archive.addfile(_plain(_member(f"{top}/{name}", len(data))), io.BytesIO(data))
        digest, nbytes = sha256_of(temporary), temporary.stat().st_size
        stage.publish(path.name)
    return Bundle(path, digest, nbytes, top)


def _members(subject: Subject, made: OnnxExport, options: AtcOptions, planned: Manifest) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each small member."""
    name, onnx = planned.artifact.files[0].name, made.manifest
    atc = atc_command(
        Path(made.path.name),
        Path("out") / name.removesuffix(".om"),
        onnx.inputs[0],
        options,
        work=Path("atc"),
        preprocessing=onnx.preprocessing,
    )
    yield "run.py", _RUN.encode()
    yield "README.txt", _README.format(name=name, command=shlex.join(atc.argv)).encode()
    yield manifest_path(made.path).name, _json(onnx.to_json())
    yield manifest_path(Path(name)).name, _json(planned.to_json())
    yield OPTIONS, _json({"om": name, **options_json(options)})
    for file, text in sorted(atc.files.items()):
        yield f"atc/{file}", text.encode()
    feeds = list(_feeds(onnx, planned, options))
    reference = subject.runner()
    expected = [reference.infer({reference.inputs[0].name: feed.array})[reference.outputs[0].name] for feed in feeds]
    spec = planned.inputs[0]
    yield INPUTS, _npz({_key(i, feed): feed.for_input(spec).astype(spec.dtype) for i, feed in enumerate(feeds)})
    yield EXPECTED, _npz({_key(i, feed): expected[i] for i, feed in enumerate(feeds)})
    package = Path(str(neonext_ascend.__file__)).parent
    for source in sorted(package.rglob("*.py")):
        yield f"lib/neonext_ascend/{source.relative_to(package)}", source.read_bytes()


def _feeds(onnx: Manifest, planned: Manifest, options: AtcOptions) -> Iterator[Feed]:
    return feeds_for(
        onnx.inputs[0].shape, planned.preprocessing, sample_pictures(), batches=tuple(options.gears) or (1,)
    )


def _key(number: int, feed: Feed) -> str:
    """Two feeds may be of one kind; the number keeps them apart."""
    return f"{number:02d} {feed.what}"


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type] # numpy's stub takes the names for its own options
    return buffer.getvalue()


def _json(data: object) -> bytes:
    return (json.dumps(data, indent=1) + "\n").encode()


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without owner and time, so that the same call gives the same bytes."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
