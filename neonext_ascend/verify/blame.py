"""Which node a rung's failure comes from, and what to try: for the forms in PyTorch, for fp16, for a device."""

from __future__ import annotations

from collections.abc import Sequence

from neonext_ascend.precision.report import Alarm, HalfReport
from neonext_ascend.runtimes.eager import EagerRunner
from neonext_ascend.spec import Tolerance
from neonext_ascend.verify.compare import summarize
from neonext_ascend.verify.feeds import Feed
from neonext_ascend.verify.ladder import Blame, Rung
from neonext_ascend.verify.nodewise.pair import Cause
from neonext_ascend.verify.parity import OpenWithPoints
from neonext_ascend.verify.points import compare_points, first_departure

# A tensor that is off by more than this in fp16 has lost what later layers need.
_LOST = 1e-2
_AGAIN = "take the file as it was exported, or export it again"
_BUG = {
    "folded": "folding BatchNorm, LayerScale or LayerNorm into their neighbours changes the numbers",
    "lowered": "writing NeoCells as products changes the numbers",
    "onnx": "the ONNX file computes something else than the network that it was written from",
}


def own_blame(rung: str, node: str) -> Blame:
    """A form that this program makes, and makes wrong."""
    return Blame(rung, node, _BUG[rung], "this is a bug here: please report it with this ladder's --json")


def first_point(
    open_candidate: OpenWithPoints,
    reference: EagerRunner,
    points: Sequence[str],
    feed: Feed,
    tolerance: Tolerance,
) -> str:
    """The first inner point at which a form departs from the network; empty where none is known to."""
    with open_candidate(points) as opened:
        got = opened.infer({opened.inputs[0].name: feed.for_input(opened.inputs[0])})
    want = reference.infer({reference.inputs[0].name: feed.array})
    return first_departure(compare_points(points, got, want, tolerance)) or ""


def half_blame(rung: str, reports: Sequence[HalfReport], control: Rung) -> Blame:
    """A graph that fp16 does not hold; the control tells what fp16 costs the network itself.

    Args:
        rung: its name.
        reports: of the graph, one for each feed.
        control: the network in PyTorch in fp16.
    """
    alarm = next((alarm for report in reports for alarm in report.alarms), None)
    off = f"max rel {summarize(control.comparisons)['max_rel']:.2g}"
    if control.passed:
        whose = f"the network itself in PyTorch in fp16 holds ({off}): what the file adds to it does not"
    else:
        whose = f"the network itself in PyTorch in fp16 fails too ({off}): fp16 costs this, not the export"
    if alarm is not None:
        return Blame(rung, alarm.node, f"{_alarm(alarm)}; {whose}", _half_remedy(alarm))
    lost = (node for report in reports for node in report.nodes if node.relative > _LOST and not node.inside)
    first = next(lost, None)
    cause = "nothing overflows, but roundings add up to more than the bounds allow"
    return Blame(
        rung, "" if first is None else first.name, f"{cause}; {whose}", "keep the first node that is off in fp32"
    )


def file_blame(rung: str, cause: Cause | None) -> Blame:
    """A file that is not what its network gives."""
    if cause is not None:
        return Blame(rung, cause.node, cause.what, cause.remedy)
    return Blame(
        rung,
        "",
        "no node alone makes an error on the noise that was fed; the whole file does in this runtime, which may fuse "
        "nodes, or on other inputs",
        "try another version of the runtime, and tell its makers if that helps",
    )


def int8_blame(changed: Sequence[str], *, moved: bool) -> Blame:
    """An int8 file: by the constants that are not those that were exported, or as ``moved`` from its own answers."""
    if changed:
        more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        told = f"its constant {changed[0]} is not the one that was exported{more}"
        return Blame("int8", changed[0], told, _AGAIN)
    if moved:
        return Blame("int8", "", "it answers otherwise than the int8 file that was exported", _AGAIN)
    remedy = "export it with --gate DATASET, which keeps in fp16 the layers that cost accuracy; see --sensitivity"
    return Blame("int8", "", "int8 moves the answers further than rounding to 8 bits should", remedy)


def device_blame(rung: str, mistake: tuple[str, str] | None) -> Blame:
    """What runs on the device differs: by a mistake in its input, where one explains it."""
    if mistake is not None:
        return Blame(rung, "image", *mistake)
    return Blame(
        rung,
        "",
        "the device computes something else than the file, rounded as it should round; no mistake in the input that "
        "was tried explains it",
        "dump inner values on the device as NAME.npy, and run debug FILE.onnx --against that folder",
    )


def _alarm(alarm: Alarm) -> str:
    return str(alarm).removeprefix(f"{alarm.node} ")


def _half_remedy(alarm: Alarm) -> str:
    if alarm.kind == "overflow":
        return (
            f"divide {alarm.constant or f'what {alarm.node} reads'} by a power of two and multiply behind it, which is "
            f"exact where nothing nonlinear lies between; or keep it in fp32, which the cube unit of a 310P lacks: "
            "debug FILE.onnx --rescue finds what else must be kept, and whether a power of two helps"
        )
    return (
        f"multiply what {alarm.node} reads by a power of two and divide behind {alarm.seen_at or 'it'}, which is exact "
        f"where nothing nonlinear lies between; or keep it in fp32: debug FILE.onnx --rescue finds what else must be"
    )
