"""A stand-in file system with what a machine has of CANN, and stand-in libraries that import at once."""

from __future__ import annotations

import os
from pathlib import Path

SITE = Path(__file__).parent / "site"
# Stand-ins for the libraries, which take seconds to import: what the doctor asks of them and no more.
TORCH = "__version__ = '{version}'\nclass npu:\n    is_available = staticmethod(lambda: {npu})\n"
ROOT = Path(__file__).parent.parent.parent


def machine(
    root: Path,
    *,
    chips: tuple[str, ...] = (),
    toolkit: str | None = None,
    operators: str | None = None,
    torch: str = "2.9.0",
    torch_npu: str | None = None,
    npu_available: bool = False,
    acl: bool = False,
) -> dict[str, str]:
    """A stand-in file system under ``root``, stand-in libraries in it, and the environment that finds them."""
    files = {
        "site/torch.py": TORCH.format(version=torch, npu=npu_available),
        "site/onnx.py": "__version__ = '1'\n",
        "site/onnxruntime.py": "__version__ = '1'\nget_available_providers = lambda: ['CPUExecutionProvider']\n",
        "site/torch_npu.py": torch_npu,
        **{f"dev/davinci{number}": "" for number in range(len(chips))},
        "usr/local/Ascend/driver/version.info": "Version=25.2.0\n" if chips else None,
    }
    home = "usr/local/Ascend/cann"
    if toolkit is not None:
        files[f"{home}/x86_64-linux/ascend_toolkit_install.info"] = f"package_name=toolkit\nversion={toolkit}\n"
        files[f"{home}/bin/atc"] = "#!/bin/sh\n"
    if operators is not None:
        files[f"{home}/x86_64-linux/ascend_ops_install.info"] = f"version={operators}\n"
    if chips:
        rows = "".join(f"echo '| {number}     {chip}     | OK    |'\n" for number, chip in enumerate(chips))
        files["usr/local/bin/npu-smi"] = f"#!/bin/sh\n{rows}"
    for name, text in files.items():
        if text is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
            (root / name).chmod(0o755)
    path = [str(root / "site"), *([str(SITE), str(ROOT)] if acl else [])]
    return {"PATH": str(root / "nowhere"), "PYTHONPATH": os.pathsep.join(path)}
