"""CANN on this machine: driver, toolkit, operators' package, compiler, devices."""

from __future__ import annotations

from neonext_ascend.machine.cann import Cann, version_key
from neonext_ascend.machine.chips import SOCS
from neonext_ascend.machine.diagnosis.findings import Finding

# From this version ATC needs the operators' package of the chip beside the toolkit.
OPS_PACKAGE_SINCE = "8.5.0"
_ENVIRONMENT = "source CANN's set_env.sh"


def ops_package_missing(cann: Cann) -> bool:
    """Whether the toolkit is of a version that needs the package, and the package is not there."""
    if cann.version is None or cann.ops_version is not None:
        return False
    try:
        # Pre-releases of 8.5 are 8.5.
        return version_key(cann.version)[0] >= version_key(OPS_PACKAGE_SINCE)[0]
    except ValueError:
        return False


def cann_findings(cann: Cann) -> list[Finding]:
    """One finding each; what is missing is a problem only where something else of CANN is there."""
    return [_driver(cann), _toolkit(cann), _ops(cann), _atc(cann), _npu_smi(cann), *_devices(cann)]


def _driver(cann: Cann) -> Finding:
    if cann.driver is not None:
        return Finding("driver", "ok", cann.driver)
    if cann.devices:
        words = "its version.info was not found, though there are devices"
        return Finding("driver", "problem", words, "install the NPU's driver, or mount it into the container")
    return Finding("driver", "info", "none")


def _toolkit(cann: Cann) -> Finding:
    if cann.toolkit is not None:
        return Finding("CANN", "ok", f"{cann.version or 'of unknown version'} in {cann.toolkit}")
    if cann.devices or cann.driver:
        return Finding("CANN", "missing", "no toolkit was found", f"install CANN and {_ENVIRONMENT}, or use Docker")
    return Finding("CANN", "info", "no toolkit was found")


def _ops(cann: Cann) -> Finding:
    if ops_package_missing(cann):
        words = f"CANN {cann.version} needs the operators' package of the chip beside the toolkit"
        return Finding("operators", "missing", words, "install the operators' package of this chip")
    if cann.ops_version is None:
        return Finding("operators", "info", "no package of their own" + ("" if cann.toolkit else ", without CANN"))
    if cann.ops_version != cann.version:
        words = f"{cann.ops_version}, where the toolkit is {cann.version or 'of unknown version'}"
        return Finding("operators", "info", words)
    return Finding("operators", "ok", cann.ops_version)


def _atc(cann: Cann) -> Finding:
    if cann.atc is not None:
        return Finding("atc", "ok", str(cann.atc))
    if cann.toolkit is not None:
        return Finding("atc", "missing", "not found, though there is a toolkit", _ENVIRONMENT)
    return Finding("atc", "info", "not found; it comes with CANN")


def _npu_smi(cann: Cann) -> Finding:
    if cann.npu_smi is not None:
        return Finding("npu-smi", "ok", str(cann.npu_smi))
    if cann.devices:
        return Finding("npu-smi", "missing", "not found, so the chips have no names", "see the driver")
    return Finding("npu-smi", "info", "not found")


def _devices(cann: Cann) -> list[Finding]:
    if not cann.devices:
        return [Finding("devices", "info", "none")]
    return [
        Finding(f"device {device.index}", "ok" if device.soc_version in SOCS else "info", _chip(device.soc_version))
        for device in cann.devices
    ]


def _chip(name: str | None) -> str:
    if name is None:
        return "an NPU; npu-smi does not name its chip"
    return f"{name}, the --soc-version" if name in SOCS else f"{name}, which this program does not know"
