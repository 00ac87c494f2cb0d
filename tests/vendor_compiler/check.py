"""``python -m tests.vendor_compiler.check``: the fused kernel in the vendor's interpreter and under its compiler.

Needs no CANN and no NPU: the vendor's packages are installed in a new virtual environment, which is gone afterwards.
There the kernel is run in the interpreter against the reference; then every shape of the published networks is
lowered for each target by the vendor's compiler up to its code generator, and what comes of it must be what
``docs/data/vendor_compiler.json`` says. What must be refused is tried as well. ``--json FILE`` writes the results; with
the committed file itself it is renewed. Where the packages cannot be installed it says why and counts as passed, or
as failed with ``NEONEXT_REQUIRE_KERNELS=1``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.environments.environment import ROOT, CannotRun, Environment
from tests.vendor_compiler.bishengir import OVERFLOW
from tests.vendor_compiler.compare import differences, rows

COMMITTED = ROOT / "docs" / "data" / "vendor_compiler.json"
PACKAGES = ("torch==2.13.0", "numpy<2.4", "pybind11", "triton-ascend==3.2.0", "ascendnpu-ir==1.2.0")
RENEW = "python -m tests.vendor_compiler.check --json docs/data/vendor_compiler.json; python -m tools.write_kernel_page"
_START = """\
import os, runpy, sys
sys.dont_write_bytecode = True
os.environ.update({variables!r})
sys.path.insert(0, {root!r})
sys.argv = {arguments!r}
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


def main(arguments: list[str]) -> int:
    """Exit status: 0 all held or nothing could run; 1 something did not hold, or nothing could run and had to."""
    parser = argparse.ArgumentParser(prog="python -m tests.vendor_compiler.check")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    written: Path | None = parser.parse_args(arguments).json
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="neonext-kernels-") as scratch:
        environment = Environment(Path(scratch) / "vendor")
        try:
            _step("install", partial(environment.install, *PACKAGES))
        except CannotRun as reason:
            print(f"kernels: skipped: {reason}", flush=True)
            return int(os.environ.get("NEONEXT_REQUIRE_KERNELS") == "1")
        status = judge(environment, Path(scratch) / "results.json", written)
        print(f"kernels: {time.monotonic() - start:.0f} s in all", flush=True)
        return status


def judge(environment: Environment, file: Path, written: Path | None) -> int:
    """All steps behind the installation; the exit status."""
    _step("interpreter", partial(_module, environment, "interpreter", TRITON_INTERPRET="1"))
    _step("compiler", partial(_module, environment, "inside", str(file)))
    measured: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    wrong = wrong_controls(measured["controls"])
    if written is not None:
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(as_text(measured), encoding="utf-8")
        print(f"kernels: wrote {written}", flush=True)
    if written is None or written.resolve() != COMMITTED:
        wrong += differences(measured, json.loads(COMMITTED.read_text(encoding="utf-8")))
        wrong += [f"if this is meant: {RENEW}"] if wrong else []
    for line in [*summary(measured), *wrong]:
        print(f"kernels: {line}", flush=True)
    return int(bool(wrong))


def wrong_controls(controls: dict[str, Any]) -> list[str]:
    """A line for each control that did not come out as it must."""
    large, unfit = controls["tile far too large"], controls["tiles that do not fit"]
    cut, whole = controls["lowered text cut short"], controls["lowered text"]
    held = {
        f"a tile far too large was to be refused with an overflow: {large}": not large["accepted"]
        and OVERFLOW.search(large["message"]),
        f"a product of tiles that do not fit was to be refused: {unfit}": not unfit["accepted"] and unfit["message"],
        f"lowered text cut short was to be refused: {cut}": not cut["accepted"] and cut["message"],
        f"the same text uncut was to be accepted: {whole}": whole["accepted"],
    }
    return [line for line, good in held.items() if not good]


def summary(measured: dict[str, Any]) -> list[str]:
    """How much was accepted, and what the controls were told."""
    table = rows(measured)
    refused = sorted({row["message"] for row in table.values() if not row["accepted"]})
    return [
        f"{sum(row['accepted'] for row in table.values())} of {len(table)} cases accepted, "
        f"{len(measured['kernels'])} kernels for {len(measured['targets'])} targets",
        *(f"refused: {message}" for message in refused),
        *(f"control: {name}: {c['message'] or 'accepted'}" for name, c in measured["controls"].items()),
    ]


def as_text(results: dict[str, Any]) -> str:
    """JSON with one line for each case and kernel."""
    parts = []
    for name, value in results.items():
        inner = _lines(value) if name in {"cases", "kernels"} else json.dumps(value)
        parts.append(f"{json.dumps(name)}: {inner}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _lines(value: Any) -> str:
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n}"
    return "[\n" + ",\n".join(json.dumps(v) for v in value) + "\n]"


def _module(environment: Environment, name: str, *arguments: str, **variables: str) -> None:
    """Run one of this folder's modules there, on the checkout's own package."""
    module = f"tests.vendor_compiler.{name}"
    # Triton's cache goes with the environment.
    variables["TRITON_CACHE_DIR"] = str(environment.folder / "cache")
    code = _START.format(variables=variables, root=str(ROOT), arguments=[module, *arguments], module=module)
    environment.python(code).expect(0)


def _step(name: str, work: Callable[[], object]) -> None:
    start = time.monotonic()
    work()
    print(f"kernels: {name:20} ok {time.monotonic() - start:6.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
