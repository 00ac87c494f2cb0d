"""Objects beside the weights load as stand-ins that run nothing; a file that would call something is refused."""

from __future__ import annotations

import argparse
import builtins
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import importlib.abc
import io
import operator
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import types
import uuid
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neonext_ascend.checkpoints.pickle_names import names_in
from neonext_ascend.checkpoints.reading import load_network, read_checkpoint
from neonext_ascend.errors import CheckpointError
from tests.checkpoints.npu import Format, save_as_on_npu
from tests.support.networks import tiny_config, tiny_network

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return dict(tiny_network().state_dict())


def assert_holds(path: Path, state: State) -> None:
    loaded = load_network(tiny_config(), read_checkpoint(path)).state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 2


@dataclasses.dataclass
class Settings:
    rate: float = 0.1
    inner: dict[str, int] = dataclasses.field(default_factory=lambda: {"a": 1})


@dataclasses.dataclass(slots=True)
class Slotted:
    rate: float = 0.1


class Attributes(dict[str, Any]):
    """Of the kind of EasyDict: a dictionary with attributes."""

    def __init__(self, **entries: Any) -> None:
        super().__init__(**entries)
        self.__dict__.update(entries)


class History(list[int]):
    pass


class Sums(collections.OrderedDict[str, int]):
    pass


class Outer:
    class Inner:
        pass

    @staticmethod
    def make() -> None:
        raise AssertionError("it was called")


Point = collections.namedtuple("Point", "x y")
INERT: dict[str, object] = {
    "a Namespace": argparse.Namespace(lr=1.0, inner=argparse.Namespace(a=[1])),
    "a NumPy number": np.float64(81.2),
    "NumPy's smaller numbers": [np.float32(1), np.int64(2), np.bool_(True), np.float16(3)],
    "a NumPy array": np.arange(6.0).reshape(2, 3),
    "NumPy's random state": np.random.RandomState(0).get_state(),
    "a NumPy generator": np.random.default_rng(0),
    "a NumPy type": np.float32,
    "an OrderedDict": collections.OrderedDict(a=1),
    "a defaultdict": collections.defaultdict(list, a=[1], b=[2]),
    "an empty defaultdict": collections.defaultdict(int),
    "a Counter": collections.Counter("abca"),
    "a deque": collections.deque([1, 2], maxlen=3),
    "paths": [pathlib.Path("a"), pathlib.PurePosixPath("b"), pathlib.PureWindowsPath("c")],
    "an enumeration": [Colour.RED, Level.LOW],
    "times": [datetime.datetime(2026, 1, 1), datetime.timedelta(1), datetime.date(2026, 1, 1), datetime.UTC],
    "numbers": [decimal.Decimal("1.5"), fractions.Fraction(1, 3), 2**70, 1j, b"bytes", bytearray(b"x"), {1}, range(3)],
    "an identifier": uuid.UUID(int=7),
    "a SimpleNamespace": types.SimpleNamespace(a=1),
    "data classes": [Settings(), Slotted()],
    "a dictionary with attributes": Attributes(lr=1.0),
    "kinds of list and dict": [History([1, 2]), Sums(a=1)],
    "a tuple with names": Point(1, 2),
    "a nested class": [Outer.Inner(), Outer.Inner],
    "a deferred call": functools.partial(torch.optim.SGD, lr=0.1),
    "functions by name": [torch.nn.functional.gelu, tiny_network],
    "torch's own": [torch.float16, torch.Size([1]), torch.device("cuda:0"), torch.Generator],
}


class Imports(importlib.abc.MetaPathFinder):
    """Notes what is imported: a file's names must not lead to it."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None) -> None:
        self.names.append(fullname)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("case", INERT)
def test_what_is_inert_beside_the_weights_is_left_out(
    tmp_path: Path, state: State, case: str, legacy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"model": state, "beside": INERT[case]}, path, _use_new_zipfile_serialization=not legacy)
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(path)  # what PyTorch itself imports when it loads is there from here on
    imports = Imports()
    monkeypatch.setattr(sys, "meta_path", [imports, *sys.meta_path])
    checkpoint = read_checkpoint(path)
    assert imports.names == []
    assert checkpoint.notes == ("weights taken from 'model' in the file; left out: beside",)
    assert_holds(path, state)
    assert set(torch.serialization.get_safe_globals()) == before  # what stands in is taken back


def test_a_class_that_is_nowhere_loads_and_one_that_runs_code_when_made_does_not_run(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"

    class Armed:
        def __init__(self) -> None:
            self.a = 1

        def __new__(cls) -> Armed:
            if "armed" in os.environ:
                trap.mkdir()
            return super().__new__(cls)

        def __setstate__(self, state: object) -> None:
            trap.mkdir()

    module = types.ModuleType("somebodys_project")
    module.Armed = Armed  # type: ignore[attr-defined]  # a module of the moment
    Armed.__module__, Armed.__qualname__ = "somebodys_project", "Armed"
    monkeypatch.setitem(sys.modules, "somebodys_project", module)
    path = tmp_path / "weights.pt"
    torch.save({"model": state, "beside": Armed()}, path)
    assert_holds(path, state)  # with the module there
    monkeypatch.setenv("armed", "1")
    assert_holds(path, state)
    assert not trap.exists()
    monkeypatch.delitem(sys.modules, "somebodys_project")
    assert_holds(path, state)  # and without it


class Calls:
    """A pickle that calls something."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


CODE: dict[str, tuple[Callable[..., object], tuple[object, ...], str]] = {
    "os.system": (os.system, ("true",), "posix.system"),
    "a process": (subprocess.Popen, (["true"],), "subprocess.Popen"),
    "subprocess.call": (subprocess.call, (["true"],), "subprocess.call"),
    "eval": (builtins.eval, ("1",), "eval"),
    "exec": (builtins.exec, ("1",), "exec"),
    "compile": (builtins.compile, ("1", "", "eval"), "compile"),
    "__import__": (builtins.__import__, ("os",), "__import__"),
    "open": (builtins.open, ("/dev/null",), "io.open"),
    "type": (builtins.type, ("T", (), {}), "type"),
    "map": (builtins.map, (print, (1,)), "map"),
    "getattr of a function": (builtins.getattr, (torch.load, "__globals__"), "getattr"),
    "a method": (pathlib.Path.touch, ("trap",), f"{pathlib.Path.__module__}.Path.touch"),
    "a class's method": (Outer.make, (), "Outer.make"),
    "operator.attrgetter": (operator.attrgetter, ("system",), "operator.attrgetter"),
    "shutil.rmtree": (shutil.rmtree, ("nowhere",), "shutil.rmtree"),
    "pickle.loads": (pickle.loads, (b"N.",), "pickle.loads"),
    "importlib": (importlib.import_module, ("os",), "importlib.import_module"),
    "torch.load": (torch.load, ("other.pt",), "torch.serialization.load"),
    "torch.hub": (torch.hub.load, ("a", "b"), "torch.hub.load"),
    "numpy.load": (np.load, ("a.npy",), "numpy.load"),
    "somebody's function": (tiny_network, (), "tests.support.networks.tiny_network"),
    "a call in a partial": (functools.partial, (os.system, "true"), "posix.system"),
}


@pytest.mark.parametrize(
    ("case", "form"),
    # A bare pickle is refused whatever it holds; whether getattr is harmless shows when it is given its arguments.
    [
        (case, form)
        for case in CODE
        for form in ("zip", "legacy", "bare", "bare, protocol 4")
        if not ("getattr" in case or "method" in case) or "bare" not in form
    ],
)
def test_a_file_that_would_call_something_is_refused_by_its_name(
    tmp_path: Path, state: State, case: str, form: str
) -> None:
    function, arguments, name = CODE[case]
    path, contents = tmp_path / "weights.pt", {"model": state, "beside": Calls(function, *arguments)}
    if form.startswith("bare"):
        path.write_bytes(pickle.dumps(contents["beside"], protocol=4 if form.endswith("4") else 2))
    else:
        torch.save(contents, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(
        CheckpointError, match=r"refused: it holds Python objects .*could run code when loaded"
    ) as refusal:
        read_checkpoint(path)
    assert f"{name})" in str(refusal.value)


def with_pickle(path: Path, program: bytes) -> Path:
    """A right zip file around a pickle of one's own."""
    torch.save({}, path)
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in records.items():
            archive.writestr(name, program if name.endswith("data.pkl") else data)
    return path


@pytest.mark.parametrize(
    "program",
    [
        # getattr(getattr(Foreign, "__init__"), "__globals__"): of a stand-in it gives the stand-in, and nothing more.
        b"\x80\x02cbuiltins\ngetattr\ncbuiltins\ngetattr\ncpackage\nForeign\nX\x08\x00\x00\x00__init__\x86R"
        b"X\x0b\x00\x00\x00__globals__\x86R.",
        # Attributes of a stand-in's class, set by BUILD.
        b"\x80\x02cpackage\nForeign\n}X\x07\x00\x00\x00__new__K\x01sb.",
        # The stand-in of torch_npu's function, given what is no storage.
        b"\x80\x02ctorch_npu.utils.storage\n_rebuild_npu_tensor\n(NK\x00))NNNtR.",
    ],
)
def test_stand_ins_give_nothing_away(tmp_path: Path, program: bytes) -> None:
    with pytest.raises(CheckpointError):
        read_checkpoint(with_pickle(tmp_path / "weights.pt", program))


@pytest.mark.parametrize("protocol", [2, 3])
def test_protocols_that_pytorch_reads_are_read(tmp_path: Path, state: State, protocol: int) -> None:
    torch.save({"model": state, "beside": Settings()}, tmp_path / "weights.pt", pickle_protocol=protocol)
    assert_holds(tmp_path / "weights.pt", state)


@pytest.mark.parametrize(("protocol", "legacy"), [(4, False), (5, False), (0, True), (1, True), (4, True), (5, True)])
def test_another_protocol_is_named_as_the_reason(tmp_path: Path, state: State, protocol: int, legacy: bool) -> None:
    path = tmp_path / "weights.pt"
    torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    named = str(protocol) if protocol > 1 else "0 or 1"
    with pytest.raises(CheckpointError, match=rf"written with pickle protocol {named}, .*; save it again without") as e:
        read_checkpoint(path)
    assert "could run code" not in str(e.value)


def test_a_plain_pickle_is_told_from_a_pytorch_file(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(pickle.dumps({"stem": collections.OrderedDict(a=1.0)}))
    with pytest.raises(CheckpointError, match=r"a pickle that torch\.save did not write; where you trust it"):
        read_checkpoint(tmp_path / "weights.pt")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("form", [2, 0, -1, 29, True, Format.ND, Format.FRACTAL_NZ])
def test_a_state_dict_saved_on_an_npu_loads(
    tmp_path: Path, state: State, form: object, legacy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pt"
    save_as_on_npu(monkeypatch, {"model": state, "epoch": 3}, path, form, legacy=legacy)
    assert b"_rebuild_npu_tensor" in path.read_bytes()
    assert b"npu:0" in path.read_bytes()
    (note,) = read_checkpoint(path).notes
    assert note == (
        "weights taken from 'model' in the file; left out: epoch; saved on an NPU: tensors taken, the card's formats "
        "left out"
    )
    assert_holds(path, state)


def test_parameters_and_views_saved_on_an_npu_load(
    tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = torch.cat([torch.zeros(3, 16), state["head.fc.weight"]])
    contents = {
        **{
            f"module.{key}": nn.Parameter(value) if value.is_floating_point() else value for key, value in state.items()
        },
        "module.head.fc.weight": rows[3:],
        "module.head.ln.weight": state["head.ln.weight"].repeat(2, 1).T.contiguous()[:, 1],
    }
    save_as_on_npu(monkeypatch, contents, tmp_path / "weights.pt", Format.ND)
    assert_holds(tmp_path / "weights.pt", state)


@pytest.mark.parametrize("wrap", [lambda n: n, lambda n: {"model": n, "epoch": 1}, nn.DataParallel])
def test_the_weights_of_a_network_that_was_saved_whole_are_read(
    tmp_path: Path, state: State, wrap: Callable[[nn.Module], object]
) -> None:
    network = tiny_network()
    network.register_buffer("unsaved", torch.zeros(3), persistent=False)
    torch.save(wrap(network), tmp_path / "weights.pt")
    assert_holds(tmp_path / "weights.pt", state)


def test_a_network_saved_whole_in_the_old_format_is_named(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "weights.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="a network saved whole, with its source, in the format before PyTorch"):
        read_checkpoint(tmp_path / "weights.pt")


def test_the_names_in_a_pickle_and_their_uses_are_found_in_every_protocol() -> None:
    for protocol in range(6):
        found = names_in(io.BytesIO(pickle.dumps({"a": Settings(), "b": [History([1])], "c": Colour}, protocol)))
        here = __name__
        created = {"created"} if protocol > 1 else set()
        assert found.uses[f"{here}.Settings"] == created
        assert found.uses[f"{here}.Colour"] == set()
        assert found.uses.keys() >= {f"{here}.Settings", f"{here}.History", f"{here}.Colour"}
        assert "appended" in found.uses[f"{here}.History"] or protocol < 2
