"""Behind PgBouncer a connection changes hands with every transaction, and all holds that holds without it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import URL, make_url, text
from typer.testing import CliRunner

from backend.app import create_app
from backend.cli import app
from backend.dao_service.append_dao import LOCK_TIMEOUT
from backend.dao_service.connection.database import Database, PoolLimits
from backend.dao_service.schema_revision import SCHEMA_REVISION
from backend.dao_service.wakeups.listen_notify import Notifier
from backend.embedded_postgres import EmbeddedPostgres
from backend.errors import Busy, DatabaseUnavailable, TooSlow
from backend.principal import LOCAL
from backend.services import health
from backend.services.append_transaction import Recorded
from backend.services.appender import Appender
from backend.settings import Settings
from tests import clusters
from tests.conftest import open_conversation, running, utterance
from tests.pooler import PgBouncer
from tests.services.test_appender import said
from tests.waiting import PATIENCE, PAUSE, until_found

INSERT = text("INSERT INTO conversations (context_type) VALUES ('voice')")
IN_FORCE = """
    SELECT current_setting('transaction_read_only'), current_setting('transaction_isolation'),
        current_setting('statement_timeout'), current_setting('lock_timeout'),
        current_setting('idle_in_transaction_session_timeout'), current_setting('synchronous_commit'),
        current_setting('timezone')
"""
LIMITS = PoolLimits(pool_size=4, statement=3, lock=1)


@pytest.fixture(scope="module")
def pgbouncer(postgres: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer]:
    with PgBouncer(tmp_path_factory.mktemp("pooler"), postgres, pool_size=2) as pooler:
        yield pooler


@pytest.fixture
def pooled_url(pgbouncer: PgBouncer, database_url: str) -> str:
    url: str = pgbouncer.settings(database_url)["database_url"]
    return url


@pytest.fixture
async def pooled(pooled_url: str, database_url: str) -> AsyncIterator[Database]:
    database = Database(pooled_url, LIMITS, direct=database_url)
    yield database
    await database.close()


async def stranger(url: str) -> asyncpg.Connection:
    """Another client of the pooler's, who takes what it finds."""
    parsed = make_url(url)
    return await asyncpg.connect(
        host=str(parsed.query["host"]),
        port=int(str(parsed.query["port"])),
        user=parsed.username,
        database=parsed.database,
        statement_cache_size=0,
    )


async def test_every_transaction_is_told_the_terms_and_the_next_client_finds_none_of_them(
    pooled: Database, pooled_url: str, connection: asyncpg.Connection
) -> None:
    name = await connection.fetchval("SELECT current_database()")
    for setting in ("synchronous_commit = off", "default_transaction_isolation = 'repeatable read'"):
        await connection.execute(f"ALTER DATABASE {name} SET {setting}")
    other = await stranger(pooled_url)
    before = [tuple(await other.fetchrow(IN_FORCE) or ()) for _ in range(2)]
    assert {row[5] for row in before} == {"off"}

    read = ("on", "read committed", "3s", "1s", "6s", "on", "UTC")
    written = ("off", *read[1:])
    for _ in range(3):
        async with pooled.driver_connection() as driver:
            assert tuple(await driver.fetchrow(IN_FORCE) or ()) == read
        async with pooled.reading() as session:
            assert tuple((await session.execute(text(IN_FORCE))).one()) == read
        async with pooled.writing() as session:
            assert tuple((await session.execute(text(IN_FORCE))).one()) == written
        appending = await pooled.connect(lock=LOCK_TIMEOUT)
        async with pooled.single(appending, lock=LOCK_TIMEOUT):
            assert await appending.fetchval("SHOW lock_timeout") == "500ms"
            assert await appending.fetchval("SHOW synchronous_commit") == "on"
            assert await appending.fetchval("SHOW transaction_read_only") == "off"
        await appending.close()
        assert tuple(await other.fetchrow(IN_FORCE) or ()) == before[0]
    await other.close()


async def test_a_database_that_is_read_only_by_default_is_written_to(
    pooled: Database, connection: asyncpg.Connection, conversation: UUID
) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    appender = Appender(pooled)
    appender.start()
    async with pooled.writing() as session:
        await session.execute(INSERT)
    [outcome] = await appender.append(LOCAL, [said(conversation)])
    assert isinstance(outcome, Recorded)
    await appender.close()


async def test_reading_cannot_write(pooled: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as refused:
        async with pooled.driver_connection() as driver:
            await driver.execute(str(INSERT))
    assert isinstance(refused.value.__cause__, asyncpg.ReadOnlySQLTransactionError)
    with pytest.raises(DatabaseUnavailable):
        async with pooled.reading() as session:
            await session.execute(INSERT)


async def test_a_statement_that_takes_too_long_is_ended(pooled_url: str, database_url: str) -> None:
    database = Database(pooled_url, PoolLimits(statement=0.1), direct=database_url)
    with pytest.raises(TooSlow):
        async with database.driver_connection() as driver:
            await driver.fetchval("SELECT pg_sleep(30)")
    with pytest.raises(DatabaseUnavailable):
        async with database.writing() as session:
            await session.execute(text("SELECT pg_sleep(30)"))
    await database.close()


async def test_many_share_few_connections_and_nothing_is_mixed_up(
    pooled_url: str, database_url: str, connection: asyncpg.Connection
) -> None:
    """Eight processes of a service, with forty connections to the pooler, and two from there."""
    conversations = [await open_conversation(connection) for _ in range(8)]
    databases = [Database(pooled_url, LIMITS, direct=database_url) for _ in conversations]
    appenders = [Appender(database) for database in databases]

    async def talk(database: Database, appender: Appender, conversation: UUID) -> None:
        for number in range(1, 26):
            [outcome] = await appender.append(LOCAL, [said(conversation, str(number))])
            assert isinstance(outcome, Recorded)
            assert outcome.sequence == number
            async with database.driver_connection() as driver:
                assert await driver.fetchval(f"SELECT {number} + $1::int", number) == number * 2
            async with database.writing() as session:
                await session.execute(INSERT)

    for appender in appenders:
        appender.start()
    await asyncio.gather(*map(talk, databases, appenders, conversations))
    assert await connection.fetchval("SELECT count(*) FROM messages") == 8 * 25
    lent = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert await connection.fetchval(lent) <= 2
    for appender, database in zip(appenders, databases, strict=True):
        await appender.close()
        await database.close()


async def test_a_pooler_that_is_not_named_is_refused_with_the_setting_that_names_it(
    pooled_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(create_app(Settings(database_url=pooled_url))) as service:
        answer = await service.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "pooler")
    checked = await asyncio.to_thread(CliRunner().invoke, app, ["check"], env={"DATABASE_URL": pooled_url})
    for words in (answer.json()["detail"], capfd.readouterr().out, f"{checked.stderr}{checked.exception}"):
        assert "VERBATIM_DATABASE_POOLER=pgbouncer" in words


async def test_a_lock_that_is_held_is_busy(
    pooled: Database, connection: asyncpg.Connection, conversation: UUID
) -> None:
    appender = Appender(pooled)
    appender.start()
    async with connection.transaction():
        await connection.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", conversation)
        [outcome] = await appender.append(LOCAL, [said(conversation)])
        assert isinstance(outcome, Busy)
    [outcome] = await appender.append(LOCAL, [said(conversation)])
    assert isinstance(outcome, Recorded)
    await appender.close()


async def test_processes_behind_a_pooler_wake_each_others_followers(
    pooled: Database, pooled_url: str, database_url: str, conversation: UUID
) -> None:
    other = Database(pooled_url, LIMITS, direct=database_url)
    notifiers = [Notifier(pooled), Notifier(other)]
    for notifier in notifiers:
        notifier.start()
    with other.wakeups.waiting(conversation) as woken:
        async with asyncio.timeout(PATIENCE):
            await woken.wait()  # its notifier is there, and that of the other process comes
            woken.clear()
            while not woken.is_set():
                pooled.wakeups.wake([conversation])
                await asyncio.sleep(0.01)
    for notifier in notifiers:
        await notifier.close()
    await other.close()


async def test_who_is_cancelled_leaves_no_transaction_behind(
    pooled_url: str, database_url: str, connection: asyncpg.Connection
) -> None:
    database = Database(pooled_url, PoolLimits(pool_size=1), direct=database_url)
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"

    async def look() -> None:
        async with database.driver_connection() as driver:
            await driver.fetchval("SELECT pg_sleep(30)")

    for _ in range(5):
        task = asyncio.create_task(look())
        await until_found(connection, asleep)
        while not task.done():  # again and again, also while it rolls back, as the scopes around a request do
            task.cancel()
            await asyncio.sleep(0)
        async with database.reading() as session:
            assert await session.scalar(text("SELECT 1")) == 1
    await database.close()


async def test_a_wait_for_a_standby_that_was_cancelled_is_unknown_through_a_pooler_too(
    pooled: Database, connection: asyncpg.Connection, conversation: UUID
) -> None:
    appender = Appender(pooled)
    appender.start()
    await appender.append(LOCAL, [said(conversation)])
    waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()"
    await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    try:
        await connection.execute("SELECT pg_reload_conf()")
        for _ in range(100):  # until the server has read its settings
            task = asyncio.create_task(appender.append(LOCAL, [said(conversation)]))
            while not task.done() and not await connection.fetchval(f"SELECT count(*) {waiting}"):
                await asyncio.sleep(PAUSE)
            if not task.done():
                break
        while not task.done():
            await connection.execute(f"SELECT pg_cancel_backend(pid) {waiting}")
        with pytest.raises(DatabaseUnavailable):
            await task
    finally:
        await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await connection.execute("SELECT pg_reload_conf()")
        await appender.close()


def test_commands_migrate_past_the_pooler_and_check_both_ways(pgbouncer: PgBouncer, empty_database_url: str) -> None:
    ways = pgbouncer.settings(empty_database_url)
    environment = {
        "DATABASE_URL": ways["database_url"],
        "VERBATIM_DATABASE_DIRECT_URL": ways["database_direct_url"],
        "VERBATIM_DATABASE_POOLER": ways["database_pooler"],
    }

    def verbatim(command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "backend", command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr

    assert f"from nothing to {SCHEMA_REVISION}" in verbatim("migrate")
    assert f"is at {SCHEMA_REVISION}" in verbatim("migrate")
    checked = verbatim("check")
    assert "fsync = off" in checked
    assert "synchronous_commit = on" in checked
    assert "drifted" not in checked


async def test_the_service_outlives_its_pooler_and_the_database_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "VERDICT_FRESH_SECONDS", 0)
    server = EmbeddedPostgres(clusters.prepare(tmp_path / "data"), durable=False)
    url = await asyncio.to_thread(server.start)
    (tmp_path / "pooler").mkdir()
    pooler = PgBouncer(tmp_path / "pooler", make_url(url), pool_size=2)
    pooler.start()
    try:
        async with running(create_app(Settings(**pooler.settings(url), statement_timeout=2))) as service:
            opened = (await service.post("/api/v1/conversations", json={"context_type": "voice"})).json()
            message = utterance(opened["id"])
            assert (await service.post("/api/v1/voice/messages", json=message)).status_code == 201
            for stop, start in ((pooler.stop, pooler.start), (server.stop, server.start)):
                await asyncio.to_thread(stop)
                refused = await service.post("/api/v1/voice/messages", json=message)
                assert (refused.status_code, refused.json()["type"]) == (503, "/problems/database-unavailable")
                assert (await service.get("/readyz")).json()["checks"]["database"] == "unavailable"
                await asyncio.to_thread(start)
                async with asyncio.timeout(PATIENCE):
                    while (await service.get("/readyz")).status_code != 200:
                        await asyncio.sleep(PAUSE)
                    while (again := await service.post("/api/v1/voice/messages", json=message)).status_code != 200:
                        await asyncio.sleep(PAUSE)
                assert again.json()["sequence"] == 1
    finally:
        await asyncio.to_thread(pooler.stop)
        await asyncio.to_thread(server.stop)
