"""What a loaded OM takes and gives: the manifest's words where there is one, else the model's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.errors import ArtifactError
from neonext_ascend.runtimes.acl.calls import AclCalls
from neonext_ascend.spec import TensorSpec

GEAR_INPUT = "ascend_mbatch_shape_data"  # the further input of a model with batch gears; ACL fills it
# aclDataType in acl_base.h.
_DTYPES: Mapping[int, str] = {0: "float32", 1: "float16", 2: "int8", 3: "int32", 4: "uint8", 9: "int64", 11: "float64"}


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of the model.

    Args:
        index: its position in the model.
        nbytes: of its buffer on the device, at the largest gear.
        spec: as the runner shows it.
    """

    index: int
    nbytes: int
    spec: TensorSpec


@dataclass(frozen=True, slots=True)
class Description:
    """A loaded model.

    Args:
        inputs, outputs: by position, without the input that sets the gear.
        gears: batch sizes; empty for a static batch.
        gear_port: the model's position and bytes of the input that sets the gear, ``None`` for a static batch.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    gears: tuple[int, ...]
    gear_port: tuple[int, int] | None

    @property
    def input_buffers(self) -> tuple[tuple[int, int], ...]:
        """Position and bytes of every input, in the order in which the model wants their buffers."""
        return tuple(
            sorted([*((p.index, p.nbytes) for p in self.inputs), *([self.gear_port] if self.gear_port else [])])
        )


def describe(calls: AclCalls, desc: int, manifest: Manifest | None, what: str) -> Description:
    """Ask the model.

    Args:
        calls: of pyACL.
        desc: from ``acl.mdl.create_desc``, filled.
        manifest: beside the OM.
        what: the OM's path, for messages.

    Raises:
        ArtifactError: model and manifest do not fit together, or one without manifest that needs it.
    """
    names = [
        str(calls("acl.mdl.get_input_name_by_index", desc, i)) for i in range(calls("acl.mdl.get_num_inputs", desc))
    ]
    gear_port = None
    if GEAR_INPUT in names:
        index = calls("acl.mdl.get_input_index_by_name", desc, GEAR_INPUT)
        gear_port = (index, calls("acl.mdl.get_input_size_by_index", desc, index))
    gears = _gears(manifest, gear_port is not None, what)
    taken = [i for i in range(len(names)) if gear_port is None or i != gear_port[0]]
    given = list(range(calls("acl.mdl.get_num_outputs", desc)))
    if manifest is None:
        inputs = [_own_spec(calls, desc, "input", i, what) for i in taken]
        outputs = [_own_spec(calls, desc, "output", i, what) for i in given]
    else:
        inputs, outputs = list(manifest.inputs), list(manifest.outputs)
    for kind, specs, positions in (("inputs", inputs, taken), ("outputs", outputs, given)):
        if len(specs) != len(positions):
            raise ArtifactError(
                f"{what}: it has {len(positions)} {kind}, its manifest names {len(specs)}; "
                "expected the manifest that was written with it: copy both files again"
            )
    # What ATC made of an output's dtype, the model knows best.
    dtypes = [_dtype(calls, desc, "output", i, what) for i in given]
    outputs = [replace(spec, dtype=dtype) for spec, dtype in zip(outputs, dtypes, strict=True)]
    return Description(
        tuple(_input(calls, desc, i, spec, gears, what) for i, spec in zip(taken, inputs, strict=True)),
        tuple(_output(calls, desc, i, spec, gears, what) for i, spec in zip(given, outputs, strict=True)),
        gears,
        gear_port,
    )


def dims_of(answer: Any, what: str) -> tuple[int, ...]:
    """The numbers in ``{"name": ..., "dimCount": ..., "dims": [...]}``.

    Raises:
        ArtifactError: it is something else.
    """
    dims = answer.get("dims") if isinstance(answer, dict) else None
    if not (isinstance(dims, list | tuple) and all(isinstance(n, int) for n in dims)):
        raise ArtifactError(
            f"{what}: pyACL describes a shape as {answer!r:.120}; expected dims, a list of whole numbers"
        )
    return tuple(dims)


def _gears(manifest: Manifest | None, has_gears: bool, what: str) -> tuple[int, ...]:
    compilation = None if manifest is None else manifest.compilation
    gears = () if compilation is None else compilation.gears
    if has_gears and not gears:
        raise ArtifactError(
            f"{what}: it takes batch gears (input {GEAR_INPUT}), and no manifest beside it says which; "
            "expected the manifest that export wrote with it: copy both files"
        )
    if gears and not has_gears:
        raise ArtifactError(
            f"{what}: its manifest names the batch gears {', '.join(map(str, gears))}, "
            f"and it has no input {GEAR_INPUT}; expected the manifest that was written with it: copy both files again"
        )
    return gears


def _input(calls: AclCalls, desc: int, index: int, spec: TensorSpec, gears: Sequence[int], what: str) -> Port:
    """An input whose buffer has the bytes that its specification says, at the largest gear."""
    nbytes = calls("acl.mdl.get_input_size_by_index", desc, index)
    if gears and all(isinstance(n, int) for n in spec.shape):
        raise ArtifactError(f"{what}: its manifest has batch gears and the static input {spec}; export it again")
    if not gears and not all(isinstance(n, int) for n in spec.shape):
        raise ArtifactError(f"{what}: {spec} has a dynamic shape and no batch gears; export it with --batch-gears")
    expected = _bytes(spec, gears)
    if nbytes != expected:
        raise ArtifactError(
            f"{what}: input {spec.name} takes {nbytes} bytes, {spec} has {expected}; "
            "expected the manifest that was written with it: copy both files again"
        )
    return Port(index, nbytes, spec)


def _output(calls: AclCalls, desc: int, index: int, spec: TensorSpec, gears: Sequence[int], what: str) -> Port:
    """An output whose buffer holds the shape that its specification says, at the largest gear."""
    nbytes = calls("acl.mdl.get_output_size_by_index", desc, index)
    needed = _bytes(spec, gears)
    # The device may pad an output's buffer; it never has too little room.
    inner = dims_of(calls("acl.mdl.get_output_dims", desc, index), what)[1:]
    if nbytes < needed or inner != spec.shape[1:]:
        raise ArtifactError(
            f"{what}: output {spec.name} has {nbytes} bytes and the inner shape {list(inner)}, expected {spec}; "
            "expected the manifest that was written with it: copy both files again"
        )
    return Port(index, nbytes, spec)


def _bytes(spec: TensorSpec, gears: Sequence[int]) -> int:
    return math.prod(n if isinstance(n, int) else max(gears) for n in spec.shape) * np.dtype(spec.dtype).itemsize


def _own_spec(calls: AclCalls, desc: int, kind: str, index: int, what: str) -> TensorSpec:
    answer = calls(f"acl.mdl.get_{kind}_dims", desc, index)
    dims = dims_of(answer, what)
    # ATC names an output "node:0:name" (as open-mmlab/mmdeploy reads it too).
    name = str(answer.get("name") or f"{kind}{index}").split(":")[-1]
    if min(dims, default=0) < 1:
        raise ArtifactError(
            f"{what}: {kind} {name} has the shape {list(dims)}; expected a static one, or the manifest beside the OM"
        )
    return TensorSpec(name, _dtype(calls, desc, kind, index, what), dims)


def _dtype(calls: AclCalls, desc: int, kind: str, index: int, what: str) -> str:
    code = calls(call := f"acl.mdl.get_{kind}_data_type", desc, index)
    if not isinstance(code, int) or code not in _DTYPES:
        known = ", ".join(f"{number} ({name})" for number, name in _DTYPES.items())
        raise ArtifactError(f"{what}: {call} says {code} of {kind} {index}; expected one of {known}")
    return _DTYPES[code]
