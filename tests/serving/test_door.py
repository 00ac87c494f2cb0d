"""Ray's door before the replicas: who comes in, and what each of Ray's errors becomes.

Ray is no part of ``make install``: then its classes are stood in for here. ``make clusters`` runs the same with Ray.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.serving.settings import Settings

KEY, DOOR = "of-no-importance", "neonext_ascend.serving.ray.door"
PROBES = ("/", "/v2/health/live", "/v2/health/ready")


def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    general, serving = ModuleType("ray.exceptions"), ModuleType("ray.serve.exceptions")
    for module, names in (
        (general, "RayError RayTaskError:RayError RayActorError:RayError ObjectLostError:RayError"),
        (serving, "RayServeException BackPressureError:RayServeException DeploymentUnavailableError:RayServeException"),
    ):
        for name, _, parent in (each.partition(":") for each in names.split()):
            setattr(module, name, type(name, (getattr(module, parent) if parent else Exception,), {}))
    general.GetTimeoutError = type("GetTimeoutError", (general.RayError, TimeoutError), {})  # type: ignore[attr-defined] # made above
    for name, module in (("ray", ModuleType("ray")), ("ray.serve", ModuleType("ray.serve"))):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "ray.exceptions", general)
    monkeypatch.setitem(sys.modules, "ray.serve.exceptions", serving)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The door's module, which does not pause."""
    if find_spec("ray") is None:
        _stand_in(monkeypatch)
    module = import_module(DOOR)
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    yield module
    del sys.modules[DOOR]  # it has taken the classes of this test


class Replicas:
    """In place of a handle: each request ends alike."""

    def __init__(self, outcome: Any) -> None:
        self.answer, self._outcome = self, outcome
        self.asked: list[Any] = []

    async def remote(self, asked: Any) -> Any:
        self.asked.append(asked)
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        if self._outcome is None:
            await asyncio.Event().wait()
        return self._outcome


def _answered(door: Any, replicas: Replicas, settings: Settings, *asked: Any, **more: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        app = door.Door(replicas, settings).__serve_build_asgi_app__()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door") as client:
            return await client.request(*asked, **more)

    return asyncio.run(ask())


def _errors(parent: type[BaseException]) -> list[type[BaseException]]:
    return [parent, *(found for child in parent.__subclasses__() for found in _errors(child))]


def _made(kind: type[BaseException]) -> BaseException:
    own = {"__init__": lambda self: None, "__str__": lambda self: "words"}  # their arguments differ
    error: BaseException = type(kind.__name__, (kind,), own)()
    return error


def test_whatever_ray_raises_is_a_refusal_in_plain_words(door: Any, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = [kind for parent in (door.RayError, door.RayServeException) for kind in _errors(parent)]
    assert len(kinds) >= 8
    for kind in kinds:
        replicas = Replicas(_made(kind))
        got = _answered(door, replicas, Settings(), "GET", "/v2")
        if issubclass(kind, door.RayTaskError):
            want = (500, "", "a bug of neonext-ascend", 1)
        elif issubclass(kind, door.BackPressureError):
            want = (429, "1", "too many requests wait", 1)
        elif issubclass(kind, door.DeploymentUnavailableError):
            want = (503, "30", "no replica starts", 1)
        else:
            want = (503, "5", "4 replicas were lost", 4)
        words = got.json()["error"]
        found = (got.status_code, got.headers.get("retry-after", ""), words[: len(want[2])], len(replicas.asked))
        assert found == want, (kind, words)
        logged = capsys.readouterr().err
        assert ("Traceback" in logged) == (want[0] == 500)
        assert kind.__name__ not in words
        assert "Traceback" not in words


def test_a_bug_is_logged_and_not_shown_whatever_its_class(door: Any, capsys: pytest.CaptureFixture[str]) -> None:
    # Ray gives a replica's error the class of its cause as well.
    both = type("RayTaskError(TimeoutError)", (door.RayTaskError, TimeoutError), {})
    for error in (_made(both), ValueError("words")):
        got = _answered(door, Replicas(error), Settings(), "POST", "/classify", content=b"x")
        assert (got.status_code, "words" in got.text) == (500, False)
        assert '"event": "bug"' in capsys.readouterr().err


@pytest.mark.parametrize(("path", "words"), [("/v2", "within 1.01 s"), ("/v2/health/ready", "within 0.02 s")])
def test_without_a_replica_a_request_waits_so_long_and_a_probe_less(
    door: Any, path: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_PROBE_SECONDS", 0.02)
    got = _answered(door, Replicas(None), Settings(timeout=0.01), "GET", path)
    assert (got.status_code, got.headers["retry-after"], words in got.text) == (503, "5", True)


def test_a_stranger_is_refused_before_his_body_is_read(door: Any, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    settings, read = Settings(api_key_file=tmp_path / "key"), []

    async def body() -> Any:
        read.append(1)
        yield b"x"

    given = door.Answered(200, [(b"content-type", b"text/plain")], b"found")
    for path in ("/v2", "/classify", "/v2/models/nano/infer", "/metrics", "/v2/health/other"):
        replicas = Replicas(given)
        got = _answered(door, replicas, settings, "POST", path, content=body(), headers={"X-API-Key": "another"})
        assert (got.status_code, got.headers["www-authenticate"], replicas.asked, read) == (401, "Bearer", [], [])
    for path in PROBES:
        assert _answered(door, Replicas(given), settings, "GET", path).text == "found"
    for headers in ({"X-API-Key": KEY}, {"Authorization": f"bearer {KEY}"}):
        replicas = Replicas(given)
        sent = {**headers, "TE": "trailers", "Inference-Header-Content-Length": "1"}
        assert _answered(door, replicas, settings, "PATCH", "/v2", content=body(), headers=sent).text == "found"
        names = {name for name, _ in replicas.asked[0].headers}
        assert b"inference-header-content-length" in names
        assert not names & {b"authorization", b"x-api-key", b"te", b"connection", b"transfer-encoding"}


@pytest.mark.parametrize(("text", "error"), [(None, FileAccessError), ("", UsageError), ("short", UsageError)])
def test_a_key_file_that_holds_none_is_told(
    door: Any, tmp_path: Path, text: str | None, error: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match="API key"):
        door.Door(Replicas(None), Settings(api_key_file=path))
    assert '"event": "door not started"' in capsys.readouterr().err
