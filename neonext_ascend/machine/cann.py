"""What this machine has of CANN: toolkit, ATC, driver, devices; found by looking at files, nothing is imported.

Where to look: ``set_env.sh`` sets ASCEND_TOOLKIT_HOME and ASCEND_HOME_PATH; the default folders are
``/usr/local/Ascend/ascend-toolkit/latest`` and, from CANN 8.5, ``/usr/local/Ascend/cann``. The toolkit's version is in
``<arch>-linux/ascend_toolkit_install.info``, the per-chip operators' in ``ascend_ops_install.info``.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_TOOLKITS = ("usr/local/Ascend/ascend-toolkit/latest", "usr/local/Ascend/cann")
_SMI_SECONDS = 30
# Rows of the table of npu-smi info: a card with its chip's name, and numbers "used / total" below it.
_CARD, _PAIR = re.compile(r"^\|\s*\d+\s+((?:Ascend)?\d{3}\w*(?:-\d)?)\s*\|"), re.compile(r"(\d+)\s*/\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Device:
    """One NPU: its number in ``/dev/davinci<N>`` and the chip's name as ``npu-smi info`` prints it, if it does."""

    index: int
    chip: str | None = None

    @property
    def soc_version(self) -> str | None:
        """``Ascend310P3`` for the chip ``310P3``."""
        return None if self.chip is None else f"Ascend{self.chip.removeprefix('Ascend')}"


@dataclass(frozen=True, slots=True)
class Cann:
    """What was found; ``None`` where it was not.

    Attributes:
        toolkit: its folder.
        version: of the toolkit, such as ``8.5.0`` or ``8.3.RC1``.
        ops_version: of the per-chip operators' package, a package of its own from CANN 8.5.
        atc: the compiler.
        driver: version of the host's driver.
        npu_smi: the vendor's command that lists devices.
        devices: in the order of their numbers.
    """

    toolkit: Path | None = None
    version: str | None = None
    ops_version: str | None = None
    atc: Path | None = None
    driver: str | None = None
    npu_smi: Path | None = None
    devices: tuple[Device, ...] = ()

    @property
    def soc_version(self) -> str | None:
        """Of the first device whose chip is known."""
        return next((device.soc_version for device in self.devices if device.chip), None)


def find_cann(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> Cann:
    """Look at this machine.

    Args:
        root: of the file system.
        environ: PATH and CANN's variables.
    """
    toolkit = _toolkit(root, environ)
    version = None if toolkit is None else _installed(toolkit, "ascend_toolkit_install.info")
    ops = None if toolkit is None else _installed(toolkit, "ascend_ops_install.info")
    path = environ.get("PATH", "")
    folders = [] if toolkit is None else [str(toolkit / "bin"), str(toolkit / "compiler" / "bin")]
    atc = shutil.which("atc", path=os.pathsep.join([path, *folders]))
    smi = npu_smi(root, environ)
    return Cann(
        toolkit=toolkit,
        version=version,
        ops_version=ops,
        atc=None if atc is None else Path(atc),
        driver=_value(root / "usr/local/Ascend/driver/version.info", "version"),
        npu_smi=None if smi is None else Path(smi),
        devices=_devices(root, smi),
    )


def version_key(version: str) -> tuple[tuple[int, int, int], int, int]:
    """Orders CANN versions: ``8.3.RC1`` before ``8.3.0``, ``8.5.0.alpha002`` before ``8.5.0``.

    Raises:
        ValueError: it is no such version.
    """
    match = re.fullmatch(r"(\d+)\.(\d+)(?:\.(\d+))?(?:[.-]?(alpha|beta|rc|RC|T)[.-]?(\d+))?(?:\.\w+)?", version.strip())
    if match is None:
        raise ValueError(f"{version!r} is no CANN version")
    stage = {"alpha": 0, "beta": 1, "t": 1, "rc": 2}.get((match[4] or "").lower(), 3)
    return (int(match[1]), int(match[2]), int(match[3] or 0)), stage, int(match[5] or 0)


def _toolkit(root: Path, environ: Mapping[str, str]) -> Path | None:
    named = [Path(environ[name]) for name in ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH") if environ.get(name)]
    return next((folder for folder in (*named, *(root / d for d in DEFAULT_TOOLKITS)) if folder.is_dir()), None)


def _installed(toolkit: Path, name: str) -> str | None:
    for folder in (f"{platform.machine()}-linux", "x86_64-linux", "aarch64-linux"):
        version = _value(toolkit / folder / name, "version")
        if version:
            return version
    return None


def _value(path: Path, key: str) -> str | None:
    """The value of ``key=value`` in a small text file; the key in any case."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(rf"^\s*{key}\s*=\s*\[?\s*([^\s\]]+)", text, re.IGNORECASE | re.MULTILINE)
    return match[1] if match else None


def _devices(root: Path, smi: str | None) -> tuple[Device, ...]:
    """Those in ``/dev``; where there are none, those that ``npu-smi`` lists."""
    chips = [] if smi is None else _chips(smi)
    nodes = sorted(int(p.name[7:]) for p in (root / "dev").glob("davinci[0-9]*") if p.name[7:].isdigit())
    if not nodes:
        return tuple(Device(i, chip) for i, chip in enumerate(chips))
    # One machine has one kind of card; a list of another length says no more than that kind.
    return tuple(Device(n, chips[i] if i < len(chips) else chips[0] if chips else None) for i, n in enumerate(nodes))


def npu_smi(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> str | None:
    """The vendor's command, on PATH or where the driver puts it; ``None`` where there is none."""
    folders = (environ.get("PATH", ""), str(root / "usr/local/bin"), str(root / "usr/local/sbin"))
    return shutil.which("npu-smi", path=os.pathsep.join(folders))


def device_memory(smi: str) -> dict[int, tuple[int, int]]:
    """Megabytes in use and in all, by the devices' numbers in the order of ``npu-smi info``; empty where it tells none.

    Below the row of a card stands its chip's, whose last column is ``used / total`` of HBM, or of what the chip has in
    its place (Atlas 300I). So the tables of versions 24 to 26 in public logs.
    """
    number, found = -1, {}
    for line in _table(smi).splitlines():
        if _CARD.match(line):
            number += 1
        elif number >= 0 and number not in found and (pairs := _PAIR.findall(line)):
            found[number] = (int(pairs[-1][0]), int(pairs[-1][1]))
    return {device: (used, total) for device, (used, total) in found.items() if total}


def _chips(smi: str) -> list[str]:
    """The chips' names: the rows that begin with a number and a name."""
    return [match[1] for line in _table(smi).splitlines() if (match := _CARD.match(line))]


def _table(smi: str) -> str:
    """What ``npu-smi info`` prints."""
    try:
        done = subprocess.run(
            [smi, "info"], capture_output=True, text=True, timeout=_SMI_SECONDS, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
