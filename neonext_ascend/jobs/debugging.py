"""Debug: where two computations of a network depart, node by node, and the smallest graph that shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np

from neonext_ascend.artifacts.finding import with_its_data
from neonext_ascend.errors import ArtifactError, UsageError
from neonext_ascend.jobs.checking import checked
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.reporting.plotting import plotting
from neonext_ascend.runtimes.steps import Array, Steps
from neonext_ascend.spec import Bounds
from neonext_ascend.verify.nodewise.debugged import Debugging
from neonext_ascend.verify.nodewise.dumps import Dump
from neonext_ascend.verify.nodewise.graph_feeds import memory_for, noise_for, write_feeds
from neonext_ascend.verify.nodewise.graphs import Departure, compare_graphs
from neonext_ascend.verify.nodewise.nodes import MADE_FP16, MADE_FP32, MADE_INT8, NodeError
from neonext_ascend.verify.reproducing import write_subgraph

_EIGHT = "it is farther from float32 than 8 bits explain: the scales or the integers of its layer, or the file"
_AGAIN = "export it again; export --sensitivity measures what each layer costs, and --gate keeps in fp16 what must be"
_FORMS: Mapping[str, str] = {"": "no int8", "qdq": "int8 in QDQ form", "deploy": "int8 in the vendor's deploy form"}


@checked
@np.errstate(over="ignore", invalid="ignore")  # what a damaged file holds is to be compared, not warned of
def debug(
    artifact: str | Path,
    *,
    against: str | Path | None = None,
    checkpoint: str | Path | None = None,
    output: str | Path | None = None,
    plot: str | Path | None = None,
    seed: Annotated[int, Bounds(ge=0, le=2**32 - 1)] = 0,
    watch: Watch = SILENT,
) -> Debugging:
    """Compare an ONNX file with another computation, node by node, on seeded noise.

    Args:
        artifact: the ONNX file.
        against: another ONNX file, or a folder of ``NAME.npy`` with inner values (of a value or a node, ``/`` replaced
            as one likes; ``image.npy``, or the input's own name, is what was fed); without one the file's own network,
            from its manifest, written once more.
        checkpoint: of that network's weights, where they were not packaged or drawn from a seed.
        output: folder for what was fed, and for the smallest graph that shows the fault; by default none is written.
        plot: an SVG file for the errors by depth.
        seed: of the noise.
        watch: told of each long step.

    Raises:
        UsageError, ArtifactError, CheckpointError: wrong usage or input, or nothing to compare with.
        ToolchainError: a plot was asked for and matplotlib is missing.
        FileAccessError: a file cannot be read or written, or there is too little memory.
    """
    path = Path(artifact)
    if path.suffix == ".om":
        raise UsageError(
            f"{path}: an OM shows no nodes; give its ONNX file, and --against a folder with a dump of the OM"
        )
    folder = None if output is None else Path(output)
    with plotting(None if plot is None else Path(plot)) as publish:
        with watch.working(f"comparing {path.name} node by node"), memory_for(path):
            steps, found, what, feeds = _compared(path, against, checkpoint, seed)
        if plot is not None:
            publish(_by_depth(path, found.compared.nodes))
    matched, compared = found.matched, found.compared
    made = Debugging(
        artifact=str(path),
        against=what,
        matched=len(matched.how),
        unmatched=matched.unmatched,
        matched_by=matched.counts,
        nodes=compared.nodes,
        outputs=compared.outputs,
        bound=found.bound,
        allowed=found.allowed,
        missing=matched.missing,
        fed=() if folder is None else tuple(write_feeds(folder, feeds)),
    )
    if made.first_made is None or compared.fault is None:
        return made
    subgraph = None if folder is None else write_subgraph(folder, steps, compared.fault)
    return replace(made, cause=found.cause, subgraph=subgraph)


def _by_depth(path: Path, nodes: Sequence[NodeError]) -> str:
    from neonext_ascend.drawing.by_depth import draw_by_depth

    series = {
        "error": [node.relative for node in nodes],
        "made by the node itself": [node.own for node in nodes],
    }
    names = [node.name for node in nodes]
    return draw_by_depth(f"{path.name}, node by node", names, series, label="relative error", error=True)


def load_steps(path: Path) -> Steps:
    """An ONNX file to be computed node by node.

    Raises:
        FileAccessError: it cannot be read.
        ArtifactError: it is no ONNX model, or a damaged one.
    """
    from neonext_ascend.runtimes.onnx_file import check_onnx_file

    check_onnx_file(path)
    return Steps(with_its_data(path))


def _check_forms(path: Path, steps: Steps, theirs: Steps, what: str) -> None:
    """Refuse int8 beside anything but int8 of the same form: rounding and balanced channels differ everywhere."""
    if steps.int8 != theirs.int8:
        ours, others = (_FORMS[one.int8] for one in (steps, theirs))
        raise ArtifactError(
            f"{path}: holds {ours} and is held against {others} ({what}): they differ at each int8 layer, which is no "
            "node's fault; give a file of the same form with --against; verify tells whether its answers hold, export "
            "--sensitivity what each layer costs"
        )


def _compared(
    path: Path, against: str | Path | None, checkpoint: str | Path | None, seed: int
) -> tuple[Steps, Departure, str, dict[str, Array]]:
    """The file, how it departs from its reference, that in words, and what was fed."""
    steps, other = load_steps(path), None if against is None else Path(against)
    if other is not None and checkpoint is not None:
        raise UsageError(f"both --against {against} and --checkpoint {checkpoint}; give one")
    if other is not None and other.is_dir():
        dump = Dump(other, steps)
        known = dump.fed()
        feeds = noise_for(steps, path, seed, known)
        found, what = dump.compare(feeds)
        lacking = [name for name in steps.inputs if name not in known]
        if lacking:
            what += f"; {', '.join(lacking)} is not among them: noise of seed {seed} was fed"
        return steps, found, what, feeds
    if other is None:
        from neonext_ascend.jobs.debugging_network import fresh_graph

        (theirs, layers, picture), what = fresh_graph(path, checkpoint), "its own network, written once more"
        if picture is not None:
            feeds = {steps.inputs[0]: picture}
            # An answer may hide a layer that is off, as where every constant has to be the same.
            found = replace(compare_graphs(steps, theirs, feeds, MADE_INT8), allowed=0.0)
            if found.cause is not None:
                found = replace(found, cause=replace(found.cause, what=_EIGHT, remedy=_AGAIN))
            return steps, found, f"{what} in float32, on a picture", feeds
    else:
        theirs, layers, what = load_steps(other), None, str(other)
        _check_forms(path, steps, theirs, what)
    feeds = noise_for(steps, path, seed, like=theirs)
    bound = MADE_FP16 if layers is None and (steps.half or theirs.half) else MADE_FP32
    return steps, compare_graphs(steps, theirs, feeds, bound, layers), what, feeds
