"""The ``docker`` lines: what a shell makes of them, and that they name what the Dockerfile makes."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from pathlib import Path

import pytest

from neonext_ascend.machine.container import (
    BASE_IMAGES,
    DEVICE_NODES,
    HOST_PATHS,
    docker_build_command,
    docker_run_command,
)
from tests import ROOT

DOCKERFILE = ROOT / "Dockerfile"


def words_of(line: str, folder: Path) -> list[str]:
    """What ``docker`` would be given by a shell in ``folder``."""
    script = f'docker() {{ printf "%s\\n" "$@"; }}\n{line}'
    done = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def values(words: list[str], option: str) -> list[str]:
    return [after for before, after in itertools.pairwise(words) if before == option]


@pytest.mark.parametrize("numbers", [[0], [2, 5]])
def test_devices_and_the_driver_come_from_the_host_and_only_work_is_writable(
    numbers: list[int], tmp_path: Path
) -> None:
    folder = tmp_path / "my models"
    folder.mkdir()
    words = words_of(docker_run_command(numbers, arguments=("predict", "a b.om", "$HOME")), folder)
    assert words[:4] == ["run", "--rm", "--init", "--read-only"]
    assert values(words, "--device") == [*(f"/dev/davinci{n}" for n in numbers), *DEVICE_NODES]
    work, *mounts = values(words, "-v")
    assert work == f"{folder}:/data"
    assert mounts == [f"{path}:{path}:ro" for path in HOST_PATHS]
    assert values(words, "--user") == [f"{os.getuid()}:{os.getgid()}"]
    assert values(words, "-e") == []
    assert words[-4:] == ["neonext-ascend:ascend", "predict", "a b.om", "$HOME"]


def test_the_line_for_one_310p_card_is_as_documented() -> None:
    assert docker_run_command([0]) == (
        'docker run --rm --init --read-only --user "$(id -u):$(id -g)" -v "$PWD":/data '
        '--group-add "$(stat -c %g /dev/davinci_manager)" '
        "--device /dev/davinci0 --device /dev/davinci_manager --device /dev/devmm_svm --device /dev/hisi_hdc "
        "-v /usr/local/dcmi:/usr/local/dcmi:ro -v /usr/local/bin/npu-smi:/usr/local/bin/npu-smi:ro "
        "-v /usr/local/Ascend/driver/lib64:/usr/local/Ascend/driver/lib64:ro "
        "-v /usr/local/Ascend/driver/version.info:/usr/local/Ascend/driver/version.info:ro "
        "-v /etc/ascend_install.info:/etc/ascend_install.info:ro neonext-ascend:ascend doctor"
    )


def test_ascend_docker_runtime_is_told_the_devices_alone(tmp_path: Path) -> None:
    words = words_of(docker_run_command([0, 1], runtime="ascend", workdir=tmp_path / "it's"), tmp_path)
    assert values(words, "-e") == ["ASCEND_VISIBLE_DEVICES=0,1"]
    assert values(words, "-v") == [f"{tmp_path}/it's:/data"]
    assert values(words, "--device") == []


def test_without_a_device_nothing_of_the_host_is_mounted(tmp_path: Path) -> None:
    words = words_of(docker_run_command([]), tmp_path)
    assert values(words, "-v") == [f"{tmp_path}:/data"]
    assert words[-2:] == ["neonext-ascend:cpu", "doctor"]


@pytest.mark.parametrize("target", ["cpu", "ascend"])
def test_the_dockerfile_has_the_targets(target: str) -> None:
    assert re.search(rf"^FROM \S+ AS {target}$", DOCKERFILE.read_text(), re.M)
    line = docker_build_command("cpu") if target == "cpu" else docker_build_command("ascend")
    assert line == f"docker build --target {target} -t neonext-ascend:{target} ."


def test_another_chip_has_another_base_and_the_default_is_the_dockerfiles() -> None:
    assert f"ARG BASE_IMAGE={BASE_IMAGES['310P']}" in DOCKERFILE.read_text()
    assert f"--build-arg BASE_IMAGE={BASE_IMAGES['910B']} " in docker_build_command("ascend", "910B")
    assert "310B" not in BASE_IMAGES
