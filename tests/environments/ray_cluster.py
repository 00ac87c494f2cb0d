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
        "a node killed while its replica answers": partial(drive, environment, "serving"),
        "20,000 pictures as on one machine, killed and resumed": partial(drive, environment, "pictures"),
    }


def drive(environment: Environment, what: str) -> None:
    """``tests/environments/on_ray/WHAT.py``."""
    scratch = environment.folder / what
    scratch.mkdir()
    code = f"from tests.environments.on_ray import {what}; {what}.main({str(scratch)!r})"
    for line in environment.python(code).expect(0).out.splitlines():
        if line.startswith(HELD):  # Ray prints pages
            print(line, flush=True)
    shutil.rmtree(scratch)
