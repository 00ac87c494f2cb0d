"""What the rules on a graph's wiring look at: who gives each tensor, who reads it, in which order.

Bodies of If, Loop and Scan see the values of the graph around them, and give their own names to nobody outside.
"""

from __future__ import annotations

from collections.abc import Iterator

from neonext_ascend.exporters.atc_rules.checks import Hit, Hits, Subject
from neonext_ascend.exporters.atc_rules.reading import Graph, Node

_SHOWN = 6


def dangling_input(subject: Subject) -> Hits:
    """Tensors that a node reads and nobody gives."""
    for node in subject.model.nodes():
        for name in dict.fromkeys(filter(None, node.inputs)):
            if not _visible(node.graph, name):
                yield Hit(node.label, {"op": node.op, "tensor": name})


def output_of_nobody(subject: Subject) -> Hits:
    """Outputs of a graph or body that nothing in it gives."""
    for graph in subject.model.graphs:
        for name in graph.outputs:
            if not _gives(graph, name):
                yield Hit(f"{graph.where}/{name}" if graph.where else name, {"tensor": name})


def written_twice(subject: Subject) -> Hits:
    """Tensors that two of nodes, inputs and constants give."""
    for graph in subject.model.graphs:
        owners, around = dict[str, str](), _given_around(graph)
        for kind, names in (("an input", graph.inputs), ("a constant", graph.constants)):
            for name in names:
                # A constant of an input's name is that input's default.
                if owners.get(name) == kind:
                    yield Hit(name, {"tensor": name, "other": owners[name]})
                owners[name] = kind
        for node in graph.nodes:
            for name in filter(None, node.outputs):
                other = owners.get(name) or around.get(name)
                if other is not None:
                    yield Hit(node.label, {"tensor": name, "other": other})
                owners[name] = node.label


def cycle(subject: Subject) -> Hits:
    """Nodes that wait for each other, through the bodies of nodes too."""
    for graph in subject.model.graphs:
        for circle in _circles(graph):
            (first, tensor), *_ = circle
            labels = [node.label for node, _ in circle]
            shown = labels[:_SHOWN] + (["..."] if len(labels) > _SHOWN else []) + labels[:1]
            yield Hit(first.label, {"tensor": tensor, "path": " <- ".join(shown)})


def out_of_order(subject: Subject) -> Hits:
    """Nodes that stand before one whose result they read."""
    for graph in subject.model.graphs:
        circling = {id(node) for circle in _circles(graph) for node, _ in circle}
        place = {id(node): index for index, node in enumerate(graph.nodes)}
        for node, sources in zip(graph.nodes, _sources(graph), strict=True):
            late = [(name, source) for name, source in sources.items() if place[id(source)] > place[id(node)]]
            if late and id(node) not in circling:
                name, source = late[0]
                yield Hit(node.label, {"op": node.op, "tensor": name, "other": source.label})


def no_nodes(subject: Subject) -> Hits:
    """A graph without a node."""
    if subject.model.proto.HasField("graph") and not subject.model.main.nodes:
        yield Hit(None)


def _gives(graph: Graph, name: str) -> bool:
    return name in graph.producers or name in graph.given


def _visible(graph: Graph | None, name: str) -> bool:
    """Whether the graph or one around it gives it."""
    while graph is not None:
        if _gives(graph, name):
            return True
        graph = graph.parent
    return False


def _given_around(graph: Graph) -> dict[str, str]:
    """Who gives what in the graphs around a body; what comes after the body's own node does not count."""
    owners: dict[str, str] = {}
    while graph.parent is not None:
        owner, graph = graph.owner, graph.parent
        owners |= dict.fromkeys(graph.given, "of the graph around it")
        for node in graph.nodes:
            if node is owner:
                break
            owners |= dict.fromkeys(node.outputs, node.label)
    return owners


def _sources(graph: Graph) -> Iterator[dict[str, Node]]:
    """For each node the tensors of this graph that it, or a body of it, reads from nodes; and those nodes."""
    for node in graph.nodes:
        names = dict.fromkeys((*node.inputs, *(name for body in node.bodies for name in _free(body))))
        yield {name: graph.producers[name] for name in names if name in graph.producers and name not in graph.given}


def _free(body: Graph) -> Iterator[str]:
    """What a body reads from around it."""
    for node in body.nodes:
        for name in (*node.inputs, *(name for inner in node.bodies for name in _free(inner))):
            if name and not _gives(body, name):
                yield name


def _circles(graph: Graph) -> list[list[tuple[Node, str]]]:
    """Circles of nodes, each with the tensor that it waits for."""
    waits = {id(node): (node, sources) for node, sources in zip(graph.nodes, _sources(graph), strict=True)}
    readers: dict[int, list[int]] = {}
    for key, (_, sources) in waits.items():
        for other in {id(source) for source in sources.values()}:
            readers.setdefault(other, []).append(key)
    count = {key: len({id(source) for source in sources.values()}) for key, (_, sources) in waits.items()}
    ready = [key for key, number in count.items() if number == 0]
    while ready:
        key = ready.pop()
        del waits[key]
        for reader in readers.get(key, ()):
            count[reader] -= 1
            if count[reader] == 0:
                ready.append(reader)
    # Each node that is left waits for another one that is left: whoever follows them comes round.
    circles: list[list[tuple[Node, str]]] = []
    walked: dict[int, int] = {}
    for start in waits:
        path: list[tuple[Node, str]] = []
        key = start
        while key not in walked:
            walked[key] = start
            node, sources = waits[key]
            tensor, source = next((name, source) for name, source in sources.items() if id(source) in waits)
            path.append((node, tensor))
            key = id(source)
        if walked[key] == start and path:
            circles.append(path[[id(waiting) for waiting, _ in path].index(key) :])
    return circles
