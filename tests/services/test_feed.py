"""Following the feed: one reader looks for all followers, and rarely while nothing can come."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from backend.dao_service.connection.database import Database
from backend.dao_service.feed_dao import FeedDAO
from backend.dao_service.portions import Bounds
from backend.errors import DatabaseUnavailable
from backend.feed_positions import Positions
from backend.principal import LOCAL
from backend.schemas.feed import FeedPlace, FeedQuery, FeedStart
from backend.schemas.message import MessageCreate
from backend.services.appender import Appender
from backend.services.feed import Feed, FeedPage
from tests.conftest import connect
from tests.waiting import PATIENCE, until
from verbatim_record.vocabulary import Role

pytestmark = pytest.mark.pooled

PLAIN = "INSERT INTO messages (id, conversation_id, role, content) VALUES ($1, $2, 'user', 'hello')"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the feed has asked the database."""
    asked: list[str] = []
    end, after = FeedDAO.end, FeedDAO.after

    async def count_end(dao: FeedDAO) -> Any:
        asked.append("end")
        return await end(dao)

    async def count_after(dao: FeedDAO, *bounds: Any) -> Any:
        asked.append("after")
        return await after(dao, *bounds)

    monkeypatch.setattr(FeedDAO, "end", count_end)
    monkeypatch.setattr(FeedDAO, "after", count_after)
    return asked


async def say(appender: Appender, conversation: UUID, count: int) -> list[int]:
    """Record messages, each in a commit of its own, and return their sequences."""
    said = []
    for _ in range(count):
        message = MessageCreate(conversation_id=conversation, role=Role.USER, content="hello")
        [recorded] = await appender.append(LOCAL, [message])
        said.append(recorded.sequence)  # type: ignore[union-attr]
    return said


class Follower:
    """Follows from a place, and keeps the sequences of what it hears."""

    def __init__(self, source: Feed, begun: FeedPlace) -> None:
        self.heard: list[int] = []
        self.ready = asyncio.Event()
        self._task = asyncio.create_task(self._listen(source, begun))

    async def _listen(self, source: Feed, begun: FeedPlace) -> None:
        async with aclosing(source.follow(begun)) as news:
            async for item in news:
                if isinstance(item, FeedPage):
                    self.heard += [row.sequence for row in item.rows]
                    self.ready.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count:
                self.ready.clear()
                await self.ready.wait()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


@pytest.fixture
async def followers(database: Database, appender: Appender, conversation: UUID) -> AsyncIterator[Sequence[Follower]]:
    """Ten that follow the end of the feed, and have heard the first message."""
    source = Feed(database)
    followers = [Follower(source, FeedPlace(Positions())) for _ in range(10)]
    await say(appender, conversation, 1)
    for follower in followers:
        await follower.until(1)
    assert source._tail
    window = source._tail._window
    await until(lambda: window.reached is not None and window.reached.covers(1))
    yield followers
    for follower in followers:
        await follower.close()
    assert source._tail is None


async def test_one_reader_looks_for_all_followers(
    followers: Sequence[Follower], appender: Appender, conversation: UUID, looks: list[str]
) -> None:
    looks.clear()
    await say(appender, conversation, 20)
    for follower in followers:
        await follower.until(21)
        assert follower.heard == list(range(1, 22))
    assert looks.count("after") <= 45  # each commit may be looked at twice, by the one reader; alone each follower asks


async def test_while_a_strangers_transaction_is_open_the_feed_is_rarely_looked_at(
    followers: Sequence[Follower], appender: Appender, database_url: str, conversation: UUID, looks: list[str]
) -> None:
    stranger = await connect(database_url)
    other = await stranger.fetchval("INSERT INTO conversations (context_type) VALUES ('voice') RETURNING id")
    transaction = stranger.transaction()
    await transaction.start()
    await stranger.execute(PLAIN, uuid4(), other)
    looks.clear()
    began = asyncio.get_running_loop().time()
    await say(appender, conversation, 100)
    seconds = asyncio.get_running_loop().time() - began
    # Pauses of 20, 40 … 640 ms and then of a second, however often the bell rings and however many follow.
    assert looks.count("end") <= 8 + seconds
    assert {len(follower.heard) for follower in followers} == {1}
    await transaction.commit()
    await stranger.close()
    for follower in followers:
        await follower.until(102)
        assert sorted(follower.heard) == sorted([1, *range(1, 102)])


async def test_a_follower_that_has_fallen_behind_reads_for_itself_and_misses_nothing(
    database: Database,
    appender: Appender,
    conversation: UUID,
    monkeypatch: pytest.MonkeyPatch,
    followers: Sequence[Follower],
) -> None:
    monkeypatch.setattr("backend.services.feed._KEPT", Bounds(rows=3, size=2**20))
    monkeypatch.setattr("backend.services.feed._STRIDE", Bounds(rows=2, size=2**20))
    await say(appender, conversation, 30)
    await followers[0].until(31)
    late = Follower(Feed(database), FeedPlace(Positions()))
    await late.until(31)
    assert late.heard == followers[0].heard == list(range(1, 32))
    await late.close()


async def test_a_look_that_fails_ends_no_follower(
    followers: Sequence[Follower], appender: Appender, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([DatabaseUnavailable(), RuntimeError("hello")])
    end = FeedDAO.end

    async def fail(dao: FeedDAO) -> Any:
        if error := next(failures, None):
            raise error
        return await end(dao)

    monkeypatch.setattr(FeedDAO, "end", fail)
    await say(appender, conversation, 5)
    for follower in followers:
        await follower.until(6)


async def test_a_page_that_waits_is_answered_when_something_comes_and_not_before(
    database: Database, appender: Appender, conversation: UUID, connection: asyncpg.Connection
) -> None:
    source = Feed(database)
    nothing = await source.page(LOCAL, FeedQuery(start=FeedStart.END, wait=0))
    assert nothing.rows == []
    query = FeedQuery(cursor=nothing.place.cursor(), wait=30)
    waiting = [asyncio.create_task(source.page(LOCAL, query)) for _ in range(5)]
    await until(lambda: source._tail is not None)
    await connection.execute(PLAIN, uuid4(), conversation)  # no bell rings for that
    async with asyncio.timeout(PATIENCE):
        pages = await asyncio.gather(*waiting)
    assert [[row.sequence for row in page.rows] for page in pages] == [[1]] * 5
    assert source._tail is None
    assert len(await say(appender, conversation, 1)) == 1
