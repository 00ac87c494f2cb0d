"""How often the interval of ``neonext-ascend benchmark`` holds 1 where the same artifact is given twice.

    python -m benchmarks.measure.same_twice [ARTIFACT] [--runs 20] [--seconds S] [--threads 1] [--quick] [--json FILE]

Without ARTIFACT neonext_nano is exported. A 95 % interval should hold 1 in 19 of 20 runs; the bound leaves one for
chance.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure.machine import describe_machine, machine_text
from benchmarks.outcome import Bound, conclude, parser_for, positive

RUNS, QUICK_RUNS, SECONDS, SMALLEST_SHARE = 20, 2, 4.0, 0.9
COMMAND = (sys.executable, "-m", "neonext_ascend")


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = parser_for("same_twice", __doc__)
    parser.add_argument("artifact", nargs="?", help="an ONNX file, or a model's name")
    parser.add_argument("--runs", type=positive, help=f"of the command; {RUNS}, and {QUICK_RUNS} with --quick")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of timed runs in each")
    parser.add_argument("--threads", type=positive, default=1)
    options = parser.parse_args()
    runs = options.runs or (QUICK_RUNS if options.quick else RUNS)
    machine = describe_machine()
    print(machine_text(machine))
    with tempfile.TemporaryDirectory() as folder:
        artifact = options.artifact or _export(Path(folder))
        arguments = (artifact, artifact, "--seconds", str(options.seconds), "--threads", str(options.threads))
        ratios = []
        for number in range(runs):
            ratio = _run(*arguments)
            ratios.append(ratio)
            verdict = "holds 1" if _holds_one(ratio) else "MISSES 1"
            print(f"{number + 1:3}  {ratio['median']:.4f} ({ratio['low']:.4f} to {ratio['high']:.4f})  {verdict}")
    held = sum(map(_holds_one, ratios))
    print(f"{held} of {len(ratios)} intervals hold 1")
    bound = Bound("share of intervals that hold 1", held / len(ratios), "at least", SMALLEST_SHARE)
    figures = {"quick": options.quick, "seconds": options.seconds, "held": held, "ratios": ratios}
    return conclude("same_twice", machine, figures, [bound], options.json)


def _export(folder: Path) -> str:
    subprocess.run([*COMMAND, "export", "neonext_nano", "-o", str(folder)], stdout=subprocess.DEVNULL, check=True)
    return str(folder / "neonext_nano-96-b1-fp32.onnx")


def _run(*arguments: str) -> dict[str, float]:
    done = subprocess.run([*COMMAND, "benchmark", *arguments, "--json"], stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    ratio: dict[str, float] = result["artifacts"][1]["ratio"]
    return ratio


def _holds_one(ratio: dict[str, float]) -> bool:
    return ratio["low"] <= 1 <= ratio["high"]


if __name__ == "__main__":
    sys.exit(main())
