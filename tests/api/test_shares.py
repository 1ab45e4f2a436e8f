"""One caller's requests that PostgreSQL cannot answer stop neither another caller's nor the health checks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from backend.api import health as health_routes
from backend.api.dependencies import API
from backend.app import create_app
from backend.dao_service.schema_dao import DatabaseState, SchemaDAO
from backend.services import health
from backend.settings import Settings
from tests import callers
from tests.conftest import running
from tests.waiting import until_found

_STUCK = """
    SELECT count(*) FROM pg_locks
    WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest.fixture
async def guarded(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    # Past any pooler: one that has fewer connections than the service's pool cannot be shared by the service.
    settings = Settings(database_url=database_url, auth_issuers=callers.issuers(tmp_path))
    async with running(create_app(settings)) as client:
        yield client


@asynccontextmanager
async def stuck(
    client: httpx.AsyncClient, connection: asyncpg.Connection, *subjects: str, statements: int
) -> AsyncIterator[list[asyncio.Task[httpx.Response]]]:
    """Let each of ``subjects`` ask ten times for what is locked, until so many ``statements`` of theirs hang."""
    async with connection.transaction():
        await connection.execute("LOCK TABLE voice_sessions IN ACCESS EXCLUSIVE MODE")
        asking = [
            asyncio.create_task(client.get(f"{API}/voice/sessions/x/receipt", headers=callers.person(subject)))
            for subject in subjects
            for _ in range(10)
        ]
        await until_found(connection, f"SELECT ({_STUCK}) >= {statements}")
        yield asking
        assert not any(task.done() for task in asking)
    await asyncio.gather(*asking)


async def test_strangers_read_while_one_subject_holds_all_the_connections_it_may(
    guarded: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    async with stuck(guarded, connection, "minh", statements=3):
        answer = await guarded.get(f"{API}/conversations", headers=callers.person("lan"))
        assert answer.status_code == 200


async def test_health_and_metrics_answer_while_every_connection_of_the_pool_hangs(
    guarded: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    async with stuck(guarded, connection, "minh", "lan", statements=5):
        for path in ("/livez", "/readyz", "/readyz?verbose", "/metrics"):
            assert (await guarded.get(path)).status_code == 200


async def test_all_who_ask_for_health_share_a_look(service: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    state = SchemaDAO.state

    async def counted(dao: SchemaDAO) -> DatabaseState:
        nonlocal looks
        looks += 1
        return await state(dao)

    monkeypatch.setattr(SchemaDAO, "state", counted)
    monkeypatch.setattr(health, "VERDICT_FRESH_SECONDS", 60)
    for _ in range(2):
        answers = await asyncio.gather(*(service.get("/readyz") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
    assert looks == 1


async def test_all_who_ask_for_metrics_share_an_answer(
    service: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_routes, "METRICS_FRESH_SECONDS", 60)
    first = await service.get("/metrics")  # an answer counts itself, so the next would be another
    answers = await asyncio.gather(*(service.get("/metrics") for _ in range(20)))
    assert {answer.content for answer in answers} == {first.content}
