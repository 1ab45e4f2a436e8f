"""The feed: a service reads every message of every conversation, each once, and misses none."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from backend.dao_service.database import Database
from backend.dao_service.feed_dao import FeedDAO, FeedRow
from backend.dao_service.portions import Bounds
from backend.errors import Unavailable
from backend.principal import Principal
from backend.schemas.page import FeedPlace, FeedQuery, FeedStart
from backend.services.live import Stopping
from backend.vocabulary import Scope

_PAGE_BYTES: Final = 2**20  # of a page, which its reader may take slowly
_STRIDE: Final = Bounds(rows=100, size=2**18)  # read at a time for a follower, and held while its client takes it
_POLL: Final = 1.0  # seconds after which it is looked for what nobody rang for
_SOON: Final = 0.02  # seconds after which somebody who was on the way may have committed


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A part of the feed. ``more`` tells that what comes next may be on the way already."""

    rows: Sequence[FeedRow]
    place: FeedPlace
    has_more: bool
    more: bool


async def place(database: Database, cursor: str | None, start: FeedStart) -> FeedPlace:
    """Return where to begin; raises Invalid for a strange cursor."""
    if cursor is not None:
        return FeedPlace.parse(cursor)
    if start is FeedStart.BEGINNING:
        return FeedPlace(None)
    async with database.looking() as connection:
        return FeedPlace((await FeedDAO(connection).end()).position)


def place_of(row: FeedRow) -> FeedPlace:
    """Return the place just after a message."""
    return FeedPlace(row.position, row.conversation_id, row.sequence)


async def page(database: Database, principal: Principal, query: FeedQuery) -> FeedPage:
    """Return what comes next in the feed, waiting for it as long as is wished.

    Raises ScopeMissing, and Invalid for a strange cursor.
    """
    principal.owner(Scope.CONVERSATIONS_READ_ANY)
    begun = await place(database, query.cursor, query.start)
    deadline = asyncio.get_running_loop().time() + query.wait
    with database.bell.waiting() as bell:
        while True:
            bell.clear()
            found = await _read(database, begun, Bounds(query.limit, _PAGE_BYTES))
            left = deadline - asyncio.get_running_loop().time()
            if found.rows or left <= 0 or database.bell.closed:
                return found
            await _wait(bell, min(left, _pause(found)))


async def follow(database: Database, begun: FeedPlace) -> AsyncGenerator[FeedPage | Stopping | None, None]:
    """Yield what comes past ``begun``, and at last that no more will come; None says that nothing came for a moment."""
    with database.bell.waiting() as bell:
        while not database.bell.closed:
            bell.clear()
            pause = _POLL
            with suppress(Unavailable):
                found = await _read(database, begun, _STRIDE)
                if found.rows:
                    begun = found.place
                    yield found
                    continue
                pause = _pause(found)
            await _wait(bell, pause)
            yield None
        yield Stopping()


async def _read(database: Database, begun: FeedPlace, bounds: Bounds) -> FeedPage:
    async with database.looking() as connection:
        feed = FeedDAO(connection)
        end = await feed.end()
        rows: Sequence[FeedRow] = []
        has_more = False
        if begun.position is None:
            rows, has_more = await feed.before(begun.conversation_id, begun.sequence, bounds)
        if not has_more:
            rest = Bounds(bounds.rows - len(rows), max(bounds.size - sum(len(row.document) for row in rows), 0))
            later, has_more = await feed.after(begun.position or 0, end.position, rest)
            rows = [*rows, *later]
    if rows:
        begun = place_of(rows[-1])
    return FeedPage(rows, begun, has_more=has_more, more=end.more)


def _pause(found: FeedPage) -> float:
    return _SOON if found.more else _POLL


async def _wait(bell: asyncio.Event, within: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await bell.wait()
