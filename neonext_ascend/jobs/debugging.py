"""Debug: where two computations of a network depart, node by node, and the smallest graph that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from neonext_ascend.artifacts.finding import with_its_data
from neonext_ascend.errors import ArtifactError, FileAccessError, UsageError
from neonext_ascend.jobs.checking import checked
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.reporting.plotting import plotting
from neonext_ascend.runtimes.steps import Array, Steps
from neonext_ascend.spec import Bounds
from neonext_ascend.verify.graphs import Departure, compare_graphs
from neonext_ascend.verify.matching import Matched
from neonext_ascend.verify.nodes import (
    MADE_FP16,
    MADE_FP32,
    NUMBERS,
    Fault,
    NodeError,
    Reference,
    compare_nodes,
    values_of,
)
from neonext_ascend.verify.pair import Cause
from neonext_ascend.verify.reproducing import write_subgraph


@dataclass(frozen=True)
class Debugging:
    """What was found.

    Args:
        artifact, against: what was compared.
        matched, unmatched: nodes of the artifact with and without a counterpart.
        by_position: matched nodes whose names differ.
        nodes: every matched one, in order.
        bound: of a node's own error.
        cause: of the first error, with a remedy; ``None`` without an error, and where the reference is no graph.
        subgraph: the ONNX file that shows the first fault alone; ``None`` where there is none.
    """

    artifact: str
    against: str
    matched: int
    unmatched: tuple[str, ...]
    by_position: int
    nodes: tuple[NodeError, ...]
    bound: float
    cause: Cause | None = None
    subgraph: Path | None = None

    @property
    def first_made(self) -> NodeError | None:
        """The first node whose error is made there."""
        return next((node for node in self.nodes if node.made), None)

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        first = self.first_made
        return {
            "artifact": self.artifact,
            "against": self.against,
            "matched": self.matched,
            "by_position": self.by_position,
            "unmatched": list(self.unmatched),
            "bound": self.bound,
            "nodes": [node.to_json() for node in self.nodes],
            "first_made": None if first is None else first.name,
            "cause": None if self.cause is None else self.cause.to_json(),
            "subgraph": None if self.subgraph is None else str(self.subgraph),
        }


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
        against: another ONNX file, or a folder of ``NAME.npy`` with inner values for the same input (``image.npy``
            beside them is the input); without one the file's own network, from its manifest, written once more.
        checkpoint: of that network's weights, where they were not packaged or drawn from a seed.
        output: folder for the smallest graph that shows the fault; by default none is written.
        plot: an SVG file for the errors by depth.
        seed: of the noise.
        watch: told of each long step.

    Raises:
        UsageError, ArtifactError, CheckpointError: wrong usage or input, or nothing to compare with.
        ToolchainError: a plot was asked for and matplotlib is missing.
        FileAccessError: a file cannot be read or written.
    """
    path = Path(artifact)
    if path.suffix == ".om":
        raise UsageError(
            f"{path}: an OM shows no nodes; give its ONNX file, and --against a folder with a dump of the OM"
        )
    with plotting(None if plot is None else Path(plot)) as publish:
        with watch.working(f"reading {path.name}"):
            steps = load_steps(path)
            feeds = noise_for(steps, path, seed)
        with watch.working("comparing node by node"):
            found, what = _compared(path, against, checkpoint, steps, feeds)
        if plot is not None:
            publish(_by_depth(path, found))
    matched, fault = found.matched, found.fault
    subgraph = write_subgraph(Path(output), steps, fault) if fault is not None and output is not None else None
    moved = sum(any(name in matched.by_position for name in step.outputs) for step in steps.steps)
    return Debugging(
        artifact=str(path),
        against=what,
        matched=len({node.name for node in found.nodes}),
        unmatched=matched.unmatched,
        by_position=moved,
        nodes=found.nodes,
        bound=found.bound,
        cause=found.cause,
        subgraph=subgraph,
    )


def _by_depth(path: Path, found: Departure) -> str:
    from neonext_ascend.drawing.by_depth import draw_by_depth

    series = {
        "error": [node.relative for node in found.nodes],
        "made by the node itself": [node.own for node in found.nodes],
    }
    names = [node.name for node in found.nodes]
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


def _compared(
    path: Path, against: str | Path | None, checkpoint: str | Path | None, steps: Steps, feeds: Mapping[str, Array]
) -> tuple[Departure, str]:
    """How the file departs from its reference, and that in words."""
    if against is None:
        from neonext_ascend.jobs.debugging_network import fresh_graph

        theirs, layers = fresh_graph(path, checkpoint)
        return compare_graphs(steps, theirs, feeds, layers=layers), "its own network, written once more"
    if checkpoint is not None:
        raise UsageError(f"both --against {against} and --checkpoint {checkpoint}; give one")
    other = Path(against)
    if other.is_dir():
        return _against_dump(other, path, steps, feeds)
    theirs = load_steps(other)
    bound = MADE_FP16 if steps.half or theirs.half else MADE_FP32
    return compare_graphs(steps, theirs, feeds, bound), str(other)


def _against_dump(folder: Path, path: Path, steps: Steps, feeds: Mapping[str, Array]) -> tuple[Departure, str]:
    shapes = {name: value.shape for name, value in values_of(steps, feeds)}
    values = {file.stem: _dumped(file) for file in sorted(folder.glob("*.npy")) if file.stem in shapes}
    if not values:
        count = len(list(folder.glob("*.npy")))
        raise ArtifactError(f"{folder}: none of its {count} .npy files has the name of a value in {path.name}")
    pairs = {name: name for name, value in values.items() if value.size == np.prod(shapes[name])}
    unmatched = [step.name for step in steps.steps if not any(name in pairs for name in step.outputs)]
    matched, faults = Matched(pairs, {}, tuple(unmatched)), list[Fault]()
    reference = Reference(iter(values.items()), matched.pairs)
    nodes = tuple(compare_nodes(steps, feeds, reference, MADE_FP16, faults.append))
    fault = faults[0] if faults else None
    return Departure(matched, nodes, MADE_FP16, fault), f"the {len(values)} values in {folder}"


def _dumped(file: Path) -> Array:
    """An inner value, as someone's program saved it."""
    FileAccessError.refuse_special(file, "an array")
    try:
        with file.open("rb") as opened:
            value: object = np.load(opened, allow_pickle=False)
    except (MemoryError, OSError):
        raise
    except Exception:  # a damaged file makes numpy raise nearly anything
        raise ArtifactError(f"{file}: not an array that numpy can read; save it with numpy.save") from None
    if not isinstance(value, np.ndarray) or value.dtype.kind not in NUMBERS:
        raise ArtifactError(f"{file}: holds no numbers; expected one array of them")
    return value


def noise_for(steps: Steps, path: Path, seed: int) -> dict[str, Array]:
    """Seeded standard normal noise for every input; a free dimension is 1."""
    random, feeds = np.random.RandomState(seed), dict[str, Array]()
    for name, dtype, shape in steps.tensors():
        if dtype not in ("float32", "float16", "float64"):
            raise ArtifactError(f"{path}: input {name} is {dtype}; debug feeds noise to floating inputs alone")
        try:
            values = random.standard_normal([n or 1 for n in shape])
        except ValueError:  # a negative size, or more than an array can have
            raise ArtifactError(f"{path}: input {name} has the shape {shape}, which no tensor has") from None
        feeds[name] = values.astype("float32" if dtype == "float16" else dtype)
    return feeds
