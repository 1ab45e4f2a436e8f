"""The hot routes answer as FastAPI does: each request is sent through both doors, to the same record."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.api import hot_routes
from backend.app import create_app
from tests import callers
from tests.conftest import running, settings_for, utterance
from tests.phones import begin, numbered, said

API = "/api/v1"
MINH = callers.person("minh")
LAN = callers.person("lan")
POWERLESS = callers.person("minh", frozenset())
VARYING = {"x-request-id", "ratelimit"}  # headers that differ between two equal requests


class Spy:
    """Stands where FastAPI's own layers begin, and notes each path that they serve."""

    def __init__(self, app: ASGIApp, seen: list[str]) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._seen.append(scope["path"])
        await self._app(scope, receive, send)


@dataclass(frozen=True)
class Doors:
    """A service, another without hot routes, what FastAPI serves for the first one, and what is on their record."""

    hot: httpx.AsyncClient
    usual: httpx.AsyncClient
    seen: list[str]
    names: dict[str, str]

    def url(self, path: str) -> str:
        return API + path.format(**self.names) if path != "/livez" else path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_doors(shared_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    settings = settings_for(shared_database_url, auth_issuers=callers.issuers(tmp_path_factory.mktemp("issuers")))
    seen: list[str] = []
    hot = create_app(settings)
    hot.user_middleware.append(Middleware(Spy, seen=seen))
    with patch.object(hot_routes, "_CALLS", {}):
        usual = create_app(settings)
    async with running(hot) as one, running(usual) as other:
        one.headers.update(MINH)
        other.headers.update(MINH)
        phone = await begin(one)
        names = {"conversation": str(phone.conversation_id), "session": phone.session_id, "message": str(uuid4())}
        await phone.send(*EVENTS)
        doors = Doors(one, other, seen, names)
        assert (await one.post(doors.url("/voice/messages"), json=message(doors))).status_code == 201
        yield doors


def message(doors: Doors, **more: object) -> dict[str, Any]:
    return utterance(doors.names["conversation"], **{"id": doors.names["message"]} | more)  # type: ignore[arg-type]


EVENTS = numbered([said("user", "Hello?")])
MESSAGES = "/conversations/{conversation}/messages"
ORDINARY = [
    ("POST", "/voice/messages", {}),
    ("POST", "/voice/messages/batch", {}),
    ("POST", "/voice/sessions/{session}/events", {"json": {"events": EVENTS}}),
    ("POST", "/voice/sessions/nobody/events", {"json": {"events": EVENTS}}),
    ("GET", MESSAGES, {}),
    ("GET", f"{MESSAGES}?order=recorded&limit=1", {}),
    ("GET", f"{MESSAGES}?limit=1&limit=2", {}),
    ("GET", f"{MESSAGES}?cursor=nonsense", {}),
    ("GET", "/conversations/{conversation}", {}),
    ("GET", "/conversations/00000000-0000-4000-8000-000000000000", {}),
    ("GET", "/livez", {}),
]
UNUSUAL = [
    ("POST", f"/voice/sessions/{'x' * 256}/events", {"json": {"events": EVENTS}}),
    ("POST", "/voice/sessions/a%2Fb/events", {"json": {"events": EVENTS}}),
    ("POST", "/voice/sessions//events", {"json": {"events": EVENTS}}),
    ("POST", "/voice/messages/", {}),
    ("PUT", "/voice/messages", {}),
    ("DELETE", MESSAGES, {}),
    ("HEAD", MESSAGES, {}),
    ("HEAD", "/livez", {}),
    ("GET", f"{MESSAGES}?limit=0", {}),
    ("GET", f"{MESSAGES}?limit=", {}),
    ("GET", f"{MESSAGES}?colour=red", {}),
    ("GET", "/conversations/not-an-id/messages", {}),
    ("GET", "/conversations/messages", {}),
    ("GET", "/conversations/", {}),
    ("GET", "/conversations/{conversation}?include=summary", {}),
    ("GET", "/conversations/{conversation}?include=nonsense", {}),
    ("GET", "/conversations/{conversation}?colour=red", {}),
]
BODIES = [
    b"",
    b"{",
    b"{}",
    b'{"content": "\xff"}',
    b" " * (2**21 + 1),
    b" " * (2**22 + 1),
]


async def both(doors: Doors, method: str, path: str, **more: Any) -> httpx.Response:
    """Send a request through both doors, compare the answers, and return one."""
    answers = [await client.request(method, doors.url(path), **more) for client in (doors.hot, doors.usual)]
    one, other = map(_lasting, answers)
    assert one == other
    return answers[0]


def _lasting(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], str]:
    identity = answer.headers["x-request-id"]
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in VARYING]
    return answer.status_code, headers, answer.text.replace(identity, "…").replace(str(UUID(identity)), "…")


@pytest.mark.parametrize("headers", [{}, LAN, POWERLESS, {"authorization": "Bearer nonsense"}])
@pytest.mark.parametrize(("method", "path", "more"), [*ORDINARY, *UNUSUAL])
async def test_both_doors_answer_alike(
    shared_doors: Doors, method: str, path: str, more: dict[str, Any], headers: dict[str, str]
) -> None:
    if path == "/voice/messages":
        more = {"json": message(shared_doors)}
    if path == "/voice/messages/batch":
        more = {"json": {"messages": [message(shared_doors), message(shared_doors, content=7)]}}
    await both(shared_doors, method, path, headers=headers, **more)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
@pytest.mark.parametrize("path", [path for method, path, _ in ORDINARY if method == "POST"])
async def test_both_doors_refuse_alike_what_is_no_body_of_theirs(shared_doors: Doors, path: str, body: bytes) -> None:
    answer = await both(shared_doors, "POST", path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code >= 400
    assert (await both(shared_doors, "POST", path, content=body)).status_code == 415


@pytest.mark.parametrize("path", [MESSAGES, "/conversations/{conversation}"])
async def test_both_doors_compare_entity_tags_alike(shared_doors: Doors, path: str) -> None:
    tag = (await both(shared_doors, "GET", path)).headers["etag"]
    for condition, status in (("if-none-match", 304), ("if-match", 200)):
        assert (await both(shared_doors, "GET", path, headers={condition: tag})).status_code == status
    assert (await both(shared_doors, "GET", path, headers={"if-match": '"another"'})).status_code == 412


@pytest.mark.parametrize(("method", "path", "more"), ORDINARY)
async def test_an_ordinary_request_does_not_pass_fastapis_layers(
    shared_doors: Doors, method: str, path: str, more: dict[str, Any]
) -> None:
    shared_doors.seen.clear()
    await shared_doors.hot.request(method, shared_doors.url(path), **more)
    assert shared_doors.seen == []


@pytest.mark.parametrize(("method", "path", "more"), UNUSUAL)
async def test_an_unusual_request_does(shared_doors: Doors, method: str, path: str, more: dict[str, Any]) -> None:
    shared_doors.seen.clear()
    await shared_doors.hot.request(method, shared_doors.url(path), **more)
    assert len(shared_doors.seen) == 1


async def test_fastapi_serves_every_request_while_opentelemetry_is_configured(
    shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    traced = create_app(settings_for(shared_database_url))
    traced.user_middleware.append(Middleware(Spy, seen=seen))
    monkeypatch.setattr(traced._native_telemetry, "enabled", lambda: True)
    async with running(traced) as client:
        assert (await client.get("/livez")).status_code == 200
    assert seen == ["/livez"]
