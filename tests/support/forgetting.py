"""Modules that are imported anew for one test."""

from __future__ import annotations

import sys

import pytest


def forget(monkeypatch: pytest.MonkeyPatch, *prefixes: str) -> None:
    """After the test those of before stand everywhere again: in ``sys.modules``, and in their packages, too.

    Else what a later test patches by a name such as ``package.module.function`` is not what it runs.
    """
    for name in [name for name in sys.modules if name.startswith(prefixes)]:
        module = sys.modules[name]
        package, _, child = name.rpartition(".")
        if getattr(sys.modules.get(package), child, None) is module:
            monkeypatch.setattr(sys.modules[package], child, module)
    for name in [name for name in sys.modules if name.startswith(prefixes)]:
        monkeypatch.delitem(sys.modules, name)
