"""Wheel and sdist: what is in them, and that they work outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests import ROOT

DATA = {
    "neonext_ascend/py.typed",
    "neonext_ascend/cost/fits/ascend310b1.json",
    "neonext_ascend/cost/fits/ascend310p3.int8.json",
    "neonext_ascend/cost/fits/ascend310p3.json",
    "neonext_ascend/cost/fits/ascend910b3.json",
    "neonext_ascend/training/recipes.toml",
    "neonext_ascend/data/imagenet1k.txt",
    "neonext_ascend/data/neonext_nano.safetensors",
    "neonext_ascend/data/NANO.md",
    "neonext_ascend/data/README.md",
    "neonext_ascend/data/WORDNET-LICENSE.txt",
    "neonext_ascend/reporting/page.html.jinja",
    "neonext_ascend/serving/protocol/inference.binpb",
    "neonext_ascend/serving/protocol/inference.proto",
    "neonext_ascend/serving/web/page.html",
    *(f"neonext_ascend/data/samples/digit_{d}.png" for d in range(10)),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel made from the sdist."""
    folder, tree = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("copy") / "tree"
    # A build writes into its tree, and several of pytest's processes may come here at once.
    made = shutil.ignore_patterns(".?*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, tree, ignore=made)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(tree)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
    return folder


def sources() -> set[str]:
    return {str(p.relative_to(ROOT)) for p in (ROOT / "neonext_ascend").rglob("*.py") if "__pycache__" not in p.parts}


def test_the_wheel_holds_the_package_and_its_data_alone(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        links = [i.filename for i in archive.infolist() if (i.external_attr >> 16) & 0o170000 == 0o120000]
    assert names == sources() | DATA
    assert links == []


def test_the_sdist_holds_what_the_wheel_needs(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    names = {member.name.split("/", 1)[1] for member in members if member.isfile()}
    assert sources() | DATA <= names
    assert not [name for name in names if name.startswith(("docs/", "tools/", "mkdocs"))]
    assert {"README.md", "LICENSE", "pyproject.toml"} <= names
    assert not [m.name for m in members if m.issym() or m.islnk()]


def test_an_installed_wheel_exports_and_predicts_outside_the_checkout(built: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    # The libraries come from this environment through a .pth file; the package itself only from the wheel.
    venv.EnvBuilder(with_pip=True).create(environment)
    python = environment / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    # A checkout on PYTHONPATH would count as installed already.
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(install, check=True, capture_output=True, timeout=900, env=bare, cwd=tmp_path)
    site = next((environment / "lib").glob("python*/site-packages"))
    ours = next(p for p in map(Path, sys.path) if (p / "torch").is_dir())
    (site / "libraries.pth").write_text(f"{ours}\n")
    command = str(environment / "bin" / "neonext-ascend")
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}

    def ran(*arguments: str) -> str:
        done = subprocess.run(
            [*arguments], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = ran(str(python), "-c", "import neonext_ascend; print(neonext_ascend.__file__)")
    assert where.startswith(str(environment))
    ran(command, "export", "neonext_nano", "-o", "out")
    sample = site / "neonext_ascend" / "data" / "samples" / "digit_7.png"
    answer = ran(command, "predict", "out/neonext_nano-96-b1-fp32.onnx", str(sample))
    assert answer.splitlines()[1].split()[2] == "7"


def test_the_editable_install_gives_the_console_script() -> None:
    script = Path(sys.executable).parent / "neonext-ascend"
    if not script.exists():
        pytest.skip("the package is on the path but not installed here; `make test` installs it")
    done = subprocess.run([str(script), "--version"], capture_output=True, text=True, timeout=900, check=True)
    assert done.stdout.startswith("neonext-ascend, version ")
