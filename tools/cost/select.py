"""Select the figures that the cost model is fitted on, or held against, from a table of published ones.

python -m tools.cost.select TABLE.csv

writes ``published.csv`` and ``published_int8.csv``, in the order of the table. Of its rows those are taken which

- are of a 310P (``Ascend310P3`` or ``Ascend310P``), in fp16, marked ok, of a page as it stands today (``HEAD``), and
  images a second of a classifier (cnn, vit, hybrid or mlp);
- name a network whose graph ``tools/cost/graphs.py`` can make at that image size. SK-ResNet-50 is left out, as its
  row is of another network than timm's, and VOLO, which does not export.

Beside them those rows of other chips to which the fit is transferred, under the same conditions: of Ascend310B1 (one
page names it Ascend310B), and of one card of an Atlas 800T A2, where an OM ran; its page is of a mirror of April 2026.

They are marked: ``aipp``, where the chip's preprocessor makes the input (``--insert_op_conf``); ``edited``, where the
page changes the graph before it compiles it (``opt_onnx.py``); ``small_channel`` and ``fast_sigmoid``, by the flags of
those names (``--optypelist_for_implmode=Sigmoid``); and ``fitted``. Fitted are all rows of Ascend310P3, and those of
Ascend310P whose network has no row of Ascend310P3. ConvNeXt is in no fit: NeoNeXt's nearest relative is to be met
unseen.

In int8, which few pages have, rows of Ascend310P3 by the same conditions, of any revision of a page.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.cost.figures import FIGURES, INT8_FIGURES
from tools.cost.graphs import GRAPHS

# fmt: off
COLUMNS = (
    "graph", "batch", "images_per_second", "aipp", "edited", "small_channel", "fast_sigmoid", "fitted", "chip",
    "source", "revision",
)
# fmt: on
CLASSES = ("cnn", "vit", "hybrid", "mlp")
OTHERS = ("Ascend310B1", "Ascend310B", "Ascend910B (Atlas 800T A2, one card)")
BEST, SAME_DIE, HELD_OUT = "Ascend310P3", "Ascend310P", ("convnext_tiny",)

Row = Mapping[str, str]


def graph_of(row: Row) -> str | None:
    """The graph that a row is of; ``None`` where there is none."""
    if row["variant_notes"] in GRAPHS:
        return row["variant_notes"]
    model = "res2net101d" if "deep stem" in row["variant_notes"] else row["model"]
    found = re.search(r"x3x(\d+)x", row["input"]) or re.search(r"(\d+)x\d+$", row["input"])
    height = int(found[1]) if found else 0
    names = (model, f"{model}@{height}")
    return next((name for name in names if name in GRAPHS and GRAPHS[name].height == height), None)


def selected(table: Sequence[Row], precision: str = "fp16") -> list[dict[str, str]]:
    """The rows of published.csv, or in int8 of published_int8.csv."""
    chips = (BEST, SAME_DIE, *OTHERS) if precision == "fp16" else (BEST,)
    rows = [
        {
            "graph": graph,
            "batch": row["batch"],
            "images_per_second": row["value"],
            "aipp": _yes("insert_op_conf" in row["atc_flags"]),
            "edited": _yes("opt_onnx.py" in row["atc_flags"] + row["variant_notes"]),
            "small_channel": _yes("enable_small_channel" in row["atc_flags"]),
            "fast_sigmoid": _yes("Sigmoid" in row["atc_flags"]),
            "chip": row["chip"],
            "source": row["source"],
            "revision": row["revision"],
        }
        for row in table
        if row["chip"] in chips
        and (row["precision"], row["metric"], row["quality"]) == (precision, "fps", "ok")
        and (precision == "int8" or row["revision"].startswith("HEAD") or row["atc_flags"] == "OM")
        and row["arch_class"] in CLASSES
        and (graph := graph_of(row)) is not None
    ]
    best = {row["graph"].split("@")[0] for row in rows if row["chip"] == BEST}
    for row in rows:
        network = row["graph"].split("@")[0]
        unmet = row["chip"] == SAME_DIE and network not in best
        row["fitted"] = _yes(network not in HELD_OUT and (row["chip"] == BEST or unmet))
    return rows


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def main() -> None:
    """Read the table that is named, and write the selections."""
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    for precision, path in (("fp16", FIGURES), ("int8", INT8_FIGURES)):
        rows, text = selected(table, precision), io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        path.write_text(text.getvalue(), "utf-8")
        print(f"{precision}: {len(rows)} figures of {len({row['graph'] for row in rows})} graphs")


if __name__ == "__main__":
    main()
