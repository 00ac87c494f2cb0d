"""Ray itself, in an environment of its own: a cluster of two local nodes with an NPU each that is none."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.environments.environment import ROOT, Environment
from tests.environments.on_ray import HELD

RAY = "ray[data,serve]==2.60.0"


def make(folder: Path) -> Environment:
    """Ray over the packages that this Python has, and nothing that they have already."""
    environment = Environment(folder)
    (environment.packages / "over.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    environment.install(RAY)
    again = [name for name in ("torch", "numpy", "onnxruntime") if (environment.packages / name).exists()]
    if again:
        raise SystemExit(f"{RAY} brings another {', '.join(again)}")
    return environment


def steps(environment: Environment) -> dict[str, Callable[[], object]]:
    """In order, by name; each in a process of its own, with a cluster of its own."""
    return {
        "what the door makes of all that Ray raises": partial(test, environment),
        "a node killed while its replica answers": partial(drive, environment, "serving"),
        "scaled up and down, a replica killed, strangers, a start that fails": partial(drive, environment, "scaling"),
        "NPUs that others hold, none, another artifact on a node": partial(drive, environment, "sharing"),
        "20,000 pictures as on one machine, killed and resumed": partial(drive, environment, "pictures"),
    }


def test(environment: Environment) -> None:
    """The tests that ``make test`` runs without Ray."""
    quiet = ["-q", "-n", "0", "-p", "no:cacheprovider", "-W", "ignore::DeprecationWarning"]  # Ray's own
    files = ["tests/serving/test_door.py", "tests/serving/test_ray.py"]
    if status := environment.show(["-m", "pytest", *quiet, *files], cwd=ROOT, seconds=300):
        raise SystemExit(f"ray: the tests of the door ended with {status}")


def drive(environment: Environment, what: str) -> None:
    """``tests/environments/on_ray/WHAT.py``."""
    scratch = environment.folder / what
    scratch.mkdir()
    code = f"from tests.environments.on_ray import {what}; {what}.main({str(scratch)!r})"
    for line in environment.python(code).expect(0).out.splitlines():
        if line.startswith(HELD):  # Ray prints pages
            print(line, flush=True)
    shutil.rmtree(scratch)
