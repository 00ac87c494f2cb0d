"""The vendor's compiler ``bishengir-compile``: one lowered kernel in, a verdict out.

Its last step, the closed ``hivmc``, is not in the package: the exit status is 1 whatever happens, and a kernel is
accepted when the fully lowered ``module.hivm.opt.mlir`` lies in the folder of ``--save-temps``.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.vendor_compiler.memory_plan import Plan, read_capacity, read_plan

FLAGS = (
    "--enable-auto-multi-buffer=True",
    "--enable-auto-bind-sub-block=True",
    "--enable-hfusion-compile=true",
    "--enable-hivm-compile=true",
    "--enable-triton-kernel-compile=true",
)
LOWERED = "module.hivm.opt.mlir"
OVERFLOW = re.compile(r"overflow, requires \d+ bits while \d+ bits available")
SECONDS = 60
# The compiler dies of a signal about once in a thousand kernels, and takes the same kernel the next time.
TRIES = 3

_ERROR = re.compile(r"^(?:loc\(.*?\): )?error: (.+)$", re.MULTILINE)
_TURNED_OFF = re.compile(r"automatically set enable-([\w-]+) to false and retrying")
# Said after the error that tells something.
_EMPTY = "Failed to run"
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one kernel for one target.

    Attributes:
        accepted: the fully lowered file is there.
        message: why not; empty if accepted.
        turned_off: optimisations that the compiler gave up, in this order, to make the kernel fit.
        plan: bytes planned; ``None`` if refused.
        capacity: bytes that the target has of each buffer; empty if refused.
    """

    accepted: bool
    message: str = ""
    turned_off: tuple[str, ...] = ()
    plan: Plan | None = None
    capacity: tuple[tuple[str, int], ...] = ()

    def to_json(self) -> dict[str, object]:
        """The form in the committed results."""
        return {
            "accepted": self.accepted,
            "message": self.message,
            "turned_off": list(self.turned_off),
            "planned": None if self.plan is None else self.plan.to_json(),
        }


def compiler() -> Path:
    """The binary in the ``ascendnpu-ir`` package."""
    spec = importlib.util.find_spec("ascendnpuir")
    if spec is None or spec.origin is None:
        raise SystemExit("ascendnpuir is not installed in this environment")
    return Path(spec.origin).parent / "bin" / "bishengir-compile"


def compile_kernel(text: str, target: str, folder: Path) -> Verdict:
    """Compile lowered text in a new ``folder``, which then holds all that the compiler left."""
    folder.mkdir(parents=True)
    (folder / "kernel.mlir").write_text(text, encoding="utf-8")
    command = [str(compiler()), "kernel.mlir", "--save-temps=kept", f"--target={target}", *FLAGS, "-o", "kernel.o"]
    lowered = folder / "kept" / LOWERED
    for _ in range(TRIES):
        shutil.rmtree(lowered.parent, ignore_errors=True)
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return Verdict(False, f"no end after {SECONDS} s")
        said = done.stdout + done.stderr
        if done.returncode >= 0 or lowered.is_file() or reason(said):
            break
        print(f"kernels: signal {-done.returncode} and no verdict from the compiler: {folder}", file=sys.stderr)
    turned_off = tuple(_TURNED_OFF.findall(said))
    if not lowered.is_file():
        return Verdict(False, reason(said) or f"exit status {done.returncode} without a message", turned_off)
    module = lowered.read_text(encoding="utf-8")
    return Verdict(True, "", turned_off, read_plan(module), tuple(read_capacity(module).items()))


def reason(said: str) -> str:
    """The error in the compiler's output that says most: an overflow, else the first; empty without any."""
    errors = [error for error in _ERROR.findall(said) if not error.startswith(_EMPTY)]
    overflows = [error for error in errors if OVERFLOW.search(error)]
    first: str = (*overflows, *errors, "")[0]
    return first.partition(" (possible reason")[0][:_LONGEST]
