"""The statements of hot routes are planned once for all their values, and not anew for each request."""

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

_REQUESTS: Final = 20
_CUSTOM: Final = 5  # plans that PostgreSQL makes for single values before it decides (plancache.c)
_BOUNDS: Final = Bounds(1, 2**20)

Read = Callable[[asyncpg.Connection, UUID], Awaitable[object]]


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


def the_first_page(connection: asyncpg.Connection, conversation: UUID) -> Awaitable[object]:
    return MessageDAO(connection).spoken(Selection(conversation, None, _BOUNDS))


def a_page_of_the_middle(connection: asyncpg.Connection, conversation: UUID) -> Awaitable[object]:
    wanted = Selection(conversation, "somebody", _BOUNDS, backward=True, role="user")
    return MessageDAO(connection).spoken(wanted, after=(datetime.now(UTC), 500))


def what_a_follower_missed(connection: asyncpg.Connection, conversation: UUID) -> Awaitable[object]:
    return MessageDAO(connection).recorded(Selection(conversation, None, _BOUNDS, after_sequence=900))


async def the_newest_of_the_feed(connection: asyncpg.Connection, _: UUID) -> None:
    feed = FeedDAO(connection)
    end = (await feed.end()).positions
    [last] = end.by_server.values()
    await feed.after(type(end).at(last - 3), end, _BOUNDS)


@pytest.mark.parametrize("read", [the_first_page, a_page_of_the_middle, what_a_follower_missed, the_newest_of_the_feed])
async def test_messages_are_read_by_one_plan(database: Database, conversation: UUID, read: Read) -> None:
    async with database.driver_connection() as connection:
        for _ in range(_REQUESTS):
            await read(connection, conversation)
        plans = await connection.fetch(
            """
            SELECT custom_plans, generic_plans FROM pg_prepared_statements
            WHERE statement LIKE '%FROM messages AS m%' AND custom_plans > 0
            """
        )
    assert [tuple(row) for row in plans] == [(_CUSTOM, _REQUESTS - _CUSTOM)]
