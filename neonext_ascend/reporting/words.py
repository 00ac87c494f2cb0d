"""Results in words: one line where one line does."""

from __future__ import annotations

import math
import string
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from neonext_ascend.artifacts.manifest import Manifest, Weights
from neonext_ascend.errors import counted
from neonext_ascend.models.config import NetworkConfig, size_text
from neonext_ascend.precision.half import WORDS
from neonext_ascend.verify.compare import summarize

if TYPE_CHECKING:  # these load PyTorch or more
    from neonext_ascend.passes.base import Report
    from neonext_ascend.verify.half import HalfVerdict
    from neonext_ascend.verify.parity import ParityReport

WIDTH, LABEL_WIDTH = 80, 9
# Each of what is set side by side is a letter in words.
LETTERS = string.ascii_uppercase
FOLDED = {
    "fold_batchnorm": "BatchNorm",
    "fold_layer_scale": "LayerScale",
    "fold_layernorm": "LayerNorm affine",
    "fold_space_to_depth": "stem",
    "fold_downsampling": "down-sampling",
}
LOWERED = {
    "blockdiag": "block-diagonal",
    "packed": "packed",
    "padded": "padded",
    "patchwise": "patchwise",
    "kron": "as Kronecker products",
}

# Where another than the exact form in five nodes was asked for.
GELUS = {
    "tanh": "the tanh form, as asked for: up to 4.7e-4 from the exact one, so judged as half precision is",
    "npu": "npu::NPUGeluV2, as asked for: for 910B; here ONNX Runtime's Gelu is checked in its place",
}


def digits(number: float) -> str:
    """Three or more significant digits."""
    return f"{number:.{max(0, 2 - math.floor(math.log10(number))) if number < 100 else 0}f}" if number > 0 else "0"


def weights_text(weights: Weights) -> str:
    """Where the weights come from."""
    if weights.source == "seed":
        return f"untrained (NeoInit, seed {weights.seed})"
    origin = "packaged, " if weights.source == "package" else ""
    return f"{origin}{weights.file} (sha256 {str(weights.sha256)[:12]}...)"


def network_lines(config: NetworkConfig, weights: Weights) -> list[str]:
    """The network and its weights."""
    shifts = ",".join(str(int(s)) for s in config.shifts)
    network = f"{config.name}, {config.definition} definition, image {size_text(config.image_size)}, shifts {shifts}"
    return [
        *labelled("network", f"{network}, {config.num_classes} classes"),
        *labelled("weights", weights_text(weights)),
    ]


def form_lines(manifest: Manifest, report: Report) -> list[str]:
    """What preparation did, in which layout and why, and what it refused, equal reasons together."""
    changed: Mapping[str, int] = report.changed
    made = manifest.artifact
    folded = [f"{changed[name]} {what}" for name, what in FOLDED.items() if changed.get(name)]
    lowered = [f"{n} {LOWERED[name]}" for name, n in Counter(report.lowerings.values()).items()]
    lines = [*labelled("folded", ", ".join(folded) or "nothing")]
    lines += labelled("lowered", f"{len(report.lowerings)} NeoCells: {', '.join(lowered)}" if lowered else "no NeoCell")
    lines += labelled("layout", made.layout + (f": {made.layout_reason}" if made.layout_reason else ""))
    lines += labelled("gelu", GELUS[made.gelu]) if made.gelu in GELUS else []
    places: dict[str, list[str]] = {}
    for refusal in report.refused:
        places.setdefault(refusal.reason, []).append(refusal.where)
    for reason, (first, *more) in places.items():
        lines += labelled("refused", f"{first}{f' and {len(more)} more' if more else ''}: {reason}")
    return lines


def parity_lines(report: ParityReport, label: str = "parity") -> list[str]:
    """Verdict and figures; reasons and place where it failed."""
    worst, images = summarize(report.comparisons), sum(c.images for c in report.comparisons)
    figures = f"max abs {worst['max_abs']:.2g}, max rel {worst['max_rel']:.2g}, cosine {worst['cosine']:.7f}"
    maps = list(dict.fromkeys(c.output for c in report.comparisons))
    agreement = f"{counted(len(maps), 'output')} on {counted(images // len(maps), 'image')}: {', '.join(maps)}"
    if worst["top1"] is not None:
        agreement = f"top-1 {_share(worst['top1'], images)}, top-5 {_share(worst['top5'], images)}"
    lines = labelled(label, f"{'passed' if report.passed else 'FAILED'}: {figures}")
    if report.points:
        largest = max(p.relative for p in report.points)
        agreement += f"; {counted(len(report.points), 'inner point')}, largest max rel {largest:.2g}"
    lines += labelled("", agreement)
    smallest = report.to_json()["smallest_passing"]
    if smallest and report.passed:
        bounds = ", ".join(f"{name} {value:.2g}" for name, value in smallest.items())
        lines += labelled("", f"smallest tolerance that passes: {bounds}")
    if not report.passed:
        lines += [line for reason in report.reasons() for line in labelled("", reason)]
        if smallest is None:
            lines += labelled("", "no larger tolerance would pass: what failed is no bound of the difference")
        lines += labelled("", f"first departure: {report.departure}")
    return lines


def half_lines(verdicts: Sequence[HalfVerdict]) -> list[str]:
    """What half precision, computed node by node, makes of it, in each way of overflowing."""
    if not verdicts:
        return []
    kept = verdicts[0].report.in_fp32
    but = f", but for {kept} in fp32 by the file's own types" if kept else ""
    lines = labelled("fp16", f"each node's result rounded{but}, products accumulated in {verdicts[0].accumulation}:")
    failed = [(WORDS[verdict.report.overflow], verdict) for verdict in verdicts if not verdict.passed]
    for way, verdict in failed:
        lines += [line for reason in verdict.reasons() for line in labelled("", f"FAILED, {way}: {reason}")]
    tightest = verdicts[0].report.tightest
    if not failed and tightest is not None:
        cosine = min(verdict.comparison.cosine for verdict in verdicts)
        room = f"{tightest.range.headroom_bits:.0f} bits of headroom, the least at {tightest.name}"
        lines += labelled("", f"passed, nothing overflows: cosine {cosine:.7f}, {room}")
    warnings = list(dict.fromkeys(str(warning) for verdict in verdicts for warning in verdict.report.warnings))
    if warnings and not failed:
        more = f" and {len(warnings) - 1} more" if len(warnings) > 1 else ""
        lines += labelled("", f"warning: {warnings[0]}{more}; harmless where the chip runs it as one operator")
    return lines


def labelled(label: str, text: str) -> list[str]:
    """``text`` in lines of at most :data:`WIDTH` behind a column for ``label``; paths are never broken."""
    room = WIDTH - LABEL_WIDTH
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{(label if i == 0 else '').ljust(LABEL_WIDTH)}{line}".rstrip() for i, line in enumerate(lines)]


def bytes_text(nbytes: int) -> str:
    """A size with its unit, decimal."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes} B"


def _share(part: float, images: int) -> str:
    return f"{round(part * images)}/{images}"
