"""``docker`` command lines: the one place they come from, for the doctor and for the pages."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Target = Literal["cpu", "ascend"]
IMAGES: dict[Target, str] = {"cpu": "neonext-ascend:cpu", "ascend": "neonext-ascend:ascend"}
# Beside /dev/davinci<N>: what every container with an NPU needs of the host (Ascend/cann-container-image).
DEVICE_NODES = ("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc")
HOST_PATHS = (
    "/usr/local/dcmi",
    "/usr/local/bin/npu-smi",
    "/usr/local/Ascend/driver/lib64",
    "/usr/local/Ascend/driver/version.info",
    "/etc/ascend_install.info",
)
# A chip's family -> its base image; the tags are <CANN>-<chip>-<system>-py<version>, and there is none for 310B.
BASE_IMAGES = {
    "310P": "ascendai/cann:9.0.1-310p-ubuntu22.04-py3.11",
    "910B": "ascendai/cann:9.0.1-910b-ubuntu22.04-py3.11",
}
_DEFAULT_FAMILY = "310P"
# The shell fills these in; whoever runs the line owns what is written.
# The device nodes belong to a group of the host's (vllm-project/vllm-ascend issue 9490).
_GROUP = '--group-add "$(stat -c %g /dev/davinci_manager)"'
_OWNER, _HERE = '--user "$(id -u):$(id -g)"', '"$PWD"'


def docker_run_command(
    devices: Sequence[int],
    image: str | None = None,
    arguments: Sequence[str] = ("doctor",),
    runtime: Literal["plain", "ascend"] = "plain",
    workdir: Path | None = None,
) -> str:
    """One line for a shell: read-only but for the folder mounted at ``/data``, where the command runs.

    ``LD_LIBRARY_PATH`` is never passed: it would override the image's.

    Args:
        devices: numbers of the NPUs; without one, nothing of the host is mounted.
        image: the ``ascend`` image with devices and the ``cpu`` image without, unless given.
        arguments: of ``neonext-ascend``.
        runtime: ``ascend`` leaves devices and driver to ascend-docker-runtime.
        workdir: the folder; the current one by default.
    """
    folder = _HERE if workdir is None else shlex.quote(str(workdir))
    parts = ["docker run --rm --init --read-only", _OWNER, f"-v {folder}:/data"]
    if devices and runtime == "ascend":
        parts.append(f"-e ASCEND_VISIBLE_DEVICES={','.join(map(str, devices))}")
    elif devices:
        nodes = (*(f"/dev/davinci{number}" for number in devices), *DEVICE_NODES)
        parts += [_GROUP, *(f"--device {node}" for node in nodes)]
        parts += [f"-v {path}:{path}:ro" for path in HOST_PATHS]
    parts += [image or IMAGES["ascend" if devices else "cpu"], shlex.join(arguments)]
    return " ".join(part for part in parts if part)


def docker_build_command(target: Target = "cpu", family: str = _DEFAULT_FAMILY) -> str:
    """The line that makes a target's image, in the repository's folder.

    Args:
        target: of the Dockerfile.
        family: of the chip, which decides the ``ascend`` target's base; one of :data:`BASE_IMAGES`.
    """
    base = ""
    if target == "ascend" and family != _DEFAULT_FAMILY:
        base = f" --build-arg BASE_IMAGE={BASE_IMAGES[family]}"
    return f"docker build --target {target}{base} -t {IMAGES[target]} ."
