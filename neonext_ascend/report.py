"""Results in words: one line where one line does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from neonext_ascend.manifest import Weights
from neonext_ascend.models.config import NetworkConfig, size_text
from neonext_ascend.passes.base import Report
from neonext_ascend.verify.compare import summarize
from neonext_ascend.verify.parity import ParityReport

FOLDED = {
    "fold_batchnorm": "BatchNorm",
    "fold_layer_scale": "LayerScale",
    "fold_layernorm": "LayerNorm affine",
    "fold_space_to_depth": "stem",
    "fold_downsampling": "down-sampling",
}


def weights_text(weights: Weights) -> str:
    """Where the weights come from."""
    if weights.source == "seed":
        return f"untrained (NeoInit, seed {weights.seed})"
    origin = "packaged weights" if weights.source == "package" else "weights"
    return f"{origin} {weights.file} (sha256 {str(weights.sha256)[:12]}...)"


def network_text(config: NetworkConfig, weights: Weights) -> str:
    """The network in one line."""
    shifts = ",".join(str(int(s)) for s in config.shifts)
    return (
        f"{config.name}: {config.definition} definition, image {size_text(config.image_size)}, shifts {shifts}, "
        f"{config.num_classes} classes, {weights_text(weights)}"
    )


def passes_text(report: Report) -> list[str]:
    """What preparation did, and each refusal."""
    changed: Mapping[str, int] = report.changed
    folded = [f"{changed[name]} {what}" for name, what in FOLDED.items() if changed.get(name)]
    lines = [
        f"folded {', '.join(folded)}; lowered {changed.get('lower_neocell', 0)} NeoCells to block-diagonal matmuls"
    ]
    return lines + [f"refused {refusal}" for refusal in report.refused]


def parity_text(report: ParityReport) -> list[str]:
    """Verdict and figures."""
    worst = summarize(report.comparisons)
    verdict = "passed" if report.passed else "FAILED"
    lines = [
        f"{verdict}: max abs {worst['max_abs']:.2g}, max rel {worst['max_rel']:.2g}, cosine {worst['cosine']:.7f}, "
        f"top-1 {_share(worst['top1'], worst['images'])}, top-5 {_share(worst['top5'], worst['images'])}"
    ]
    if report.points:
        largest = max(p.relative for p in report.points)
        lines.append(f"inner points: {len(report.points)} compared, largest relative difference {largest:.2g}")
    smallest = report.to_json()["smallest_passing"]
    if smallest:
        bounds = ", ".join(f"{name} {value:.2g}" for name, value in smallest.items())
        lines.append(f"smallest tolerance that passes: {bounds}")
    if not report.passed:
        lines += report.reasons()
        lines.append(f"first departure: {report.departure}")
    return lines


def indented(title: str, lines: Sequence[str], width: int = 9) -> list[str]:
    """``title`` before the first line, blanks before the others."""
    return [f"{(title if i == 0 else '').ljust(width)}{line}" for i, line in enumerate(lines)]


def bytes_text(nbytes: int) -> str:
    """A size with its unit, decimal."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes} B"


def _share(part: float, images: int) -> str:
    return f"{round(part * images)}/{images}"
