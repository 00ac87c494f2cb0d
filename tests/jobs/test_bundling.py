"""The bundle: packed without CANN, carried out in another process on a machine made of stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from neonext_ascend.cli.main import run
from neonext_ascend.jobs import InspectedFile, inspect
from neonext_ascend.jobs.bundle.running import EXPECTED, INPUTS, OPTIONS
from tests import ROOT
from tests.standins.toolkit import add_profiler, make_toolkit

SOC = "Ascend310P3"


def pack(folder: Path, name: str = "bundle.tar.gz", *more: str) -> Path:
    path = folder / name
    given = ["export", "neonext_nano", "--format", "om", "--soc-version", SOC, "-o", str(folder / "onnx")]
    assert run([*given, "--bundle", str(path), *more]) == 0
    return path


def unpack(bundle: Path, folder: Path) -> Path:
    with tarfile.open(bundle) as archive:
        archive.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top


def carry_out(
    top: Path, environment: dict[str, str], *arguments: str, acl: bool = True
) -> subprocess.CompletedProcess[str]:
    """``python run.py`` as on the other machine: the bundle's own code, never this checkout's."""
    paths = [str(ROOT / "tests" / "standins" / "site")] if acl else []
    return subprocess.run(
        [sys.executable, "-W", "error", "run.py", *arguments],
        cwd=top,
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(paths), "STANDINS_ROOT": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.mark.parametrize("more", [[], ["--batch-gears", "1,2"], ["--aipp"]], ids=["static", "gears", "aipp"])
def test_a_bundle_compiles_runs_and_compares(more: list[str], tmp_path: Path) -> None:
    top = unpack(pack(tmp_path, "bundle.tar.gz", *more), tmp_path / "there")
    environment = make_toolkit(tmp_path / "cann")
    done = carry_out(top, environment)
    report = json.loads((top / "report.json").read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["outcome"] == "passed"
    assert report["parity"]["cosine"] >= 0.9999
    assert report["cann"]["devices"] == [SOC]
    assert report["compiled"]["sha256"]
    assert "outcome   passed" in (top / "report.txt").read_text()
    assert sorted(p.suffix for p in (top / "out").iterdir()) == [".json", ".om"]


def run_with_numpy_alone(top: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program, site = ROOT / "tests" / "support" / "numpy_alone.py", Path(np.__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", str(program), str(site), str(ROOT)],
        cwd=top,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def test_a_bundle_needs_numpy_alone(tmp_path: Path) -> None:
    top, environment = unpack(pack(tmp_path), tmp_path / "there"), make_toolkit(tmp_path / "cann")
    done = run_with_numpy_alone(top, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((top / "report.json").read_text())["outcome"] == "passed"
    # The test sees an import too many, on the way in or later on.
    for module, line in (("artifacts/structs", "import msgspec"), ("runtimes/acl/runner", "    import onnx")):
        path = top / "lib" / "neonext_ascend" / f"{module}.py"
        text = path.read_text()
        where = "T = TypeVar" if line == "import msgspec" else "        self.name = f"
        path.write_text(text.replace(where, f"{line.replace('    import', '        import')}\n{where}", 1))
        done = run_with_numpy_alone(top, environment)
        path.write_text(text)
        assert done.returncode in (1, 70)
        assert f"No module named '{line.split()[1]}'" in done.stdout + done.stderr


def test_a_bundle_says_no_where_the_numbers_differ(tmp_path: Path) -> None:
    top = unpack(pack(tmp_path), tmp_path / "there")
    with np.load(top / EXPECTED) as stored:
        wrong = {name: stored[name] * 1.05 for name in stored.files}
    np.savez(top / EXPECTED, **wrong)
    done = carry_out(top, make_toolkit(tmp_path / "cann"))
    assert done.returncode == 1
    assert "FAILED" in done.stdout


def test_a_bundle_says_what_is_missing(tmp_path: Path) -> None:
    top = unpack(pack(tmp_path), tmp_path / "there")
    done = carry_out(top, {})
    assert done.returncode == 3
    assert "atc is missing" in (top / "report.txt").read_text()
    done = carry_out(top, make_toolkit(tmp_path / "other", chip="910B3"))
    assert done.returncode == 3
    report = json.loads((top / "report.json").read_text())
    assert "compiled, but not run" in report["outcome"]
    assert report["compiled"]["bytes"] > 0


def test_a_bundle_that_is_damaged_or_carried_out_twice_still_writes_its_report(tmp_path: Path) -> None:
    config = tmp_path / "zebra.toml"  # a name behind report.json in the alphabet
    config.write_text(
        'name = "zebra"\ndefinition = "release"\ndepths = [1, 1, 1, 1]\nwidths = [8, 8, 12, 16]\n'
        "cells = [[4, 7], [4, 7], [7], [5, 3]]\nshifts = [true, true, true, false]\nnum_classes = 4\nimage_size = 96\n"
    )
    given = ["--config", str(config), "--format", "om", "--soc-version", SOC, "-o", str(tmp_path / "onnx")]
    assert run(["export", *given, "--bundle", str(tmp_path / "z.tar.gz")]) == 0
    top, environment = unpack(tmp_path / "z.tar.gz", tmp_path / "there"), make_toolkit(tmp_path / "cann")
    assert [carry_out(top, environment).returncode for _ in range(2)] == [0, 0]
    (top / INPUTS).unlink()
    done = carry_out(top, environment)
    assert done.returncode == 5
    assert "No such file" in json.loads((top / "report.json").read_text())["outcome"]
    planned = next(path for path in top.glob("*.json") if "Ascend310P3" in path.name)
    planned.write_text(planned.read_text()[:1000])
    done = carry_out(top, environment)
    assert done.returncode == 5
    assert "not as it was packed" in json.loads((top / "report.json").read_text())["outcome"]
    (top / OPTIONS).write_text("[]")
    done = carry_out(top, environment)
    assert done.returncode == 70
    assert "a bug of neonext-ascend" in (top / "report.txt").read_text()


def test_a_python_without_numpy_is_told_so_in_one_line(tmp_path: Path) -> None:
    top = unpack(pack(tmp_path), tmp_path / "there")
    done = subprocess.run(
        [sys.executable, "-S", "run.py"], cwd=top, env={}, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "Python 3.11 or newer with numpy" in done.stderr
    compile((top / "run.py").read_text(), "run.py", "exec", dont_inherit=True)
    assert 'f"' not in (top / "run.py").read_text()  # an older Python must get as far as the message


def test_the_command_in_the_readme_works_and_files_of_flags_travel(tmp_path: Path) -> None:
    precision = tmp_path / "my op.ini"
    precision.write_text("[ByOpType]\nErf = enable_float_32_execution\n")
    top = unpack(
        pack(tmp_path, "b.tar.gz", "--aipp", "--atc-arg", f"--op_precision_mode={precision}"), tmp_path / "there"
    )
    assert (top / "atc" / "op_precision_mode.ini").read_text() == precision.read_text()
    environment = make_toolkit(tmp_path / "cann")
    command = (top / "README.txt").read_text().splitlines()[-1]
    done = subprocess.run(command, shell=True, cwd=top, env={**os.environ, **environment}, timeout=900, check=False)
    assert done.returncode == 0
    assert list(top.glob("out/*.om"))
    assert carry_out(top, environment).returncode == 0


def test_the_same_bundle_twice_has_the_same_members(tmp_path: Path) -> None:
    first, second = (unpack(pack(tmp_path, f"{n}.tar.gz"), tmp_path / n) for n in ("a", "b"))
    differing = [
        str(path.relative_to(first))
        for path in sorted(first.rglob("*"))
        if path.is_file() and path.read_bytes() != (second / path.relative_to(first)).read_bytes()
    ]
    # Manifests record the command, which names the archive.
    assert [Path(name).suffix for name in differing] == [".json", ".json"]
    assert not list(first.rglob("*.safetensors"))


def test_msprof_is_run_where_it_is_asked_for_and_its_failure_fails_nothing(tmp_path: Path) -> None:
    top = unpack(pack(tmp_path), tmp_path / "there")
    (onnx,) = top.glob("*.onnx")
    without, environment = make_toolkit(tmp_path / "a"), make_toolkit(tmp_path / "b")
    add_profiler(environment)
    done = carry_out(top, environment, "--profile")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "profile   op_summary.csv" in done.stdout
    found = inspect(onnx, soc_version=SOC, measured=top / "op_summary.csv")
    assert isinstance(found, InspectedFile)
    assert found.measured is not None
    assert found.measured.only_measured == ()
    (top / "op_summary.csv").unlink()
    for fault, environment_there, words in (
        ("status", environment, "left no op_summary_*.csv: [ERROR] the application failed"),
        ("", without, "msprof is not on the PATH"),
    ):
        done = carry_out(top, {**environment_there, "STANDIN_MSPROF_FAULT": fault}, "--profile")
        assert done.returncode == 0, done.stdout + done.stderr
        assert words in (top / "report.txt").read_text()
        assert json.loads((top / "report.json").read_text())["outcome"] == "passed"
        assert not (top / "op_summary.csv").exists()
    done = carry_out(top, environment, "--profil")
    assert (done.returncode, done.stderr) == (2, "error: run.py --profil: expected nothing or --profile\n")
