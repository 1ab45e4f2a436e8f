"""Where reads go while there is a replica, for which another database of the same server stands in."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from backend.app import create_app
from backend.dao_service.connection import replica
from backend.dao_service.connection.database import PoolLimits
from backend.dao_service.connection.replica import EVENTUAL, ReadFrom, ReplicatedDatabase, read_from
from backend.errors import DatabaseUnavailable
from backend.observability import metrics
from backend.principal import LOCAL
from backend.schemas.stats import StatsQuery
from backend.services.figures import PeriodFigures
from tests.conftest import connect, running, settings_for

REACHED, BEHIND = ("SELECT $1::bigint IS NOT NULL AND $2::float8 > 0 AND " + each for each in ("true", "false"))
SOURCE = "SELECT current_database()"


@pytest.fixture
async def database(database_url: str, shared_database_url: str) -> AsyncIterator[ReplicatedDatabase]:
    database = ReplicatedDatabase(database_url, shared_database_url)
    yield database
    await database.close()


async def asked(database: ReplicatedDatabase) -> str:
    """Return the name of the database that serves a read."""
    async with database.driver_connection() as connection:
        return str(await connection.fetchval(SOURCE))


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


async def test_a_request_that_has_read_from_the_primary_reads_all_else_there(
    database: ReplicatedDatabase, database_url: str, shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "_REACHED", REACHED)
    read_from.set(ReadFrom(7))
    assert await asked(database) == name_of(shared_database_url)
    monkeypatch.setattr(replica, "_REACHED", BEHIND)
    assert await asyncio.create_task(asked(database)) == name_of(database_url)
    monkeypatch.setattr(replica, "_REACHED", REACHED)
    assert await asked(database) == name_of(database_url)
    read_from.set(ReadFrom(7))
    assert await asked(database) == name_of(shared_database_url)


async def test_a_server_that_is_no_replica_serves_no_read(database: ReplicatedDatabase, database_url: str) -> None:
    for position in (EVENTUAL, 7):
        read_from.set(ReadFrom(position))
        assert await asked(database) == name_of(database_url)


async def test_a_replica_that_does_not_answer_is_not_asked_by_the_next_reads(database_url: str) -> None:
    calls: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: calls.append(writer), "127.0.0.1")
    port = silent.sockets[0].getsockname()[1]
    url = f"postgresql://one@127.0.0.1:{port}/one?sslmode=disable"
    database = ReplicatedDatabase(database_url, url, PoolLimits(connect=0.5))
    before = metrics.REPLICA_AWAY._value.get()
    for _ in range(3):
        read_from.set(ReadFrom(EVENTUAL))
        assert await asked(database) == name_of(database_url)
    assert (len(calls), metrics.REPLICA_AWAY._value.get() - before) == (1, 3)
    await database.close()
    for each in calls:
        each.close()
    silent.close()


async def test_a_commit_stands_whose_position_cannot_be_read(
    database: ReplicatedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(_: object) -> asyncpg.Connection:
        raise DatabaseUnavailable

    database.position = 7
    monkeypatch.setattr(replica, "driver_of", lost)
    async with database.writing() as session:
        await (await session.connection()).exec_driver_sql("INSERT INTO conversations (context_type) VALUES ('voice')")
    assert database.position is None
    async with database.driver_connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM conversations") == 1


async def test_figures_of_the_replica_are_remembered_for_those_that_allow_it_alone(
    database: ReplicatedDatabase, shared_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "_REACHED", REACHED)
    held = await connect(shared_database_url)
    await held.execute("INSERT INTO conversations (context_type, created_at) VALUES ('voice', '2021-01-01 12:00Z')")
    await held.close()
    query = StatsQuery.model_validate({"since": "2021-01-01T00:00:00Z", "until": "2021-01-02T00:00:00Z"})
    figures = PeriodFigures(database)
    found = []
    for reads in (ReadFrom(EVENTUAL), None, ReadFrom(EVENTUAL)):
        read_from.set(reads)
        found.append(b'"calls":1,' in await figures.stats(LOCAL, query))
    assert found == [True, False, True]


@pytest.mark.parametrize("position", ["f" * 16, "8000000000000000", "0x7fffffffffffff", "1", "-" * 16, "٣" * 8])
async def test_a_position_that_no_server_has_named_is_ignored(database_url: str, position: str) -> None:
    settings = settings_for(database_url, database_replica_url=database_url)
    async with running(create_app(settings)) as client:
        answer = await client.get("/api/v1/conversations", headers={b"verbatim-position": position.encode()})
    assert answer.status_code == 200
