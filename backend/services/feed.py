"""The feed: a service reads every message of every conversation, each once, and misses none.

One reader reads for all followers of this process, woken by `wakeups`, and keeps the newest rows. A follower takes from
them what is past its own place; one that has fallen further behind reads for itself.

While another program's transaction is open that has written a message, the feed cannot be read beyond that message's
position, whatever else is committed. So as long as a look finds the same end, with more on the way, the reader does not
wait for a wakeup, and looks again after pauses that double.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.fair_semaphore import FairSemaphore
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.feed_dao import FeedDAO, FeedRow
from backend.dao_service.portions import Bounds
from backend.errors import Unavailable
from backend.principal import SERVICE, Principal, caller
from backend.schemas.feed import FeedPlace, FeedQuery, FeedStart
from backend.services.live import Stopping, happens
from backend.services.window import Window
from backend.vocabulary import Scope

_PAGE_BYTES: Final = 2**20  # of a page, which its reader may take slowly
_STRIDE: Final = Bounds(rows=100, size=2**18)  # read at a time for a follower, and held while its client takes it
_KEPT: Final = Bounds(rows=2_000, size=4 * 2**20)  # of the newest messages, for all followers
_POLL: Final = 1.0  # seconds after which the reader looks for what no wakeup announced, or where the last look failed
_SOON: Final = 0.02  # seconds after which what was on the way may have been committed; doubled up to _POLL
_TICK: Final = 3.0  # seconds after which a follower hears that nothing came
_READERS: Final = 2  # followers that read for themselves at the same time; the pool is there for others, too

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A part of the feed, and the place after it."""

    rows: Sequence[FeedRow]
    place: FeedPlace
    has_more: bool


class Feed:
    """The feed of one database, for all who read it in this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tail: _Tail | None = None
        self._looks = FairSemaphore(_READERS, share=_READERS)

    async def place(self, cursor: str | None, start: FeedStart) -> FeedPlace:
        """Return where to begin; raises Invalid for a strange cursor."""
        if cursor is not None:
            return FeedPlace.parse(cursor)
        if start is FeedStart.BEGINNING:
            return FeedPlace(None)
        async with self._database.driver_connection() as connection:
            return FeedPlace((await FeedDAO(connection).end()).position)

    async def page(self, principal: Principal, query: FeedQuery) -> FeedPage:
        """Return what comes next in the feed, waiting for it as long as is wished.

        Raises ScopeMissing, and Invalid for a strange cursor.
        """
        principal.owner(Scope.CONVERSATIONS_READ_ANY)
        begun = await self.place(query.cursor, query.start)
        deadline = asyncio.get_running_loop().time() + query.wait
        bounds = Bounds(query.limit, _PAGE_BYTES)
        found = await _read(self._database, begun, bounds)
        if found.rows or not query.wait:
            return found
        with self._following() as tail:
            while not self._database.wakeups.closed:
                changed = tail.changed  # before looking: what comes meanwhile is announced to this one
                found = tail.past(found.place, bounds) or await _read(self._database, found.place, bounds)
                left = deadline - asyncio.get_running_loop().time()
                if found.rows or left <= 0:
                    break
                await happens(changed, left)
        # The reader may not have looked yet at what was committed last.
        return found if found.rows else await _read(self._database, found.place, bounds)

    async def follow(self, begun: FeedPlace) -> AsyncGenerator[FeedPage | Stopping | None, None]:
        """Yield what comes past ``begun``, and at last that no more will; None says that nothing came for a moment."""
        with self._following() as tail:
            while not self._database.wakeups.closed:
                changed = tail.changed
                found = tail.past(begun, _STRIDE) or await self._read_apart(begun)
                begun = found.place
                if found.rows:
                    yield found
                else:
                    await happens(changed, _TICK)
                    yield None
            yield Stopping()

    async def _read_apart(self, begun: FeedPlace) -> FeedPage:
        with suppress(Unavailable):  # then later
            async with self._looks.permit(caller.get()):
                return await _read(self._database, begun, _STRIDE)
        return FeedPage([], begun, has_more=False)

    @contextmanager
    def _following(self) -> Iterator["_Tail"]:
        if self._tail is None:
            self._tail = _Tail(self._database)
        tail = self._tail
        tail.followers += 1
        try:
            yield tail
        finally:
            tail.followers -= 1
            if not tail.followers:
                tail.stop()
                self._tail = None


class _Tail:
    """Looks at the end of the feed for all who follow it."""

    def __init__(self, database: Database) -> None:
        self.followers = 0
        self.changed = asyncio.Event()
        self._database = database
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._window = Window(_position, _KEPT)
        self._task = asyncio.create_task(self._run(), name="feed reader")

    def stop(self) -> None:
        """Look no more. A look that is under way comes to its end, as a connection would be lost with it."""
        self._stopping.set()
        self._woken.set()

    def past(self, begun: FeedPlace, bounds: Bounds) -> FeedPage | None:
        """Return what is known past ``begun``, without a gap, as much as fits; None if that is not known."""
        found = None if begun.position is None else self._window.past(begun.position, bounds)
        if found is None:
            return None
        rows, has_more = found
        return FeedPage(rows, place_of(rows[-1]) if rows else begun, has_more=has_more)

    async def _run(self) -> None:
        caller.set(SERVICE)  # and not the follower's with whom it began
        pause = _SOON
        with self._database.wakeups.waiting(None, self._woken):
            while not (self._stopping.is_set() or self._database.wakeups.closed):
                self._woken.clear()  # before looking: what is recorded meanwhile wakes it again
                before = self._window.reached
                more, on_the_way = await self._look()
                if self._window.reached > before:
                    pause = _SOON
                    if not more:
                        await happens(self._woken, _SOON if on_the_way else _POLL)
                elif on_the_way:
                    await happens(self._stopping, pause)
                    pause = min(2 * pause, _POLL)
                else:
                    await happens(self._woken, _POLL)
        self._announce()

    async def _look(self) -> tuple[bool, bool]:
        """Look for what is new, and tell whether more is there, and whether more is on the way."""
        try:
            async with self._database.driver_connection() as connection:
                feed = FeedDAO(connection)
                end = await feed.end()
                rows: Sequence[FeedRow] = []
                more = False
                if self._window.since >= 0:
                    rows, more = await feed.after(self._window.reached, end.position, _STRIDE)
        except Unavailable:
            return False, False
        except Exception as error:  # noqa: BLE001 -- the next look may go better
            log.warning("the feed was not read", **describe(error))
            return False, False
        self._keep(rows, _position(rows[-1]) if more else end.position)
        return more, end.more

    def _keep(self, rows: Sequence[FeedRow], reached: int) -> None:
        if self._window.since < 0:
            self._window.begin(reached)
        elif reached <= self._window.reached:
            return
        self._window.add(rows, reached)
        self._announce()

    def _announce(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


def place_of(row: FeedRow) -> FeedPlace:
    """Return the place just after a message."""
    return FeedPlace(row.position, row.conversation_id, row.sequence)


async def _read(database: Database, begun: FeedPlace, bounds: Bounds) -> FeedPage:
    async with database.driver_connection() as connection:
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
    elif begun.position is not None:
        begun = FeedPlace(max(end.position, begun.position))  # nothing will come any more before the end
    return FeedPage(rows, begun, has_more=has_more)


def _position(row: FeedRow) -> int:
    return row.position or 0
