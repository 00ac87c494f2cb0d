"""What is said of a call that went wrong: nobody answers, a refusal, or another server's answer."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path

import httpx

from neonext_ascend.client.place import without_password
from neonext_ascend.errors import ToolchainError
from neonext_ascend.serving.refusals import UNNAMED, RefusedError

_MOST_WORDS = 500  # signs of what any server answers
# What reading an answer of another form raises.
OTHER_FORM = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


def unanswered(error: httpx.RequestError) -> str:
    """What it is likely to be, and what to do."""
    told = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in told:
        return f"no answer ({told}); give its certificate, if you trust it (--certificate FILE)"
    if "WRONG_VERSION_NUMBER" in told:
        return "speaks no TLS; take http://"
    if isinstance(error, httpx.RemoteProtocolError) and "illegal" in told:
        return "answers, but not in HTTP/1.1; is it a port of another protocol, such as gRPC's?"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError) and error.request.url.scheme == "http":
        return f"no answer ({told.rstrip('.')}); is a server there, or is it one of https?"
    return f"no answer ({told}); is a server there?"


def naming(picture: str | Path, refused: RefusedError) -> RefusedError:
    """What is said of a picture is said of its file."""
    words = str(refused).removeprefix(f"{UNNAMED}: ")
    if words == str(refused) and refused.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return refused
    return RefusedError(refused.status, f"{picture}: {words}", refused.retry_after)


def other_server(url: str) -> ToolchainError:
    """Something answers there, and not as the protocol has it."""
    return ToolchainError(f"{url}: its answer is not one of the Open Inference Protocol; is another server there?")


def words_of(body: bytes, otherwise: str | None = None) -> str:
    """What a refusal says, in one line; where it has not the protocol's form, something else, or all of it."""
    try:
        words = str(json.loads(body)["error"])
    except OTHER_FORM:
        words = body.decode("utf-8", "replace") if otherwise is None else otherwise
    return " ".join(words.split())[:_MOST_WORDS]


def refusal_of(got: httpx.Response, what: str) -> RefusedError:
    """What an answer that is none says: the server's words, and after how many seconds to try again."""
    moved = got.headers.get("location")
    other = f"{got.reason_phrase} for {what}" + (f"; it is at {without_password(moved)}" if moved else "")
    words = words_of(got.content, other)
    seconds = got.headers.get("retry-after", "")
    return RefusedError(got.status_code, words, int(seconds) if seconds.isdecimal() and len(seconds) < 10 else None)
