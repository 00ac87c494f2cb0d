"""What an import may load: the running tower never loads torch, and help is quick because it loads nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

HEAVY = {"torch", "onnx", "onnxruntime", "numpy", "PIL", "rich", "matplotlib", "msgspec", "jinja2", "starlette", "grpc"}


def loaded_by(code: str) -> set[str]:
    """The heavy packages in ``sys.modules`` after running ``code`` in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint(*sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=900, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import neonext_ascend", set()),
        ("import neonext_ascend.runtimes.ort", {"numpy"}),
        ("from neonext_ascend.cli.main import run; run(['--help'])", set()),
        ("from neonext_ascend.cli.main import run; run(['export', '--help'])", set()),
        ("from neonext_ascend.cli.main import run; run(['predict', '--help'])", {"numpy"}),
        ("from neonext_ascend.cli.main import run; run(['eval', '--help'])", {"numpy"}),
        ("from neonext_ascend.cli.main import run; run(['report', '--help'])", {"numpy"}),
        ("from neonext_ascend.cli.main import run; run(['serve', '--help'])", {"numpy"}),
        ("import neonext_ascend.jobs.serving", {"numpy"}),
        ("import neonext_ascend.serving.server", HEAVY - {"torch", "onnx", "onnxruntime", "rich", "grpc"}),
        ("from neonext_ascend.cli.main import run; run(['train', '--help'])", {"numpy"}),
        ("from neonext_ascend.cli.main import run; run(['list', '--json'])", {"numpy"}),
    ],
)
def test_imports_stay_light(code: str, allowed: set[str]) -> None:
    assert loaded_by(code) <= allowed


def test_predict_on_an_onnx_file_loads_no_torch(tmp_path: Path) -> None:
    from neonext_ascend.cli.main import run
    from neonext_ascend.data import sample_pictures

    assert run(["export", "neonext_nano", "-o", str(tmp_path), "--no-verify"]) == 0
    arguments = ["predict", str(tmp_path / "neonext_nano-96-b1-fp32.onnx"), str(sample_pictures()[0])]
    code = f"from neonext_ascend.cli.main import run; assert run({arguments!r}) == 0"
    assert loaded_by(code) <= HEAVY - {"torch", "onnx"}
    artifact, picture = arguments[1:]
    code = f"from neonext_ascend import jobs; assert list(jobs.predict({artifact!r}, {picture!r}))"
    assert loaded_by(code) <= HEAVY - {"torch", "onnx"}
    folder = tmp_path / "data" / "3"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(Path(picture).read_bytes())
    evaluating = f"from neonext_ascend import jobs; jobs.evaluate({artifact!r}, {str(folder.parent)!r})"
    assert loaded_by(evaluating) <= HEAVY - {"torch", "onnx"}
    # A stranger's file: its last nodes are read, by onnx.
    (tmp_path / "neonext_nano-96-b1-fp32.json").unlink()
    assert loaded_by(code) <= HEAVY - {"torch"}


def test_telemetry_is_off_before_onnxruntime_is_imported() -> None:
    code = (
        "import neonext_ascend.runtimes.sessions, neonext_ascend.runtimes.ort, neonext_ascend.runtimes.steps, os, sys\n"
        "assert 'onnxruntime' not in sys.modules and os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    )
    loaded_by(code)


def test_every_onnxruntime_import_in_the_package_comes_after_switching_telemetry_off() -> None:
    package = ROOT / "neonext_ascend"
    importing = [p.name for p in package.rglob("*.py") if re.search(r"^\s*import onnxruntime", p.read_text(), re.M)]
    assert sorted(importing) == ["ort.py", "sessions.py", "steps.py"]


def test_the_public_names_resolve() -> None:
    import neonext_ascend

    for name in neonext_ascend.__all__:
        assert getattr(neonext_ascend, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        neonext_ascend.nothing  # noqa: B018 -- the access is the test
