"""What a bundle does on a machine with CANN: compile, run, compare, and write the report; no PyTorch and no click."""

from __future__ import annotations

import datetime
import json
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from neonext_ascend.artifacts.manifest import Manifest, manifest_path
from neonext_ascend.artifacts.staging import staged
from neonext_ascend.artifacts.structs import struct
from neonext_ascend.errors import FileAccessError, NeoNextError, ToolchainError, UsageError
from neonext_ascend.exporters.om_file.options import AtcOptions
from neonext_ascend.exporters.om_file.planned import compile_planned
from neonext_ascend.jobs.bundle.profiling import PROFILE, RUNS_ALONE, profile
from neonext_ascend.machine.cann import Cann, find_cann
from neonext_ascend.machine.chips import find_soc
from neonext_ascend.machine.environment import machine, versions
from neonext_ascend.runtimes.acl.runner import AclRunner
from neonext_ascend.spec import TOLERANCES
from neonext_ascend.verify.compare import Array, compare_logits
from neonext_ascend.verify.parity import ParityReport
from neonext_ascend.verify.vouched import held_to_own

OPTIONS, INPUTS, EXPECTED = "options.json", "inputs.npz", "expected.npz"
REPORT = "report"
TIME_LIMIT_S = 3600.0
_TIMED_RUNS = 20


def options_json(options: AtcOptions) -> dict[str, Any]:
    """The form in the bundle."""
    return {
        "soc_version": options.soc.name,
        "precision": options.precision,
        "gears": list(options.gears),
        "aipp": options.aipp,
        "keep_fp32": list(options.keep_fp32),
        "extra": list(options.extra),
        "files": dict(options.files),
    }


def options_of(data: Mapping[str, Any]) -> AtcOptions:
    """Inverse of :func:`options_json`."""
    return AtcOptions(
        find_soc(data["soc_version"]),
        data["precision"],
        tuple(data["gears"]),
        bool(data["aipp"]),
        tuple(data["keep_fp32"]),
        tuple(data["extra"]),
        tuple(sorted(data["files"].items())),
    )


def main(folder: Path, arguments: Sequence[str] = ()) -> int:
    """Carry out the bundle in ``folder``; its exit status. The report is written in any case.

    Args:
        folder: of the bundle.
        arguments: of ``run.py``: none, or ``--profile`` to run msprof behind all else.
    """
    if list(arguments) == [RUNS_ALONE]:
        return _run_alone(folder)
    if list(arguments) not in ([], [PROFILE]):
        sys.stderr.write(f"error: run.py {' '.join(arguments)}: expected nothing or {PROFILE}\n")
        return UsageError.exit_code
    cann = find_cann()
    report: dict[str, Any] = {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "cann": {
            "toolkit": cann.version,
            "ops": cann.ops_version,
            "driver": cann.driver,
            "devices": [device.soc_version for device in cann.devices],
        },
    }
    try:
        report.update(_carry_out(folder, cann, report))
        code = 0 if report["parity"]["passed"] else 1
        if arguments:
            report["profile"] = profile(folder)
        outcome = "passed" if code == 0 else "FAILED: the numbers differ"
    except NeoNextError as error:
        report["error"], code = str(error), error.exit_code
        outcome = f"not finished: {error}"
    except OSError as error:
        report["error"], code = f"{error.filename}: {error.strerror}", FileAccessError.exit_code
        outcome = f"not finished: {report['error']}; unpack the bundle again"
    except Exception as error:
        report["error"], code = traceback.format_exc(), NeoNextError.exit_code
        outcome = f"a bug of neonext-ascend: {error!r}; please report it with report.json"
    report["exit_status"], report["outcome"] = code, outcome
    (folder / f"{REPORT}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    text = "".join(f"{line}\n" for line in _lines(report))
    (folder / f"{REPORT}.txt").write_text(text, encoding="utf-8")
    print(text, end="")  # says nothing, in place of raising, where standard output is closed
    return code


def _carry_out(folder: Path, cann: Cann, report: dict[str, Any]) -> dict[str, Any]:
    packed = json.loads((folder / OPTIONS).read_text(encoding="utf-8"))
    options = options_of(packed)
    planned = _packed_manifest(folder / packed["om"])
    if cann.atc is None:
        raise ToolchainError("atc is missing: source CANN's set_env.sh, and see that the toolkit is installed")
    om, manifest = _compile(folder, planned, options, cann, report)
    if cann.soc_version not in (None, options.soc.name):
        raise ToolchainError(f"compiled, but not run: the OM is for {options.soc.name}, this is a {cann.soc_version}")
    return _run(folder, om, manifest)


def _packed_manifest(artifact: Path) -> Manifest:
    """As :mod:`.bundling` wrote it: numpy is all that is needed here, and no stranger had a hand in it."""
    beside = manifest_path(artifact)
    try:
        return struct(Manifest, json.loads(beside.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise FileAccessError(f"{beside}: not as it was packed ({error}); unpack the bundle again") from None


def _compile(
    folder: Path, planned: Manifest, options: AtcOptions, cann: Cann, report: dict[str, Any]
) -> tuple[Path, Manifest]:
    name = planned.artifact.files[0].name
    assert planned.compilation is not None
    onnx = folder / planned.compilation.onnx.name
    source = _packed_manifest(onnx)
    with staged(folder / "out") as stage:
        compiled, manifest = compile_planned(
            onnx, source, planned, stage.folder, options, cann, time_limit_s=TIME_LIMIT_S, log_folder=folder
        )
        stage.publish(name, manifest_path(Path(name)).name)
    report["compiled"] = {
        "seconds": round(compiled.seconds, 1),
        "bytes": manifest.artifact.files[0].bytes,
        "sha256": manifest.artifact.files[0].sha256,
        "command": list(compiled.argv),
    }
    return folder / "out" / name, manifest


def _run(folder: Path, om: Path, manifest: Manifest) -> dict[str, Any]:
    """Parity with the packed answers, and the median latency of a few runs."""
    bounds, comparisons, latencies = TOLERANCES["int8" if manifest.int8 else "fp16"], [], {}
    with (
        AclRunner(om, manifest=manifest) as runner,
        np.load(folder / INPUTS, allow_pickle=False) as inputs,
        np.load(folder / EXPECTED, allow_pickle=False) as expected,
    ):
        for member in inputs.files:
            what = member.partition(" ")[2]
            feed: Mapping[str, Array] = {runner.inputs[0].name: inputs[member]}
            got = runner.infer(feed)[runner.outputs[0].name]
            comparisons.append(compare_logits(what, got, expected[member], bounds))
            latencies[member] = _median_ms(lambda feed=feed: runner.infer(feed))
        own = held_to_own(om, manifest, lambda _: nullcontext(runner))
        where, against = runner.where, "packed answers of the unfolded network, PyTorch fp32"
        parity = ParityReport(against, runner.name, bounds, tuple(comparisons), (), own=own)
    return {"runtime": where, "om": om.name, "parity": parity.to_json(), "latency_ms": latencies}


def _run_alone(folder: Path) -> int:
    """The OM with its first input, often enough to be timed from outside."""
    try:
        om = folder / "out" / json.loads((folder / OPTIONS).read_text(encoding="utf-8"))["om"]
        with (
            AclRunner(om, manifest=_packed_manifest(om)) as runner,
            np.load(folder / INPUTS, allow_pickle=False) as inputs,
        ):
            feed: Mapping[str, Array] = {runner.inputs[0].name: inputs[inputs.files[0]]}
            for _ in range(_TIMED_RUNS):
                runner.infer(feed)
    except NeoNextError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _median_ms(run: Any) -> float:
    seconds = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return round(1e3 * float(np.median(seconds)), 3)


def _lines(report: Mapping[str, Any]) -> list[str]:
    cann = report["cann"]
    lines = [
        f"outcome   {report['outcome']}",
        f"when      {report['when']}",
        f"machine   {report['machine']['cpu']}",
        f"cann      toolkit {cann['toolkit']}, operators {cann['ops']}, driver {cann['driver']}",
        f"devices   {', '.join(map(str, cann['devices'])) or 'none'}",
    ]
    if "compiled" in report:
        lines.append(f"compiled  {report['compiled']['bytes']} bytes in {report['compiled']['seconds']} s")
    if "parity" in report:
        lines.append(f"runtime   {report['runtime']}")
        for one, latency in zip(report["parity"]["feeds"], report["latency_ms"].values(), strict=True):
            cosine = "not finite" if one["cosine"] is None else f"{one['cosine']:.7f}"
            lines.append(
                f"          {one['what']}: cosine {cosine}, max rel {one['max_rel']}, top-1 {one['top1']:.0%}, "
                f"median {latency} ms{'' if one['passed'] else '  FAILED'}"
            )
        if (own := report["parity"]["own_answers"]) and not own["passed"]:
            lines.append(f"          FAILED: {report['parity']['reasons'][-1]}")
    if "profile" in report:
        lines.append(f"profile   {report['profile'].get('summary') or report['profile']['failed']}")
    return lines
