"""The feed of a database of several servers: here one server whose sequence is set into the ranges of two."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import asyncpg
import pytest

from backend.dao_service.connection.database import Database
from backend.dao_service.portions import Bounds
from backend.feed_positions import Positions
from backend.principal import LOCAL
from backend.schemas.feed import FeedPlace, FeedQuery, FeedStart
from backend.services.feed import Feed

BOUNDS = Bounds(500, 2**20)
RANGES = {0: 0, 1: 1 << 48, 2: 2 << 48}
SAY = "INSERT INTO messages (id, conversation_id, role, content, created_at) VALUES ($1, $2, 'user', 'hello', $3)"


class Servers:
    """Servers that draw positions in turn. What each has reached stands in a table that the feed reads."""

    def __init__(self, connection: asyncpg.Connection, conversation: UUID) -> None:
        self.said: list[UUID] = []
        self._connection = connection
        self._conversation = conversation

    async def begin(self, *servers: int) -> None:
        await self._connection.execute("""
            CREATE TABLE ends (server int PRIMARY KEY, reached bigint, uncommitted bigint);
            CREATE OR REPLACE FUNCTION verbatim_feed_ends() RETURNS TABLE (reached bigint, uncommitted bigint)
            LANGUAGE sql AS 'SELECT reached, uncommitted FROM ends'
        """)
        for server in servers:
            await self.join(server)

    async def join(self, server: int) -> None:
        await self._connection.execute("INSERT INTO ends VALUES ($1, $2)", server, RANGES[server])

    async def say(self, server: int, count: int = 1) -> None:
        reached = await self._connection.fetchval("SELECT reached FROM ends WHERE server = $1", server)
        await self._connection.execute("SELECT setval('messages_feed_position_seq', $1, $2)", reached or 1, reached > 0)
        for _ in range(count):
            identity = uuid4()
            now = await self._connection.fetchval("SELECT clock_timestamp()")
            await self._connection.execute(SAY, identity, self._conversation, now)
            self.said.append(identity)
        await self._connection.execute(
            "UPDATE ends SET reached = (SELECT last_value FROM messages_feed_position_seq) WHERE server = $1", server
        )

    async def hold(self, server: int, position: int | None) -> None:
        """Have a transaction of the server announce ``position``, or none."""
        await self._connection.execute("UPDATE ends SET uncommitted = $2 WHERE server = $1", server, position)


@pytest.fixture
async def servers(connection: asyncpg.Connection, conversation: UUID) -> Servers:
    return Servers(connection, conversation)


async def read(feed: Feed, cursor: str | None = None, limit: int = 500) -> tuple[list[UUID], str]:
    """Read to the end, and return the messages' ids and the cursor."""
    heard: list[UUID] = []
    while True:
        page = await feed.page(LOCAL, FeedQuery(cursor=cursor, limit=limit))
        heard += [_id(row.document) for row in page.rows]
        cursor = page.place.cursor()
        if not page.has_more:
            return heard, cursor


def _id(document: bytes) -> UUID:
    return UUID(document[7:43].decode())


@pytest.mark.parametrize("limit", [1, 3, 500])
async def test_messages_of_all_servers_are_merged_by_time_and_each_is_read_once(
    database: Database, servers: Servers, limit: int
) -> None:
    await servers.begin(0, 1, 2)
    for server in (1, 0, 2, 2, 0, 1, 1, 0):
        await servers.say(server, 2)
    heard, cursor = await read(Feed(database), limit=limit)
    assert heard == servers.said
    await servers.say(2)
    await servers.say(0)
    assert (await read(Feed(database), cursor, limit))[0] == servers.said[-2:]


async def test_an_old_cursor_goes_on_where_it_was_and_hears_the_servers_that_came_since(
    database: Database, servers: Servers
) -> None:
    await servers.begin(0)
    await servers.say(0, 5)
    old = FeedPlace(Positions.at(3)).cursor()
    await servers.join(1)
    await servers.say(1, 2)
    assert (await read(Feed(database), old))[0] == servers.said[3:]


async def test_a_server_with_an_open_transaction_holds_back_its_own_messages_only(
    database: Database, servers: Servers
) -> None:
    await servers.begin(0, 1)
    await servers.say(0, 3)
    await servers.say(1, 3)
    await servers.hold(1, (1 << 48) + 1)
    heard, cursor = await read(Feed(database))
    assert heard == servers.said[:4]
    await servers.say(0)
    await servers.hold(1, None)
    rest, _ = await read(Feed(database), cursor)
    assert sorted(rest) == sorted(servers.said[4:])


async def test_a_reader_at_the_end_is_at_the_end_of_every_server(database: Database, servers: Servers) -> None:
    await servers.begin(0, 1)
    await servers.say(0, 2)
    await servers.say(1, 2)
    end = await Feed(database).page(LOCAL, FeedQuery(start=FeedStart.END))
    await servers.say(1)
    await servers.say(0)
    assert (await read(Feed(database), end.place.cursor()))[0] == servers.said[4:]


async def test_a_follower_that_comes_another_way_than_the_cache_hears_each_message_once(
    database: Database, servers: Servers
) -> None:
    """Its cursor has read further of one server than the cache began with, and less of the other."""
    await servers.begin(0, 1)
    await servers.say(0, 2)
    await servers.say(1, 2)
    feed = Feed(database)
    with feed._following() as tail:
        await tail._read_new()
        await servers.say(0, 3)
        await servers.say(1, 3)
        await tail._read_new()
        begun = FeedPlace(Positions.at(4, (1 << 48) + 2))
        page = tail.past(begun, BOUNDS)
        assert page is not None
        expected: Sequence[UUID] = [servers.said[6], *servers.said[7:]]
        assert [_id(row.document) for row in page.rows] == expected
        assert page.place == FeedPlace(Positions.at(5, (1 << 48) + 5))
        assert tail.past(FeedPlace(Positions.at(1, (1 << 48) + 2)), BOUNDS) is None
