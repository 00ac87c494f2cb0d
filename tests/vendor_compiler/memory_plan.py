"""How much of each buffer a lowered kernel takes, read from the vendor compiler's ``module.hivm.opt.mlir``.

The compiler writes its memory plan as operations that give a buffer its place, one byte offset for each copy:

    %33 = hivm.hir.pointer_cast(%c0_i64, %c8192_i64) : memref<4x4x16x16xf16, #hivm.address_space<cbuf>>

The highest end in an address space is what a core needs of it. Each block's part of the workspace in global memory
is what ``..._infer_workspace_shape_function`` returns, and the module's header tells in bits what the chip has.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from math import prod

# The vendor's word for each address space, by the usual name of the buffer.
SPACES = {"ub": "ub", "l1": "cbuf", "l0a": "ca", "l0b": "cb", "l0c": "cc"}

_CONSTANT = re.compile(r"(%[\w-]+) = arith\.constant (\d+) : (?:i64|index)")
_CAST = re.compile(
    r"hivm\.hir\.pointer_cast\(([^()]*)\) : "
    r"memref<((?:\d+x)*)(?:bf|[fi])(\d+)(?:, strided<[^<>]*>)?, #hivm\.address_space<(\w+)>>"
)
_WORKSPACE = re.compile(
    r"func\.func @\w+_infer_workspace_shape_function\(\) -> index.*\n((?:.*\n)*?)\s*return (%[\w-]+)"
)
_CAPACITY = r'"{}_SIZE", (\d+) : i32'


class UnreadablePlan(Exception):  # noqa: N818 (what it is)
    """The file has the plan in a form that this reader does not know; the message quotes it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Bytes: of one core's buffers, and of the workspace in global memory for each block."""

    ub: int
    l1: int
    l0a: int
    l0b: int
    l0c: int
    workspace: int

    def to_json(self) -> dict[str, int]:
        """By the buffers' names."""
        return asdict(self)


def read_plan(text: str) -> Plan:
    """The plan in a lowered module.

    Raises:
        UnreadablePlan: a buffer without a fixed size or place.
    """
    ends = dict.fromkeys(SPACES.values(), 0)
    # Names of values hold within one function.
    for function in re.split(r"^(?=\s*func\.func )", text, flags=re.MULTILINE):
        constants = {name: int(value) for name, value in _CONSTANT.findall(function)}
        for line in function.splitlines():
            if "hivm.hir.pointer_cast" in line:
                space, end = _end(line, constants)
                ends[space] = max(ends.get(space, 0), end)
    unknown = sorted(space for space in ends if space not in SPACES.values())
    if unknown:
        raise UnreadablePlan(f"address space {unknown[0]} is none of {', '.join(SPACES.values())}")
    return Plan(**{name: ends[space] for name, space in SPACES.items()}, workspace=_workspace(text))


def read_capacity(text: str) -> dict[str, int]:
    """Bytes that a core of the target has of each buffer, from the module's header.

    Raises:
        UnreadablePlan: the header lacks one.
    """
    found = {name: re.search(_CAPACITY.format(name.upper()), text) for name in SPACES}
    missing = [name for name, match in found.items() if match is None]
    if missing:
        raise UnreadablePlan(f"the module's header does not tell the size of {', '.join(missing)}")
    return {name: int(match[1]) // 8 for name, match in found.items() if match is not None}


def _end(line: str, constants: dict[str, int]) -> tuple[str, int]:
    """Address space and highest end in bytes of one buffer."""
    match = _CAST.search(line)
    if match is None:
        raise UnreadablePlan(f"no fixed size: {line.strip()}")
    offsets, sizes, bits, space = match.groups()
    names = [name.strip() for name in offsets.split(",")]
    if unknown := [name for name in names if name not in constants]:
        raise UnreadablePlan(f"{unknown[0]} is no constant: {line.strip()}")
    elements = prod(int(size) for size in sizes.split("x")[:-1])
    return space, max(constants[name] for name in names) + -(-elements * int(bits) // 8)


def _workspace(text: str) -> int:
    """0 without the function that tells it."""
    match = _WORKSPACE.search(text)
    if match is None:
        if "_infer_workspace_shape_function" in text:
            raise UnreadablePlan("the function that tells the workspace's size")
        return 0
    constants = {name: int(value) for name, value in _CONSTANT.findall(match[1])}
    if match[2] not in constants:
        raise UnreadablePlan(f"the workspace's size {match[2]} is no constant")
    return constants[match[2]]
