"""The worker that stores the words of messages: whatever happens, the index becomes the one built from nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from backend.dao_service.connection.database import Database
from backend.dao_service.portions import Bounds
from backend.dao_service.search_index_dao import TABLES
from backend.search import indexer
from backend.search.indexer import SearchIndexer
from backend.search.process import WorkerProcess
from backend.search.vector import SearchableMessage, tsvector
from backend.services import search_index
from tests.conftest import connect, open_conversation
from tests.waiting import PATIENCE, until_found

pytestmark = pytest.mark.pooled

SAY: Final = "INSERT INTO messages (conversation_id, role, content) SELECT $1, 'user', 'word ' || n FROM {} AS n"
# Every message that its transaction has committed has words, and the past is filled.
WHOLE: Final = """
    SELECT complete AND (SELECT count(*) FROM {0}) = (SELECT count(*) FROM messages)
    FROM search_progress WHERE serving AND words = '{0}'
"""
STORED: Final = "SELECT message_id, conversation_id, position, words::text FROM {} ORDER BY position"
MESSAGES: Final = """
    SELECT m.id, conversation_id, coalesce(
        feed_position,
        1 - row_number() OVER (PARTITION BY feed_position IS NULL ORDER BY c.created_at DESC, c.id DESC, sequence DESC)
    ) AS position, content, role, metadata::text AS metadata, context_type, user_id::text AS owner
    FROM messages AS m JOIN conversations AS c ON c.id = conversation_id ORDER BY position
"""


async def say(connection: asyncpg.Connection, conversation: UUID, count: int = 3) -> None:
    await connection.execute(SAY.format("generate_series(1, $2::int)"), conversation, count)


async def built_from_nothing(connection: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = []
    for row in await connection.fetch(MESSAGES):
        message = SearchableMessage(
            row["content"], row["role"], row["metadata"], row["owner"], row["context_type"], row["position"]
        )
        words = await connection.fetchval("SELECT $1::text::tsvector::text", tsvector(message))
        rows.append((row["id"], row["conversation_id"], row["position"], words))
    return rows


async def see_that_the_index_is_whole(connection: asyncpg.Connection, table: str = TABLES[0]) -> None:
    await until_found(connection, WHOLE.format(table))
    stored = [tuple(row) for row in await connection.fetch(STORED.format(table))]
    assert stored == await built_from_nothing(connection)


@asynccontextmanager
async def indexing(
    database: Database, work_apart: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> AsyncIterator[SearchIndexer]:
    worker = SearchIndexer(database, work_apart)
    worker.start()
    try:
        yield worker
    finally:
        await worker.close()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of another program, with a transaction of its own."""
    opened = await connect(database_url)
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that takes over, and fills the past, without long rests; and small portions, so that there are many."""
    monkeypatch.setattr(indexer, "_TAKEOVER", 0.05)
    monkeypatch.setattr(indexer, "_PACE", 0.01)
    monkeypatch.setattr(indexer, "_POLL", 0.05)
    monkeypatch.setattr(indexer, "_REST_WHEN_BUSY", 0.0)
    monkeypatch.setattr(indexer, "_PORTION", Bounds(rows=7, size=2**20))


async def test_what_is_on_record_and_what_comes_are_both_indexed(
    database: Database, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await say(connection, conversation, 30)
    async with indexing(database):
        await say(connection, conversation, 30)
        await see_that_the_index_is_whole(connection)


async def test_messages_older_than_the_feed_have_positions_below_it_the_newest_the_highest(
    database: Database, connection: asyncpg.Connection
) -> None:
    for _ in range(5):
        await say(connection, await open_conversation(connection), 10)
    await connection.execute("UPDATE messages SET feed_position = NULL WHERE feed_position <= 37")
    async with indexing(database):
        await see_that_the_index_is_whole(connection)
    positions = [row[0] for row in await connection.fetch("SELECT position FROM message_words ORDER BY 1")]
    assert positions == [*range(-36, 1), *range(38, 51)]


async def test_a_conversation_that_is_being_erased_is_neither_waited_for_nor_indexed(
    database: Database, connection: asyncpg.Connection, other: asyncpg.Connection
) -> None:
    erased, kept = await open_conversation(connection), await open_conversation(connection)
    for _ in range(5):
        await say(connection, erased)
        await say(connection, kept)
    erasure = other.transaction()
    await erasure.start()
    await other.execute("DELETE FROM conversations WHERE id = $1", erased)
    async with indexing(database):
        await say(connection, kept, 20)
        of_kept = f"SELECT count(*) = 20 FROM message_words WHERE position > 30 AND conversation_id = '{kept}'"
        await until_found(connection, of_kept)
        await erasure.commit()
        await see_that_the_index_is_whole(connection)


async def test_an_erasure_that_is_taken_back_leaves_nothing_out(
    database: Database, connection: asyncpg.Connection, other: asyncpg.Connection, conversation: UUID
) -> None:
    async with indexing(database):
        await see_that_the_index_is_whole(connection)
        locked = other.transaction()
        await locked.start()
        await say(connection, conversation, 10)
        await other.execute("SELECT FROM messages FOR UPDATE")
        kept = await open_conversation(connection)
        await say(connection, kept, 10)
        await until_found(connection, f"SELECT count(*) = 10 FROM message_words WHERE conversation_id = '{kept}'")
        await locked.rollback()
        await see_that_the_index_is_whole(connection)


async def test_erasing_removes_the_words_in_the_same_transaction(
    database: Database, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await say(connection, conversation, 10)
    async with indexing(database):
        await see_that_the_index_is_whole(connection)
    await connection.execute("DELETE FROM conversations WHERE id = $1", conversation)
    assert await connection.fetchval("SELECT count(*) FROM message_words") == 0


async def test_a_message_that_commits_late_is_not_missed(
    database: Database, connection: asyncpg.Connection, other: asyncpg.Connection, conversation: UUID
) -> None:
    async with indexing(database):
        open_transaction = other.transaction()
        await open_transaction.start()
        await say(other, await open_conversation(other), 5)
        await say(connection, conversation, 20)  # later in the feed, and committed earlier
        await open_transaction.commit()
        await see_that_the_index_is_whole(connection)


async def test_a_message_that_changes_while_its_words_are_made_is_read_again(
    database: Database, connection: asyncpg.Connection, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    making, changed = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    words = indexer._words

    def slowly(*entries: Any) -> Any:
        loop.call_soon_threadsafe(making.set)
        asyncio.run_coroutine_threadsafe(changed.wait(), loop).result()
        return words(*entries)

    monkeypatch.setattr(indexer, "_words", slowly)
    async with indexing(database):
        await say(connection, conversation, 1)
        await making.wait()
        await connection.execute("UPDATE messages SET content = 'other'")
        changed.set()
        await see_that_the_index_is_whole(connection)


async def test_of_several_workers_one_works_and_another_takes_over(
    database: Database, connection: asyncpg.Connection, conversation: UUID
) -> None:
    workers = "SELECT array_agg(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 22099 << 16"
    async with indexing(database), indexing(database):
        await until_found(connection, workers)
        [first] = await connection.fetchval(workers)
        await connection.execute("SELECT pg_terminate_backend($1)", first)
        await say(connection, conversation, 10)
        await see_that_the_index_is_whole(connection)
        [second] = await connection.fetchval(workers)
        assert second != first


async def test_while_many_messages_come_in_a_process_of_its_own_works_and_ends_with_the_one_that_serves(
    database: Database,
    database_url: str,
    connection: asyncpg.Connection,
    conversation: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(indexer, "_WINDOW", 0.0)
    monkeypatch.setattr(indexer, "_MANY", 0.0)
    holder = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 22099 << 16 AND granted"
    apart = WorkerProcess(database_url, None, 5.0, "ERROR")
    async with indexing(database, apart.work):
        first = await until_found(connection, holder)
        async with asyncio.timeout(PATIENCE):
            while await connection.fetchval(holder) in {None, first}:
                await say(connection, conversation, 10)
        await say(connection, conversation, 10)
        await see_that_the_index_is_whole(connection)
    await until_found(connection, f"SELECT NOT EXISTS ({holder})")


async def test_what_a_message_may_hold_is_indexed_without_an_error(
    database: Database, connection: asyncpg.Connection, conversation: UUID
) -> None:
    """A tsvector holds 1 MiB, a lexeme 2 KiB and 255 positions, a position is at most 16,383."""
    for content in ("", "a" * 2**20, "'\\'' & | ! :* <-> " * 99, "歯" * 2**18, " ".join(map(str, range(150_000)))):
        await connection.execute(
            "INSERT INTO messages (conversation_id, role, content, metadata)"
            """ VALUES ($1, 'function', $2, '{"name": "find_dentist", "arguments": "{\\"near\\": \\"Huế\\"}"}')""",
            conversation,
            content,
        )
    async with indexing(database):
        await see_that_the_index_is_whole(connection)


async def test_a_new_folding_is_built_beside_the_one_that_serves_and_takes_its_place(
    database: Database, connection: asyncpg.Connection, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say(connection, conversation, 30)
    async with indexing(database):
        await see_that_the_index_is_whole(connection)
    monkeypatch.setattr(indexer, "FOLDING_VERSION", 2)
    async with indexing(database):
        await say(connection, conversation, 30)
        await see_that_the_index_is_whole(connection, TABLES[1])
        assert await connection.fetchval("SELECT count(*) FROM message_words") > 0  # for searches that still read it
        await connection.execute("UPDATE search_progress SET retired_at = '-infinity' WHERE NOT serving")
        await until_found(connection, "SELECT NOT EXISTS (SELECT FROM message_words)")
        await say(connection, conversation, 10)
        await see_that_the_index_is_whole(connection, TABLES[1])


async def test_an_operator_may_have_all_words_made_anew(
    database: Database, connection: asyncpg.Connection, conversation: UUID
) -> None:
    """As after another program has changed what was said, which no worker notices."""
    await say(connection, conversation, 30)
    async with indexing(database):
        await see_that_the_index_is_whole(connection)
        await connection.execute("UPDATE messages SET content = content || ' more'")
        await search_index.rebuild(database)
        await see_that_the_index_is_whole(connection, TABLES[1])


async def test_an_older_release_stores_new_messages_and_the_newer_one_stores_them_again(
    database: Database, connection: asyncpg.Connection, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say(connection, conversation, 10)
    async with indexing(database):
        await see_that_the_index_is_whole(connection)
    with monkeypatch.context() as older:
        older.setattr(indexer, "FOLDING_VERSION", 0)
        older.setattr(indexer, "tsvector", lambda _: "'older'")
        async with indexing(database):
            await say(connection, conversation, 10)
            await until_found(connection, "SELECT count(*) = 10 FROM message_words WHERE words @@ 'older'")
    async with indexing(database):
        await until_found(connection, "SELECT NOT EXISTS (SELECT FROM message_words WHERE words @@ 'older')")
        await see_that_the_index_is_whole(connection)
