"""One thread for each session of onnxruntime that asks for no number of them.

As many as cores is right where a user waits. Workers of pytest share the cores, and a session's threads spin while they
wait for one another: half of the seconds that sessions take here.
"""

from __future__ import annotations

from typing import Any

from neonext_ascend.runtimes import ort


def one_thread() -> None:
    """From here on, in this process."""
    quiet = ort._quiet

    def alone(threads: int = 0) -> Any:
        return quiet(threads or 1)

    ort._quiet = alone
