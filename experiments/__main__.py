"""``python -m experiments [NAME...]``: run them, each with its time; all by default."""

from __future__ import annotations

import importlib
import sys
import time

NAMES = (
    "table_1",
    "signal_preservation",
    "receptive_field",
    "resampling",
    "cost_curves",
    "block_diagonal",
    "neoinit_digits",
    "architecture_digits",
)


def main(asked: list[str]) -> int:
    """Exit status: 0 all held; 1 one found something else than the paper; 2 there is no such experiment."""
    if unknown := sorted(set(asked) - set(NAMES)):
        print(f"experiments: no {', '.join(unknown)}; one or more of {', '.join(NAMES)}", file=sys.stderr)
        return 2
    held = True
    for name in asked or NAMES:
        start = time.monotonic()
        print(f"== {name}", flush=True)
        held &= bool(importlib.import_module(f"experiments.{name}").main())
        print(f"== {name}: {time.monotonic() - start:.1f} s\n", flush=True)
    return int(not held)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
