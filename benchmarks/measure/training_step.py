"""A training step of NeoNeXt-T against one of ConvNeXt-T: forward and backward, eager and compiled.

    python -m benchmarks.measure.training_step [--quick] [--repeats N] [--batch N] [--json FILE]

Both in fp32 on the CPU, with one thread, and by processor time: what else the machine does then takes little from
either. The four forms run in turns. What is compiled is held against what is eager, loss and derivatives, before
anything is timed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure.machine import describe_machine, machine_text
from benchmarks.measure.timing import Spread, interleaved, ratios
from benchmarks.outcome import conclude, parser_for, positive
from benchmarks.rivals.table import IMAGE_SIZE, build_rival
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.models.variants import find_variant

OURS, RIVAL = "NeoNeXt-T", "ConvNeXt-T"
EAGER, COMPILED = "eager", "torch.compile"
BATCH, REPEATS, QUICK_REPEATS = 8, 7, 1
# Of a loss and of each parameter's largest derivative: float32, summed in another order over some forty layers. A
# derivative below the second part of the largest of all is taken as none: behind a BatchNorm most of it cancels.
TOLERANCE, NOTHING = 1e-3, 1e-3

Call = Callable[[Tensor], Tensor]


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = parser_for("training_step", __doc__)
    parser.add_argument("--repeats", type=positive, help=f"samples of each; {REPEATS} unless --quick")
    parser.add_argument("--batch", type=positive, default=BATCH)
    options = parser.parse_args()
    torch.set_num_threads(1)
    repeats = options.repeats or (QUICK_REPEATS if options.quick else REPEATS)
    machine = describe_machine()
    print(machine_text(machine), f"\n{repeats} repeats, batch {options.batch}, one thread", sep="")
    rows = measure(options.batch, repeats)
    for row in rows:
        over = Spread(**row["over_rival"]) if row["over_rival"] else ""
        print(f"{row['network']:<12}{row['form']:<16}{1e3 * row['seconds']['median']:>9.0f} ms   {over}")
    figures = {"quick": options.quick, "repeats": repeats, "batch": options.batch, "rows": rows}
    return conclude("training_step", machine, figures, [], options.json)


def measure(batch: int, repeats: int) -> list[dict[str, Any]]:
    """A row for each network and form; our time over the rival's in the same form."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
    labels = torch.arange(batch)
    steps: dict[tuple[str, str], Callable[[], Tensor]] = {}
    for name, network in networks().items():
        found: dict[str, list[Tensor]] = {}
        for form, call in ((EAGER, network), (COMPILED, torch.compile(network))):
            steps[name, form] = partial(step, network, call, x, labels)
            loss = steps[name, form]()
            found[form] = [loss, *(p.grad.clone() for p in network.parameters() if p.grad is not None)]
        check(name, found[COMPILED], found[EAGER])
    seconds = interleaved({"/".join(key): run for key, run in steps.items()}, repeats, clock=time.process_time)
    rows = []
    for name, form in steps:
        own, rival = seconds[f"{name}/{form}"], seconds[f"{RIVAL}/{form}"]
        rows.append(
            {
                "network": name,
                "form": form,
                "seconds": asdict(Spread.of(own)),
                "images_per_second": batch / Spread.of(own).median,
                "over_eager": asdict(ratios(own, seconds[f"{name}/{EAGER}"])),
                "over_rival": None if name == RIVAL else asdict(ratios(own, rival)),
            }
        )
    return rows


def networks() -> dict[str, nn.Module]:
    """Both in training mode, with weights of order 1; neither drops a branch."""
    ours = build(find_variant("neonext_t").config)
    redraw_at_order_one(ours)
    return {OURS: ours.train(), RIVAL: build_rival(f"{RIVAL} (as exported)").train()}


def step(network: nn.Module, call: Call, x: Tensor, labels: Tensor) -> Tensor:
    """The loss; the derivatives lie at the parameters."""
    network.zero_grad(set_to_none=True)
    loss = F.cross_entropy(call(x), labels)
    loss.backward()  # type: ignore[no-untyped-call] # torch has no types there
    return loss.detach()


def check(name: str, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
    """Stop where a loss or a derivative is not the eager step's."""
    largest = max(float(tensor.abs().max()) for tensor in wanted[1:])
    for got, want in zip(found, wanted, strict=True):
        error = float((got - want).abs().max()) / max(float(want.abs().max()), NOTHING * largest)
        if not error <= TOLERANCE:
            raise SystemExit(f"{name}, compiled: differs by {error:.1e}; nothing is timed on wrong numbers")


if __name__ == "__main__":
    sys.exit(main())
