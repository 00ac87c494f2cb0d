"""A network as a graph of frozen layers: traced once, copied by each pass, the original never touched."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn

from neonext_ascend.errors import PassRefusedError
from neonext_ascend.models.layers import DropPath, LayerScale
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.passes.deployed import ORIGIN, SHAPE, Deployed
from neonext_ascend.passes.frozen.deferred import Deferred
from neonext_ascend.passes.frozen.layers import Frozen, FrozenConv2d, FrozenLayerNorm, FrozenLinear
from neonext_ascend.passes.frozen.neocell import FrozenNeoCell
from neonext_ascend.passes.plain import is_replaced, unwrapped
from neonext_ascend.spec import OUTPUT


class _Tracer(fx.Tracer):
    """Keeps our layers and torch's own whole."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        """Whether the module stays one node."""
        # Exact types: a subclass may compute something else, so its forward is traced.
        ours = type(module) in (NeoCell, LayerScale, DropPath) or isinstance(module, Frozen)
        return ours or super().is_leaf_module(module, qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Note which module's output a node is, the innermost one's where several return it."""
        result = super().call_module(m, forward, args, kwargs)
        if isinstance(result, fx.Proxy):
            result.node.meta.setdefault(ORIGIN, self.path_of_module(m))
        return result


def as_graph(network: nn.Module) -> fx.GraphModule:
    """The network as a graph of its own whose layers share the original's weights.

    Convolutions, linear layers, LayerNorm and NeoCell become frozen layers, one for each call. A graph that comes
    from here is copied.

    Raises:
        PassRefusedError: the network's Python code cannot be traced.
    """
    if isinstance(network, Deployed):
        return copy.copy(network)
    network = unwrapped(network)
    tracer = _Tracer()
    try:
        graph = tracer.trace(network)
    except Exception as error:  # tracing runs the user's forward; anything can come out
        reason = str(error).strip().splitlines()
        raise PassRefusedError(
            f"{type(network).__name__} cannot be traced: {reason[0] if reason else type(error).__name__}; "
            "expected a forward without control flow that depends on tensor values"
        ) from None
    for path, module in network.named_modules():
        if is_replaced(module) and (module is network or tracer.is_leaf_module(module, path)):
            raise PassRefusedError(
                f"{path or type(network).__name__}: its forward was replaced on this object, which tracing does not "
                "see; write it into a class of its own"
            )
    result = Deployed(tracer.root, graph, class_name="Deployed")
    for node in graph.nodes:
        _refuse_in_place(result, node)
    _freeze(result)
    return result


def _refuse_in_place(graph: fx.GraphModule, node: fx.Node) -> None:
    """A result written over its input changes every other reader of that input; a graph has no such thing."""
    module = module_of(graph, node)
    method = node.op == "call_method" and str(node.target).endswith("_") and not str(node.target).endswith("__")
    if not (method or node.kwargs.get("inplace") or getattr(module, "inplace", False)):
        return
    if any(len(source.users) > 1 for source in node.all_input_nodes):
        raise PassRefusedError(f"{where(node)}: works in place on a tensor that is used elsewhere too; use a copy")


def _freeze(graph: fx.GraphModule) -> None:
    """Replace what has constants by its frozen form; a layer called twice becomes two."""
    seen: dict[str, int] = {}
    called = {str(node.target) for node, _ in modules(graph)}
    for node in graph.graph.nodes:
        owner, _, name = str(node.target).rpartition(".")
        if node.op == "get_attr" and owner in called:
            # A layer's weight that the forward also uses directly; the frozen layer's is another.
            node.target = _free_name(graph, f"{owner}_{name}".replace(".", "_"), 0)
            setattr(graph, node.target, getattr(graph.get_submodule(owner), name))
    # All modules first: replacing one would hide it from its second call.
    for node, module in list(modules(graph)):
        target = str(node.target)
        seen[target] = seen.get(target, 0) + 1
        frozen = frozen_form(module)
        if frozen is not None:
            place(graph, node, frozen, target if seen[target] == 1 else _free_name(graph, target, seen[target]))


def _free_name(graph: fx.GraphModule, target: str, call: int) -> str:
    taken = {name for name, _ in graph.named_modules()} | set(dir(graph))
    while f"{target}_call{call}" in taken:
        call += 1
    return f"{target}_call{call}"


def frozen_form(module: nn.Module) -> Frozen | None:
    """The frozen layer that computes the same, or ``None`` where there is none."""

    def optional(tensor: torch.Tensor | None) -> Deferred | None:
        return None if tensor is None else Deferred.of(tensor)

    if type(module) is NeoCell:
        return FrozenNeoCell(
            module.geometry,
            [Deferred.of(w) for w in module.weight_a],
            [Deferred.of(w) for w in module.weight_b],
            [Deferred.of(b) for b in module.bias] if module.bias is not None else None,
            None,
        )
    if type(module) is nn.Linear:
        return FrozenLinear(Deferred.of(module.weight), optional(module.bias))
    if type(module) is nn.Conv2d and _plain(module):
        height, width = module.stride
        return FrozenConv2d(Deferred.of(module.weight), optional(module.bias), (int(height), int(width)), module.groups)
    if type(module) is nn.LayerNorm and len(module.normalized_shape) == 1:
        return FrozenLayerNorm(module.normalized_shape[0], module.eps, optional(module.weight), optional(module.bias))
    return None


def _plain(conv: nn.Conv2d) -> bool:
    return conv.padding in ((0, 0), "valid") and conv.dilation == (1, 1)


def modules(graph: fx.GraphModule) -> Iterator[tuple[fx.Node, nn.Module]]:
    """Every call of a module, in order, with the module."""
    for node in list(graph.graph.nodes):
        if node.op == "call_module":
            yield node, graph.get_submodule(str(node.target))


def module_of(graph: fx.GraphModule, node: object) -> nn.Module | None:
    """The module that a node calls, or ``None``."""
    if isinstance(node, fx.Node) and node.op == "call_module":
        return graph.get_submodule(str(node.target))
    return None


def only_input(node: fx.Node) -> fx.Node | None:
    """The node's single input node, or ``None`` where it has several or none."""
    inputs = node.all_input_nodes
    return inputs[0] if len(inputs) == 1 else None


def results_of(graph: fx.GraphModule) -> dict[str, fx.Node]:
    """The nodes whose values the network returns, by name; shapes must have been propagated.

    One tensor is ``logits``; several are named by the keys of their dict, or ``output1`` and so on in a list or tuple.

    Raises:
        PassRefusedError: it returns something else, nothing, or one tensor twice.
    """
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    result: Any = output.args[0]
    several = isinstance(result, (tuple, list, dict)) and len(result) > 0  # fx has types of its own for the last two
    given = {OUTPUT: result}
    if several:
        named = result if isinstance(result, dict) else {f"output{i}": one for i, one in enumerate(result, 1)}
        given = {str(name): one for name, one in named.items()}
    for name, node in given.items():
        if not isinstance(node, fx.Node) or SHAPE not in node.meta:
            what = f"no tensor as its output {name!r}" if several else "no tensor"
            raise PassRefusedError(
                f"the network returns {what}; expected one tensor, or a list, tuple or dict of tensors alone: wrap it "
                "in a module whose forward returns that"
            )
        if 0 in node.meta[SHAPE]:
            raise PassRefusedError(f"the network's output {node.meta[SHAPE]} is empty; expected numbers")
    if len(set(given.values())) < len(given):
        raise PassRefusedError("the network returns one tensor twice; expected each once")
    return given


def place(graph: fx.GraphModule, node: fx.Node, module: nn.Module, target: str | None = None) -> None:
    """Let ``node`` call ``module``, kept at ``target`` (by default where its own module is)."""
    target = str(node.target) if target is None else target
    graph.add_submodule(target, module)
    node.target = target


def absorb(graph: fx.GraphModule, node: fx.Node, into: fx.Node) -> None:
    """Remove ``node``: ``into`` now computes what it did."""
    into.meta[ORIGIN] = node.meta.get(ORIGIN)
    node.replace_all_uses_with(into)
    graph.graph.erase_node(node)


def where(node: fx.Node) -> str:
    """The node as a user knows it."""
    return str(node.target) if node.op == "call_module" else f"{node.name} ({node.meta.get(ORIGIN) or 'forward'})"


def describe(graph: fx.GraphModule, node: fx.Node | None) -> str:
    """A node in words, for a refusal."""
    if node is None:
        return "several inputs"
    if node.op in ("placeholder", "output"):
        return "the network's input" if node.op == "placeholder" else "the network's output"
    module = module_of(graph, node)
    if module is not None:
        return f"{type(module).__name__.removeprefix('Frozen')} {node.target!r}"
    target: Any = node.target
    return f"{getattr(target, '__name__', target)} at {where(node)}"
