"""Measured results against the committed ones: every difference as a line that tells what it is about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

BUFFERS = ("ub", "l1", "l0a", "l0b", "l0c", "workspace")


def differences(measured: dict[str, Any], committed: dict[str, Any]) -> list[str]:
    """Empty where they are equal."""
    lines = list(_of_rows(rows(measured), rows(committed)))
    for name in sorted(measured.keys() | committed.keys()):
        if not lines and measured.get(name) != committed.get(name):
            lines.append(f"{name}: measured {_short(measured.get(name))}, committed {_short(committed.get(name))}")
    return lines


def rows(results: dict[str, Any]) -> dict[tuple[str, ...], dict[str, Any]]:
    """For each shape, direction, dtype and target: accepted, message, and the most that its kernels plan, in bytes.

    The kernels of one direction run one after another, so that the largest decides.
    """
    table: dict[tuple[str, ...], dict[str, Any]] = {}
    for case in results["cases"]:
        for target in results["targets"]:
            verdicts = [results["kernels"][kernel]["targets"][target] for kernel in case["kernels"]]
            accepted = bool(verdicts) and all(verdict["accepted"] for verdict in verdicts)
            table[(*shape_name(case["shape"]), case["direction"], case["dtype"], target)] = {
                "accepted": accepted,
                "message": next((verdict["message"] for verdict in verdicts if verdict["message"]), ""),
                "turned_off": sorted({name for verdict in verdicts for name in verdict["turned_off"]}),
                "planned": {b: max(v["planned"][b] for v in verdicts) for b in BUFFERS} if accepted else None,
            }
    return table


def shape_name(shape: dict[str, Any]) -> tuple[str, str, str]:
    """Channels, map, cells and shift in words."""
    height, width = shape["map"]
    cells = "+".join(str(size) for size in shape["cells"])
    return f"{shape['channels']} channels", f"{height}x{width}", f"cells {cells}{' shifted' * shape['shift']}"


def _of_rows(
    measured: dict[tuple[str, ...], dict[str, Any]], committed: dict[tuple[str, ...], dict[str, Any]]
) -> Iterator[str]:
    for key in [*committed, *(key for key in measured if key not in committed)]:
        name, now, before = ", ".join(key), measured.get(key), committed.get(key)
        if now is None or before is None:
            yield f"{name}: {'not measured' if now is None else 'not committed'}"
        elif now["accepted"] != before["accepted"]:
            yield f"{name}: now {_verdict(now)}, committed as {_verdict(before)}"
        elif now != before:
            changed = [field for field in now if now[field] != before[field]]
            yield f"{name}: " + ", ".join(f"{f} now {now[f]}, committed {before[f]}" for f in changed)


def _verdict(row: dict[str, Any]) -> str:
    return "accepted" if row["accepted"] else f"refused ({row['message']})"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:200] + "..."
