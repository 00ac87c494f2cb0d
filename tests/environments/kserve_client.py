"""KServe's own client against our server, and its models and Kubernetes' schemas against ``deploy/``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from neonext_ascend.data import sample_pictures
from tests.environments.conversation import KINDS, converse
from tests.environments.environment import ROOT, Environment

HERE = Path(__file__).parent
PAGE = ROOT / "docs" / "serving.md"
PACKAGES = ("kserve==0.21.0", "kubernetes-validate==1.37.0")


def make(folder: Path) -> Environment:
    """Install them; of this project nothing is needed there."""
    environment = Environment(folder)
    environment.install(*PACKAGES)
    return environment


def steps(environment: Environment) -> dict[str, Callable[[], object]]:
    """In order, by name."""
    return {
        "deploy/": partial(hold_files, environment),
        **{kind: partial(ask, environment, kind) for kind in KINDS},
    }


def hold_files(environment: Environment) -> None:
    """Every file, each line as docs/serving.md shows it."""
    done = environment.script(HERE / "cluster_files.py", ROOT / "deploy").expect(0)
    if f"```text\n{done.out}```" not in PAGE.read_text(encoding="utf-8"):
        raise SystemExit(f"docs/serving.md shows another output than\n{done.out}")


def ask(environment: Environment, kind: str) -> None:
    """Readiness, tensors, pictures and errors; the logits are the runner's."""
    script, picture = HERE / "asking_by_kserve.py", sample_pictures()[3]
    converse(environment.folder, kind, lambda address: environment.script(script, kind, address, picture))
