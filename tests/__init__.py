"""The tests: a folder for each room of the package, and what they share in ``support`` and ``standins``."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
