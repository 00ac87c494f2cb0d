"""Calls to a server of the Open Inference Protocol, over HTTP, with binary tensors where it takes them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from neonext_ascend.client.place import model_path, place_of, trusting
from neonext_ascend.client.wire import IDLE
from neonext_ascend.client.words import OTHER_FORM, naming, other_server, refusal_of, unanswered
from neonext_ascend.errors import ArtifactError, FileAccessError, ToolchainError, UsageError
from neonext_ascend.runtimes.classifying import Guess
from neonext_ascend.serving.protocol.rest import HEADER, headers_of, parse_answer, request_body
from neonext_ascend.serving.protocol.tensors import DATATYPES, SENT, Tensor
from neonext_ascend.serving.refusals import RefusedError, cut

BINARY = "binary_tensor_data"  # the extension's name


class Client:
    """A connection that is kept between calls; one for each thread, or one for all.

    Args:
        url: such as ``http://127.0.0.1:8000``; a user and a password in it are sent, and never shown.
        api_key: where the server asks for one.
        timeout: seconds for each call.
        certificate: which an ``https`` server's own is, or is signed by, where the system does not know it (PEM).
        proxies: whether to go by what the environment names (``HTTP_PROXY``, ``HTTPS_PROXY``, ``NO_PROXY``).

    Raises:
        UsageError: the address is none, the key cannot be sent, or the timeout is no time.
        FileAccessError: the certificate cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        certificate: str | Path | None = None,
        proxies: bool = True,
    ) -> None:
        place = place_of(url)
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise UsageError("api_key: expected one line of letters, digits and signs")
        if not timeout > 0:
            raise UsageError(f"timeout: {timeout:g}; expected seconds, more than 0")
        headers = place.headers if api_key is None else {**place.headers, "X-API-Key": api_key}
        self._url, self._timeout, self._inputs = place.base, timeout, dict[tuple[str, str], str]()
        try:
            self._http = httpx.Client(
                base_url=place.base,
                headers=headers,
                timeout=timeout,
                verify=trusting(certificate),
                trust_env=proxies,
                # httpx would keep one for the 5 seconds after which servers close it: a call may come just then.
                limits=httpx.Limits(keepalive_expiry=IDLE),
            )
        except (httpx.InvalidURL, ValueError, ImportError) as error:  # of the address, or of the environment's proxy
            raise UsageError(f"{place.url}: cannot be asked: {error}") from None

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
            self._asked("GET", "/v2/health/ready")
        except (RefusedError, ToolchainError):
            return False
        return True

    def server(self) -> dict[str, Any]:
        """The protocol's words about the server: name, version, extensions.

        Raises:
            RefusedError, ToolchainError: as of :meth:`infer`.
        """
        found: dict[str, Any] = self._told(dict, "GET", "/v2")
        return found

    def models(self) -> list[str]:
        """The names of the models, by the extension *model repository*.

        Raises:
            RefusedError: 404, the server has no such extension; otherwise as of :meth:`infer`.
        """
        listed = self._told(list, "POST", "/v2/repository/index", content=b"{}")
        try:
            return list(dict.fromkeys(str(model["name"]) for model in listed))
        except OTHER_FORM:
            raise other_server(f"{self._url}/v2/repository/index") from None

    def metadata(self, model: str, version: str = "") -> dict[str, Any]:
        """The protocol's words about a model: name, versions, platform, inputs, outputs.

        Raises:
            RefusedError, ToolchainError: as of :meth:`infer`.
        """
        found: dict[str, Any] = self._told(dict, "GET", model_path(model, version))
        return found

    def infer(self, model: str, rows: NDArray[np.generic], version: str = "") -> NDArray[np.generic]:
        """The one output ``(N, ...)`` for rows ``(N, ...)`` of the model's one input, in its dtype.

        Raises:
            RefusedError: the server's own words, with its HTTP status, and whether to try ``again``.
            ToolchainError: nobody answers there, not in time, or no server of the protocol.
            UsageError: the model gives several outputs, or the rows are no array of numbers.
            ArtifactError: the model gives text.
        """
        found = self.infer_all(model, rows, version)
        if len(found) > 1:
            raise UsageError(f"{model}: gives {cut(', '.join(found))}; infer is for one output, infer_all for several")
        (values,) = found.values()
        if values.dtype == object:
            raise ArtifactError(f"{model}: its output is text; pictures are for classify")
        return values

    def infer_all(self, model: str, rows: NDArray[np.generic], version: str = "") -> dict[str, NDArray[Any]]:
        """All outputs by name, such as maps, in the model's order; text as objects, each of them ``bytes``.

        Raises:
            RefusedError, ToolchainError, UsageError: as of :meth:`infer`, whatever number of outputs there is.
        """
        path = f"{model_path(model, version)}/infer"
        try:
            rows = np.asarray(rows)
        except ValueError:  # lists of several lengths
            raise UsageError("rows: are no array; expected rows that are all of one shape") from None
        if rows.dtype not in SENT:
            raise UsageError(f"rows: are {rows.dtype}; expected {', '.join(map(str, SENT))}")
        if (model, version) not in self._inputs:
            try:
                self._inputs[model, version] = str(self.metadata(model, version)["inputs"][0]["name"])
            except OTHER_FORM:
                raise other_server(self._url + path) from None
        body, length = request_body([Tensor.of(self._inputs[model, version], rows)], self._binary)
        got = self._asked("POST", path, content=body, headers=headers_of(length))
        try:
            tensors = parse_answer(got.content, got.headers.get(HEADER))
            found = {
                str(t.name): np.asarray(t.data, None if t.datatype in DATATYPES else object).reshape(t.shape)
                for t in tensors
            }
            if not found:
                raise ValueError
        except (*OTHER_FORM, RefusedError):
            raise other_server(self._url + path) from None
        return found

    def classify(self, picture: str | Path | bytes, *, model: str = "", version: str = "", top: int = 5) -> list[Guess]:
        """A picture's classes, best first; its file, or its bytes. Without a model the server's first.

        Raises:
            RefusedError, ToolchainError: as of :meth:`infer`; 404, a server of another kind has no ``/classify``.
            FileAccessError: the file cannot be read.
        """
        try:
            data = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
        except OSError as error:
            raise FileAccessError(f"{picture!s}: cannot read the picture: {error.strerror}") from None
        query = {"model": model, "version": version, "top": str(top)}
        try:
            found = self._told(dict, "POST", "/classify", content=data, params=query)
        except RefusedError as refused:
            raise refused if isinstance(picture, bytes) else naming(picture, refused) from None
        try:
            return [Guess(guess["index"], guess["label"], guess["score"]) for guess in found["top"]]
        except OTHER_FORM:
            raise other_server(f"{self._url}/classify") from None

    @cached_property
    def _binary(self) -> bool:
        known = self.server().get("extensions")
        return isinstance(known, list) and BINARY in known

    def _told(self, kind: type[Any], method: str, path: str, **options: Any) -> Any:
        got = self._asked(method, path, **options)
        try:
            found = got.json()
        except OTHER_FORM:
            found = None
        if not isinstance(found, kind):
            raise other_server(self._url + path)
        return found

    def _asked(self, method: str, path: str, **options: Any) -> httpx.Response:
        if self._http.is_closed:
            raise UsageError(f"{self._url}: this client is closed; make another")
        try:
            got = self._http.request(method, path, **options)
        except httpx.TimeoutException:
            raise ToolchainError(f"{self._url}: no answer within {self._timeout:g} s; is a server there?") from None
        except httpx.RequestError as error:
            raise ToolchainError(f"{self._url}: {unanswered(error)}") from None
        except UnicodeError:  # ``xn--a``: what stands behind xn-- must mean something
            raise UsageError(
                f"{self._url}: cannot be asked: its host is not a name; expected http://HOST:PORT"
            ) from None
        if got.status_code != 200:
            raise refusal_of(got, f"{self._url}{path}")
        return got
