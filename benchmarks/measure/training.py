"""A training step of one NeoCell, of one block and of a whole network: the plain form against the package's.

    python -m benchmarks.measure.training [--quick] [--repeats N] [--threads N] [--json FILE]

The plain form is what one writes first: A and B by one gather, whose gradient adds up every element of the matrix, and
``A @ X @ B`` as broadcast matmuls, which repeat A and B for each image. Both are checked against each other, output and
derivatives, before anything is timed. A step is forward and backward, eager, in fp32, on the CPU. Kept bytes are those
of the floating-point tensors that the forward pass keeps for the backward pass.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure.machine import describe_machine, machine_text
from benchmarks.measure.timing import Spread, interleaved, ratios
from benchmarks.outcome import Bound, conclude, parser_for, positive
from neonext_ascend.kernels.geometry import Geometry, Side
from neonext_ascend.models.config import STAGES
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import Block, NeoNeXt, redraw_at_order_one
from neonext_ascend.models.variants import find_variant

CONFIG, NETWORK = find_variant("neonext_t").config, find_variant("neonext_nano").config
BATCHES = (8, 32)
REPEATS, QUICK_REPEATS = 11, 2
NEOCELL, BLOCK, NANO = "NeoCell of T", "block of T", "neonext_nano"
PLAIN, OURS = "plain", "ours"
BYTES_IN_A_MB = 1e6
# In float64 two right programs differ by rounding alone; a derivative below this part of the largest is taken as none.
TOLERANCE, NOTHING = 1e-9, 1e-6
# The plain form's time over ours, and our kept bytes over its; a block is mostly linear layers, which are the same.
LEAST_SPEED_UP, MOST_KEPT = {NEOCELL: 1.0, BLOCK: 1.0, NANO: 1.0}, {NEOCELL: 0.6, BLOCK: 1.0, NANO: 1.0}

Row = dict[str, Any]


class PlainNeoCell(NeoCell):
    """A NeoCell in the plain form."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, H', W')``."""
        height, width = x.shape[-2:]
        A = _gathered(self.weight_a, _index(self.geometry, "left", height, width))
        B = _gathered(self.weight_b, _index(self.geometry, "right", height, width))
        return torch.matmul(torch.matmul(A, x), B)


@lru_cache(maxsize=32)
def _index(geometry: Geometry, side: Side, height: int, width: int) -> Tensor:
    return torch.from_numpy(geometry.index_map(side, height, width))


def _gathered(weights: nn.ParameterList, index: Tensor) -> Tensor:
    flat = torch.cat([weights[0].new_zeros(1), *(weight.reshape(-1) for weight in weights)])
    return flat.index_select(0, index.reshape(-1)).view(index.shape)


def plain_twin(module: nn.Module) -> nn.Module:
    """A copy with the same weights whose NeoCells are in the plain form."""
    twin = copy.deepcopy(module)
    for part in twin.modules():
        if type(part) is NeoCell:
            part.__class__ = PlainNeoCell
    return twin


class ChannelsLast(nn.Module):
    """What the linear layers behind a NeoCell make of its output: without it the form that leaves this to them wins."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, H, W, C)``, contiguous."""
        return x.permute(0, 2, 3, 1).contiguous()


@dataclass(frozen=True, slots=True)
class Case:
    """What is trained for one step: a module in training mode and its input."""

    what: str
    stage: int | None
    module: nn.Module
    x: Tensor


def cases(batch: int) -> Iterator[Case]:
    """The NeoCell of each stage of T, in the smaller batch its block too, and nano."""
    generator = torch.Generator().manual_seed(1)
    for stage in range(STAGES):
        x = torch.randn(batch, CONFIG.widths[stage], *CONFIG.stage_sizes()[stage], generator=generator)
        # Between blocks the maps lie channels last in memory, as the linear layers leave them.
        x = x.contiguous(memory_format=torch.channels_last)
        yield _case(NEOCELL, stage + 1, nn.Sequential(NeoCell(CONFIG.geometry(stage)), ChannelsLast()), x)
        if batch == min(BATCHES):
            yield _case(BLOCK, stage + 1, Block(CONFIG, stage, 0.0), x)
    yield _case(NANO, None, NeoNeXt(NETWORK), torch.randn(batch, 3, *NETWORK.image_size, generator=generator))


def _case(what: str, stage: int | None, module: nn.Module, x: Tensor) -> Case:
    redraw_at_order_one(module)
    return Case(what, stage, module.train(), x.requires_grad_())


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = parser_for("training", __doc__)
    parser.add_argument("--repeats", type=positive, help=f"samples of each form; {REPEATS} unless --quick")
    parser.add_argument("--threads", type=positive, default=1, help="of PyTorch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    repeats = options.repeats or (QUICK_REPEATS if options.quick else REPEATS)
    machine = describe_machine()
    print(machine_text(machine), f"\n{repeats} repeats, {options.threads} thread(s)", sep="")
    print(f"\n{'':<14}{'stage':>6}{'batch':>6}{'plain ms':>10}{'ours ms':>10}   {'plain over ours':<22}{'kept MB'}")
    rows = []
    for batch in BATCHES:
        for case in cases(batch):
            rows.append(row := measure(case, batch, repeats))
            _print_row(row)
    figures = {"quick": options.quick, "repeats": repeats, "threads": options.threads, "rows": rows}
    return conclude("training", machine, figures, bounds_of(rows), options.json)


def measure(case: Case, batch: int, repeats: int) -> Row:
    """Both forms' times in turns, and what they keep."""
    forms = {PLAIN: plain_twin(case.module), OURS: case.module}
    _check(case)
    seconds = interleaved({name: partial(step, module, case.x) for name, module in forms.items()}, repeats)
    kept = {name: kept_bytes(module, case.x) for name, module in forms.items()}
    return {
        "what": case.what,
        "stage": case.stage,
        "batch": batch,
        **{f"{name}_ms": 1e3 * Spread.of(samples).median for name, samples in seconds.items()},
        "plain_over_ours": asdict(ratios(seconds[PLAIN], seconds[OURS])),
        **{f"{name}_kept_MB": size / BYTES_IN_A_MB for name, size in kept.items()},
    }


def step(module: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the derivatives by the input and by each parameter."""
    y: Tensor = module(x)
    return [y.detach(), *torch.autograd.grad(y, [x, *module.parameters()], y.detach())]


def kept_bytes(module: nn.Module, x: Tensor) -> int:
    """Of the floating-point tensors kept for the backward pass, each storage once; the parameters do not count."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if tensor.is_floating_point() and storage.data_ptr() not in parameters:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = module(x)
    total = sum(sizes.values())
    del y
    return total


def bounds_of(rows: list[Row]) -> list[Bound]:
    """No step slower than in the plain form, and a NeoCell that keeps little more than half."""
    bounds = []
    for row in rows:
        stage = "" if row["stage"] is None else f", stage {row['stage']}"
        where = f"{row['what']}{stage}, batch {row['batch']}"
        speed_up, kept = row["plain_over_ours"]["median"], row["ours_kept_MB"] / row["plain_kept_MB"]
        bounds.append(Bound(f"plain over ours, {where}", speed_up, "at least", LEAST_SPEED_UP[row["what"]]))
        bounds.append(Bound(f"kept bytes over plain, {where}", kept, "at most", MOST_KEPT[row["what"]]))
    return bounds


def _check(case: Case) -> None:
    """In float64: behind a BatchNorm most of a derivative cancels, and all of it for a bias in front of one."""
    ours, x = copy.deepcopy(case.module).double(), case.x.detach()[:2].double().requires_grad_()
    plain, found = step(plain_twin(ours), x), step(ours, x)
    largest = max(float(tensor.abs().max()) for tensor in plain)
    for a, b in zip(plain, found, strict=True):
        error = float((a - b).abs().max()) / max(float(a.abs().max()), NOTHING * largest)
        if not error <= TOLERANCE:
            where = f"{case.what}, stage {case.stage}"
            raise SystemExit(f"{where}: differs by {error:.1e} of its largest value; nothing is timed on wrong numbers")


def _print_row(row: Row) -> None:
    ratio, stage = str(Spread(**row["plain_over_ours"])), row["stage"] or ""
    kept = f"{row['plain_kept_MB']:.1f} -> {row['ours_kept_MB']:.1f}"
    times = f"{row['plain_ms']:>10.2f}{row['ours_ms']:>10.2f}"
    print(f"{row['what']:<14}{stage:>6}{row['batch']:>6}{times}   {ratio:<22}{kept}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
