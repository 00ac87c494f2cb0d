"""However a checkpoint nests its weights and prefixes their keys: they load, and one line says what was taken."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DataParallel
from torch.optim.swa_utils import AveragedModel

from neonext_ascend.checkpoints.loading import load
from neonext_ascend.checkpoints.reading import load_network, read_checkpoint
from neonext_ascend.errors import CheckpointError
from tests.support.networks import tiny_config, tiny_network

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return dict(tiny_network().state_dict())


def put(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def other(state: State) -> State:
    """Weights of the same network that must not be taken."""
    return {key: value + 1 for key, value in state.items()}


def averaged(state: State) -> State:
    network = tiny_network()
    network.load_state_dict(state)
    return dict(AveragedModel(network).state_dict())


def profiled(state: State) -> State:
    modules = {key[:dot] for key in state for dot in range(len(key)) if key[dot] == "."}
    assert "stage_1.0.ops.content.neocell.weight_a" in modules  # where a counter could be taken for a cell
    counters = {f"{module}.{name}": torch.zeros(1) for module in modules for name in ("total_ops", "total_params")}
    return {"total_ops": torch.zeros(1), "total_params": torch.zeros(1), **counters, **state}


def mixed(state: State) -> State:
    return {f"{'module.' if i % 2 else '_orig_mod.module.'}{key}": state[key] for i, key in enumerate(state)}


def deep(state: State) -> State:
    """Blocks compiled and wrapped one by one."""
    keys = {key: key.replace(".ops.", "._orig_mod.ops.module.").replace("fc_1.", "fc_1._orig_mod.") for key in state}
    return {keys[key]: value for key, value in state.items()}


def without(state: State, end: str) -> State:
    return {key: value for key, value in state.items() if not key.endswith(end)}


def under(name: str) -> tuple[Callable[[State], object], list[str]]:
    return lambda state: {name: state, "epoch": 1}, [f"taken from '{name}' in the file; left out: epoch"]


LIGHTNING: dict[str, Any] = {"epoch": 3, "global_step": 9, "hyper_parameters": {"lr": 1e-3}, "optimizer_states": []}
# What a file holds, and what the line about it says, in this order.
LOADS: dict[str, tuple[Callable[[State], object], list[str]]] = {
    "compiled": (lambda s: put("_orig_mod.", s), ["weights taken, their keys without '_orig_mod.'"]),
    "DDP of compiled": (lambda s: put("module._orig_mod.", s), ["without 'module.', '_orig_mod.'"]),
    "compiled DDP": (lambda s: put("_orig_mod.module.", s), ["without 'module.', '_orig_mod.'"]),
    "three wrappers": (lambda s: put("module._orig_mod.module.", s), ["without 'module.', '_orig_mod.'"]),
    "wrappers mixed": (mixed, ["without 'module.', '_orig_mod.'"]),
    "wrappers inside": (deep, ["without 'module.', '_orig_mod.'"]),
    "FSDP": (lambda s: put("_fsdp_wrapped_module.", s), ["without '_fsdp_wrapped_module.'"]),
    "checkpointed": (lambda s: {k.replace(".ops.", "._checkpoint_wrapped_module.ops."): v for k, v in s.items()}, []),
    "Lightning": (
        lambda s: {"state_dict": put("model.", s), **LIGHTNING},
        ["'state_dict' in the file", "without 'model.'", "left out: epoch, global_step, hyper_parameters, optimizer_s"],
    ),
    "Lightning, compiled": (
        lambda s: {"state_dict": put("model._orig_mod.", s), **LIGHTNING},
        ["without 'model.', '_orig_mod.'", "left out: epoch"],
    ),
    "net.": (lambda s: put("net.", s), ["without 'net.'"]),
    "backbone., several levels": (lambda s: put("learner.backbone.net.", s), ["without 'learner.backbone.net.'"]),
    "a criterion beside": (
        lambda s: {**put("model.", s), "criterion.weight": torch.ones(5)},
        ["without 'model.'", "left out: criterion.weight"],
    ),
    "averaged in the same dict": (
        lambda s: {"state_dict": {**put("model.", other(s)), **put("ema_model.module.", s)}},
        ["without 'ema_model.', 'module.'", "also there: state_dict.model"],
    ),
    "AveragedModel": (averaged, ["without 'module.'", "left out: n_averaged"]),
    "AveragedModel beside": (
        lambda s: {"model": other(s), "model_ema": averaged(s), "epoch": 3},
        ["'model_ema' in the file", "also there: model", "left out: epoch, n_averaged"],
    ),
    "averaged, of parameters alone": (
        lambda s: {"model": s, "model_ema": {k: v for k, v in other(s).items() if "running" not in k}},
        ["'model' in the file", "left out: model_ema (it lacks 'stem.norm.running_mean')"],
    ),
    "averaged, of another network": (
        lambda s: {"model": s, "model_ema": {"conv1.weight": torch.ones(3)}},
        ["'model' in the file", "left out: model_ema"],
    ),
    "nothing averaged": (lambda s: {"model_ema": None, "model": s}, ["'model' in the file; left out: model_ema"]),
    "EMA with its bookkeeping": (
        lambda s: {"ema": {"decay": 0.9999, "num_updates": torch.tensor(7), **s}, "model": other(s)},
        ["'ema' in the file", "also there: model", "left out: decay, num_updates"],
    ),
    "EMA as an entry of an entry": (
        lambda s: {"ema": {"module": s, "updates": 7}, "model": other(s)},
        ["'ema.module' in the file; also there: model; left out: ema.updates"],
    ),
    "one level deeper": (
        lambda s: {"state": {"model": s, "optimizer": {}}, "epoch": 3},
        ["'state.model' in the file; left out: epoch, state.optimizer"],
    ),
    "params and params_ema": (
        lambda s: {"params": other(s), "params_ema": s},
        ["'params_ema' in the file; also there: params"],
    ),
    "a best one deeper": (
        lambda s: {"state_dict": s, "best": {"state_dict": other(s)}},
        ["'state_dict' in the file; also there: best.state_dict"],
    ),
    "the same twice": (lambda s: {"net": s, "weights": dict(s)}, ["'net' in the file; also there: weights"]),
    "a list around it": (lambda s: [s], ["taken from '[0]' in the file"]),
    "an epoch before it": (lambda s: (3, s), ["taken from '[1]' in the file; left out: [0]"]),
    "a list in a tuple in a dict": (
        lambda s: {"saved": ([put("module.", s)], 3), "epoch": 3},
        ["taken from 'saved.[0].[0]' in the file", "without 'module.'", "left out: epoch, saved.[1]"],
    ),
    "one of two on the meta device": (
        lambda s: {"model_ema": {k: v.to("meta") for k, v in s.items()}, "model": s},
        ["'model' in the file; left out: model_ema (stem.conv.weight is on the meta device"],
    ),
    "the same twice in a list": (lambda s: [s, dict(s)], ["'[0]' in the file; also there: [1]"]),
    "model before others": (lambda s: {"last": other(s), "model": s}, ["'model' in the file; also there: last"]),
    "no counters": (
        lambda s: {"model": without(s, "num_batches_tracked"), "epoch": 3},
        ["'model' in the file; left out: epoch; num_batches_tracked is not in the file and taken as 0"],
    ),
    "counters as floats": (
        lambda s: {k: v.float() if k.endswith("tracked") else v for k, v in s.items()},
        [],
    ),
    "profiled": (profiled, ["weights taken; left out: total_ops, total_params, ", "more"]),
    "profiled under DDP": (lambda s: put("module.", profiled(s)), ["left out: module.total_ops"]),
    "an epoch among the weights": (lambda s: {**s, "epoch": 3, "history": [1]}, ["left out: epoch, history"]),
    "a number for a key": (lambda s: {"model": s, 7: "seven"}, ["left out: 7"]),
    **{f"under {name}": under(name) for name in ("model_state_dict", "net", "params", "params_ema", "module")},
    **{f"under {name}": under(name) for name in ("ema_state_dict", "weights", "network")},
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("case", LOADS)
def test_weights_are_found_and_one_line_says_what_was_taken(
    tmp_path: Path, state: State, case: str, legacy: bool
) -> None:
    make, words = LOADS[case]
    torch.save(make(state), tmp_path / "weights.pt", _use_new_zipfile_serialization=not legacy)
    checkpoint = read_checkpoint(tmp_path / "weights.pt")
    loaded = load_network(tiny_config(), checkpoint).state_dict()
    for key, value in state.items():
        assert torch.equal(loaded[key], value), key
        assert loaded[key].dtype == value.dtype
    assert len(checkpoint.notes) <= 1
    note, place = "".join(checkpoint.notes), -1
    for word in words:
        place = note.find(word, place + 1)
        assert place >= 0, (word, note)


def test_safetensors_are_unwrapped_too(tmp_path: Path, state: State) -> None:
    save_file(put("model._orig_mod.", profiled(state)), tmp_path / "weights.safetensors")
    checkpoint = read_checkpoint(tmp_path / "weights.safetensors")
    assert checkpoint.contents.cells == tiny_config().cells
    assert load_network(tiny_config(), checkpoint).config.num_classes == 5


def test_data_parallel_and_a_wrapping_module_are_what_torch_makes_of_them(tmp_path: Path, state: State) -> None:
    network = tiny_network()
    holder = nn.Module()
    compiled: Any = torch.compile(network, backend="eager")
    holder.backbone = DataParallel(compiled)
    torch.save(holder.state_dict(), tmp_path / "weights.pt")
    loaded = load_network(tiny_config(), read_checkpoint(tmp_path / "weights.pt"))
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())


REFUSED: dict[str, tuple[Callable[[State], object], str]] = {
    "a student and a teacher": (
        lambda s: {"student": s, "teacher": other(s)},
        "holds several state dicts, and nothing says which to take: 'student', 'teacher'; save the right one alone",
    ),
    "two averages": (lambda s: {"ema_fast": s, "ema_slow": other(s), "model": s}, "'ema_fast', 'ema_slow'"),
    "two prefixes": (lambda s: {**put("a.", s), **put("b.", other(s))}, "which to take: 'a', 'b'"),
    "two folds": (lambda s: {"folds": {0: {"m": s}, 1: {"m": other(s)}}}, "'folds.0.m', 'folds.1.m'"),
    "a key twice": (
        lambda s: {**s, "module.stem.conv.weight": s["stem.conv.weight"]},
        "'module.stem.conv.weight' stands there twice, under different wrappers' names",
    ),
    "two that are not whole": (
        lambda s: {"a": without(s, "head.fc.bias"), "b": {**without(s, "running_var")}},
        "lacks key 'head.fc.bias'",
    ),
    "a list for a tensor": (
        lambda s: {"model": {**s, "head.fc.bias": [1.0]}},
        "entry 'head.fc.bias' is a list; expected a tensor",
    ),
    "NumPy arrays": (
        lambda s: {k: v.numpy() for k, v in s.items()},
        "entry 'stem.conv.weight' is a NumPy object; expected a tensor",
    ),
    "an optimizer's state": (
        lambda s: {"optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}, "epoch": 3},
        "entry 'optimizer' is a dict; expected a state dict",
    ),
    "another network, deeper": (
        lambda s: {"state": {"model": {"conv1.weight": torch.ones(3)}}},
        "not a NeoNeXt's weights: expected keys such as",
    ),
    "an unknown key behind a prefix": (lambda s: put("model.", {**s, "extra": torch.ones(1)}), "unknown key 'extra'"),
    "a cell without a number": (
        lambda s: {**s, "stage_1.0.ops.content.neocell.weight_a.best": torch.ones(1)},
        "has the unknown key 'stage_1.0.ops.content.neocell.weight_a.best'",
    ),
    "parametrised": (
        lambda s: {k.replace("fc_1.weight", "fc_1.parametrizations.weight.original0"): v for k, v in s.items()},
        "fc_1.parametrizations.weight.original0' is of a parametrised layer; before saving: torch.nn.utils.parametrize",
    ),
    "weight norm": (
        lambda s: {
            **without(s, "head.fc.weight"),
            "head.fc.weight_g": torch.ones(1),
            "head.fc.weight_v": torch.ones(1),
        },
        "under weight norm; before saving: torch.nn.utils.remove_weight_norm(layer)",
    ),
    "pruned": (
        lambda s: {**without(s, "head.fc.weight"), "head.fc.weight_orig": torch.ones(1)},
        "torch.nn.utils.prune.remove(layer, 'weight')",
    ),
    "an adapter": (lambda s: {**s, "head.fc.lora_A.default.weight": torch.ones(1)}, "model.merge_and_unload()"),
    "prepared for quantisation": (
        lambda s: {**s, "head.fc.weight_fake_quant.scale": torch.ones(1)},
        "prepared for quantisation; before saving: take the weights from before that",
    ),
    "quantised": (
        lambda s: {**s, "head.fc.weight": torch.quantize_per_tensor(s["head.fc.weight"], 0.1, 0, torch.qint8)},
        "head.fc.weight is quantised (take the weights from before quantisation)",
    ),
    "on the meta device": (
        lambda s: {**s, "head.fc.weight": s["head.fc.weight"].to("meta")},
        "head.fc.weight is on the meta device: such tensors hold no values",
    ),
    "all on the meta device": (
        lambda s: {"model": {k: v.to("meta") for k, v in s.items()}},
        "stem.conv.weight is on the meta device: such tensors hold no values",
    ),
    "two, both on the meta device": (
        lambda s: [{k: v.to("meta") for k, v in s.items()}] * 2 + [{k: v.to("meta") for k, v in s.items()}],
        "stem.conv.weight is on the meta device: such tensors hold no values",
    ),
    "two, both sparse": (
        lambda s: [{k: v.to_sparse() for k, v in s.items()}, {k: v.to_sparse() for k, v in s.items()}],
        "stem.conv.weight is sparse; expected plain real numbers",
    ),
    "two in a list": (lambda s: [s, other(s)], "nothing says which to take: '[0]', '[1]'"),
    "a list of numbers": (lambda _: [1, 2], "holds a list; expected a state dict"),
    "a list of nothing": (lambda _: [[], ({},)], "holds a list; expected a state dict"),
    "a list of another network": (lambda _: [{"conv1.weight": torch.ones(3)}], "not a NeoNeXt's weights: expected"),
}


@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning"
)  # quantised tensors are on their way out
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_taken_is_refused_with_the_reason(tmp_path: Path, state: State, case: str) -> None:
    make, words = REFUSED[case]
    torch.save(make(state), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError) as refusal:
        load_network(tiny_config(), read_checkpoint(tmp_path / "weights.pt"))
    assert words in str(refusal.value)
    assert str(refusal.value).startswith(f"{tmp_path / 'weights.pt'}: ")
    assert "\n" not in str(refusal.value)


def test_the_line_reaches_who_loads(tmp_path: Path, state: State) -> None:
    contents = {"model": state, "args": argparse.Namespace(lr=1.0), "best": np.float64(81.2)}
    torch.save(contents, tmp_path / "weights.pt")
    notes = load(tiny_config(), checkpoint=tmp_path / "weights.pt").notes
    assert notes == ("weights taken from 'model' in the file; left out: args, best",)
