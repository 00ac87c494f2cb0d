"""Every benchmark, and the page made of what they leave.

    python -m benchmarks.run [--quick] [--sections NAME...] [--into DIR] [--strict]

Each section runs in a process of its own and leaves ``benchmarks/results/NAME.json``; then ``docs/benchmarks.md`` and
its plots are written from these files alone. A trial (``--quick``) goes into ``artifacts``, so that it never takes the
place of measured figures. A missed bound is printed and on the page; with ``--strict`` it also gives exit status 1.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.sections import RESULTS, ROOT, SECTIONS, read_documents

TRIAL = ROOT / "artifacts"


def main() -> int:
    """Run, write, and give the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repeats: a trial, its figures mean nothing")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="NAME")
    parser.add_argument("--into", type=Path, metavar="DIR", help="where to write; the repository, or artifacts")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a bound is missed")
    options = parser.parse_args()
    into: Path = options.into or (TRIAL if options.quick else ROOT)
    start = time.monotonic()
    failed = [name for name in options.sections if not _measured(name, ["--quick"] * options.quick, into)]
    if failed:
        print(f"not measured: {', '.join(failed)}; the page is left as it was", file=sys.stderr)
        return 2
    # In a process of its own too: it imports what draws, which no measurement should meet.
    subprocess.run([sys.executable, "-m", "benchmarks.page.document", "--root", str(into)], cwd=ROOT, check=True)
    documents = read_documents(into)
    missed = [bound["what"] for document in documents.values() for bound in document["bounds"] if not bound["holds"]]
    print(f"{(time.monotonic() - start) / 60:.1f} minutes; {len(missed)} bounds missed")
    for what in missed:
        print(f"  MISSED  {what}")
    return 1 if missed and options.strict else 0


def _measured(name: str, arguments: Sequence[str], into: Path) -> bool:
    """Whether the section left its document; a missed bound and a crash both end with 1."""
    print(f"\n== {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.measure.{name}", "--json", str(document), *arguments]
        subprocess.run(command, cwd=ROOT, check=False)
        if not document.exists():
            return False
        (into / RESULTS).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(document, into / RESULTS / document.name)
    return True


if __name__ == "__main__":
    sys.exit(main())
