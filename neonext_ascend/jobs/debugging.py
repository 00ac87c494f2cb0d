"""Debug: where two computations of a network depart, node by node, and the smallest graph that shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from neonext_ascend.errors import ArtifactError, UsageError
from neonext_ascend.jobs.checking import checked
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.runtimes.steps import Array, Steps
from neonext_ascend.spec import Bounds
from neonext_ascend.verify.matching import Matched, match
from neonext_ascend.verify.nodes import (
    MADE_FP16,
    MADE_FP32,
    Fault,
    NodeError,
    Reference,
    compare_nodes,
    values_of,
)
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
        subgraph: the ONNX file that shows the first fault alone; ``None`` where there is none.
    """

    artifact: str
    against: str
    matched: int
    unmatched: tuple[str, ...]
    by_position: int
    nodes: tuple[NodeError, ...]
    bound: float
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
            "subgraph": None if self.subgraph is None else str(self.subgraph),
        }


@checked
def debug(
    artifact: str | Path,
    *,
    against: str | Path | None = None,
    checkpoint: str | Path | None = None,
    output: str | Path | None = None,
    seed: Annotated[int, Bounds(ge=0, le=2**32 - 1)] = 0,
    watch: Watch = SILENT,
) -> Debugging:
    """Compare an ONNX file with another computation, node by node, on seeded noise.

    Args:
        artifact: the ONNX file.
        against: another ONNX file, or a folder of ``NAME.npy`` with inner values for the same input (``image.npy``
            beside them is the input); without one the file's own network, from its manifest, in PyTorch.
        checkpoint: of that network's weights, where they were not packaged or drawn from a seed.
        output: folder for the smallest graph that shows the fault; by default none is written.
        seed: of the noise.
        watch: told of each long step.

    Raises:
        UsageError, ArtifactError, CheckpointError: wrong usage or input, or nothing to compare with.
        FileAccessError: a file cannot be read or written.
    """
    path = Path(artifact)
    if path.suffix == ".om":
        raise UsageError(
            f"{path}: an OM shows no nodes; give its ONNX file, and --against a folder with a dump of the OM"
        )
    with watch.working(f"reading {path.name}"):
        steps = load_steps(path)
        feeds = _noise(steps, path, seed)
    with watch.working(f"looking at the shapes of {path.name}"):
        shapes = {name: value.shape for name, value in values_of(steps, feeds)}
    with watch.working("comparing node by node"):
        matched, values, what, half = _reference(path, against, checkpoint, steps, feeds, shapes)
        bound = MADE_FP16 if half or steps.half else MADE_FP32
        faults: list[Fault] = []
        nodes = tuple(compare_nodes(steps, feeds, Reference(values, matched.pairs), bound, faults.append))
    subgraph = write_subgraph(Path(output), steps, faults[0]) if faults and output is not None else None
    names = {name for step in steps.steps for name in step.outputs if name in matched.by_position}
    return Debugging(str(path), what, len(nodes), matched.unmatched, len(names), nodes, bound, subgraph)


def load_steps(path: Path) -> Steps:
    """An ONNX file to be computed node by node.

    Raises:
        FileAccessError: it cannot be read.
        ArtifactError: it is no ONNX model, or its nodes have no order.
    """
    from neonext_ascend.runtimes.onnx_file import check_onnx_file

    check_onnx_file(path)
    try:
        return Steps(path)
    except (ValueError, OSError) as error:
        raise ArtifactError(f"{path}: not a model that can be read: {error}") from None


def _reference(
    path: Path,
    against: str | Path | None,
    checkpoint: str | Path | None,
    steps: Steps,
    feeds: Mapping[str, Array],
    shapes: Mapping[str, tuple[int, ...]],
) -> tuple[Matched, Iterator[tuple[str, Array]], str, bool]:
    """The counterparts, their values in order, the reference in words, and whether it is in half precision."""
    if against is None:
        from neonext_ascend.jobs.debugging_network import network_values

        values, what = network_values(path, checkpoint, feeds)
        return _named(steps, values, shapes), iter(values.items()), what, False
    if checkpoint is not None:
        raise UsageError(f"both --against {against} and --checkpoint {checkpoint}; give one")
    other = Path(against)
    if other.is_dir():
        dump = {file.stem: file for file in sorted(other.glob("*.npy"))}
        values = {name: np.load(file, allow_pickle=False) for name, file in dump.items() if name in shapes}
        if not values:
            raise ArtifactError(f"{other}: none of its {len(dump)} .npy files has the name of a value in {path.name}")
        return _named(steps, values, shapes), iter(values.items()), f"the {len(values)} values in {other}", True
    theirs = load_steps(other)
    if len(theirs.inputs) != len(steps.inputs):
        raise ArtifactError(f"{other}: has {len(theirs.inputs)} inputs, {path.name} has {len(steps.inputs)}")
    fed = dict(zip(theirs.inputs, (feeds[name] for name in steps.inputs), strict=True))
    others = {name: value.shape for name, value in values_of(theirs, fed)}
    return match(steps.steps, theirs.steps, shapes, others), values_of(theirs, fed), str(other), theirs.half


def _named(steps: Steps, values: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> Matched:
    """Values that are counterparts by their names."""
    pairs = {name: name for name, value in values.items() if name in shapes and value.size == np.prod(shapes[name])}
    unmatched = [step.name for step in steps.steps if not any(name in pairs for name in step.outputs)]
    return Matched(pairs, {}, tuple(unmatched))


def _noise(steps: Steps, path: Path, seed: int) -> dict[str, Array]:
    """Seeded standard normal noise for every input; a free dimension is 1."""
    random, feeds = np.random.RandomState(seed), dict[str, Array]()
    for name, dtype, shape in steps.tensors():
        if dtype not in ("float32", "float16", "float64"):
            raise ArtifactError(f"{path}: input {name} is {dtype}; debug feeds noise to floating inputs alone")
        feeds[name] = random.standard_normal([n or 1 for n in shape]).astype("float32" if dtype == "float16" else dtype)
    return feeds
