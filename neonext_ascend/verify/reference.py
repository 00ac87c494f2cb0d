"""What a graph is held against: values that another computation gives, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from neonext_ascend.runtimes.steps import Array
from neonext_ascend.verify.nodewise.layouts import laid_out


class Reference:
    """Values of the reference, asked for in any order; each is given once, those of its outputs to the end.

    Args:
        values: as they are computed.
        names: a value's name in the graph -> the reference's.
        outputs: the same of the graph's outputs that are compared.
        fit: a value of the reference, and the shape that it has in the graph -> what is compared.
    """

    def __init__(
        self,
        values: Iterator[tuple[str, Array]],
        names: Mapping[str, str],
        outputs: Mapping[str, str],
        fit: Callable[[str, Array, tuple[int, ...]], Array] = lambda _, value, shape: in_shape(value, shape),
    ) -> None:
        self._values, self._names, self.outputs, self._fit = values, names, outputs, fit
        self._wanted, self._last = set(names.values()), set(outputs.values())
        self._ahead: dict[str, Array] = {}

    def counterpart(self, name: str) -> str | None:
        """The reference's name of a value."""
        return self._names.get(name)

    def take(self, name: str, shape: tuple[int, ...]) -> Array:
        """The reference's value for one of the graph's names; computes as far as it must."""
        wanted = self._names[name]
        self._until(wanted)
        value = self._ahead[wanted] if wanted in self._last else self._ahead.pop(wanted)
        return self._fit(wanted, value, shape)

    def result(self, name: str, shape: tuple[int, ...]) -> Array | None:
        """The reference's value for one of the graph's outputs; ``None`` where it computes none."""
        self._until(self.outputs[name])
        value = self._ahead.get(self.outputs[name])
        return None if value is None else self._fit(self.outputs[name], value, shape)

    def finish(self) -> None:
        """Compute what nobody asked for as well: a node may be one that cannot be computed."""
        self._until("")

    def _until(self, wanted: str) -> None:
        while wanted not in self._ahead and (made := next(self._values, None)) is not None:
            if made[0] in self._wanted or made[0] in self._last:
                self._ahead[made[0]] = made[1]


def in_shape(value: Array, shape: tuple[int, ...]) -> Array:
    """The value in another shape of as many numbers; as it is where a shape that depends on values is another."""
    found = laid_out(value, shape)
    return value if found is None else found[0]
