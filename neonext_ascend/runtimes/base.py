"""What a runner is: a context manager that takes named arrays and gives named arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import UsageError
from neonext_ascend.spec import TensorSpec

Arrays = Mapping[str, NDArray[np.generic]]


class Runner(ABC):
    """An opened network.

    ``infer`` checks the feeds; subclasses fill in :meth:`infer_impl`.

    Attributes:
        name: what runs, for reports.
        where: what computes, in words: library, version and device.
        gears: the batch sizes that it takes where the batch is dynamic but not free; empty otherwise.
        inputs, outputs: by position.
    """

    name: str
    where: str
    gears: tuple[int, ...] = ()
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 -- most runners hold nothing
        """Release what the runner holds; calling it again does nothing."""

    def infer(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        """Run once.

        Args:
            feeds: every input by name; floating arrays are converted to the input's dtype.

        Raises:
            UsageError: an input is missing, unknown or of a shape that does not fit.
        """
        if not isinstance(feeds, Mapping):
            raise UsageError(f"{self.name}: got {type(feeds).__name__}; expected arrays by name: {self._expected()}")
        unknown = sorted(map(str, set(feeds) - {spec.name for spec in self.inputs}))
        if unknown:
            raise UsageError(f"{self.name}: unknown input {unknown[0]!r}; expected {self._expected()}")
        ready = {}
        for spec in self.inputs:
            if spec.name not in feeds:
                raise UsageError(f"{self.name}: input {spec.name!r} is missing; expected {self._expected()}")
            array = self._array(feeds[spec.name], spec)
            if 0 in array.shape or not spec.accepts(array.shape):
                raise UsageError(f"{self.name}: {spec.name} has shape {array.shape}; expected {spec}")
            if self.gears and array.shape[0] not in self.gears:
                gears = ", ".join(map(str, self.gears))
                raise UsageError(f"{self.name}: batch {array.shape[0]}; this artifact takes the batch gears {gears}")
            ready[spec.name] = np.ascontiguousarray(array, dtype=spec.dtype)
        return self.infer_impl(ready)

    def _array(self, given: object, spec: TensorSpec) -> NDArray[np.generic]:
        try:
            array = np.asarray(given)
        except Exception:  # ragged lists, tensors on a device or with a gradient, what raises by itself
            array = np.empty(0, dtype=object)
        if array.dtype.kind not in "fiub":
            raise UsageError(
                f"{self.name}: {spec.name} is {type(given).__name__}; expected an array of numbers, {spec}"
            )
        return array

    @abstractmethod
    def infer_impl(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        """Run once on checked feeds."""

    def _expected(self) -> str:
        return ", ".join(map(str, self.inputs))
