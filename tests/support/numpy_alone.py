"""Carries out the bundle in the current folder with numpy alone: ``python -I -S numpy_alone.py SITE_PACKAGES ROOT``.

The stand-in of pyACL, which takes the driver's place, finds what is installed; the bundle's own code finds numpy, as on
a machine that has nothing else.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

FREE = {"numpy", "acl", "tests"}


class Installed(PathFinder):
    """What lies in ``SITE_PACKAGES`` and ``ROOT``, for whom it is."""

    paths: Sequence[str] = ()

    @classmethod
    def find_spec(cls, fullname: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """As of the base; nothing for the bundle's code that it may not need."""
        if fullname.partition(".")[0] not in FREE and _asks() == "neonext_ascend":
            return None
        return super().find_spec(fullname, cls.paths if path is None else path)


def _asks() -> str:
    """Whose import it is: the nearest of the bundle's code and the stand-ins, however deep in what they use."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package in ("neonext_ascend", "tests"):
            return package
    return "neonext_ascend"


if __name__ == "__main__":
    site, root = sys.argv[1:]
    Installed.paths = [site, str(Path(root) / "tests" / "standins" / "site"), root]
    sys.meta_path.append(Installed)
    sys.dont_write_bytecode = True
    del sys.argv[1:]
    runpy.run_path("run.py", run_name="__main__")
