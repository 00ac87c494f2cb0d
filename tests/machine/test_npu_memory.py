"""The memory of NPUs as ``npu-smi info`` prints it; the tables' forms are those of public logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from neonext_ascend.machine.cann import device_memory, npu_smi

HBM = """
| npu-smi 24.1.rc1                 Version: 24.1.rc1                                             |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 2     910B3               | OK            | 101.8       43                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3318 / 65536         |
+===========================+===============+====================================================+
| 5     910B3               | OK            | 92.0        39                0    / 0             |
| 0                         | 0000:C2:00.0  | 0           0    / 0          59351/ 65536         |
+===========================+===============+====================================================+
| NPU     Chip              | Process id    | Process name       | Process memory(MB)            |
| 5       0                 | 1712733       | a/7 / 9            | 48954                         |
"""
DDR = """
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip  Device              | Bus-Id        | AICore(%)   Memory-Usage(MB)                       |
| 32    310P3               | OK            | NA          45                15   / 15            |
| 0     0                   | 0000:01:00.0  | 0           1852 / 21527                           |
| 32    310P3               | Offline       | NA          NA                NA                   |
"""


@pytest.mark.parametrize(
    ("said", "memory"),
    [
        (HBM, {0: (3318, 65536), 1: (59351, 65536)}),
        (DDR, {0: (1852, 21527)}),
        ("dcmi model initialized failed", {}),
        ("", {}),
    ],
)
def test_memory_is_the_last_column_of_the_chips_row(said: str, memory: dict[int, object], tmp_path: Path) -> None:
    command = tmp_path / "usr" / "local" / "bin" / "npu-smi"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    command.chmod(0o755)
    found = npu_smi(tmp_path, {"PATH": ""})
    assert found == str(command)
    assert device_memory(found) == memory


def test_without_the_command_nothing_is_told(tmp_path: Path) -> None:
    assert npu_smi(tmp_path, {"PATH": ""}) is None
    assert device_memory(str(tmp_path / "npu-smi")) == {}
