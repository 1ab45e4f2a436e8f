import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from backend.dao_service.connection import database as database_module
from backend.dao_service.connection.database import Database, PoolLimits, asyncpg_url, open_connection
from backend.dao_service.connection.pool_invalidation import PoolInvalidation
from backend.errors import Busy, DatabaseUnavailable, SettingsError
from tests.conftest import connect
from tests.waiting import PATIENCE, until_found

INSERT = text("INSERT INTO conversations (context_type) VALUES ('voice')")


async def test_only_writing_can_write(database: Database, connection: asyncpg.Connection) -> None:
    async with database.driver_connection() as driver:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await driver.execute(str(INSERT))
    with pytest.raises(Exception, match="not available"):
        async with database.reading() as session:
            await session.execute(INSERT)
    async with database.writing() as session:
        await session.execute(INSERT)
    assert await connection.fetchval("SELECT count(*) FROM conversations") == 1
    async with database.driver_connection() as driver:
        assert await driver.fetchval("SHOW transaction_read_only") == "on"


async def test_a_writer_that_fails_leaves_nothing_behind(database: Database, connection: asyncpg.Connection) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 -- the raise is the test
        async with database.writing() as session:
            await session.execute(INSERT)
            raise ZeroDivisionError
    assert await connection.fetchval("SELECT count(*) FROM conversations") == 0


async def test_a_transaction_on_the_drivers_connection_commits_or_leaves_nothing_behind(
    database_url: str, connection: asyncpg.Connection
) -> None:
    database = Database(database_url, PoolLimits(pool_size=1))
    for error in (ZeroDivisionError(), Busy("Something"), asyncpg.RaiseError()):
        with pytest.raises(Exception):  # noqa: B017, PT011, PT012 -- the raise is the test
            async with database.driver_transaction() as driver:
                await driver.execute(str(INSERT))
                raise error
        assert await connection.fetchval("SELECT count(*) FROM conversations") == 0
    async with database.driver_transaction() as driver:
        await driver.execute(str(INSERT))
    assert await connection.fetchval("SELECT count(*) FROM conversations") == 1
    await database.close()


async def test_connections_are_given_in_the_order_they_were_asked_for(database_url: str) -> None:
    database = Database(database_url, PoolLimits(pool_size=1))
    given: list[int] = []

    async def ask(number: int) -> None:
        for _ in range(3):
            async with database.driver_connection() as connection:
                given.append(number)
                await connection.fetchval("SELECT 1")

    await asyncio.gather(*map(ask, range(4)))
    assert given == [0, 1, 2, 3] * 3
    await database.close()


async def test_drivers_and_sessions_share_the_connections_of_the_pool(
    database_url: str, connection: asyncpg.Connection
) -> None:
    database = Database(database_url, PoolLimits(pool_size=2))

    async def drive() -> None:
        async with database.driver_connection() as driver:
            await driver.fetchval("SELECT 1")

    async def read() -> None:
        async with database.reading() as session:
            await session.execute(text("SELECT 1"))

    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for asks in ([drive] * 4, [read] * 4, [drive, read] * 4):
        await asyncio.gather(*(ask() for ask in asks))
        # One, if each had ended before the next began.
        assert await connection.fetchval(f"SELECT count(*) {others}") in {1, 2}
    await database.close()
    await until_found(connection, f"SELECT NOT EXISTS (SELECT {others})")


@asynccontextmanager
async def _driver(database: Database) -> AsyncIterator[None]:
    async with database.driver_connection() as driver:
        await driver.fetchval("SELECT 1")
        yield


@asynccontextmanager
async def _session(database: Database) -> AsyncIterator[None]:
    async with database.reading() as session:
        await session.execute(text("SELECT 1"))
        yield


@pytest.mark.parametrize("use", [_driver, _session])
async def test_a_connection_that_ends_before_its_first_statement_is_an_outage(
    database_url: str, monkeypatch: pytest.MonkeyPatch, use: Callable[[Database], AbstractAsyncContextManager[None]]
) -> None:
    async def ended(*given: Any, **named: Any) -> asyncpg.Connection:
        connection = await open_connection(*given, **named)
        connection.terminate()
        return connection

    monkeypatch.setattr(database_module, "open_connection", ended)
    database = Database(database_url)
    with pytest.raises(DatabaseUnavailable):
        async with use(database):
            pass
    await database.close()


@pytest.mark.parametrize("use", [_driver, _session])
async def test_connections_that_end_as_soon_as_they_are_open_are_an_outage(
    database_url: str, monkeypatch: pytest.MonkeyPatch, use: Callable[[Database], AbstractAsyncContextManager[None]]
) -> None:
    monkeypatch.setattr(PoolInvalidation, "is_usable", lambda *_: False)
    database = Database(database_url)
    with pytest.raises(DatabaseUnavailable):
        async with use(database):
            pass
    await database.close()


async def test_who_waits_too_long_for_a_connection_hears_that_the_service_is_busy(database_url: str) -> None:
    database = Database(database_url, PoolLimits(pool_size=1, pool_wait=0.05))
    async with database.driver_connection():
        with pytest.raises(Busy, match="in use"):
            async with database.reading():
                pass
    async with database.reading() as session:
        assert await session.scalar(text("SELECT 1")) == 1
    await database.close()


@pytest.mark.parametrize(
    "url", ["postgres://h/d", "postgresql://h/d", "postgresql+asyncpg://u:p@h:1/d?sslmode=require"]
)
def test_every_postgresql_url_is_understood(url: str) -> None:
    assert asyncpg_url(url).drivername == "postgresql+asyncpg"


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://user:secret@host/name", "postgresql:"])
def test_anything_else_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        asyncpg_url(url)
    assert "secret" not in str(refused.value)


async def test_a_connection_that_was_closed_is_not_given_even_before_the_event_loop_has_noticed(
    database: Database, database_url: str
) -> None:
    async def end_all() -> None:
        connection = await connect(database_url)
        others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        assert await connection.fetchval(f"SELECT bool_and(pg_terminate_backend(pid, 60000)) {others}")
        await connection.close()

    for kind in (database.reading, database.writing):
        async with kind() as session:
            assert await session.scalar(text("SELECT 1")) == 1
        ending = threading.Thread(target=asyncio.run, args=(end_all(),))
        ending.start()
        ending.join()  # the event loop stands still
        async with kind() as session:
            assert await session.scalar(text("SELECT 1")) == 1


async def test_a_database_that_lets_nobody_in_is_away(database_url: str, connection: asyncpg.Connection) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute("CREATE ROLE nobody_yet")
    for url in (database_url.replace(name, "no_such_database"), database_url.replace("verbatim@", "nobody_yet@")):
        database = Database(url)
        with pytest.raises(DatabaseUnavailable):
            async with database.driver_connection():
                pass
        with pytest.raises(DatabaseUnavailable):
            await database.connect(lock=1)
        await database.close()
    await connection.execute("DROP ROLE nobody_yet")


async def test_who_waits_no_longer_for_a_connection_leaves_none(
    database: Database, connection: asyncpg.Connection
) -> None:
    nobody_here = (
        "SELECT NOT EXISTS"
        " (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid())"
    )
    # Given up after a while that is each time a little longer, and so at every step of the way.
    for tenths in range(150):
        opening = asyncio.create_task(database.connect(lock=1))
        _, waiting = await asyncio.wait({opening}, timeout=tenths / 10_000)
        if not waiting:
            opening.result().terminate()
        opening.cancel()
        await asyncio.wait({opening})
    await until_found(connection, nobody_here)


async def test_who_is_cancelled_at_any_moment_leaves_no_transaction_to_the_next(database_url: str) -> None:
    database = Database(database_url, PoolLimits(pool_size=1))
    numbers = count()

    async def look() -> None:
        async with database.driver_connection() as connection:
            await connection.fetchval(f"SELECT {next(numbers)} FROM messages")  # one that was never prepared before

    async def read() -> None:
        async with database.reading() as session:
            await session.execute(text("SELECT 1"))

    async def write() -> None:
        async with database.writing() as session:
            await session.execute(text("SELECT 1"))

    async def transact() -> None:
        async with database.driver_transaction() as connection:
            await connection.fetchval(f"SELECT {next(numbers)} FROM messages")

    await look()
    for ask in (look, read, write, transact):
        async for turns in _moments(ask):
            assert turns < 20_000
            async with database.writing() as session:  # on the same connection, if it is still good
                assert await session.scalar(text("SHOW transaction_read_only")) == "off"
    await database.close()


async def _moments(ask: Callable[[], Coroutine[None, None, None]]) -> AsyncIterator[int]:
    """Ask again and again, cancelled each time a little later, until there was time enough for an answer."""
    turns = 0
    while True:
        asking = asyncio.create_task(ask())
        for _ in range(turns):
            await asyncio.sleep(0)  # a timer would never fire between an answer's arrival and its being noticed
        if not asking.cancel():
            return
        await asyncio.wait({asking})
        yield turns
        turns += 1


async def test_what_the_driver_cannot_put_into_words_leaves_no_transaction_to_the_next(database_url: str) -> None:
    database = Database(database_url, PoolLimits(pool_size=1))
    with pytest.raises(asyncpg.DataError):
        async with database.driver_connection() as connection:
            await connection.fetch("SELECT FROM messages WHERE sequence = $1", 2**80)
    async with database.writing() as session:
        assert await session.scalar(text("SHOW transaction_read_only")) == "off"
    await database.close()


async def test_closing_waits_for_no_postgresql_that_has_fallen_silent(database_url: str) -> None:
    database = Database(database_url, PoolLimits(pool_size=5))
    async with (
        database.driver_connection() as one,
        database.driver_connection() as another,
        database.driver_connection() as third,
    ):
        pids = [await each.fetchval("SELECT pg_backend_pid()") for each in (one, another, third)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(PATIENCE):
            await database.close()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
