"""The statements of hot routes are planned once for all their values, and read only what they return."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg
import pytest

from backend.dao_service.connection.database import Database
from backend.dao_service.feed_dao import FeedDAO
from backend.dao_service.message_dao import MessageDAO, Selection
from backend.dao_service.portions import Bounds
from tests.conftest import open_conversation
from tests.rows_read import rows_read

_REQUESTS: Final = 20
_CUSTOM: Final = 5  # plans that PostgreSQL makes for single values before it decides (plancache.c)
_BYTES: Final = 2**20

Read = Callable[[asyncpg.Connection, UUID, Bounds], Awaitable[object]]


@pytest.fixture
async def conversation(connection: asyncpg.Connection) -> UUID:
    """A conversation of 4,000 messages, of which a page is a small part."""
    conversation = await open_conversation(connection)
    await connection.execute(
        "INSERT INTO messages (conversation_id, role, content) SELECT $1, 'user', 'x' FROM generate_series(1, 4000)",
        conversation,
    )
    await connection.execute("ANALYZE")
    return conversation


@pytest.fixture
async def conversation_among_short_ones(connection: asyncpg.Connection, conversation: UUID) -> UUID:
    """The same conversation, among so many short ones that PostgreSQL expects it to be short, too."""
    await connection.execute(
        """
        WITH begun AS (
            INSERT INTO conversations (context_type) SELECT 'voice' FROM generate_series(1, 2000) RETURNING id
        )
        INSERT INTO messages (conversation_id, role, content)
        SELECT id, 'user', 'x' FROM begun CROSS JOIN generate_series(1, 8)
        """
    )
    await connection.execute("ANALYZE")
    return conversation


def the_first_page(connection: asyncpg.Connection, conversation: UUID, bounds: Bounds) -> Awaitable[object]:
    return MessageDAO(connection).spoken(Selection(conversation, None, bounds))


def a_page_of_the_middle(connection: asyncpg.Connection, conversation: UUID, bounds: Bounds) -> Awaitable[object]:
    wanted = Selection(conversation, None, bounds, backward=True, role="user")
    return MessageDAO(connection).spoken(wanted, after=(datetime.now(UTC), 500))


def what_a_follower_missed(connection: asyncpg.Connection, conversation: UUID, bounds: Bounds) -> Awaitable[object]:
    return MessageDAO(connection).recorded(Selection(conversation, None, bounds, after_sequence=900))


async def the_newest_of_the_feed(connection: asyncpg.Connection, _: UUID, bounds: Bounds) -> None:
    feed = FeedDAO(connection)
    end = (await feed.end()).positions
    [last] = end.by_server.values()
    await feed.after(type(end).at(last - 3), end, bounds)


@pytest.mark.parametrize("read", [the_first_page, a_page_of_the_middle, what_a_follower_missed, the_newest_of_the_feed])
async def test_messages_are_read_by_one_plan(database: Database, conversation: UUID, read: Read) -> None:
    async with database.driver_connection() as connection:
        for _ in range(_REQUESTS):
            await read(connection, conversation, Bounds(1, _BYTES))
        plans = await connection.fetch(
            """
            SELECT custom_plans, generic_plans FROM pg_prepared_statements
            WHERE statement LIKE '%FROM messages AS m%' AND custom_plans > 0
            """
        )
    assert [tuple(row) for row in plans] == [(_CUSTOM, _REQUESTS - _CUSTOM)]


@pytest.mark.parametrize("read", [the_first_page, a_page_of_the_middle, what_a_follower_missed])
async def test_a_page_of_a_long_conversation_is_all_that_is_read_of_it(
    database: Database, conversation_among_short_ones: UUID, read: Read
) -> None:
    async with database.driver_connection() as connection, connection.transaction():
        before = await rows_read(connection)
        await read(connection, conversation_among_short_ones, Bounds(100, _BYTES))
        fetched = await rows_read(connection) - before
    assert fetched < 110
