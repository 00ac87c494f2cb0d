"""Half precision on the way to an artifact: what must be kept in fp32 where it does not hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.precision.modes import HalfMode
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.verify.rescued import kept_words, rescued
from neonext_ascend.verify.subject import Subject


def to_keep(subject: Subject, request: FileRequest, folder: Path, watch: Watch) -> tuple[str, ...]:
    """The nodes of an fp16 file that must compute in fp32."""
    path = folder / "whole.onnx"
    replace(request, dtype="fp32", keep_fp32=()).emit(subject, path)
    with watch.working("looking for the nodes that need fp32"):
        found, _ = rescued(Steps(path), list(subject.feeds(request.batch_size)), mode=HalfMode(keep=request.keep_fp32))
    watch.note(kept_words(found))
    return (*request.keep_fp32, *found.keep)
