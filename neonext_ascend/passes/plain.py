"""The network itself: out of its wrappers, with plain weights and nothing that tracing cannot see."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from neonext_ascend.errors import PassRefusedError

# torch's own modules that only call another one -> where they hold it.
_WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "AveragedModel": "module",
}
# Hooks of torch.nn.utils that compute a weight before each forward, by the function that puts it in its place for good.
_REMOVERS = {
    "WeightNorm": "torch.nn.utils.remove_weight_norm(layer)",
    "SpectralNorm": "torch.nn.utils.remove_spectral_norm(layer)",
    "BasePruningMethod": "torch.nn.utils.prune.remove(layer, name)",
    "PruningContainer": "torch.nn.utils.prune.remove(layer, name)",
}


def unwrapped(network: nn.Module) -> nn.Module:
    """``network`` without wrappers such as torch.compile's, and with parametrised weights computed.

    What is changed is a copy; it shares every tensor that stays as it is.

    Raises:
        PassRefusedError: it is no network of PyTorch's, or holds what a trace or a fold would get wrong.
    """
    given: object = network  # what a caller without a type checker may give
    if not isinstance(given, nn.Module):
        raise PassRefusedError(f"{type(given).__name__} is not a network; expected a torch.nn.Module")
    network = _inside(network)
    inner = {id(m): _inside(m) for m in network.modules() if _inside(m) is not m}
    for path, module in network.named_modules():
        if obstacle := _obstacle(module):
            raise PassRefusedError(f"{path or type(module).__name__}: {obstacle}")
    if not (inner or any(_is_changed(module) for module in network.modules())):
        return network
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    # A copy leaves behind what Module.compile did.
    copied: nn.Module = copy.deepcopy(network, {**shared, **inner})
    for module in list(copied.modules()):
        if parametrize.is_parametrized(module):
            _compute_weights(module)
    return copied


def _is_changed(module: nn.Module) -> bool:
    return module._compiled_call_impl is not None or parametrize.is_parametrized(module)


def _compute_weights(module: nn.Module) -> None:
    """Put the values of parametrised weights in their place.

    torch's own function takes the weight's property from the class, which a copy shares with the original.
    """
    lists: Any = module.parametrizations
    lists.eval()  # a spectral norm in training changes its vectors
    values = {name: getattr(module, name).detach() for name in lists}
    del module.parametrizations
    module.__class__ = type(module).__bases__[0]
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=False))


def _inside(module: nn.Module) -> nn.Module:
    while type(module).__module__.startswith("torch.") and type(module).__name__ in _WRAPPERS:
        module = getattr(module, _WRAPPERS[type(module).__name__])
    return module


def _obstacle(module: nn.Module) -> str:
    """Why a network with this module in it cannot be prepared, and what to do; empty where it can."""
    if isinstance(module, torch.jit.ScriptModule):
        return "is TorchScript, without its Python code; give the network that it was made from"
    if type(module).__module__.startswith(("torch.ao.", "torch.nn.quantized", "torch.nn.qat", "torchao.")):
        return f"is a layer of quantisation ({type(module).__name__}); give the network as it was before"
    if hasattr(module, "lora_A"):
        return "has LoRA adapters beside its weight; merge them first: network = network.merge_and_unload()"
    for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
        if is_lazy(tensor):
            return f"{name} has no shape yet; run the network once first"
        if found := _kind(tensor):
            return f"{name} is {found}; expected a plain tensor of numbers"
    for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values()):
        cures = [_REMOVERS[kind.__name__] for kind in type(hook).__mro__ if kind.__name__ in _REMOVERS]
        if cures:
            return f"its weight is computed by a hook ({type(hook).__name__}); call {cures[0]} first"
        return "has forward hooks, which tracing cannot see; remove them"
    return ""


def is_replaced(module: nn.Module) -> bool:
    """Whether what it computes was replaced on this object alone: what is made from its class knows nothing of it."""
    return any(name in vars(module) for name in ("forward", "compute"))


def _kind(tensor: Any) -> str:
    """What a tensor is that no fold can read; empty for a plain one."""
    if type(tensor) not in (Tensor, nn.Parameter):
        return f"a {type(tensor).__name__}"
    return str(tensor.dtype) if tensor.is_complex() or tensor.is_quantized else ""
