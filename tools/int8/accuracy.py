"""neonext_nano in float32, fp16 and int8 with each calibrator, on held-out digits and on all of MNIST's subset.

    python -m tools.int8.accuracy [--pictures 5000] [--calibration 256]

Prints the table of docs/int8.md: top-1 with Wilson's 95 % interval; of each form against float32 the pictures that
only one of them has right, McNemar's p, and the upper 95 % bound of the drop. About an hour on one busy core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from neonext_ascend import jobs
from neonext_ascend.evaluate.accuracy import Share
from neonext_ascend.precision.int8.calibrators import CALIBRATORS
from neonext_ascend.spec import FileDtype
from tools.int8.sets import held_out, mnist, training_digits


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tools.int8.accuracy", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=5000, help="of MNIST's subset")
    parser.add_argument("--calibration", type=int, default=256, help="of the training digits")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        calibration = training_digits(folder / "calibration", options.calibration)
        files = {"float32": made("fp32", folder / "fp32"), "fp16": made("fp16", folder / "fp16")}
        for calibrator in CALIBRATORS:
            request = jobs.Int8Request(calibration, calibrator)
            files[f"int8, {calibrator}"] = made("int8", folder / calibrator, request)
        print("| | pictures | top-1 | only float32, only it | McNemar p | drop, upper bound |")
        print("|---|---|---|---|---|---|")
        for what, pictures in (
            ("held-out digits", held_out(folder / "held-out")),
            ("MNIST", mnist(folder / "mnist", options.pictures)),
        ):
            found = jobs.evaluate(list(files.values()), pictures)
            against = {pair.second: pair for pair in found.pairs if pair.first == 0}
            for number, (form, accuracy) in enumerate(zip(files, found.artifacts, strict=True)):
                cells = ["", "", ""]
                if number in against:
                    pair = against[number]
                    counts = f"{pair.only_first}, {pair.only_second}"
                    cells = [counts, f"{pair.p_value:.2g}", f"{pair.drop.high:.2f} points"]
                row = [form, f"{accuracy.top1.images} {what}", percent(accuracy.top1), *cells]
                print(f"| {' | '.join(row)} |", flush=True)
    return 0


def made(dtype: FileDtype, folder: Path, int8: jobs.Int8Request | None = None) -> Path:
    """The ONNX file of nano."""
    return jobs.export("neonext_nano", dtype=dtype, int8=int8, output=folder).onnx.path


def percent(share: Share) -> str:
    """``43.4 % (40.4 to 46.5)``."""
    low, high = share.interval
    return f"{100 * share.value:.2f} % ({100 * low:.2f} to {100 * high:.2f})"


if __name__ == "__main__":
    sys.exit(main())
