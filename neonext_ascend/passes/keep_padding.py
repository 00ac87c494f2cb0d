"""Let maps stay padded from one padded NeoCell to the next: no Pad and no Slice between them.

The zeros in a padded NeoCell's matrices erase whatever stands in the padding, and a layer that works on each pixel by
itself leaves it there. So all values that such layers join are padded together, by the strided convolution that makes
the map (its ``pads``) or by one Pad; behind them one Slice takes the map out again.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx

from neonext_ascend.kernels.lower_padded import padded_size
from neonext_ascend.kernels.maps import Maps
from neonext_ascend.kernels.program import Crop, Pad, Step
from neonext_ascend.passes import elementwise
from neonext_ascend.passes.base import Pass, PassReport
from neonext_ascend.passes.deployed import ORIGIN, SHAPE
from neonext_ascend.passes.frozen.layers import FrozenConv2d
from neonext_ascend.passes.frozen.program import FrozenProgram
from neonext_ascend.passes.graph import module_of, modules, place, where
from neonext_ascend.spec import Layout

Size = tuple[int, int]


class KeepPadding(Pass):
    """Wherever it spares more Pads and Slices than it takes.

    Args:
        layout: that the NeoCells were lowered for; with ``chnw`` the pass :mod:`to_chnw` has to follow.
    """

    name = "keep_padding"

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite; shapes must have been propagated."""
        sizes = {node: padded_size(*_size(node)) for values in _groups(graph) for node in values}
        rewriting = _Rewriting(graph, self.layout, sizes)
        for node in list(graph.graph.nodes) if sizes else []:
            rewriting.rewrite(node)
        report.changed += [where(node) for node in sizes]
        for node, size in sizes.items():
            # With its padding it equals nothing in the original network.
            node.meta[ORIGIN], node.meta[SHAPE] = None, (*node.meta[SHAPE][:2], *size)


class _Rewriting:
    """Node by node, in the graph's order; ``sizes`` are those of the values that are padded."""

    def __init__(self, graph: fx.GraphModule, layout: Layout, sizes: dict[fx.Node, Size]) -> None:
        self.graph, self.layout, self.sizes = graph, layout, sizes
        self.cropped: dict[fx.Node, fx.Node] = {}

    def rewrite(self, node: fx.Node) -> None:
        module = module_of(self.graph, node)
        if isinstance(module, FrozenProgram) and module.loose:
            self._loosen(node, module)
        elif isinstance(module, FrozenConv2d) and not module.is_pointwise:
            self._convolve(node, module)
        elif not _is_pixelwise(self.graph, node):
            for source in node.all_input_nodes:
                self._crop(source, node)
            if node in self.sizes:
                self._pad(node)

    def _loosen(self, node: fx.Node, cell: FrozenProgram) -> None:
        """Without the Pad of a padded input, without the Crop of a padded result."""
        (source,), steps, expects = node.all_input_nodes, cell.steps, list(cell.expects)
        if source in self.sizes:
            steps = steps[1:]
            for axis, length in zip(Maps(0, self.layout).axes[1:], self.sizes[source], strict=True):
                expects[axis] = length
        if node in self.sizes:
            steps = steps[:-1]
        place(self.graph, node, FrozenProgram(cell.what, steps, cell.constants, tuple(expects)))

    def _convolve(self, node: fx.Node, conv: FrozenConv2d) -> None:
        """Zeros that the convolution puts behind its map make the padding; too long a map is cut before."""
        (source,), kernel = node.all_input_nodes, conv.constants["weight"].shape[2:]
        wanted, given = (self.sizes.get(value, _size(value)) for value in (node, source))
        needed = [(n - 1) * s + k for n, s, k in zip(wanted, conv.stride, kernel, strict=True)]
        if any(have >= need + s for have, need, s in zip(given, needed, conv.stride, strict=True)):
            self._crop(source, node)
            given = _size(source)
        below, right = (max(0, need - have) for need, have in zip(needed, given, strict=True))
        if given != _size(source) or below or right:
            bias, whole = conv.optional("bias"), conv.whole and given == _size(source)
            zeros = (below, right)
            place(
                self.graph, node, FrozenConv2d(conv.constants["weight"], bias, conv.stride, conv.groups, whole, zeros)
            )

    def _pad(self, node: fx.Node) -> None:
        """One Pad behind a value that nothing pads for free."""
        (height, width), size = _size(node), self.sizes.pop(node)
        readers = [user for user in node.users if user in self.sizes or _step(self.graph, user, 0, Pad)]
        padded = self._insert(
            node, "padded", Maps(node.meta[SHAPE][1], self.layout).padded(size[0] - height, size[1] - width)
        )
        for reader in readers:
            reader.replace_input_with(node, padded)
        self.sizes[padded] = size

    def _crop(self, source: fx.Node, reader: fx.Node) -> None:
        """The map itself for a reader that wants no padding; one Slice for all of them."""
        if source not in self.sizes:
            return
        if source not in self.cropped:
            window = Maps(source.meta[SHAPE][1], self.layout).cropped(*_size(source))
            self.cropped[source] = self._insert(source, "unpadded", window, self.sizes[source])
        reader.replace_input_with(source, self.cropped[source])

    def _insert(self, source: fx.Node, what: str, step: Step, size: Size | None = None) -> fx.Node:
        """A layer of one step behind ``source``, which has that size; its own is noted as the map's."""
        channels, (height, width) = source.meta[SHAPE][1], size or _size(source)
        expects = (None, channels, height, width) if self.layout == "nchw" else (channels, height, None, width)
        name, taken = f"{source.meta.get(ORIGIN) or source.name}_{what}", dict(self.graph.named_modules())
        while name in taken:
            name += "_"
        self.graph.add_submodule(name, FrozenProgram(f"map, {what}", (step,), {}, expects))
        with self.graph.graph.inserting_after(source):
            inserted = self.graph.graph.call_module(name, (source,))
        inserted.meta.update({ORIGIN: source.meta.get(ORIGIN), SHAPE: source.meta[SHAPE]})
        return inserted


def _groups(graph: fx.GraphModule) -> Iterator[list[fx.Node]]:
    """Values that are worth being padded together."""
    seen: set[fx.Node] = set()
    for node, _ in modules(graph):
        for seed in (*node.all_input_nodes[: _step(graph, node, 0, Pad)], *[node][: _step(graph, node, -1, Crop)]):
            if seed not in seen:
                values = _joined(graph, seed)
                seen.update(values)
                if _spared(graph, values) > 0:
                    yield values


def _joined(graph: fx.GraphModule, seed: fx.Node) -> list[fx.Node]:
    """All values that layers which work on each pixel join with ``seed``."""
    values = [seed]
    for value in values:
        neighbours = [user for user in value.users if _is_pixelwise(graph, user)]
        neighbours += value.all_input_nodes if _is_pixelwise(graph, value) else []
        values += [node for node in dict.fromkeys(neighbours) if node not in values]
    return values


def _spared(graph: fx.GraphModule, values: list[fx.Node]) -> int:
    """Pads and Slices that there are fewer if these values are padded."""
    spared = 0
    for value in values:
        module = module_of(graph, value)
        if _step(graph, value, -1, Crop):
            spared += 1
        elif not isinstance(module, FrozenConv2d) and not _is_pixelwise(graph, value):
            spared -= 1
        others = [user for user in value.users if not _is_pixelwise(graph, user)]
        pads = sum(_step(graph, user, 0, Pad) for user in others)
        spared += pads - any(not _step(graph, user, 0, Pad) for user in others)
    return spared


def _step(graph: fx.GraphModule, node: fx.Node, place: int, kind: type[Step]) -> bool:
    """Whether the node is a padded NeoCell whose first or last step is of this kind."""
    module = module_of(graph, node)
    return isinstance(module, FrozenProgram) and module.loose and isinstance(module.steps[place], kind)


def _is_pixelwise(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether it gives a map whose every pixel comes from the same pixel of maps of that size."""
    shapes = [source.meta.get(SHAPE, ()) for source in (node, *node.all_input_nodes)]
    if any(len(shape) != 4 or shape[2:] != shapes[0][2:] for shape in shapes):
        return False
    module = module_of(graph, node)
    if module is not None:
        pointwise = isinstance(module, FrozenConv2d) and module.is_pointwise
        return pointwise or isinstance(module, elementwise.MODULES + elementwise.BATCH_NORMS)
    return node.op == "call_function" and node.target in elementwise.UNARY | elementwise.BINARY


def _size(node: fx.Node) -> Size:
    """Height and width of its map."""
    height, width = node.meta[SHAPE][2:]
    return height, width
