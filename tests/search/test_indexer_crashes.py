"""Killing the search worker, or its database, in the middle: the index becomes the one built from nothing."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from backend.dao_service.connection.database import Database
from backend.embedded_postgres import EmbeddedPostgres
from tests import clusters
from tests.conftest import connect, open_conversation
from tests.search.test_indexer import indexing, say, see_that_the_index_is_whole
from tests.waiting import until_found

MESSAGES = 8_000
KILLS = 3
STORED = "SELECT count(*) > {} FROM message_words"


@asynccontextmanager
async def served(url: str, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "backend", "serve", "--port", "0", *options]
    settings = os.environ | {"DATABASE_URL": url, "VERBATIM_LOG_LEVEL": "ERROR"}
    process = await asyncio.create_subprocess_exec(*command, env=settings, stdout=asyncio.subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_a_killed_worker_leaves_nothing_out_and_nothing_half_done(
    database_url: str, database: Database, connection: asyncpg.Connection
) -> None:
    for _ in range(10):
        await say(connection, await open_conversation(connection), MESSAGES // 10)
    for kill in range(KILLS):
        async with served(database_url) as service:
            await until_found(connection, STORED.format(kill * MESSAGES // KILLS))
            await say(connection, await open_conversation(connection), 100)
            service.kill()
    async with indexing(database):
        await see_that_the_index_is_whole(connection)


async def test_when_a_process_of_several_is_killed_another_goes_on(
    database_url: str, connection: asyncpg.Connection
) -> None:
    conversation = await open_conversation(connection)
    async with served(database_url), served(database_url) as other:
        await say(connection, conversation, MESSAGES // 10)
        await until_found(connection, STORED.format(0))
        other.kill()
        await say(connection, conversation, 100)
        await see_that_the_index_is_whole(connection)


async def test_a_killed_database_takes_back_words_and_progress_together(tmp_path: Path) -> None:
    """Commits of the worker need not be on disk, so a crash takes some back."""
    with EmbeddedPostgres(clusters.prepare(tmp_path), durable=True) as postgres:
        database = Database(postgres.url)
        async with indexing(database):
            for kill in range(KILLS):
                connection = await connect(postgres.url)
                await say(connection, await open_conversation(connection), MESSAGES // KILLS)
                await until_found(connection, STORED.format(kill * MESSAGES // KILLS))
                assert postgres.pid is not None
                os.kill(postgres.pid, signal.SIGKILL)
                connection.terminate()
                connection = await reconnected(postgres.url)
                connection.terminate()
            connection = await connect(postgres.url)
            await see_that_the_index_is_whole(connection)
            await connection.close()
        await database.close()


async def reconnected(url: str) -> asyncpg.Connection:
    async with asyncio.timeout(60):
        while True:
            try:
                return await connect(url)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)
