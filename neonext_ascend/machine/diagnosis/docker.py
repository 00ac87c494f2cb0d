"""The ``docker`` lines for this machine's devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neonext_ascend.machine.cann import Cann
from neonext_ascend.machine.chips import SOCS
from neonext_ascend.machine.container import BASE_IMAGES, IMAGES, docker_build_command, docker_run_command

_MAKE_OM = ("export", "neonext_nano", "--format", "om", "--soc-version")
_DEFAULT_SOC = "Ascend310P3"


@dataclass(frozen=True, slots=True)
class DockerLines:
    """Each on one line, for copying.

    Attributes:
        words: which machine the lines are for.
        build: make the images of the other lines; none where this program knows no base image for the chip.
        run: asks the doctor inside it, with the devices that are here; ``None`` likewise.
        make_om: exports an OM in the ``ascend`` image; ATC needs no NPU. ``None`` likewise.
    """

    words: str
    build: tuple[str, ...]
    run: str | None
    make_om: str | None

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {"words": self.words, "build": list(self.build), "run": self.run, "make_om": self.make_om}


def docker_lines(cann: Cann) -> DockerLines:
    """The lines for what is here; without a device those of the ``cpu`` image."""
    numbers = [device.index for device in cann.devices]
    make_om = (*_MAKE_OM, cann.soc_version or _DEFAULT_SOC)
    if not numbers:
        return DockerLines(
            "without an NPU",
            (docker_build_command("cpu"), docker_build_command("ascend")),
            docker_run_command([]),
            docker_run_command([], IMAGES["ascend"], make_om),
        )
    soc = SOCS.get(cann.soc_version or "")
    if soc is not None and soc.family not in BASE_IMAGES:
        words = f"this program knows no CANN base image for {soc.name}: choose one, and build with BASE_IMAGE"
        return DockerLines(words, (), None, None)
    build = docker_build_command("ascend") if soc is None else docker_build_command("ascend", soc.family)
    words = f"with device {', '.join(map(str, numbers))}"
    return DockerLines(words, (build,), docker_run_command(numbers), docker_run_command(numbers, arguments=make_om))
