"""``neonext-ascend list``."""

from __future__ import annotations

import click

from neonext_ascend.cli.options import json_option
from neonext_ascend.cli.terminal import put_json, say

_CONVENTIONS = """
MACs for one image, by convention: pointwise counts convolutions and linear
layers; sparse adds NeoCell's blocks; dense adds whole block-diagonal matrices
instead; dense+bn5 adds 5 for each element behind a BatchNorm, as in the paper's
Table 1. Top-1 on ImageNet as published: the authors' README; for .paper and
.table1 the paper's Table 1."""


@click.command("list", epilog="Exit status: 0.")
@json_option
def command(as_json: bool) -> None:
    """The models: parameters, MACs by convention, image size, published accuracy."""
    from neonext_ascend import jobs

    models = jobs.list_models()
    if as_json:
        put_json({"models": [model.to_json() for model in models]})
        return
    table = [("model", "image", "params", "pointwise", "sparse", "dense", "dense+bn5", "top-1 %")]
    for model in models:
        pointwise, sparse, dense, dense_bn5 = map(_short, model.macs.values())
        top1 = f"{model.top1:.2f}" if model.top1 else "-"
        size = str(model.image_size)
        table.append((model.name, size, _short(model.params), pointwise, sparse, dense, dense_bn5, top1))
    first, *others = (max(map(len, column)) for column in zip(*table, strict=True))
    for name, *cells in table:
        padded = (cell.rjust(width) for cell, width in zip(cells, others, strict=True))
        say(" ".join((name.ljust(first), *padded)))
    say(_CONVENTIONS)


def _short(number: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.{2 if number < 100 * size else 1}f} {unit}"
    return str(number)
