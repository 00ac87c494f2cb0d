"""The tables of a report's page, from its JSON object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neonext_ascend.models.config import size_text
from neonext_ascend.reporting.words import FOLDED, LOWERED, bytes_text

WAYS = {"saturate": "fp16 as on 310P, 310B", "ieee": "fp16 as on 910B, A3"}
_TIGHTEST = 12  # rows of the short table of nodes
Row = tuple[str, ...]
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below a caption; the first cell of each names it."""

    caption: str
    head: Row
    rows: Sequence[Row]


def tables(it: Json) -> dict[str, Table]:
    """Every table that there is something for."""
    files = [(file["name"], bytes_text(file["bytes"]), file["sha256"]) for file in it["file"]["files"]]
    tensors = [
        (way, one["name"], one["dtype"], " x ".join(map(str, one["shape"])))
        for way in ("inputs", "outputs")
        for one in it["file"][way]
    ]
    passes = (it["manifest"] or {"passes": {}})["passes"]
    changed = [(name, FOLDED.get(name, ""), str(often)) for name, often in _entries(passes.get("changed"))]
    lowered = Counter(str(name) for _, name in _entries(passes.get("lowerings")))
    refused = passes.get("refused")
    reasons = [
        tuple(str(one.get(name, "")) for name in ("where", "reason"))
        for one in (refused if isinstance(refused, list) else ())
        if isinstance(one, Mapping)
    ]
    made = {
        "files": Table("Files", ("name", "size", "sha256"), files),
        "tensors": Table("Inputs and outputs", ("", "name", "dtype", "shape"), tensors),
        "passes": Table("What preparation changed", ("pass", "what it folds", "times"), changed),
        "lowerings": Table(
            "Forms of the NeoCells", ("lowering", "cells"), [(LOWERED.get(n, n), str(c)) for n, c in lowered.items()]
        ),
        "refused": Table("What it left as it was", ("where", "reason"), reasons),
        "environment": Table("Versions", ("", "here", "where it was made"), list(_environment(it))),
    }
    if it["ladder"] is not None:
        made["ladder"] = _ladder(it["ladder"])
    nodes = node_rows(it)
    if it["half"]:
        tight = sorted((row for row in nodes if row["half"]), key=_room)[:_TIGHTEST]
        way = WAYS[it["half"][0]["overflow"]]
        made["tightest"] = Table(f"The nodes with the least headroom, {way}", _NODE_HEAD, list(map(_node, tight)))
    if nodes:
        made["nodes"] = Table("Every node", _NODE_HEAD, list(map(_node, nodes)))
    if it["accuracy"] is not None:
        made |= _accuracy(it["accuracy"])
    if it["speed"] is not None:
        made["speed"] = _speed(it["speed"])
    if it["cost"]:
        made["cost"] = _cost(it["cost"])
    return {name: _narrowed(table) for name, table in made.items() if table.rows}


def _narrowed(table: Table) -> Table:
    """Without the columns that say nothing in any row."""
    full = [column for column in range(len(table.head)) if column == 0 or any(row[column] for row in table.rows)]
    head, *rows = (tuple(row[column] for column in full) for row in (table.head, *table.rows))
    return Table(table.caption, head, rows)


def node_rows(it: Json) -> list[dict[str, Any]]:
    """Each node once: what debugging found of it, and what half precision makes of it in each way of overflowing."""
    rows: dict[str, dict[str, Any]] = {}
    for way in it["half"] or ():
        for node in way["nodes"]:
            row = rows.setdefault(node["name"], {"name": node["name"], "operator": node["operator"], "half": {}})
            row["half"][way["overflow"]] = node
    found = {node["name"]: node for node in (it["nodes"] or {"nodes": ()})["nodes"]}
    for name, node in found.items():
        rows.setdefault(name, {"name": name, "operator": node["operator"], "half": {}})
    return [{**row, "file": found.get(name)} for name, row in rows.items()]


_NODE_HEAD = (
    "node", "operator", "error of the file", "made here", "error in fp16", "largest value", "headroom, bits",
    "overflow", "flushed to 0", "subnormal",
)  # fmt: skip


def _node(row: Json) -> Row:
    half, file = _first(row), row["file"]
    found = ("", "") if file is None else (number(file["relative"]), number(file["own"]) if file["made"] else "")
    if half is None:
        return (row["name"], row["operator"], *found, "", "", "", "", "", "")
    shares = [percent(half[name]) if half[name] else "" for name in ("overflow", "flushed", "subnormal")]
    largest, room = half["largest"], half["headroom_bits"]
    bits = ("overflows" if largest is None else "any") if room is None else f"{room:.1f}"
    return (row["name"], row["operator"], *found, number(half["relative"]), number(largest), bits, *shares)


def _first(row: Json) -> Json | None:
    """Of the two ways of overflowing the first: behind an overflow the other is infinite everywhere."""
    return next(iter(row["half"].values()), None)


def _room(row: Json) -> float:
    """Headroom; what is infinite has none, what is 0 any."""
    half = _first(row)
    if half is None or half["headroom_bits"] is None:
        return float("-inf") if half and half["largest"] is None else float("inf")
    return float(half["headroom_bits"])


def _ladder(ladder: Json) -> Table:
    head = ("form", "against", "verdict", "max abs", "max rel", "cosine", "top-1", "top-5", "flips", "needs")
    rows = [*ladder["rungs"], *([] if ladder["control"] is None else [{**ladder["control"], "is_control": True}])]
    return Table(
        "Each form against the one above and the first; needs: the multiple of its bounds that passes",
        head,
        [
            (
                rung["name"],
                rung["against"],
                "control" if "is_control" in rung else "passed" if rung["passed"] else "FAILED",
                number(rung["max_abs"]),
                number(rung["max_rel"]),
                number(rung["cosine"], 8),
                *("-" if rung[top] is None else percent(rung[top]) for top in ("top1", "top5")),  # of maps none
                str(len(rung["flips"])),
                number(rung["needed"], 2),
            )
            for rung in rows
        ],
    )


def _accuracy(accuracy: Json) -> dict[str, Table]:
    shares = [
        (_name(one["path"]), str(one["images"]), *(_share(one[top]) for top in ("top1", "top5")))
        for one in accuracy["artifacts"]
    ]
    pairs = [
        (
            f"{_name(pair['first'])}, {_name(pair['second'])}",
            str(pair["only_first"]),
            str(pair["only_second"]),
            number(pair["p_value"], 2),
        )
        for pair in accuracy["paired"]
    ]
    return {
        "accuracy": Table("Accuracy with its 95 % interval (Wilson)", ("file", "pictures", "top-1", "top-5"), shares),
        "paired": Table(
            "Two files on the same pictures (McNemar)",
            ("files", "right only in the first", "only in the second", "p"),
            pairs,
        ),
    }


def _speed(speed: Json) -> Table:
    (one,) = speed["artifacts"]
    latencies = [(name, f"{number(value)} ms") for name, value in one["latency_ms"].items()]
    rows = [("batch", str(one["batch"])), ("runs", str(one["runs"])), *latencies]
    return Table(
        f"Latency of one run, {one['runtime']}",
        ("", one["dtype"]),
        [*rows, ("images a second", _three(one["images_per_second"]))],
    )


def _cost(cost: Sequence[Json]) -> Table:
    return Table(
        f"Estimated, nothing measured: {cost[0]['coverage']:.0%} of like figures lay in the interval",
        ("chip", "batch", "images a second", "between", "int8 over fp16"),
        [
            (
                one["soc"],
                str(one["batch"]),
                _three(one["images_per_second"]),
                f"{_three(one['low'])} and {_three(one['high'])}",
                _gain(one["int8"]),
            )
            for one in cost
        ],
    )


def _gain(gain: Json | None) -> str:
    if gain is None:
        return "no figures"
    return f"{gain['factor']:.2f} ({gain['low']:.2f} to {gain['high']:.2f}): {gain['verdict']}"


def _environment(it: Json) -> Iterator[Row]:
    here, there = it["environment"], (it["manifest"] or {"environment": {}})["environment"]
    for name in dict.fromkeys((*here, *there)):
        yield name, str(here.get(name, "")), str(there.get(name, ""))


def _three(value: float) -> str:
    """Three significant digits, without an exponent."""
    shown = float(f"{value:.3g}")
    return f"{shown:,.0f}" if shown >= 100 else f"{shown:g}"


def _entries(held: Any) -> Sequence[tuple[str, Any]]:
    """Of a part of the manifest that nothing reads but people."""
    return list(held.items()) if isinstance(held, Mapping) else []


def _share(share: Json) -> str:
    return f"{percent(share['value'])} ({100 * share['low']:.2f} to {100 * share['high']:.2f})"


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def network_text(manifest: Json | None) -> str:
    """The network in one line; empty where no manifest tells."""
    if manifest is None:
        return ""
    network, image = manifest["network"], size_text(tuple(manifest["preprocessing"]["image_size"]))
    name, definition, classes = (network.get(key) for key in ("name", "definition", "num_classes"))
    return f"{name}, {definition} definition, image {image}, {classes} classes"


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits; JSON has ``null`` for what is not finite."""
    return "not finite" if value is None else f"{value:.{digits}g}"


def percent(share: float | None) -> str:
    """Two decimals."""
    return "not finite" if share is None else f"{100 * share:.2f} %"
