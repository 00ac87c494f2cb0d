"""Half precision on the way to an artifact: what must be kept in fp32 where it does not hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from neonext_ascend.errors import counted
from neonext_ascend.jobs.gating import GateRefusedError
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.precision.modes import HalfMode
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.verify.rescue import by_error
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


def kept_by_gate(
    subject: Subject,
    request: FileRequest,
    refused: GateRefusedError,
    ask: Callable[[FileRequest], object],
    folder: Path,
    watch: Watch,
) -> FileRequest:
    """An fp16 file that keeps its accuracy: the nodes that add most of the error compute in fp32, twice as many a try.

    Args:
        subject: the network.
        request: of the file that was refused.
        refused: by the gate.
        ask: exports a file, and raises where the gate refuses it.
        folder: for a file in fp32.
        watch: told what is tried.

    Raises:
        GateRefusedError: fp32 loses as much, or no set that was tried passes.
    """
    fp32 = replace(request, dtype="fp32", keep_fp32=())
    if not _passes(ask, fp32):
        told = "in fp32 it is refused too, so half precision is not why"
        raise GateRefusedError(f"{refused}; {told}", refused.gated) from None
    path = folder / "whole.onnx"
    fp32.emit(subject, path)
    ranked = by_error(Steps(path), list(subject.feeds(request.batch_size)))
    for power in range(len(ranked).bit_length() + 1):
        keep = (*request.keep_fp32, *(name for name in ranked[: 2**power] if name not in request.keep_fp32))
        nodes = counted(len(keep), "node")
        with watch.working(f"asking with {nodes} in fp32"):
            again = replace(request, keep_fp32=keep)
            if _passes(ask, again):
                told = f"the gate refuses it in fp16; it passes with the {nodes} in fp32 that add most error"
                watch.note(f"{told}: --keep-fp32 {','.join(keep)}")
                return again
    raise GateRefusedError(f"{refused}; nor does it pass with every node in fp32 inside", refused.gated) from None


def _passes(ask: Callable[[FileRequest], object], form: FileRequest) -> bool:
    try:
        ask(form)
    except GateRefusedError:
        return False
    return True
