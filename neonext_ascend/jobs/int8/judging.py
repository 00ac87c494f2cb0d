"""How far an int8 form's answers are from float32's on the calibration pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnx import ModelProto

from neonext_ascend.artifacts.tensors import load_model
from neonext_ascend.errors import ParityError
from neonext_ascend.jobs.int8.calibration import Pictures
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.machine.chips import Soc
from neonext_ascend.precision.half import WORDS, Overflow, overflows_of
from neonext_ascend.precision.int8.sensitivity import agreement, answers, joined
from neonext_ascend.precision.running import half_graph
from neonext_ascend.runtimes.integer.runner import IntegerRunner
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.spec import TOLERANCES
from neonext_ascend.verify.feeds import Feed
from neonext_ascend.verify.half import judge_half
from neonext_ascend.verify.ladder import answers_of

PICTURES = 64
_DEPLOYED = 8  # node by node, each result rounded
# Below this share of like first classes a user is told to ask about accuracy.
_LIKE = 0.97
_LEAST = TOLERANCES["int8"].min_cosine or 0.0
_GATE = "give --gate DATASET, which keeps the layers in fp16 that cost accuracy"


def check_agreement(
    path: Path, model: ModelProto, pictures: Pictures, rows: int | None, watch: Watch, remedy: str = _GATE
) -> dict[str, Any]:
    """The QDQ file against the float32 model."""
    found = agreement(
        answers(load_model(path), pictures.batches(rows, PICTURES)), answers(model, pictures.batches(rows, PICTURES))
    )
    if found.top1 is not None and found.top1 < _LIKE:
        watch.warn(
            f"{path.name}: the first class is float32's on {100 * found.top1:.1f} % of the calibration pictures; "
            f"{remedy}"
        )
    elif found.top1 is None and found.least < _LEAST:
        watch.warn(f"{path.name}: cosine {found.least:.4f} with float32 on a calibration picture; {remedy}")
    return found.to_json()


def check_deploy(path: Path, model: ModelProto, pictures: Pictures, rows: int | None, soc: Soc) -> dict[str, Any]:
    """The deploy form in integers, as the chip rounds to fp16, against the float32 model.

    Raises:
        ParityError: it overflows, or is another function.
    """
    (overflow,) = overflows_of(soc)
    batches = list(pictures.batches(rows, _DEPLOYED))
    feeds = [Feed("pictures", array) for array in batches]
    for verdict in judge_half(path, feeds[:1], [overflow]):
        if not verdict.passed:
            raise ParityError(f"{path.name}: {verdict.reasons()[0]}; nothing was written")
    with integers(path, overflow) as runner:
        got = joined(zip(answers_of(runner, feeds), map(len, batches), strict=True))
    found = agreement(got, answers(model, batches))
    if found.least < _LEAST:
        raise ParityError(
            f"{path.name}: cosine {found.least:.4f} with float32 on a calibration picture, as {soc.name} rounds; "
            f"expected at least {_LEAST:g}; nothing was written"
        )
    return {**found.to_json(), "computed": runner.where}


def integers(path: Path, overflow: Overflow) -> IntegerRunner:
    """A deploy form: its layers in integers, what stands between them rounded node by node."""
    where = f"half precision, each node's result rounded, {WORDS[overflow]}"
    return IntegerRunner(path, lambda part: half_graph(Steps(part), overflow), where)
