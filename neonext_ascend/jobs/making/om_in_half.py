"""Whether a chip's half precision holds an ONNX file, or what it must keep in fp32, before it is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neonext_ascend.checkpoints.loading import LoadedNetwork
from neonext_ascend.exporters.om_file.manifest import om_name, om_preprocessing
from neonext_ascend.exporters.om_file.options import AtcOptions
from neonext_ascend.jobs.making.om_request import OmPlan
from neonext_ascend.jobs.making.onnx_file import OnnxExport, ParityFailedError
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.machine.chips import Soc
from neonext_ascend.precision.half import overflows_of
from neonext_ascend.precision.modes import HalfMode
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.verify.feeds import Feed
from neonext_ascend.verify.half import HalfVerdict, judge_half
from neonext_ascend.verify.rescued import kept_words, rescued
from neonext_ascend.verify.subject import Subject


def held_by_half(loaded: LoadedNetwork, made: OnnxExport, plan: OmPlan, watch: Watch) -> AtcOptions:
    """The options with which the chip's half precision holds every node; as asked for where nothing was checked.

    Raises:
        ParityFailedError: it does not, and a rescue was not asked for, or the chip cannot have it.
    """
    options = plan.options
    subject = Subject(loaded.network, om_preprocessing(made.manifest, options))
    if made.verdict is None or options.precision == "origin":
        return options
    batch = made.manifest.inputs[0].shape[0]
    feeds = list(subject.feeds(batch if isinstance(batch, int) else None, options.gears))
    mode = HalfMode(options.precision, options.keep_fp32)
    half, failed = judged(made, feeds, mode, options.soc, watch)
    if not failed:
        return options
    reason = f"{om_name(made.path.name, options)}: {failed[0]}"
    if plan.rescue:
        with watch.working("looking for the nodes that need fp32"):
            found, refusal = rescued(Steps(made.path), feeds, options.soc, mode)
        if not refusal:
            watch.note(kept_words(found))
            return replace(options, keep_fp32=(*options.keep_fp32, *found.keep))
        reason += f"; {refusal}"
    raise ParityFailedError(f"{reason}; no OM was made", replace(made.verdict, half=half))


def judged(
    made: OnnxExport, feeds: Sequence[Feed], mode: HalfMode, soc: Soc | None, watch: Watch
) -> tuple[tuple[HalfVerdict, ...], list[str]]:
    """The verdicts, and in words what a chip's half precision does not hold; without a chip, any of them."""
    with watch.working(f"computing {made.path.name} as {soc.name if soc else 'an NPU'} would, node by node"):
        half = judge_half(made.path, feeds, overflows_of(soc), mode)
    return half, [text for verdict in half for text in verdict.reasons() if not verdict.passed]
