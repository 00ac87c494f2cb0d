"""The real torch_npu without CANN: nothing breaks, and what is missing is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.environments.environment import Environment
from tests.environments.versions import HERE, Version, kept

ONNX = "neonext_nano-96-b1-fp32.onnx"
MISSING = "needs CANN's libhccl.so, which is missing"


@dataclass(frozen=True, slots=True)
class Pair:
    """A torch_npu beside its torch, and what doctor says of its CANN."""

    torch: str
    torch_npu: str
    cann: str

    def make(self, folder: Path) -> Environment:
        """Install it over the environment that ``make versions`` keeps of this torch."""
        environment = Environment(folder, over=kept(Version(self.torch, HERE)))
        # Its own requirement is a build of torch that only its makers' index has.
        environment.install(f"torch_npu=={self.torch_npu}", dependencies=False)
        environment.install_project(dependencies=False)
        return environment

    def steps(self, environment: Environment) -> dict[str, Callable[[], object]]:
        """In order, by name."""
        neonext = environment.neonext
        return {
            # Without this failure the other steps would show nothing.
            "plain `import torch` fails": partial(plain_import, environment),
            "importing the package first mends it": partial(guarded_import, environment),
            "doctor": partial(doctor, environment, self),
            "list": lambda: json.loads(neonext("list", "--json").expect(0).out)["models"][0]["params"],
            "export": lambda: neonext("export", "neonext_nano", "-o", ".").expect(0, ONNX),
            "verify FILE": lambda: neonext("verify", ONNX).expect(0),
            "verify MODEL": lambda: neonext("verify", "neonext_nano").expect(0),
            "verify --runtime npu exits 3": lambda: neonext("verify", "neonext_nano", "--runtime", "npu").expect(
                3, MISSING
            ),
            "the runner itself says so": partial(runner, environment, self),
        }


# A card owner's pair, and the newest.
PAIRS = (
    Pair("2.8.0", "2.8.0.post4", "goes with CANN 9.0.0"),
    Pair("2.13.0", "2.13.0", "no CANN version is known for torch_npu 2.13.0"),
)


def plain_import(environment: Environment) -> None:
    """The trouble is real in this environment."""
    environment.python("import torch").expect(1, "Failed to load the backend extension: torch_npu")


def guarded_import(environment: Environment) -> None:
    """From Python, whichever part of the package comes first."""
    for first in ("neonext_ascend", "neonext_ascend.models.neonext", "neonext_ascend.runtimes.ort"):
        environment.python(f"import {first}, torch; print(torch.ones(2).sum())").expect(0, "tensor(2.)")
    environment.python("import neonext_ascend; neonext_ascend.create('neonext_nano')").expect(0)


def doctor(environment: Environment, pair: Pair) -> None:
    """It names the package, the missing library and the CANN it goes with, and takes nothing else for broken."""
    data = json.loads(environment.neonext("doctor", "--json").expect(0).out)
    found = {finding["name"]: finding for finding in data["findings"]}
    assert found["torch"]["status"] == "ok", found["torch"]
    assert found["torch_npu"]["status"] == "problem", found["torch_npu"]
    assert MISSING in found["torch_npu"]["value"], found["torch_npu"]
    assert pair.cann in found["torch_npu"]["value"], found["torch_npu"]
    assert [a["ability"] for a in data["abilities"] if a["possible"]] == ["onnx"], data["abilities"]
    environment.neonext("doctor", "--require", "npu").expect(3, "npu is not possible here")


def runner(environment: Environment, pair: Pair) -> None:
    """From Python as from the command line."""
    environment.python(
        "from neonext_ascend.errors import ToolchainError\n"
        "from neonext_ascend.runtimes.npu import import_torch_npu\n"
        "try:\n    import_torch_npu()\nexcept ToolchainError as error:\n    print('said:', error)\n"
    ).expect(0, f"said: torch_npu {pair.torch_npu}", MISSING)
