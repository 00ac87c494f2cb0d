"""The vendor's record of scales, as text (``scale_offset_record_pytorch.proto`` in hicann/amct)."""

from __future__ import annotations

from neonext_ascend.exporters.int8.decision import Decision


def record_text(decision: Decision) -> str:
    """One entry a layer, in the graph's order; an offset for each scale, all of them 0."""
    lines: list[str] = []
    for layer in decision.layers:
        lines += ["record {", f'  key: "{_escaped(layer.name)}"', "  value {", f"    scale_d: {layer.scale_d!s}"]
        lines += ["    offset_d: 0", *(f"    scale_w: {scale!s}" for scale in layer.scale_w)]
        lines += [*("    offset_w: 0" for _ in layer.scale_w), "  }", "}"]
    return "".join(f"{line}\n" for line in lines)


def _escaped(name: str) -> str:
    return name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
