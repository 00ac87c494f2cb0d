"""Which names a pickle refers to and what it would do with each, found by following its stack; nothing is run.

A pickle is a program for a machine with a stack (``pickletools`` describes each of its operations). Here the
stack holds, in place of objects, only the names that they would come from.
"""

from __future__ import annotations

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

Use = Literal["called", "created", "items", "appended"]
_MARK = object()


@dataclass
class Names:
    """What one pickle refers to.

    Args:
        uses: by the full name of a class or function, what is done with it: it is called, an object of it is
            created, its objects are given items, or elements.
        protocol: highest protocol of its operations, or the one that it states.
    """

    uses: dict[str, set[Use]] = field(default_factory=dict)
    protocol: int = 0

    def add(self, other: Names) -> None:
        """Those of one more pickle in the same file."""
        for name, uses in other.uses.items():
            self.uses.setdefault(name, set()).update(uses)
        self.protocol = max(self.protocol, other.protocol)


@dataclass(frozen=True)
class _Origin:
    """A class or function (``made`` is false), or what came out of it."""

    name: str
    made: bool


def names_in(file: BinaryIO) -> Names:
    """Follow the pickle at the file's place, and leave the place behind it.

    Raises:
        ValueError, IndexError, KeyError: it is damaged.
    """
    return _Machine().follow(pickletools.genops(file))


class _Machine:
    def __init__(self) -> None:
        self.names = Names()
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def follow(self, operations: Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]]) -> Names:
        for operation, argument, _ in operations:
            stated = argument if operation.name == "PROTO" else operation.proto
            self.names.protocol = max(self.names.protocol, stated)
            self._step(operation, argument)
        return self.names

    def _step(self, operation: pickletools.OpcodeInfo, argument: Any) -> None:
        match operation.name:
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case "GLOBAL":
                self._refer(*argument.split(" ", 1))
            case "STACK_GLOBAL":
                module, name = self.stack[-2:]
                del self.stack[-2:]
                self._refer(str(module), str(name))
            case "INST":
                self._to_mark()
                self._refer(*argument.split(" ", 1))
                self._make("called", 0)
            case "OBJ":
                self.stack.append(self._to_mark()[0])
                self._make("called", 0)
            case "REDUCE":
                self._make("called", 1)
            case "NEWOBJ" | "NEWOBJ_EX":
                self._make("created", 1 if operation.name == "NEWOBJ" else 2)
            case "SETITEM" | "APPEND":
                del self.stack[-2 if operation.name == "SETITEM" else -1 :]
                self._use(self.stack[-1], "items" if operation.name == "SETITEM" else "appended")
            case "SETITEMS" | "APPENDS" | "ADDITEMS":
                self._to_mark()
                self._use(self.stack[-1], "items" if operation.name == "SETITEMS" else "appended")
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "BUILD" | "STOP":
                self.stack.pop()
            case _:
                self._other(operation, argument)

    def _other(self, operation: pickletools.OpcodeInfo, argument: Any) -> None:
        """An operation that only moves the stack: what it leaves is a text, a mark or nothing of interest."""
        if operation.name == "POP_MARK" or pickletools.markobject in operation.stack_before:
            self._to_mark()
        else:
            count = len(operation.stack_before)
            if count > len(self.stack):
                raise IndexError("the stack is empty")
            del self.stack[len(self.stack) - count :]
        for left in operation.stack_after:
            value = argument if isinstance(argument, str) else None
            self.stack.append(_MARK if left is pickletools.markobject else value)

    def _refer(self, module: str, name: str) -> None:
        # Protocol 2 writes the names of Python 2, and every unpickler translates them.
        if (module, name) in NAME_MAPPING:
            module, name = NAME_MAPPING[module, name]
        full = f"{IMPORT_MAPPING.get(module, module)}.{name}"
        self.names.uses.setdefault(full, set())
        self.stack.append(_Origin(full, made=False))

    def _make(self, use: Use, arguments: int) -> None:
        if arguments:
            del self.stack[-arguments:]
        origin = self.stack.pop()
        if isinstance(origin, _Origin) and not origin.made:
            self.names.uses[origin.name].add(use)
            origin = _Origin(origin.name, made=True)
        self.stack.append(origin)

    def _use(self, target: Any, use: Use) -> None:
        if isinstance(target, _Origin) and target.made:
            self.names.uses[target.name].add(use)

    def _to_mark(self) -> list[Any]:
        """Take off everything above the last mark, and the mark."""
        above = []
        while (top := self.stack.pop()) is not _MARK:
            above.append(top)
        return above[::-1]
