"""The stand-in ``msprof``: ``python -m tests.standins.msprof --output=DIR PROGRAM ...``.

It runs the program, and leaves a table of operators where the vendor's page has it, in the documented columns: a row
for each node of the ONNX file beside the program, in each of two runs. STANDIN_MSPROF_FAULT makes it fail: ``status``
leaves nothing, ``empty`` a table without rows.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import onnx

# fmt: off
COLUMNS = (
    "Device_id", "Model ID", "Task ID", "Stream ID", "Op Name", "OP Type", "OP State", "Task Type",
    "Task Start Time(us)", "Task Duration(us)", "Task Wait Time(us)", "Block Num", "Input Shapes", "Output Shapes",
    "aicore_time(us)",
)
# fmt: on
RUNS = 2


def write_summary(path: Path, rows: list[tuple[str, str, float]]) -> Path:
    """A table of these names, types and times, each measured twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number, (name, kind, time) in enumerate(rows * RUNS):
            # A tab keeps a spreadsheet from rounding the start, as the vendor's tables have it.
            start = f"{1700000000000 + 10 * number}.5\t"
            state = ("static", "AI_CORE", start, time, 0.5, 8, '"1,3,8,8"', "", "N/A")
            writer.writerow([0, 1, number, 3, name, kind, *state])
    return path


def main() -> int:
    """The whole run; its exit status."""
    output = Path(sys.argv[1].removeprefix("--output="))
    done = subprocess.run(sys.argv[2:], check=False)
    fault = os.environ.get("STANDIN_MSPROF_FAULT")
    if done.returncode or fault == "status":
        print("[ERROR] the application failed", file=sys.stderr)
        return done.returncode or 1
    (model,) = Path(sys.argv[3]).parent.glob("*.onnx")
    nodes = onnx.load(model, load_external_data=False).graph.node
    rows = [(node.name, node.op_type, 5.0) for node in nodes] if fault != "empty" else []
    write_summary(output / "PROF_000001" / "mindstudio_profiler_output" / "op_summary_20261126083000.csv", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
