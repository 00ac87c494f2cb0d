"""Accepted pictures and a float32 model to a decision, and what is told of how it came about."""

from __future__ import annotations

from typing import Any

from onnx import ModelProto

from neonext_ascend.errors import UsageError
from neonext_ascend.jobs.int8.acceptance import Facts
from neonext_ascend.jobs.int8.calibration import Pictures
from neonext_ascend.jobs.int8.request import Int8Request
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.precision.int8.deciding import Settings
from neonext_ascend.precision.int8.quantising import Quantised, quantised


def decided_on(
    pictures: Pictures, facts: Facts, model: ModelProto, rows: int | None, request: Int8Request, watch: Watch
) -> tuple[Quantised, dict[str, Any]]:
    """Decide as was asked.

    Args:
        pictures, facts: of the calibration.
        model: float32, with one input.
        rows: of its input; ``None`` is free.
        request: calibrator, balancing, rounding.
        watch: told of the progress, and beforehand of how long AdaRound takes.

    Returns:
        The decision, and a manifest's words on it.

    Raises:
        UsageError, ArtifactError: as of :func:`~neonext_ascend.precision.int8.quantising.quantised`.
    """
    settings = Settings(request.calibrator, request.balance, rounding=request.rounding)
    with watch.working(f"calibrating on {len(pictures.pixels)} pictures") as on_line:
        found = quantised(
            model,
            lambda: pictures.batches(rows, on_line=on_line),
            settings,
            on_line,
            lambda seconds: watch.note(f"adaround: layer by layer, about {seconds:.0f} s"),
        )
    if not found.decision.layers:
        raise UsageError(f"no product of this graph can be int8: {'; '.join(sorted(found.decision.reasons))}")
    told: dict[str, Any] = {
        "calibrator": settings.calibrator,
        "balanced": found.balanced,
        "rounding": {"method": "nearest"} if found.rounded is None else found.rounded.to_json(),
        "calibration": {"folder": pictures.folder.name, "sha256": pictures.sha256, **facts.to_json()},
    }
    return found, told
