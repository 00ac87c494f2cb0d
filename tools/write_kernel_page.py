"""Write docs/kernels.md from what the vendor's compiler made of the fused kernel, docs/data/vendor_compiler.json.

python -m tools.write_kernel_page
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.vendor_compiler.compare import BUFFERS, rows

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "kernels.md"
RESULTS = DOCS / "data" / "vendor_compiler.json"
_HEAD = """# The fused kernel

Made by `python -m tools.write_kernel_page` from `docs/data/vendor_compiler.json`, which
`python -m tests.vendor_compiler.check` measures.

## What it does

NeoCell is `Y = A X B` for each channel ([lowering](lowering.md)). As two matrix products it writes `A X` to memory and
reads it again, and A and B must be built in memory first. The fused kernel (`kernels/triton_kernels.py`, launched from
`kernels/triton_neocell.py`) does it in one pass, one launch for each cell size: it reads X, makes the blocks of A and B
from the cells where it needs them, and writes Y. The backward pass takes two launches, one for the gradient of X and
one for those of the cells. Shifts are part of it.

It is written in Triton, for CUDA and, through triton-ascend, for an NPU. In eager inference and in training it is used
where Triton is installed for the device; everywhere else the two matrix products are (`kernels/fused.py` decides), and
the numbers are the same within rounding. Where the kernel runs there is a first derivative, no second one and no
`vmap`. Exported ONNX and OM files hold matrix products and nothing of this kernel.

## What the vendor's compiler says

The table was made without an NPU and without CANN, by two packages of the vendor: triton-ascend lowers the kernel to
its `ttadapter` form, and `bishengir-compile` of ascendnpu-ir lowers that for a chip, with its plan of the memory, with
double buffers and synchronisation. *Accepted* means that the compiler went through all of this and left the fully
lowered file, up to the code generator. The code generator itself, `hivmc`, is not in the package.

**Accepted does not mean that the kernel ran on an NPU. It has not, and no speed follows from this page.** That the
numbers are right is tested in triton-ascend's interpreter, on the CPU, in fp32 and fp16 (it computes bf16 wrongly).

Try it; the packages go into a virtual environment of their own, which is gone afterwards:

```sh
python -m tests.vendor_compiler.check
```

It fails where a kernel is no longer accepted, and where a number below is no longer the one measured. It also tries
what must be refused:

"""
_TABLE = """
## The table

Bytes planned for one core, read from the lowered file: the highest end of any buffer in each memory. UB belongs to the
vector cores; L1, L0A, L0B and L0C to the cube core. The workspace lies in global memory and is counted for each block:
between a product and what follows it, data go through it. Where one direction launches several kernels the largest
number counts.{l0}

The channels and the batch are arguments of a kernel, and equal kernels are compiled once: {count} different ones for
each target. The batch decides how many small maps share a tile; tried were {batches}.
Shapes whose results differ in nothing share a row.

"""
_NO_L0 = """ The files plan nothing in L0A and L0B: their products are calls to a library of the compiler's, with
operands in L1."""


def kernel_page(results: dict[str, Any]) -> str:
    """The page's text."""
    packages = ", ".join(f"{name} {version}" for name, version in results["packages"].items())
    table = rows(results)
    accepted = sum(row["accepted"] for row in table.values())
    l0 = any(row["planned"]["l0a"] or row["planned"]["l0b"] for row in table.values() if row["accepted"])
    tried = {dtype: "/".join(str(batch) for batch in batches) for dtype, batches in results["batches"].items()}
    return "".join(
        [
            _HEAD,
            _table(("given", "what the compiler says"), _controls(results)),
            f"\nVersions: {packages}.\n\nFlags of `bishengir-compile`, besides `--target`:\n\n",
            "```text\n" + "\n".join(results["flags"]) + "\n```\n",
            _TABLE.format(
                count=len(results["kernels"]),
                l0="" if l0 else _NO_L0,
                batches=", ".join(f"{dtype} with {batches}" for dtype, batches in tried.items()),
            ),
            _table(("one core has", *_words(BUFFERS[:-1])), _capacities(results)),
            f"\n{accepted} of {len(table)} combinations of shape, direction, dtype and target are accepted.\n\n",
            _table(
                ("map", "cells", "channels", "direction", "dtype", "target", "accepted", *_words(BUFFERS)),
                _shapes(table),
            ),
            "\nWhich networks have which shape:\n\n",
            _table(("map", "cells", "channels", "stages"), _stages(results)),
        ]
    )


def _controls(results: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    for name, verdict in results["controls"].items():
        yield name, "accepted" if verdict["accepted"] else f"refused: `{verdict['message']}`"


def _capacities(results: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    for target, capacity in results["targets"].items():
        yield target, *(f"{capacity[name]:,}" for name in BUFFERS[:-1])


def _shapes(table: dict[tuple[str, ...], dict[str, Any]]) -> Iterable[tuple[str, ...]]:
    """Targets with equal results are one row, and so are channels with equal rows."""
    targets: dict[tuple[str, ...], list[str]] = {}
    for (channels, size, cells, direction, dtype, target), row in table.items():
        key = (channels, size, cells, direction, dtype, *_said(row))
        targets.setdefault(key, []).append(target)
    channels_of: dict[tuple[str, ...], list[str]] = {}
    for (channels, size, cells, direction, dtype, *said), names in targets.items():
        key = (size, cells.removeprefix("cells "), direction, dtype, ", ".join(names), *said)
        channels_of.setdefault(key, []).append(channels.removesuffix(" channels"))
    for size, cells, *rest in sorted(channels_of, key=_largest_first):
        yield size, cells, ", ".join(channels_of[size, cells, *rest]), *rest


def _said(row: dict[str, Any]) -> tuple[str, ...]:
    """Whether a case is accepted, and its bytes."""
    said = "yes" if row["accepted"] else f"no: {row['message']}"
    if row["turned_off"]:
        said += f", without {' and '.join(row['turned_off'])}"
    return said, *(f"{row['planned'][name]:,}" if row["planned"] else "" for name in BUFFERS)


def _largest_first(row: tuple[str, ...]) -> int:
    return -int(row[0].partition("x")[0])


def _stages(results: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    seen = {}
    for case in results["cases"]:
        shape = case["shape"]
        height, width = shape["map"]
        cells = "+".join(str(size) for size in shape["cells"]) + " shifted" * shape["shift"]
        seen[f"{height}x{width}", cells, str(shape["channels"])] = ", ".join(case["stages"])
    for key in sorted(seen, key=_largest_first):
        yield *key, seen[key]


def _words(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name if name == "workspace" else name.upper() for name in names)


def _table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    marks = "|".join("---" for _ in head)
    # A bar would end the cell.
    body = "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
    return f"| {' | '.join(head)} |\n|{marks}|\n{body}"


def main() -> None:
    """Write it."""
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(kernel_page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
