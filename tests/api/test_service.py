"""`/service` tells an operator how the service is, also when parts of that cannot be found out."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from backend import __version__
from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.dao_service.schema_revision import SCHEMA_REVISION
from backend.dao_service.server_dao import ServerDAO
from backend.embedded_postgres import EmbeddedPostgres
from tests import clusters
from tests.api.test_deliveries import add
from tests.conftest import open_conversation, running, settings_for
from tests.streams import following, listening
from tests.waiting import PATIENCE

STATE = "/api/v1/service"


async def state(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get(STATE)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.pooled
async def test_an_operator_reads_the_whole_state_in_one_answer(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    queued = await connection.fetchval("SELECT now() - $1::interval", timedelta(hours=1))
    for kind, count in (("pending", 3), ("held", 2), ("failed", 1), ("delivered", 4)):
        for _ in range(count):
            await add(connection, await open_conversation(connection), kind, created_at=queued)
    found = await state(service)
    assert found["unknown"] == []
    parts = {"database": "ok", "schema": "ok", "writes": "ok", "queue": "ok"}
    assert found["readiness"] == {"ready": True, "remedy": None} | parts
    # The tests' own server does not write to the disk before it acknowledges.
    assert found["durability"]["survives"] == "nothing for certain"
    assert "PostgreSQL runs with fsync = off" in found["durability"]["faults"][0]
    assert found["schema"]["code"] == found["schema"]["database"] == SCHEMA_REVISION
    assert found["versions"]["service"] == __version__
    assert int(found["versions"]["postgresql"].partition(".")[0]) >= 15
    assert found["workers"] == 1
    assert [release["schema"] for release in found["releases"]] == [SCHEMA_REVISION]
    oldest = found["outbox"].pop("oldest_at")
    assert found["outbox"] == {"waiting": 3, "held": 2, "failed": 1}
    assert oldest == queued.isoformat().replace("+00:00", "Z")
    sizes = {each["table"]: each["bytes"] for each in found["sizes"]["tables"]}
    assert {"messages", "conversations", "deliveries"} <= sizes.keys()
    assert [*sizes.values()] == sorted(sizes.values(), reverse=True)
    assert found["sizes"]["database_bytes"] > sum(sizes.values())
    assert found["sizes"]["wal_bytes"] > 0


async def test_those_who_follow_are_counted(app: FastAPI, connection: asyncpg.Connection) -> None:
    path = f"/conversations/{await open_conversation(connection)}/live"
    async with listening(app) as client, following(client, path), following(client, path):
        assert (await state(client))["followers"] == 2


async def test_while_the_database_is_away_the_rest_is_answered_and_says_so(tmp_path: Path) -> None:
    server = EmbeddedPostgres(clusters.prepare(tmp_path), durable=False)
    url = await asyncio.to_thread(server.start)
    try:
        async with running(create_app(settings_for(url))) as client:
            await asyncio.to_thread(server.stop)
            found = await state(client)
    finally:
        await asyncio.to_thread(server.stop)
    assert (found["readiness"]["ready"], found["readiness"]["database"]) == (False, "unavailable")
    assert found["readiness"]["remedy"]
    assert (found["workers"], found["versions"]["service"]) == (1, __version__)
    unknown = ["durability", "outbox", "search", "releases", "sizes"]
    assert [each["part"] for each in found["unknown"]] == unknown
    assert [found[part] for part in unknown] == [None] * len(unknown)
    assert all(each["reason"] for each in found["unknown"])


async def test_a_table_that_is_locked_leaves_out_only_what_needs_it(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        await connection.execute("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE")
        found = await state(service)
    assert [each["part"] for each in found["unknown"]] == ["outbox", "sizes"]
    assert found["durability"]
    assert found["releases"]


async def test_requests_that_use_every_connection_do_not_keep_the_state_from_being_read(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with running(create_app(settings_for(database_url, pool_size=1))) as client:
        conversation = await open_conversation(connection)
        async with connection.transaction():
            await connection.execute("LOCK TABLE voice_sessions IN ACCESS EXCLUSIVE MODE")
            waiting = asyncio.create_task(client.get("/api/v1/voice/sessions/vs_1"))
            async with asyncio.timeout(PATIENCE):
                while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    await asyncio.sleep(0)
            found = await state(client)
            assert not waiting.done()
        assert (await waiting).status_code == 404
        assert conversation
    assert found["outbox"]


async def test_a_role_that_may_not_see_the_write_ahead_log_is_told_the_other_sizes(
    database: Database, connection: asyncpg.Connection
) -> None:
    await connection.execute("CREATE ROLE reader; GRANT reader TO CURRENT_USER")
    try:
        async with database.reading() as session:
            await session.execute(text("SET LOCAL ROLE reader"))
            found = await ServerDAO(session).sizes()
    finally:
        await connection.execute("DROP ROLE reader")
    assert found.wal is None
    assert found.database > 0
