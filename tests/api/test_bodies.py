"""Bodies of requests that never end, and how much of them all together is kept."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import asyncpg
import pytest
from fastapi import FastAPI

from backend.api import bodies
from backend.app import create_app
from backend.budget import Budget
from backend.observability import metrics
from tests import callers
from tests.conftest import settings_for, utterance
from tests.waiting import until, until_found

BATCH = "/api/v1/voice/messages/batch"
MOST, SHARE = 10_000, 4_000

Chunk = tuple[bytes, bool]


class Client:
    """A request whose body comes as a test says, to the application itself: what is counted is the same every time."""

    def __init__(self, app: FastAPI, state: dict[str, Any], address: str, path: str, **headers: str) -> None:
        self.chunks: asyncio.Queue[Chunk | None] = asyncio.Queue()
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.headers: dict[bytes, bytes] = {}
        lines = {"content-type": "application/json", "host": "127.0.0.1"} | headers
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in lines.items()],
            "client": (address, 1),
            "server": ("127.0.0.1", 80),
            "state": dict(state),
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    def send(self, data: bytes, *, more: bool = True) -> None:
        """Send it in two pieces, because the first one of a body is not counted before the second one comes."""
        self.chunks.put_nowait((data[:1], True))
        self.chunks.put_nowait((data[1:], more))

    def hang_up(self) -> None:
        self.chunks.put_nowait(None)

    async def _receive(self) -> dict[str, Any]:
        chunk = await self.chunks.get()
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk[0], "more_body": chunk[1]}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.headers = dict(message["headers"])
            self.status.set_result(message["status"])


Open = Callable[..., Client]


@asynccontextmanager
async def _opened(app: FastAPI) -> AsyncIterator[Open]:
    async with app.router.lifespan_context(app) as state:
        opened: list[Client] = []

        def open_client(address: str = "127.0.0.1", path: str = BATCH, **headers: str) -> Client:
            opened.append(Client(app, dict(state or {}), address, path, **headers))
            return opened[-1]

        yield open_client
        for client in opened:
            client.task.cancel()
        await asyncio.gather(*(client.task for client in opened), return_exceptions=True)


@pytest.fixture
def app(database_url: str, tmp_path: Path) -> FastAPI:
    app = create_app(settings_for(database_url, auth_issuers=callers.issuers(tmp_path)))
    app.state.bodies = Budget(MOST, SHARE)
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[Open]:
    async with _opened(app) as opened:
        yield opened


async def test_a_caller_with_too_many_bytes_under_way_is_refused_and_no_other(
    app: FastAPI, client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "REFUSAL_DELAY_SECONDS", 0.01)
    minh, linh = callers.person("minh"), callers.person("linh")
    one, two, other = client(**minh), client("127.0.0.2", **minh), client(**linh)
    for each in (one, two, other):
        each.send(b"[" * 1_900)
    await until(lambda: app.state.bodies.used == 3 * 1_900)
    two.send(b"[" * 300)
    assert await two.status == 503
    assert int(two.headers[b"retry-after"]) == 1
    await until(lambda: app.state.bodies.used == 2 * 1_900)
    one.send(b"[" * 2_000)
    other.send(b"[" * 2_000)
    await until(lambda: app.state.bodies.used == 2 * 3_900)


async def test_a_body_over_its_callers_share_is_read_on_if_there_is_room_after_a_while(
    app: FastAPI, client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that is refused at once sends the next one at once, as often as its network lets it."""
    passed = asyncio.Event()
    monkeypatch.setattr("backend.api.bodies.sleep", lambda _seconds: passed.wait())
    minh = callers.person("minh")
    one, two = client(**minh), client(**minh)
    one.send(b"[" * 3_900)
    await until(lambda: app.state.bodies.used == 3_900)
    two.send(b"[" * 300)
    one.hang_up()
    await one.task
    assert not two.status.done()
    passed.set()
    await until(lambda: app.state.bodies.used == 300)


async def test_bodies_that_found_no_room_together_are_not_all_refused_in_one_moment(
    client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of refusals in one iteration of the event loop delayed every other response by 0.15 s."""
    delays: list[float] = []
    monkeypatch.setattr("backend.api.bodies.sleep", AsyncMock(side_effect=delays.append))
    clients = [client(**callers.person("minh")) for _ in range(21)]
    for each in clients:
        each.send(b"[" * 3_000)
    assert [await each.status for each in clients[1:]] == [503] * 20
    assert len(set(delays)) == 20
    assert min(delays) >= 1


async def test_all_together_are_bounded(app: FastAPI, client: Open) -> None:
    shed = metrics.HTTP_SHED.labels("bodies")._value
    before = shed.get()
    crowd = [client(**callers.person(f"caller {number}")) for number in range(8)]
    for each in crowd:
        each.send(b"[" * 3_000)
    await until(lambda: sum(each.status.done() for each in crowd) == 5)
    assert app.state.bodies.used == 9_000
    assert shed.get() == before + 5


async def test_bytes_count_until_the_request_has_ended(
    app: FastAPI, client: Open, conversation: UUID, connection: asyncpg.Connection
) -> None:
    """Also while its message waits to be stored, because what was parsed is kept as long."""
    body = json.dumps({"messages": [utterance(conversation)]}).encode()
    lock = connection.transaction()
    await lock.start()
    await connection.execute("LOCK TABLE conversations")
    sender = client(**callers.person("minh"))
    sender.send(body[:-1])
    sender.send(body[-1:], more=False)
    await until_found(connection, "SELECT count(*) FROM pg_locks WHERE NOT granted")
    assert app.state.bodies.used == len(body)
    await lock.rollback()
    assert await sender.status == 200
    await sender.task
    assert app.state.bodies.used == 0


async def test_whatever_ends_them_nothing_stays_counted(app: FastAPI, client: Open) -> None:
    """Clients that hang up, are cancelled, refused, cut off, or send what is no JSON."""
    chance = random.Random(13)
    people = [callers.person(f"caller {number}") for number in range(4)]
    crowd = [client(**chance.choice(people)) for _ in range(200)]
    ends: list[Callable[[Client], object]] = [
        lambda each: each.hang_up(),
        lambda each: each.task.cancel(),
        lambda each: each.send(b"}", more=False),
        lambda each: each.send(b"[" * 3 * 2**20),
    ]
    for each in chance.choices(crowd, k=2_000):
        each.send(b"[" * chance.randint(0, 200))
        if chance.random() < 0.3:
            await asyncio.sleep(0)
        assert 0 <= app.state.bodies.used <= MOST
    assert app.state.bodies.used
    for each in crowd:
        chance.choice(ends)(each)
    await asyncio.gather(*(each.task for each in crowd), return_exceptions=True)
    assert app.state.bodies.used == 0
    assert app.state.bodies._callers == {}


def test_a_caller_may_send_two_of_the_largest_bodies_at_once() -> None:
    budget = bodies.new_budget()
    assert budget.take("caller", 2 * 4 * 2**20)
