"""What a load asks a server: an address, a model found there, and requests made for its inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np

from neonext_ascend.client.calls import BINARY, Client
from neonext_ascend.client.place import model_path, place_of, trusting
from neonext_ascend.client.wire import CONNECTION, TIMEOUT, Address, asked_once
from neonext_ascend.client.words import OTHER_FORM, other_server, words_of
from neonext_ascend.errors import OF_EXIT_CODE, FileAccessError, NeoNextError, ToolchainError, UsageError
from neonext_ascend.images.finding import Found
from neonext_ascend.serving.protocol.rest import headers_of, parse_answer, request_body
from neonext_ascend.serving.protocol.tensors import BYTES, DATATYPES, Tensor
from neonext_ascend.serving.refusals import RefusedError, cut
from neonext_ascend.timing.load import Encoding

PICTURES = "-pictures"  # how this package's server names a model's twin that takes pictures
_DIFFERENT, _MOST = 16, 64 * 2**20  # requests that differ, and bytes of them all


@dataclass(frozen=True)
class Subject:
    """One server and what it is asked.

    Attributes:
        url: as it was given, without user and password.
        address: where it listens.
        requests: whole HTTP requests, sent in turns.
        rows: of each.
        dtype: of the first input, in the protocol's words.
        where: the server, its model, and what it is sent, in words.
    """

    url: str
    address: Address
    requests: Sequence[bytes]
    rows: int
    dtype: str
    where: str


def subject_of(
    given: str,
    *,
    rows: int | None = None,
    pictures: Path | None = None,
    encoding: Encoding = "auto",
    timeout: float = 30.0,
    api_key: str | None = None,
    certificate: Path | None = None,
) -> Subject:
    """Ask who is there and what it takes, make requests of noise or pictures, and try one.

    Args:
        given: ``http://HOST:PORT``, with ``/v2/models/NAME`` and ``/versions/V`` where it serves several; user and
            password in it are sent, and never shown.
        rows: in each request, 1 by default; a model with a batch of its own must agree.
        pictures: a picture or a folder; for models that take pictures.
        encoding: of tensors; ``auto`` is binary where the server has it.
        timeout: seconds for each answer.
        api_key, certificate: as of :class:`Client`.

    Raises:
        UsageError: there is no such model, or it does not take this.
        ToolchainError: nobody answers there, or not now.
        FileAccessError: a picture cannot be read.
    """
    place = place_of(given)
    url, name, version = place.url, place.model, place.version
    # Requests go to the server itself, and so do these.
    options: dict[str, Any] = {"api_key": api_key, "timeout": timeout, "certificate": certificate, "proxies": False}
    server: dict[str, Any] = {}
    try:
        with Client(given, **options) as client:
            server = client.server()
            if not client.ready():
                raise ToolchainError(f"{url}: the server is not ready; ask {place.base}/v2/health/ready until it is")
            name = _model(client, url, name, pictures is not None)
            described = client.metadata(name, version)
            inputs, where = described["inputs"], f"{server['name']} {server.get('version', '')}".strip()
            binary = encoding == "binary" or (encoding == "auto" and BINARY in server.get("extensions", ()))
        made = _batches(url, name, inputs, rows, pictures)
    except RefusedError as refused:
        told = str(refused)
        if refused.status == HTTPStatus.NOT_FOUND and place.prefix and not server:
            root = place.base.removesuffix(place.prefix)
            told += f"; expected {root} or {root}/v2/models/NAME"
        raise _told(url, refused.status, told) from None
    except OTHER_FORM:
        raise other_server(url) from None
    extra = place.headers if api_key is None else {**place.headers, "X-API-Key": api_key}
    path = f"{place.prefix}{model_path(name, version)}/infer"
    requests = [_request(place.authority, path, extra, *request_body(batch, binary)) for batch in made]
    subject = Subject(
        url,
        Address(place.host, place.port, trusting(certificate) if place.https else None),
        requests,
        made[0][0].shape[0],
        inputs[0]["datatype"],
        f"{where}, {name}: {', '.join(_words(tensor) for tensor in made[0])} in {'binary' if binary else 'JSON'}",
    )
    _try(subject, timeout, pictures)
    return subject


def _model(client: Client, url: str, name: str, pictures: bool) -> str:
    """The model that is meant; the only one where none is named."""
    if not name:
        try:
            known = [known for known in client.models() if not known.endswith(PICTURES)]
        except RefusedError:
            raise UsageError(f"{url}: does not list its models; name one: {url.rstrip('/')}/v2/models/NAME") from None
        if len(known) != 1:
            raise UsageError(
                f"{url}: serves {', '.join(map(cut, known)) or 'none'}; name one: http://HOST:PORT/v2/models/NAME"
            )
        name = known[0]
    return name + PICTURES if pictures and not name.endswith(PICTURES) else name


def _batches(
    url: str, name: str, inputs: Sequence[dict[str, Any]], rows: int | None, pictures: Path | None
) -> list[list[Tensor]]:
    """Inputs of some requests that differ: noise, or the pictures in turns."""
    takes = ", ".join(cut(f"{item['name']} {item['datatype']}{item['shape']}") for item in inputs)
    if any(item["datatype"] == BYTES for item in inputs) != (pictures is not None) or not inputs:
        way = "leave --pictures out" if pictures is not None else "give --pictures FOLDER"
        raise UsageError(f"{url}: {name} takes {takes or 'nothing'}; {way}")
    if pictures is not None:
        return _of_pictures(inputs[0]["name"], pictures, rows or 1)
    sizes = [list(item["shape"]) for item in inputs]
    if any(not shape or any(n < 1 for n in shape[1:]) or item["datatype"] not in DATATYPES
           for shape, item in zip(sizes, inputs, strict=True)):  # fmt: skip
        raise UsageError(f"{url}: {name} takes {takes}; only the first dimension, the batch, may be free")
    for shape in sizes:
        shape[0] = rows or max(1, shape[0])
    lots = np.random.RandomState(0)

    def noise(item: dict[str, Any], shape: list[int]) -> Tensor:
        dtype = np.dtype(DATATYPES[item["datatype"]])
        floats = dtype.kind == "f"
        values = lots.standard_normal(shape) if floats else lots.randint(0, 2 if dtype.kind == "b" else 128, shape)
        return Tensor(item["name"], item["datatype"], tuple(shape), values.astype(dtype))

    def made() -> list[Tensor]:
        return [noise(item, shape) for item, shape in zip(inputs, sizes, strict=True)]

    first = made()
    size = sum(np.asarray(tensor.data).nbytes for tensor in first)
    return [first, *(made() for _ in range(min(_DIFFERENT, _MOST // size) - 1))]


def _of_pictures(name: str, folder: Path, rows: int) -> list[list[Tensor]]:
    contents: list[bytes] = []
    size = 0
    for path in Found([folder]):
        try:
            contents.append(path.read_bytes())
        except OSError as error:
            raise FileAccessError(f"{path}: cannot read the picture: {error.strerror}") from None
        size += len(contents[-1])
        if size > _MOST:
            break
    count = max(1, len(contents) // rows)
    chosen = [[contents[(n * rows + row) % len(contents)] for row in range(rows)] for n in range(count)]
    return [[Tensor(name, BYTES, (rows,), batch)] for batch in chosen]


def _request(host: str, path: str, extra: dict[str, str], body: bytes, length: int | None) -> bytes:
    fields = {"Host": host, "Content-Length": str(len(body)), **extra, **headers_of(length)}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def _words(tensor: Tensor) -> str:
    return f"{tensor.name} {tensor.datatype}{list(tensor.shape)}"


def _try(subject: Subject, timeout: float, pictures: Path | None) -> None:
    """One request, so that what cannot work is said before the measurement."""
    reply = asyncio.run(asked_once(subject.address, timeout, subject.requests[0]))
    if reply.kind in (TIMEOUT, CONNECTION):
        what = f"no answer within {timeout:g} s" if reply.kind == TIMEOUT else "closes the connection"
        raise ToolchainError(f"{subject.url}: {what} when it is sent a request")
    if reply.kind != "200":
        words = words_of(reply.body) + (f"; it was sent {next(Found([pictures]))}" if pictures else "")
        raise _told(subject.url, int(reply.kind), words)
    try:
        parse_answer(reply.body, reply.length)
    except (*OTHER_FORM, RefusedError):
        raise other_server(subject.url) from None


def _told(url: str, status: int, words: str) -> NeoNextError:
    kind = OF_EXIT_CODE[RefusedError(status, words).exit_code]
    return kind(f"{url}: HTTP status {status}: {words}")
