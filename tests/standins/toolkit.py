"""A stand-in CANN installation: its folders, version files, ``atc`` (a shell script around a program, as the real one
is) and ``npu-smi``.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_ATC = """#!/bin/sh
"$(dirname "$0")"/atc.bin "$@"
"""
_ATC_BIN = """#!/bin/sh
STANDIN_CANN_VERSION={version} PYTHONPATH={repository} PYTHONSAFEPATH=1 exec {python} -m tests.standins.atc "$@"
"""
_MSPROF = """#!/bin/sh
PYTHONPATH={repository}:$PYTHONPATH PYTHONSAFEPATH=1 exec {python} -m tests.standins.msprof "$@"
"""
_SMI = """#!/bin/sh
cat <<'END'
+------------------------------------------------------------------------------------------------+
| npu-smi 25.2.0                   Version: 25.2.0                                                |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip  Device              | Bus-Id        | AICore(%)   Memory-Usage(MB)                       |
+===========================+===============+====================================================+
| 0     {chip:<20}| OK            | NA          45                0    / 0             |
| 0     0                   | 0000:01:00.0  | 0           1852 / 21527                           |
+===========================+===============+====================================================+
END
"""


def make_toolkit(root: Path, version: str = "8.5.0", chip: str = "310P3") -> dict[str, str]:
    """Build it under ``root``; the environment in which ``find_cann`` sees it, with one device of that chip."""
    home = root / "usr/local/Ascend/ascend-toolkit/latest"
    installed = home / f"{platform.machine()}-linux"
    for folder in (home / "bin", home / "devlib", installed, root / "usr/local/bin"):
        folder.mkdir(parents=True, exist_ok=True)
    for name in ("ascend_toolkit_install.info", "ascend_ops_install.info"):
        (installed / name).write_text(f"package_name=stand-in\nversion={version}\narch={platform.machine()}\n")
    python, repository = shlex.quote(sys.executable), shlex.quote(str(REPOSITORY))
    programs = {
        home / "bin/atc": _ATC,
        home / "bin/atc.bin": _ATC_BIN.format(version=version, repository=repository, python=python),
        root / "usr/local/bin/npu-smi": _SMI.format(chip=chip),
    }
    for path, text in programs.items():
        path.write_text(text)
        path.chmod(0o755)
    return {
        "PATH": os.pathsep.join([str(home / "bin"), str(root / "usr/local/bin"), os.environ.get("PATH", os.defpath)]),
        "ASCEND_TOOLKIT_HOME": str(home),
        "ASCEND_HOME_PATH": str(home),
        "STANDIN_SOC": f"Ascend{chip}",
    }


def add_profiler(environment: dict[str, str]) -> None:
    """Put ``msprof`` into a toolkit that :func:`make_toolkit` built."""
    path = Path(environment["ASCEND_TOOLKIT_HOME"]) / "bin/msprof"
    path.write_text(_MSPROF.format(repository=shlex.quote(str(REPOSITORY)), python=shlex.quote(sys.executable)))
    path.chmod(0o755)
