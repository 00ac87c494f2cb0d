"""Functions that a file spells in several nodes, such as GELU by Erf: found as closed sets of nodes.

A set is closed if it reads one computed value, twice or more, and one value alone of it is read outside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Spelt(Protocol):
    """A node, as far as this search looks at it."""

    @property
    def op(self) -> str:
        """Its operator."""

    @property
    def inputs(self) -> Sequence[str]:
        """Names of what it reads."""

    @property
    def outputs(self) -> Sequence[str]:
        """Names of what it makes."""


N = TypeVar("N", bound=Spelt)
Spelling = Mapping[str, int]

# Heart -> function, and the operators of each spelling; one more or less is another function.
SPELLINGS: Mapping[str, tuple[str, tuple[Spelling, ...]]] = {
    "Erf": ("GELU", ({"Div": 1, "Erf": 1, "Add": 1, "Mul": 2}, {"Erf": 1, "Add": 1, "Mul": 3})),
    "Tanh": (
        "GELU",
        (
            {"Pow": 1, "Tanh": 1, "Add": 2, "Mul": 4},
            {"Tanh": 1, "Add": 2, "Mul": 6},
            {"Tanh": 1, "Add": 2, "Mul": 5},
        ),
    ),
    "Sqrt": (
        "LayerNorm",
        (
            {"ReduceMean": 2, "Sub": 1, "Pow": 1, "Add": 1, "Sqrt": 1, "Div": 1},
            {"ReduceMean": 2, "Sub": 1, "Mul": 1, "Add": 1, "Sqrt": 1, "Div": 1},
            {"ReduceMean": 2, "Sub": 2, "Pow": 1, "Add": 1, "Sqrt": 1, "Div": 1},
            {"ReduceMean": 2, "Sub": 1, "Pow": 1, "Add": 1, "Sqrt": 1, "Reciprocal": 1, "Mul": 1},
            {"Pow": 1, "ReduceMean": 1, "Add": 1, "Sqrt": 1, "Div": 1},
        ),
    ),
    "Sigmoid": ("SiLU", ({"Sigmoid": 1, "Mul": 1}, {"Sigmoid": 1, "Mul": 2})),
    "HardSigmoid": ("HardSwish", ({"HardSigmoid": 1, "Mul": 1},)),
    "Clip": ("HardSwish", ({"Add": 1, "Clip": 1, "Div": 1, "Mul": 1}, {"Add": 1, "Clip": 1, "Mul": 2})),
    "Exp": ("Softmax", ({"ReduceMax": 1, "Sub": 1, "Exp": 1, "ReduceSum": 1, "Div": 1},)),
    "Softplus": ("Mish", ({"Softplus": 1, "Tanh": 1, "Mul": 1},)),
}
_MOST = 9  # operators of the longest spelling


@dataclass(frozen=True, slots=True)
class Function(Generic[N]):
    """Nodes that compute one function, in their order: what they read, and the one output that others read."""

    name: str
    nodes: tuple[N, ...]
    source: str
    output: str


class Search(Generic[N]):
    """Looks for functions among nodes.

    Args:
        nodes: in order.
        results: values that the graph gives.
        is_vector: whether a value is a constant of more than one number, as LayerNorm's gain is.
    """

    def __init__(self, nodes: Sequence[N], results: Sequence[str], is_vector: Callable[[str], bool]) -> None:
        self._nodes, self._results, self._is_vector = nodes, set(results), is_vector
        self._number = {id(node): number for number, node in enumerate(nodes)}
        self._makers = {name: node for node in nodes for name in node.outputs}
        self._readers: dict[str, list[N]] = {}
        for node in nodes:
            for name in dict.fromkeys(node.inputs):
                self._readers.setdefault(name, []).append(node)

    def functions(self, *names: str) -> list[Function[N]]:
        """All that are spelled out, or those of these names."""
        hearts = {op for op, (name, _) in SPELLINGS.items() if not names or name in names}
        found = (self._around(node) for node in self._nodes if node.op in hearts)
        return [function for function in found if function is not None]

    def _around(self, heart: N) -> Function[N] | None:
        """The largest closed set around the heart that is one of its spellings, as LayerNorm is with its mean."""
        name, spellings = SPELLINGS[heart.op]
        allowed = {operator for spelling in spellings for operator in spelling}
        best: Function[N] | None = None
        for source in self._sources(heart, allowed):
            members: list[N] = []
            for node in self._behind(source, allowed):
                members.append(node)
                output = self._only_output(members)
                twice = sum(source in member.inputs for member in members) > 1  # GELU is x times something of x
                counts = Counter(member.op for member in members)
                if heart in members and output is not None and twice and counts in map(Counter, spellings):
                    output = self._with_affine(members, output) if name == "LayerNorm" else output
                    ordered = sorted(members, key=lambda member: self._number[id(member)])
                    if best is None or len(ordered) > len(best.nodes):
                        best = Function(name, tuple(ordered), source, output)
                    break
                if len(members) == _MOST:
                    break
        return best

    def _sources(self, heart: N, allowed: set[str]) -> Iterator[str]:
        """What the group may read: the values on the way back from the heart, nearest first."""
        name = heart.inputs[0]
        for _ in range(_MOST):
            yield name
            maker = self._makers.get(name)
            if maker is None or maker.op not in allowed:
                return
            name = next((n for n in maker.inputs if n in self._makers), maker.inputs[0])

    def _behind(self, source: str, allowed: set[str]) -> Iterator[N]:
        """The allowed operators behind ``source``, of which every computed input is known, in their order."""
        known, waiting, seen = {source}, list(self._readers.get(source, ())), set()
        while waiting:
            node = min(waiting, key=lambda one: self._number[id(one)])
            waiting.remove(node)
            inside = all(name in known or name not in self._makers for name in node.inputs)
            if id(node) in seen or node.op not in allowed or not inside:
                continue
            seen.add(id(node))
            known.update(node.outputs)
            yield node
            waiting += [reader for name in node.outputs for reader in self._readers.get(name, ())]

    def _only_output(self, members: Sequence[N]) -> str | None:
        """The one value of these nodes that is read outside; ``None`` where there are none or several."""
        inside = {id(member) for member in members}
        read = [
            name
            for node in members
            for name in node.outputs
            if name in self._results or any(id(reader) not in inside for reader in self._readers.get(name, ()))
        ]
        return read[0] if len(read) == 1 else None

    def _with_affine(self, members: list[N], output: str) -> str:
        """LayerNorm's gain and shift behind it, vectors both."""
        for operator in ("Mul", "Add"):
            readers = self._readers.get(output, [])
            if len(readers) != 1 or readers[0].op != operator or output in self._results:
                continue
            others = [name for name in readers[0].inputs if name != output]
            if len(others) == 1 and self._is_vector(others[0]):
                members.append(readers[0])
                (output,) = readers[0].outputs
        return output
