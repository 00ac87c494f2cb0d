"""Where requests from every door are answered, by the models that are served now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend._version import __version__
from neonext_ascend.errors import ArtifactError, NeoNextError
from neonext_ascend.runtimes.classifying import Guess, best
from neonext_ascend.serving.batching.work import Work
from neonext_ascend.serving.engine import Engine
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import PICTURES, Served
from neonext_ascend.serving.protocol.tensors import BYTES, InferRequest, Tensor, metadata_of
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.terms import PICTURE, guesses, pictures_of, rows_of, seconds_of, top_of
from neonext_ascend.serving.tracing import Traces, Trail
from neonext_ascend.serving.under_way import UnderWay

_GONE = "499"  # in the counts: whoever asked has gone


@dataclass(frozen=True)
class Classified:
    """Pictures' classes, the notes of how they were read, and seconds by part."""

    model: Served
    tops: list[tuple[Guess, ...]]
    notes: list[str | None]
    seconds: dict[str, float]
    batch: int


class Desk:
    """Answers.

    Attributes:
        engine: the models that are served now; a reload puts another one here.
        under_way: requests, of all doors.
    """

    def __init__(self, engine: Engine, settings: Settings, metrics: Metrics, traces: Traces | None = None) -> None:
        self.engine, self.settings, self.metrics, self.traces = engine, settings, metrics, traces
        self.under_way = UnderWay()

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return self.engine.ready and not self.under_way.draining

    def server_metadata(self) -> dict[str, Any]:
        """The protocol's words about the server."""
        return {"name": "neonext-ascend", "version": __version__, "extensions": ["binary_tensor_data"]}

    def index(self) -> list[dict[str, str]]:
        """All models and versions, as Triton's extension *model repository* lists them."""
        models, state = self.engine.models, "READY" if self.ready else "UNAVAILABLE"
        names = [*models.names, *(name + PICTURES for name in models.classifying)]
        twins = [(name, version) for name in names for version in models.versions(name)]
        return [{"name": name, "version": version, "state": state, "reason": ""} for name, version in twins]

    def model_metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """The protocol's words about a model.

        Raises:
            RefusedError: 404, there is none.
        """
        models = self.engine.models
        model, pictures = models.find(name, version)
        inputs = [metadata_of(model.input)]
        outputs = [metadata_of(spec) for spec in model.manifest.outputs]
        if pictures:
            inputs = [{"name": PICTURE, "datatype": BYTES, "shape": [-1]}]
            kinds = (("index", "INT64"), ("label", BYTES), ("score", "FP32"))
            outputs = [{"name": output, "datatype": datatype, "shape": [-1, -1]} for output, datatype in kinds]
        else:
            # Rows are gathered into the artifact's own batch, whatever that is.
            inputs[0]["shape"] = [-1, *(int(n) for n in model.input.shape[1:])]
            for entry, spec in zip(outputs, model.manifest.outputs, strict=True):
                entry["shape"] = [-1, *(n if isinstance(n, int) else -1 for n in spec.shape[1:])]
        return {
            "name": name,
            "versions": models.versions(name),
            "platform": model.platform,
            "inputs": inputs,
            "outputs": outputs,
        }

    async def infer(
        self, name: str, version: str, request: InferRequest, seconds: float | None = None
    ) -> tuple[Served, list[Tensor]]:
        """Answer the protocol's request, within ``seconds`` where the client says so.

        Raises:
            RefusedError: any reason why not.
        """
        engine = self.engine  # a reload may put another here meanwhile
        model, pictures = engine.models.find(name, version)
        async with self._answering(model, seconds, request.parameters.get("timeout")) as trail:
            known = ["index", "label", "score"] if pictures else [spec.name for spec in model.manifest.outputs]
            for wanted in request.outputs:
                if wanted not in known:
                    raise RefusedError(400, f"unknown output {wanted!r}; expected {', '.join(known)}")
            if len(request.inputs) != 1:
                raise RefusedError(400, f"{len(request.inputs)} inputs; {name} has one")
            if pictures:
                sent, top = pictures_of(request.inputs[0]), top_of(request.parameters.get("top"))
                found = await self._classify(engine, model, sent, top, trail)
                outputs = guesses(found.tops)
            else:
                work = await self._compute(engine, model, rows_of(request.inputs[0], model), trail)
                named = zip(model.manifest.outputs, work.answer.result(), strict=True)
                outputs = [Tensor.of(spec.name, values) for spec, values in named]
        return model, [tensor for tensor in outputs if not request.outputs or tensor.name in request.outputs]

    async def classify(self, name: str, version: str, pictures: list[bytes], top: object = None) -> Classified:
        """Classify pictures; an empty name takes the first model that gives classes.

        Raises:
            RefusedError: any reason why not.
        """
        engine, models = self.engine, self.engine.models
        first = next(iter(models.classifying), models.names[0])
        named, _ = models.find(name or first, version)
        model, _ = models.find(named.name + PICTURES, named.version)
        async with self._answering(model) as trail:
            return await self._classify(engine, model, pictures, top_of(top), trail)

    def count(self, refusal: RefusedError) -> None:
        """A refusal before any model had the request; under no name, since a stranger may send any."""
        if not refusal.counted:
            self.metrics.requests.labels("", "", str(refusal.status)).inc()

    @asynccontextmanager
    async def _answering(
        self, model: Served, seconds: float | None = None, timeout: object = None
    ) -> AsyncIterator[Trail]:
        """A request under way: counted, timed, bounded; every error of ours is a refusal."""
        start, status, trail = time.perf_counter(), "500", Trail()  # unless it is told, a bug of ours
        try:
            try:
                given = (self.settings.timeout, seconds, seconds_of(timeout))
                trail.until = asyncio.get_running_loop().time() + min(n for n in given if n is not None)
                async with self.under_way.bound(trail.until):
                    yield trail
            except RefusedError:
                raise
            except NeoNextError as error:
                raise RefusedError(500 if isinstance(error, ArtifactError) else 400, str(error)) from None
            status = "200"
        except RefusedError as refusal:
            status, refusal.counted = str(refusal.status), True
            raise
        except asyncio.CancelledError:
            status = _GONE
            raise
        finally:
            self.metrics.requests.labels(model.name, model.version, status).inc()
            self._observe(model, "whole", time.perf_counter() - start)
            if self.traces is not None:
                self.traces.told(model.name, model.version, status, trail)

    async def _classify(
        self, engine: Engine, model: Served, pictures: list[bytes], top: int, trail: Trail
    ) -> Classified:
        start = time.perf_counter()
        prepared = await engine.prepare(model, pictures)
        rows = np.stack([picture.value for picture in prepared]).astype(model.input.dtype, copy=False)
        decoded = time.perf_counter() - start
        self._observe(model, "prepare", decoded)
        trail.prepared(decoded)
        work = await self._compute(engine, model, rows, trail)
        scores = model.recipe.answers.scores(work.answer.result()[0], model.name)
        seconds = {"prepare": decoded, "queue": work.waited, "compute": work.computed}
        tops = [best(row, model.recipe.labels, top) for row in scores]
        return Classified(model, tops, [picture.note for picture in prepared], seconds, work.batch)

    async def _compute(self, engine: Engine, model: Served, rows: NDArray[np.generic], trail: Trail) -> Work:
        work = await engine.compute(model, rows, trail.until)
        since = asyncio.get_running_loop().time() - work.arrived
        trail.computed(since, work.waited, work.computed, work.batch)
        self._observe(model, "queue", work.waited)
        self._observe(model, "compute", work.computed)
        return work

    def _observe(self, model: Served, part: str, seconds: float) -> None:
        self.metrics.seconds.labels(model.name, model.version, part).observe(seconds)
