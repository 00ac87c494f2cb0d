"""Checkpoint files: every kind that is accepted, what names the network inside, and every kind that is refused."""

from __future__ import annotations

import argparse
import os
import pickle
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from neonext_ascend.checkpoints.reading import load_network, read_checkpoint
from neonext_ascend.errors import CheckpointError, FileAccessError
from tests import DATA
from tests.support.networks import noise, relative_error, small_config, small_network, tiny_config, tiny_network

State = dict[str, Tensor]
NORM = "stage_1.0.ops.content.norm.weight"
FC = "stage_2.0.ops.content.fc_1.weight"


@pytest.fixture
def state() -> State:
    return tiny_network().state_dict()


def saved(path: Path, contents: object, legacy: bool = False) -> Path:
    torch.save(contents, path, _use_new_zipfile_serialization=not legacy)
    return path


def assert_holds(path: Path, state: Mapping[str, Tensor]) -> None:
    loaded = load_network(tiny_config(), read_checkpoint(path)).state_dict()
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[key], state[key]) for key in state)


WRAPPINGS: dict[str, Callable[[State], object]] = {
    "plain": lambda state: state,
    "under DDP": lambda state: {f"module.{key}": value for key, value in state.items()},
    "wrapped twice": lambda state: {f"module.module.{key}": value for key, value in state.items()},
    "under model": lambda state: {"model": state, "epoch": 3, "args": {"lr": 4e-3}},
    "under state_dict": lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
    "averaged weights first": lambda state: {
        "model": {key: torch.zeros_like(value) for key, value in state.items()},
        "model_ema": state,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1.0}]},
    },
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_pytorch_file_is_read_however_its_weights_are_wrapped(
    tmp_path: Path, state: State, wrapping: str, legacy: bool
) -> None:
    assert_holds(saved(tmp_path / "weights.pt", WRAPPINGS[wrapping](state), legacy), state)


def test_a_safetensors_file_is_read(tmp_path: Path, state: State) -> None:
    save_file(state, tmp_path / "weights.safetensors")
    assert_holds(tmp_path / "weights.safetensors", state)


def test_a_note_tells_which_weights_were_taken(tmp_path: Path, state: State) -> None:
    path = saved(tmp_path / "weights.pt", WRAPPINGS["averaged weights first"](state))
    note = "weights taken from 'model_ema' in the file; also there: model; left out: optimizer"
    assert read_checkpoint(path).notes == (note,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_converted_with_a_note(tmp_path: Path, state: State, dtype: torch.dtype) -> None:
    half = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
    path = saved(tmp_path / "half.pt", half)
    assert read_checkpoint(path).notes == (f"{str(dtype).removeprefix('torch.')} weights converted to float32",)
    assert_holds(path, {key: value.float() if value.is_floating_point() else value for key, value in half.items()})


def test_both_golden_files_hold_the_same_network() -> None:
    x = noise(1, 3, 224, 224)
    under_ddp = load_network(small_config(), read_checkpoint(DATA / "small_release.pt"))
    with torch.no_grad():
        # The same weights through the same operations: nothing may differ.
        assert relative_error(under_ddp(x), small_network()(x)) == 0
    assert not under_ddp.training
    assert all(parameter.requires_grad for parameter in under_ddp.parameters())


def test_the_class_count_is_the_files(tmp_path: Path, state: State) -> None:
    state["head.fc.weight"], state["head.fc.bias"] = torch.zeros(3, 16), torch.zeros(3)
    assert load_network(tiny_config(), read_checkpoint(saved(tmp_path / "w.pt", state))).config.num_classes == 3


class RunsCode:
    """What a malicious file holds: unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["zip", "legacy", "bare pickle"])
def test_code_in_a_file_is_not_run(tmp_path: Path, state: State, kind: str) -> None:
    trap, path = tmp_path / "trap", tmp_path / "weights.pt"
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps({"model": RunsCode(trap)}, protocol=2))
    else:
        saved(path, {"model": state, "extra": RunsCode(trap)}, legacy=kind == "legacy")
    with pytest.raises(CheckpointError, match=r"refused: it holds Python objects .*mkdir.* could run code"):
        read_checkpoint(path)
    assert not trap.exists()
    pickle.loads(pickle.dumps(RunsCode(trap)))
    assert trap.is_dir()  # the trap is a live one


def changed(**change: Any) -> Callable[[State], object]:
    return lambda state: {**state, **change}


Spoil = Callable[[State], object]
REFUSED: list[tuple[str, Spoil, str]] = [
    ("a Namespace alone", lambda s: argparse.Namespace(lr=1), "holds a Namespace of argparse; expected a state dict"),
    ("a list", lambda s: list(s.values()), "holds a list; expected a state dict"),
    ("a tensor", lambda s: s[NORM], "holds a Tensor; expected a state dict"),
    ("a list for a tensor", changed(**{FC: [1, 2]}), f"entry '{FC}' is a list; expected a tensor"),
    ("optimizer state alone", lambda s: {"optimizer": {"state": {}}, "epoch": 1}, "entry 'optimizer' is a dict"),
    ("nothing", lambda s: {}, "the state dict is empty"),
    ("another network", lambda s: {"conv1.weight": s[NORM]}, "not a NeoNeXt's weights"),
    ("NaN", changed(**{NORM: torch.full((8,), torch.nan)}), f"{NORM} holds NaN or infinity"),
    ("infinity", changed(**{NORM: torch.full((8,), torch.inf)}), f"{NORM} holds NaN or infinity"),
    ("a missing key", lambda s: {k: v for k, v in s.items() if k != FC}, f"lacks key '{FC}'"),
    ("no classifier", lambda s: {k: v for k, v in s.items() if "head" not in k}, "lacks key 'head.fc.weight'"),
    ("an extra key", changed(extra=torch.zeros(1)), "has the unknown key 'extra'"),
    ("a wrong shape", changed(**{FC: torch.zeros(3, 3)}), f"{FC} has shape (3, 3), expected (32, 8)"),
    ("a number for a vector", changed(**{NORM: torch.tensor(1.0)}), f"{NORM} has shape ()"),
    (
        "blocks with a gap",
        lambda s: {**s, **{k.replace("stage_3.0", "stage_3.2"): v for k, v in s.items()}},
        "the blocks of stage 3 are not numbered 0, 1, 2, ..: [0, 2]",
    ),
    ("a sparse tensor", changed(**{FC: torch.eye(32, 8).to_sparse()}), f"{FC} is sparse"),
    ("complex numbers", changed(**{FC: torch.zeros(32, 8, dtype=torch.complex64)}), f"{FC} is complex"),
    ("whole numbers", changed(**{FC: torch.zeros(32, 8, dtype=torch.int64)}), FC),
]


@pytest.mark.parametrize(("case", "spoil", "words"), REFUSED, ids=[case for case, _, _ in REFUSED])
def test_a_file_that_opens_but_holds_something_else_is_refused(
    tmp_path: Path, state: State, case: str, spoil: Spoil, words: str
) -> None:
    path = saved(tmp_path / "weights.pt", spoil(state))
    with pytest.raises(CheckpointError) as refusal:
        load_network(tiny_config(), read_checkpoint(path))
    assert words in str(refusal.value), case
    assert str(refusal.value).startswith(f"{path}: ")
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.9999])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_truncated_file_is_told_from_a_wrong_one(tmp_path: Path, state: State, kind: str, kept: float) -> None:
    path = tmp_path / "weights"
    if kind == "safetensors":
        save_file(state, path)
    else:
        saved(path, state, legacy=kind == "legacy")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(FileAccessError, match="truncated") as refusal:
        read_checkpoint(path)
    assert refusal.value.exit_code == 5


def no_file(path: Path) -> None:
    """Leaves nothing there."""


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "not a checkpoint")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (no_file, FileAccessError, "No such file"),
        (Path.mkdir, FileAccessError, "is a directory"),
        (Path.touch, FileAccessError, "the file is empty"),
        (lambda path: path.write_text("epoch 1: loss 6.9\n" * 9), CheckpointError, "neither a PyTorch file nor"),
        (write_zip, CheckpointError, "not a readable PyTorch file"),
    ],
    ids=["absent", "a directory", "empty", "a text file", "another zip"],
)
def test_what_is_no_checkpoint_at_all_is_refused(
    tmp_path: Path, make: Callable[[Path], object], error: type[CheckpointError | FileAccessError], words: str
) -> None:
    path = tmp_path / "weights.pt"
    make(path)
    with pytest.raises(error) as refusal:
        read_checkpoint(path)
    assert words in str(refusal.value)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path, refusals = tmp_path / "pipe", list[str]()
    os.mkfifo(path)

    def read() -> None:
        try:
            read_checkpoint(path)
        except FileAccessError as error:
            refusals.append(str(error))

    reader = threading.Thread(target=read, daemon=True)  # opening a pipe that nobody writes would wait for ever
    reader.start()
    reader.join(timeout=900)
    assert refusals == [f"{path}: is not a regular file; expected a checkpoint file (.pt or .safetensors)"]
