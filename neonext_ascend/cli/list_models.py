"""``neonext-ascend list``."""

from __future__ import annotations

from typing import Any

import click

from neonext_ascend.cli.options import json_option
from neonext_ascend.cli.terminal import put_json


@click.command("list", epilog="Exit status: 0.")
@json_option
def command(as_json: bool) -> None:
    """The models: parameters, MACs by convention, image size, published accuracy."""
    from neonext_ascend.cost.count import count_network
    from neonext_ascend.models.variants import VARIANTS

    rows = [(variant, count_network(variant.config)) for variant in VARIANTS.values()]
    if as_json:
        models: list[dict[str, Any]] = [
            {
                "name": variant.config.name,
                "definition": variant.config.definition,
                "image_size": variant.config.image_size[0],
                "params": count.params,
                "macs": count.macs,
                "top1": variant.top1,
                "top1_source": variant.source,
            }
            for variant, count in rows
        ]
        put_json({"models": models})
        return
    header = ("model", "image", "params", "pointwise", "sparse", "dense", "dense+bn5", "top-1 %")
    table: list[tuple[str, ...]] = [header]
    for variant, count in rows:
        macs = tuple(_short(n) for n in count.macs.values())
        top1 = f"{variant.top1:.2f}" if variant.top1 else "-"
        table.append((variant.config.name, str(variant.config.image_size[0]), _short(count.params), *macs, top1))
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for row in table:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        click.echo(" ".join(cells))
    click.echo()
    click.echo("MACs for one image, by convention: pointwise counts convolutions and linear")
    click.echo("layers; sparse adds NeoCell's blocks; dense adds whole block-diagonal matrices")
    click.echo("instead; dense+bn5 adds 5 for each element behind a BatchNorm, as in the paper's")
    click.echo("Table 1. Top-1 on ImageNet as published: the authors' README; for .paper and")
    click.echo(".table1 the paper's Table 1.")


def _short(number: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.{2 if number < 100 * size else 1}f} {unit}"
    return str(number)
