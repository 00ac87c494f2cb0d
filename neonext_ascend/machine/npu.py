"""torch_npu in an environment: kept from breaking ``import torch``, its known pairs, why it does not import.

Nothing here imports torch. The pairs are those of Ascend/pytorch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# A torch_npu release -> the CANN version that it was released with.
PAIRS: Mapping[str, str] = {
    "2.12.0": "9.1.0",
    "2.11.0": "9.1.0",
    "2.10.0.post4": "9.1.0",
    "2.9.0.post6": "9.1.0",
    "2.7.1.post8": "9.1.0",
    "2.9.0.post2": "9.0.0",
    "2.8.0.post4": "9.0.0",
    "2.9.0": "8.5.0",
    "2.8.0.post2": "8.5.0",
    "2.8.0": "8.3.RC1",
    "2.7.1": "8.3.RC1",
    "2.5.1": "8.1.RC1",
}
_DRIVER_LIBRARY = "libascend_hal.so"
_IN_DOCKER = "neonext-ascend doctor prints the docker run line that has it all"


@dataclass(frozen=True, slots=True)
class Pairing:
    """Whether torch, torch_npu and CANN belong together: ``unknown`` is a combination that the table does not have."""

    state: Literal["match", "mismatch", "unknown"]
    words: str
    remedy: str | None = None


def keep_torch_npu_quiet() -> None:
    """Keep ``import torch`` from loading torch_npu, which breaks it where CANN is missing; must come before it.

    A value that the user has set stands.
    """
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")


def torch_release(version: str) -> str:
    """The torch release of a torch or torch_npu version: ``2.9.0`` for ``2.9.0.post2`` and ``2.9.0+cpu``."""
    return version.split("+")[0].split(".post")[0]


def pairing(torch: str, torch_npu: str, cann: str | None) -> Pairing:
    """Judge the versions.

    Args:
        torch, torch_npu: as installed.
        cann: the toolkit's version, where there is one.
    """
    release = torch_release(torch_npu)
    if torch_release(torch) != release:
        return Pairing(
            "mismatch",
            f"torch_npu {torch_npu} goes with torch {release}, not with torch {torch}",
            f"install torch=={release}, or {_release_for(torch)}",
        )
    wanted = PAIRS.get(torch_npu)
    if wanted is None:
        return Pairing("unknown", f"torch {torch} fits; no CANN version is known for torch_npu {torch_npu}")
    if cann is None:
        return Pairing("match", f"torch {torch} fits; it goes with CANN {wanted}")
    if cann == wanted:
        return Pairing("match", f"torch {torch} and CANN {cann} fit")
    known = f"torch_npu {torch_npu} is known to go with CANN {wanted}; here is CANN {cann}"
    if cann.split(".")[:2] == wanted.split(".")[:2]:
        return Pairing("unknown", known)
    fitting = [npu for npu, version in PAIRS.items() if version == cann and torch_release(npu) == release]
    return Pairing("mismatch", known, f"install {f'torch_npu=={fitting[0]}' if fitting else f'CANN {wanted}'}")


def import_failure(text: str, torch: str | None, torch_npu: str | None) -> str:
    """What a failed import of torch_npu means and what to do, in one line.

    Args:
        text: of the ImportError, OSError or RuntimeError.
        torch, torch_npu: as installed; ``None`` is not installed.
    """
    if torch_npu is None:
        for_torch = "" if torch is None else f": {_release_for(torch)}"
        return f"torch_npu is not installed; it needs CANN and a torch release of its own{for_torch}"
    if torch is not None and torch_release(torch) != torch_release(torch_npu):
        found = pairing(torch, torch_npu, None)
        return f"{found.words}: {found.remedy}"
    library = re.search(r"\b(lib\w+\.so[.\d]*): cannot open shared object", text)
    if library is None:
        return f"torch_npu {torch_npu} is installed but does not import: {text}"
    if library[1].startswith(_DRIVER_LIBRARY):
        return (
            f"torch_npu {torch_npu} needs {library[1]} of the NPU's driver, which is missing: install it; {_IN_DOCKER}"
        )
    return (
        f"torch_npu {torch_npu} needs CANN's {library[1]}, which is missing: install CANN and source its set_env.sh; "
        f"{_IN_DOCKER}"
    )


def _release_for(torch: str) -> str:
    """The torch_npu to take for this torch: a known pair, else its own release."""
    release = torch_release(torch)
    known = [f"{npu} with CANN {cann}" for npu, cann in PAIRS.items() if torch_release(npu) == release]
    return (
        f"torch_npu {' or '.join(known)} for torch {release}"
        if known
        else f"torch_npu=={release}.* for torch {release}"
    )
