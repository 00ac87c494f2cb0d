"""Calls to a server of the Open Inference Protocol, over HTTP with binary tensors."""

from __future__ import annotations

import ssl
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import ArtifactError, ToolchainError
from neonext_ascend.runtimes.classifying import Guess
from neonext_ascend.serving.protocol.rest import HEADER, parse_answer, request_body
from neonext_ascend.serving.protocol.tensors import Tensor
from neonext_ascend.serving.refusals import RefusedError


class Client:
    """A connection that is kept between calls; one for each thread, or one for all.

    Args:
        url: such as ``http://127.0.0.1:8000``.
        api_key: where the server asks for one.
        timeout: seconds for each call.
        certificate: which an ``https`` server's own is, or is signed by, where the system does not know it (PEM).
    """

    def __init__(
        self, url: str, *, api_key: str | None = None, timeout: float = 60.0, certificate: str | Path | None = None
    ) -> None:
        headers = {} if api_key is None else {"X-API-Key": api_key}
        trusted = ssl.create_default_context(cafile=certificate)
        self._url = url
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, verify=trusted)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go."""
        self._http.close()

    def ready(self) -> bool:
        """Whether the server answers requests now."""
        try:
            return self._http.get("/v2/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def server(self) -> dict[str, Any]:
        """The protocol's words about the server: name, version, extensions.

        Raises:
            RefusedError, ToolchainError: as of :meth:`infer`.
        """
        found: dict[str, Any] = self._told("GET", "/v2")
        return found

    def models(self) -> list[str]:
        """The names of the models, by the extension *model repository*.

        Raises:
            RefusedError: 404, the server has no such extension; otherwise as of :meth:`infer`.
        """
        listed: Any = self._told("POST", "/v2/repository/index", content=b"{}")
        return list(dict.fromkeys(model["name"] for model in listed))

    def metadata(self, model: str, version: str = "") -> dict[str, Any]:
        """The protocol's words about a model: name, versions, platform, inputs, outputs.

        Raises:
            RefusedError, ToolchainError: as of :meth:`infer`.
        """
        found: dict[str, Any] = self._told("GET", _path(model, version))
        return found

    def infer(self, model: str, rows: NDArray[np.generic], version: str = "") -> NDArray[np.generic]:
        """The first output ``(N, ...)`` for rows ``(N, ...)`` of the model's one input, in its dtype.

        Raises:
            RefusedError: the server's own words, with its HTTP status.
            ToolchainError: nobody answers there.
        """
        tensor = Tensor.of(self.metadata(model, version)["inputs"][0]["name"], np.asarray(rows))
        body, length = request_body([tensor])
        sent = {HEADER: str(length), "Content-Type": "application/octet-stream"}
        got = self._asked("POST", f"{_path(model, version)}/infer", content=body, headers=sent)
        values = parse_answer(got.content, got.headers.get(HEADER))[0].data
        if not isinstance(values, np.ndarray):
            raise ArtifactError(f"{model}: its first output is text; pictures are for classify")
        return values

    def classify(self, picture: str | Path | bytes, *, model: str = "", version: str = "", top: int = 5) -> list[Guess]:
        """A picture's classes, best first; its file, or its bytes. Without a model the server's first.

        Raises:
            RefusedError, ToolchainError: as of :meth:`infer`.
        """
        data = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
        query = {"model": model, "version": version, "top": str(top)}
        found = self._told("POST", "/classify", content=data, params=query)
        return [Guess(guess["index"], guess["label"], guess["score"]) for guess in found["top"]]

    def _told(self, method: str, path: str, **options: Any) -> Any:
        try:
            return self._asked(method, path, **options).json()
        except ValueError:
            raise ToolchainError(f"{self._url}{path}: answers no JSON; is it a server of the protocol?") from None

    def _asked(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            got = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise ToolchainError(f"{self._url}: no answer ({error}); is a server there?") from None
        if got.status_code != 200:
            try:
                words = str(got.json()["error"])
            except (ValueError, KeyError, TypeError):
                words = f"{self._url}{path}: HTTP status {got.status_code}"
            raise RefusedError(got.status_code, words)
        return got


def _path(model: str, version: str) -> str:
    return f"/v2/models/{model}" + (f"/versions/{version}" if version else "")
