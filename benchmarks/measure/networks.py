"""Whole networks in ONNX Runtime on the CPU: NeoNeXt T, S and B against what people would use instead.

    python -m benchmarks.measure.networks [--batches 1 8 32] [--threads 1 2] [--quick] [--json FILE]

All weights are of order 1. Every file is checked against PyTorch before it is timed. NeoNeXt comes from this package's
export, its rivals from torch's own. Runs are taken in turns; ratios are medians of pairwise ratios with their
quartiles. The bounds are for one thread.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.measure.floor import LEAST_SHARE, Floor
from benchmarks.measure.machine import describe_machine, has_avx512, machine_text
from benchmarks.measure.ort_run import Array, Call, Network, check
from benchmarks.measure.peaks import gelu_seconds, gelus, gemm_peak, gemms
from benchmarks.measure.timing import Spread, interleaved, ratios
from benchmarks.outcome import Bound, conclude, parser_for, positive
from benchmarks.rivals.table import build_rival, export_rival
from neonext_ascend.cost.count import count_network
from neonext_ascend.exporters.onnx_file.export import export_onnx
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.models.variants import find_variant
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.spec import Layout

# The same network in the other layout, timed beside it.
CHNW = "NeoNeXt-T (CHNW)"
# Largest ratio to ConvNeXt-T as torch exports it, by batch: on any machine, and on one with AVX-512.
RIVAL = "ConvNeXt-T (as exported)"
LARGEST_RATIO = {1: (0.90, 0.85), 8: (0.85, 0.78), 32: (0.85, 0.78)}
# Repeats by batch: of the group of T, and of the larger networks.
REPEATS = {1: (20, 8), 8: (8, 5), 32: (5, 3)}
QUICK_REPEATS = 2
# The threads of a session spin for a while behind its run; with more than one they would take a core from the next.
PAUSE = 0.05

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Group:
    """A NeoNeXt and the networks that are timed in turns with it."""

    title: str
    model: str
    rivals: tuple[str, ...]

    @property
    def config(self) -> NetworkConfig:
        """Of the NeoNeXt."""
        return find_variant(self.model).config


T = Group(
    "NeoNeXt-T",
    "neonext_t",
    (
        CHNW,
        RIVAL,
        "ConvNeXt-T (GELU fused)",
        "ConvNeXt-T (GELU fused, 1x1 convolutions)",
        "DeiT-S",
        "ResNet-50",
    ),
)
GROUPS = (T, Group("NeoNeXt-S", "neonext_s", ("ConvNeXt-S",)), Group("NeoNeXt-B", "neonext_b", ("ConvNeXt-B",)))


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = parser_for("networks", __doc__)
    parser.add_argument("--batches", type=positive, nargs="+", default=list(REPEATS))
    parser.add_argument("--threads", type=positive, nargs="+", default=[1, 2], help="of ONNX Runtime")
    options = parser.parse_args()
    machine = describe_machine()
    print(machine_text(machine))
    networks: Rows = []
    floors: Rows = []
    for batch in options.batches:
        for group in GROUPS:
            few = QUICK_REPEATS if options.quick else _repeats(batch, group)
            rows, floor = measure(group, batch, options.threads, few)
            networks += rows
            floors += floor
            for row in rows:
                ratio = Spread(**row["ratio"]) if row["ratio"] else ""
                milliseconds = row["seconds"]["median"] * 1e3
                print(f"{batch:3} {row['threads']} thread(s)  {row['name']:<44}{milliseconds:>10.2f} ms   {ratio}")
            for row in floor:
                print(f"{batch:3} floor {row['floor'] * 1e3:.2f} ms, {row['share']:.3f} of it reached")
    figures = {"quick": options.quick, "networks": networks, "floors": floors}
    return conclude("networks", machine, figures, bounds_of(machine, networks, floors), options.json)


def bounds_of(machine: dict[str, Any], networks: Rows, floors: Rows) -> list[Bound]:
    """NeoNeXt-T against its nearest rival and against the floor, with one thread."""
    bounds = []
    for row in networks:
        if row["name"] == RIVAL and row["threads"] == 1 and row["batch"] in LARGEST_RATIO:
            limit = LARGEST_RATIO[row["batch"]][has_avx512(machine)]
            what = f"NeoNeXt-T over {RIVAL}, batch {row['batch']}, one thread"
            bounds.append(Bound(what, row["ratio"]["median"], "at most", limit))
    for row in floors:
        what = f"floor over NeoNeXt-T, batch {row['batch']}, one thread"
        bounds.append(Bound(what, row["share"], "at least", LEAST_SHARE))
    return bounds


def measure(group: Group, batch: int, threads: list[int], repeats: int) -> tuple[Rows, Rows]:
    """Rows of all networks of a group at this batch, and those of the floor where the group has one."""
    config = group.config
    image = np.random.default_rng(0).standard_normal((batch, 3, *config.image_size), dtype=np.float32)
    rows: Rows = []
    floors: Rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = _export(group, batch, image, folder)
        for count in threads:
            runs: dict[str, Call] = {}
            for network, (path, reference) in expected.items():
                run = Network(path, image, count)
                check(network, run()[[0, -1]], reference)
                runs[network] = run
            bare = group is T and count == 1
            if bare:
                runs |= gemms(folder, count) | gelus(config, batch, folder, count)
            seconds = interleaved(runs, repeats, PAUSE if count > 1 else 0.0)
            ours = seconds[group.title]
            for network in expected:
                ratio = None if network == group.title else asdict(ratios(ours, seconds[network]))
                spread = asdict(Spread.of(seconds[network]))
                row = {"batch": batch, "threads": count, "ours": group.title, "name": network}
                rows.append({**row, "repeats": repeats, "seconds": spread, "ratio": ratio})
            if bare:
                floors.append(_floor_row(config, batch, seconds, Spread.of(ours).median))
    return rows, floors


def _floor_row(
    config: NetworkConfig, batch: int, seconds: Mapping[str, list[float]], measured: float
) -> dict[str, Any]:
    count = count_network(config)
    floor = Floor(batch * count.sparse, gemm_peak(seconds), gelu_seconds(config, seconds))
    return {
        "batch": batch,
        **asdict(floor),
        "pointwise": batch * count.pointwise,
        "floor": floor.seconds,
        "measured": measured,
        "share": floor.share(measured),
    }


def _export(group: Group, batch: int, image: Array, folder: Path) -> dict[str, tuple[Path, Array]]:
    """The files by network, and what PyTorch makes of the first and the last image."""
    made = {}
    for number, name in enumerate((group.title, *group.rivals)):
        path, network = folder / f"{number}.onnx", _network(group, name)
        if name in (group.title, CHNW):
            layout: Layout = "chnw" if name == CHNW else "nchw"
            export_onnx(prepare(network, defer=True, layout=layout)[0], path, batch_size=batch)
        else:
            export_rival(network, path, batch)
        with torch.inference_mode():
            made[name] = (path, network(torch.from_numpy(image[[0, -1]])).numpy())
    return made


def _network(group: Group, name: str) -> nn.Module:
    if name not in (group.title, CHNW):
        return build_rival(name)
    network = build(group.config)
    redraw_at_order_one(network)
    return network


def _repeats(batch: int, group: Group) -> int:
    with suppress(KeyError):
        return REPEATS[batch][group is not T]
    return REPEATS[max(REPEATS)][group is not T]


if __name__ == "__main__":
    sys.exit(main())
