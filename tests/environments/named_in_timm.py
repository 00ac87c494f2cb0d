"""timm itself, without the torchvision that it asks for: a NeoNeXt by its name there, and by its conventions."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from pathlib import Path

from tests.environments.environment import ROOT, Environment

TIMM = "timm==1.0.31"
TESTS = ROOT / "tests" / "models" / "test_registered.py"
RUN = f"import pytest; raise SystemExit(pytest.main(['-q', '-n', '0', '-rs', {str(TESTS)!r}]))"


def make(folder: Path) -> Environment:
    """timm over the packages that this Python has: it would bring a torch of its own, and a torchvision."""
    environment = Environment(folder)
    (environment.packages / "over.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    environment.install(TIMM, dependencies=False)
    return environment


def steps(environment: Environment) -> dict[str, Callable[[], object]]:
    """In order, by name."""
    return {"the tests that need timm": lambda: run_tests(environment)}


def run_tests(environment: Environment) -> None:
    """Those of the suite, none of which may be skipped here."""
    done = environment.python(RUN).expect(0, "passed")
    if "skipped" in done.out:
        raise SystemExit(f"{done.command}: skipped what it is for\n{done.out}")
