"""The fewest layers that must stay in fp16 for the accuracy to hold, by what each was measured to cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from neonext_ascend.errors import counted
from neonext_ascend.exporters.int8.decision import Decision
from neonext_ascend.jobs.gating import Gated, GateRefusedError, GateRequest, gate
from neonext_ascend.jobs.int8.calibration import Pictures
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.precision.int8.quantising import Quantised
from neonext_ascend.precision.int8.sensitivity import answers, fewest, sensitivities
from neonext_ascend.verify.subject import Subject

PICTURES = 32
_REASON = "int8 costs accuracy here (--gate)"


def measured(found: Quantised, pictures: Pictures, rows: int | None, watch: Watch) -> dict[str, float]:
    """What each layer costs on the logits, cheapest first; the time that takes is told beforehand."""
    started = time.monotonic()
    answers(found.model, pictures.batches(rows, PICTURES))
    seconds = (time.monotonic() - started) * (1 + len(found.decision.layers))
    layers = counted(len(found.decision.layers), "layer")
    watch.note(f"sensitivity: {layers} one by one on at most {PICTURES} pictures, about {seconds:.0f} s")
    with watch.working("measuring what each layer costs") as on_line:
        return sensitivities(found.model, found.decision, lambda: pictures.batches(rows, PICTURES), on_line)


def fewest_kept(
    found: Quantised,
    pictures: Pictures,
    rows: int | None,
    write: Callable[[Decision], tuple[Path, Subject]],
    request: GateRequest,
    costs: Mapping[str, float],
    watch: Watch,
) -> tuple[Gated, Decision, dict[str, float]]:
    """Ask the gate about all layers in int8; where it refuses, about as many of the dearest in fp16 as bisection finds.

    Args:
        found: the decision.
        pictures: of the calibration; layers are measured on them.
        rows: of the model's input; ``None`` is free.
        write: writes a decision's file, and gives what it is held against.
        request: labelled pictures and bound.
        costs: of layers, where they were measured already.
        watch: told what is tried.

    Raises:
        GateRefusedError: it is refused with every layer in fp16 too.
    """

    def asked(decision: Decision) -> Gated:
        path, subject = write(decision)
        return gate(subject, path, request, watch)

    try:
        return asked(found.decision), found.decision, dict(costs)
    except GateRefusedError as error:
        first = error
    costs = costs or measured(found, pictures, rows, watch)
    verdicts: dict[int, Gated] = {}

    def kept(names: list[str]) -> Decision:
        return found.decision.keeping(names, _REASON)

    def passes(names: list[str]) -> bool:
        with watch.working(f"asking with {counted(len(names), 'layer')} in fp16"):
            try:
                verdicts[len(names)] = asked(kept(names))
            except GateRefusedError:
                return False
            return True

    names = fewest(list(costs)[::-1], passes)
    if names is None:
        raise GateRefusedError(f"{first}; nor does it pass with every layer in fp16", first.gated) from None
    told = f"{counted(len(names), 'layer')} in fp16: {', '.join(names)}"
    watch.note(f"the gate refuses int8 everywhere; it passes with {told}")
    return verdicts[len(names)], kept(names), dict(costs)
