"""docs/kernels.md is what its tool makes, its numbers cover every shape, and the check behind them can fail."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.environments.environment import CannotRun, Environment
from tests.vendor_compiler import bishengir, check
from tests.vendor_compiler.check import COMMITTED, as_text, judge, main, wrong_controls
from tests.vendor_compiler.compare import differences, rows, shape_name
from tests.vendor_compiler.memory_plan import Plan, UnreadablePlan, read_capacity, read_plan
from tests.vendor_compiler.shapes import DIRECTIONS, DTYPES, TARGETS, stage_shapes
from tools.write_kernel_page import PAGE, kernel_page

MODULE = """\
module attributes {dlti.target_system_spec = #dlti.target_system_spec<"NPU" : #hacc.target_device_spec<\
#dlti.dl_entry<"UB_SIZE", 1572864 : i32>, #dlti.dl_entry<"L1_SIZE", 4194304 : i32>, \
#dlti.dl_entry<"L0A_SIZE", 524288 : i32>, #dlti.dl_entry<"L0B_SIZE", 524288 : i32>, \
#dlti.dl_entry<"L0C_SIZE", 1048576 : i32>, #dlti.dl_entry<"UB_ALIGN_SIZE", 256 : i32>>>} {
  func.func @cell_infer_workspace_shape_function() -> index attributes {hacc.function_kind = 1} {
    %c4096 = arith.constant 4096 : index
    return %c4096 : index
  }
  func.func @cell_mix_aic(%arg0: memref<?xf16, #hivm.address_space<gm>>) {
    %c0_i64 = arith.constant 0 : i64
    %c512_i64 = arith.constant 512 : i64
    %1 = hivm.hir.pointer_cast(%c0_i64, %c512_i64) : memref<1x1x16x16xf16, #hivm.address_space<cbuf>>
    %2 = hivm.hir.pointer_cast(%c0_i64) : memref<1x2x16x16xf32, #hivm.address_space<cc>>
    return
  }
  func.func @cell_mix_aiv(%arg0: memref<?xf16, #hivm.address_space<gm>>) {
    %c0_i64 = arith.constant 64 : i64
    %1 = hivm.hir.pointer_cast(%c0_i64) : memref<3x4xbf16, strided<[8, 1], offset: 2>, #hivm.address_space<ub>>
    %2 = hivm.hir.pointer_cast(%c0_i64) : memref<0xi32, #hivm.address_space<ub>>
    %3 = hivm.hir.pointer_cast(%c0_i64) : memref<12xi1, #hivm.address_space<ca>>
    return
  }
}
"""
NO_HIVMC = "error: External hivmc run fails, returning module before running external compiler\n"
OVERFLOW = (
    'loc("kernel.mlir":1:1): error: Failed to run BiShengHIR pipeline\n\n'
    'loc("kernel.mlir":2:3): error: something before it\n'
    'loc("kernel.mlir":2:3): error: cbuf overflow, requires 33554432 bits while 4194304 bits available! '
    "(possible reason: tiling basic block is too large)\n"
    "[NOTE] Cbuf overflow detected; automatically set enable-auto-multi-buffer to false and retrying compilation.\n"
)


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(COMMITTED.read_text(encoding="utf-8"))
    return data


def test_the_page_is_what_the_tool_makes(committed: dict[str, Any]) -> None:
    assert PAGE.read_text(encoding="utf-8") == kernel_page(committed), "run: python -m tools.write_kernel_page"
    assert COMMITTED.read_text(encoding="utf-8") == as_text(committed)


def test_every_shape_of_the_published_networks_is_accepted(committed: dict[str, Any]) -> None:
    table = rows(committed)
    wanted = {
        (*shape_name(shape.to_json()), direction, dtype, target)
        for shape in stage_shapes()
        for direction in DIRECTIONS
        for dtype in DTYPES
        for target in TARGETS
    }
    assert set(table) == wanted
    assert [key for key, row in table.items() if not row["accepted"]] == []
    stages = {json.dumps(shape.to_json()): names for shape, names in stage_shapes().items()}
    assert {json.dumps(case["shape"]): case["stages"] for case in committed["cases"]} == stages


def test_the_shapes_are_those_of_the_networks() -> None:
    names = [name for names in stage_shapes().values() for name in names]
    assert len(names) == len(set(names)) == 8 * 4
    assert {name.rpartition(" stage ")[0] for name in names} == {
        *("neonext_t", "neonext_s", "neonext_b"),
        *("neonext_t_384", "neonext_s_384", "neonext_b_384", "neonext_l_384", "neonext_l_384 at 224"),
    }
    large = {(shape.channels, shape.height) for shape, of in stage_shapes().items() if "neonext_l_384 at" in of[0]}
    assert large == {(192, 56), (384, 28), (768, 14), (1536, 7)}


def test_what_is_planned_fits_the_chip(committed: dict[str, Any]) -> None:
    for key, row in rows(committed).items():
        capacity = committed["targets"][key[-1]]
        assert all(row["planned"][name] <= size for name, size in capacity.items()), key
        # What computes products must have buffers for them.
        assert min(row["planned"][name] for name in ("l1", "l0c")) > 0, key


def test_the_committed_controls_hold(committed: dict[str, Any]) -> None:
    assert wrong_controls(committed["controls"]) == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tile far too large", {"accepted": True}),
        ("tile far too large", {"message": "something else"}),
        ("tiles that do not fit", {"accepted": True}),
        ("lowered text cut short", {"accepted": True}),
        ("lowered text cut short", {"message": ""}),
        ("lowered text", {"accepted": False}),
    ],
)
def test_a_control_that_comes_out_otherwise_is_told(
    committed: dict[str, Any], name: str, change: dict[str, Any]
) -> None:
    controls = copy.deepcopy(committed["controls"])
    controls[name] |= change
    (line,) = wrong_controls(controls)
    assert str(controls[name]) in line


def _refuse(results: dict[str, Any]) -> None:
    results["kernels"]["k1"]["targets"][TARGETS[0]] |= {"accepted": False, "message": "ub overflow", "planned": None}


def _grow(results: dict[str, Any]) -> None:
    # Of one kernel alone: the largest of several counts.
    results["kernels"]["k1"]["targets"][TARGETS[0]]["planned"]["l1"] += 10**6


CHANGES: list[tuple[Callable[[dict[str, Any]], object], tuple[str, ...]]] = [
    (_refuse, ("56x56", TARGETS[0], "now refused (ub overflow), committed as accepted")),
    (_grow, ("56x56", TARGETS[0], "planned now", "committed")),
    (lambda results: results["cases"].pop(0), ("56x56", "not measured")),
    (lambda results: results["packages"].update({"ascendnpu-ir": "9"}), ("packages", "'ascendnpu-ir': '9'")),
    (lambda results: results["kernels"]["k1"]["constants"].update(X=1), ("kernels: measured",)),
    (lambda results: results["controls"].pop("lowered text"), ("controls: measured",)),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_every_difference_is_told(
    committed: dict[str, Any], change: Callable[[dict[str, Any]], object], words: tuple[str, ...]
) -> None:
    measured = copy.deepcopy(committed)
    assert differences(measured, committed) == []
    change(measured)
    assert any(all(word in line for word in words) for line in differences(measured, committed))


def test_the_plan_is_the_highest_end_of_each_memory() -> None:
    # L1: 256 halves from byte 512. L0C: 512 floats. UB: 12 halves from byte 64. L0A: 12 bits from there.
    assert read_plan(MODULE) == Plan(ub=88, l1=1024, l0a=66, l0b=0, l0c=2048, workspace=4096)
    assert read_capacity(MODULE) == {"ub": 196608, "l1": 524288, "l0a": 65536, "l0b": 65536, "l0c": 131072}
    without = MODULE.partition("  func.func @cell_mix_aic")
    assert read_plan(without[1] + without[2]).workspace == 0


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("memref<12xi1,", "memref<?xi1,", "no fixed size: %3 ="),
        ("pointer_cast(%c0_i64, %c512_i64)", "pointer_cast(%c0_i64, %arg1)", "%arg1 is no constant"),
        ("address_space<cc>", "address_space<new>", "address space new"),
        ("return %c4096 : index", "return %c1 : index", "%c1 is no constant"),
        ("return %c4096 : index", "", "the function that tells the workspace's size"),
        ('"L0B_SIZE"', '"L0D_SIZE"', "does not tell the size of l0b"),
    ],
)
def test_a_plan_in_another_form_is_not_taken_for_a_small_one(old: str, new: str, says: str) -> None:
    text = MODULE.replace(old, new)
    with pytest.raises(UnreadablePlan, match=says):
        read_plan(text), read_capacity(text)


def _compiler(path: Path, said: str, lowered: str | None) -> Path:
    """A stand-in for the binary: it says something, leaves the lowered file or none, and exits with 1 all the same."""
    path.joinpath("said").write_text(said, encoding="utf-8")
    lines = ["#!/bin/sh", f"cat '{path}/said' >&2"]
    if lowered is not None:
        path.joinpath("lowered").write_text(lowered, encoding="utf-8")
        lines.append(f"mkdir kept && cp '{path}/lowered' kept/module.hivm.opt.mlir")
    binary = path / "bishengir-compile"
    binary.write_text("\n".join([*lines, "exit 1", ""]), encoding="utf-8")
    binary.chmod(0o755)
    return binary


@pytest.mark.parametrize(
    ("said", "lowered", "accepted", "message"),
    [
        (NO_HIVMC, MODULE, True, ""),
        (OVERFLOW, None, False, "cbuf overflow, requires 33554432 bits while 4194304 bits available!"),
        ('error: Failed to run it\nloc("a":1:2): error: operand #0 is wrong\n', None, False, "operand #0 is wrong"),
        ("", None, False, "exit status 1 without a message"),
    ],
)
def test_the_file_decides_and_not_the_exit_status(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    lowered: str | None,
    accepted: bool,
    message: str,
) -> None:
    monkeypatch.setattr(bishengir, "compiler", lambda: _compiler(tmp_path, said, lowered))
    verdict = bishengir.compile_kernel("module {}", TARGETS[0], tmp_path / "work")
    assert (verdict.accepted, verdict.message) == (accepted, message)
    assert verdict.turned_off == (("auto-multi-buffer",) if said == OVERFLOW else ())
    assert (verdict.plan is None) == (not accepted)


@pytest.mark.parametrize("deaths", [1, bishengir.TRIES])
def test_a_compiler_that_dies_of_a_signal_has_given_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaths: int
) -> None:
    binary = _compiler(tmp_path, "", MODULE)
    died = tmp_path / "died"
    dying = f"echo >> '{died}'; [ $(wc -l < '{died}') -gt {deaths} ] || kill -SEGV $$"
    binary.write_text(binary.read_text(encoding="utf-8").replace("#!/bin/sh", f"#!/bin/sh\n{dying}"), encoding="utf-8")
    monkeypatch.setattr(bishengir, "compiler", lambda: binary)
    verdict = bishengir.compile_kernel("module {}", TARGETS[0], tmp_path / "work")
    repeated = deaths == bishengir.TRIES
    assert (verdict.accepted, verdict.message) == (not repeated, "exit status -11 without a message" * repeated)
    assert len(died.read_text(encoding="utf-8").splitlines()) == min(deaths + 1, bishengir.TRIES)


def test_a_compiler_that_hangs_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("bishengir-compile", bishengir.SECONDS)

    monkeypatch.setattr(bishengir, "compiler", lambda: tmp_path)
    monkeypatch.setattr("tests.vendor_compiler.bishengir.subprocess.run", hang)
    verdict = bishengir.compile_kernel("module {}", TARGETS[0], tmp_path / "work")
    assert (verdict.accepted, verdict.message) == (False, f"no end after {bishengir.SECONDS} s")


class Measured(Environment):
    """Stands for the environment: the compiler's step gives these results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, committed: dict[str, Any]) -> dict[str, Any]:
    results = copy.deepcopy(committed)

    def run(_: Environment, name: str, *arguments: str, **__: str) -> None:
        if name == "inside":
            Path(arguments[0]).write_text(json.dumps(results), encoding="utf-8")

    monkeypatch.setattr(check, "_module", run)
    return results


def test_the_check_passes_on_the_committed_results(
    tmp_path: Path, measured: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "new" / "results.json"
    assert judge(Measured(tmp_path), tmp_path / "results.json", written) == 0
    assert written.read_text(encoding="utf-8") == COMMITTED.read_text(encoding="utf-8")
    total = len(rows(measured))
    printed = capsys.readouterr().out
    assert f"kernels: {total} of {total} cases accepted" in printed
    assert "control: tile far too large: " in printed


def test_the_check_fails_on_a_refusal(
    tmp_path: Path, measured: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    _refuse(measured)
    assert judge(Measured(tmp_path), tmp_path / "results.json", None) == 1
    assert "now refused (ub overflow), committed as accepted" in capsys.readouterr().out


def test_the_check_fails_where_a_control_is_accepted(
    tmp_path: Path, measured: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured["controls"]["tile far too large"]["accepted"] = True
    # Also where the results are renewed, and nothing is compared.
    monkeypatch.setattr(check, "COMMITTED", tmp_path / "renewed.json")
    assert judge(Measured(tmp_path), tmp_path / "results.json", tmp_path / "renewed.json") == 1
    assert "a tile far too large was to be refused" in capsys.readouterr().out


@pytest.mark.parametrize(("required", "status"), [("", 0), ("1", 1)])
def test_without_the_packages_one_line_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], required: str, status: int
) -> None:
    class Offline(Environment):
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def install(self, *packages: str, dependencies: bool = True) -> None:
            raise CannotRun(f"pip cannot install {packages[-1]}: no network")

    monkeypatch.setattr(check, "Environment", Offline)
    monkeypatch.setenv("NEONEXT_REQUIRE_KERNELS", required)
    assert main([]) == status
    assert capsys.readouterr().out == "kernels: skipped: pip cannot install ascendnpu-ir==1.2.0: no network\n"
