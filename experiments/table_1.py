"""Table 1 of the paper: parameters and GFLOPs at 224 and 384, by convention of counting.

Needs nothing but the package. Accuracy needs the authors' checkpoints and ImageNet: ``neonext-ascend eval``.
"""

from __future__ import annotations

from neonext_ascend import jobs

# Parameters in millions and GFLOPs as printed there.
PAPER = {
    "neonext_t": (27.7, 4.40),
    "neonext_s": (49.6, 8.60),
    "neonext_b": (87.3, 15.19),
    "neonext_t_384": (27.7, 13.27),
    "neonext_s_384": (49.6, 25.71),
    "neonext_b_384": (87.3, 45.21),
}
# What reproduces it: NeoCell as dense block-diagonal products, BatchNorm at 5 a number.
CONVENTION = "dense_bn5"


def main() -> bool:
    """Whether every printed digit is met by the definition and the convention that meet it."""
    rows = {model.name: model for model in jobs.list_models()}
    print(
        f"{'':22}{'params M':>10}{'paper':>8}  {'pointwise':>10}{'sparse':>8}{'dense':>8}{CONVENTION:>10}{'paper':>8}"
    )
    met = True
    for definition in ("", ".paper", ".table1"):
        for name, (params, flops) in PAPER.items():
            row = rows[name + definition]
            macs = {convention: count / 1e9 for convention, count in row.macs.items()}
            same = (round(row.params / 1e6, 1), round(macs[CONVENTION], 2)) == (params, flops)
            met &= same or definition != ".table1"
            counts = f"{macs['pointwise']:10.3f}{macs['sparse']:8.3f}{macs['dense']:8.3f}{macs[CONVENTION]:10.4f}"
            print(f"{row.name:22}{row.params / 1e6:10.3f}{params:8}  {counts}{flops:8}{'  met' if same else ''}")
    return met
