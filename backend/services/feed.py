"""The feed: a client, usually a service, reads every message of every conversation, each once, without a gap.

One reader task of this worker reads for all followers. Wakeups tell it of new messages, and it caches the newest rows
(`window`). A follower takes the rows after its own place from the cache; a follower that is further behind queries the
database itself.

A position in the feed means that everything before it is visible. So while a transaction of another program that has
written a message is open, the feed cannot be read beyond that message's position, whatever else is committed. Its
commit causes no wakeup, so the reader polls, at intervals that double, as long as it finds the end unchanged with
uncommitted messages after it.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.fair_semaphore import FairSemaphore
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.feed_dao import FeedDAO, FeedRow
from backend.dao_service.portions import Bounds
from backend.errors import Unavailable
from backend.feed_positions import Positions
from backend.principal import SERVICE, Principal, caller
from backend.schemas.feed import FeedPlace, FeedQuery, FeedStart
from backend.services.live import Stopping, wait_for_event
from backend.services.window import Window
from backend.vocabulary import Scope

_PAGE_BYTES: Final = 2**20  # of a page, which is in memory while its client reads it
_STRIDE: Final = Bounds(rows=100, size=2**18)  # read at a time for a follower, in memory while its client reads it
_KEPT: Final = Bounds(rows=2_000, size=4 * 2**20)  # of the cache of the newest messages
_POLL: Final = 1.0  # seconds without a wakeup, or after a failure, before the reader queries the database again
_SOON: Final = 0.02  # seconds before the first poll for the commit of an open transaction; doubled up to _POLL
_TICK: Final = 3.0  # seconds without a message after which `follow` yields None
_READERS: Final = 2  # followers that query the database at the same time, so that others find a connection in the pool

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A part of the feed, the places after each of its rows and after it, and whether there is more."""

    rows: Sequence[FeedRow]
    places: Sequence[FeedPlace]
    place: FeedPlace
    has_more: bool


class Feed:
    """The feed of one database, for all its clients of this worker."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tail: _Tail | None = None
        self._own_reads = FairSemaphore(_READERS, share=_READERS)

    async def place(self, cursor: str | None, start: FeedStart) -> FeedPlace:
        """Return the place of ``cursor``, or else of ``start``; raises Invalid for a cursor not issued here."""
        if cursor is not None:
            return FeedPlace.parse(cursor)
        if start is FeedStart.BEGINNING:
            return FeedPlace(None)
        async with self._database.driver_connection() as connection:
            return FeedPlace((await FeedDAO(connection).end()).positions)

    async def page(self, principal: Principal, query: FeedQuery) -> FeedPage:
        """Return the next page of the feed, waiting up to ``query.wait`` seconds for a first message (long polling).

        Raises ScopeMissing, and Invalid for a cursor that this service has not issued.
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
                changed = tail.changed  # before reading, because rows that arrive meanwhile set this event
                found = tail.past(found.place, bounds) or await _read(self._database, found.place, bounds)
                left = deadline - asyncio.get_running_loop().time()
                if found.rows or left <= 0:
                    break
                await wait_for_event(changed, left)
        # The reader may not have read the newest rows yet.
        return found if found.rows else await _read(self._database, found.place, bounds)

    async def follow(self, begun: FeedPlace) -> AsyncGenerator[FeedPage | Stopping | None, None]:
        """Yield the messages after ``begun`` as they are recorded; at shutdown yield Stopping, and end.

        Yields None after each `_TICK` seconds without a message.
        """
        with self._following() as tail:
            while not self._database.wakeups.closed:
                changed = tail.changed
                found = tail.past(begun, _STRIDE) or await self._read_apart(begun)
                begun = found.place
                if found.rows:
                    yield found
                else:
                    await wait_for_event(changed, _TICK)
                    yield None
            yield Stopping()

    async def _read_apart(self, begun: FeedPlace) -> FeedPage:
        with suppress(Unavailable):  # the follower tries again after _TICK
            async with self._own_reads.permit(caller.get()):
                return await _read(self._database, begun, _STRIDE)
        return FeedPage([], [], begun, has_more=False)

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


class _Kept(NamedTuple):
    """A row of the cache, and what was read of each server after it."""

    row: FeedRow
    positions: Positions
    document: bytes


class _Tail:
    """The reader task: reads the end of the feed into a cache for all followers."""

    def __init__(self, database: Database) -> None:
        self.followers = 0
        self.changed = asyncio.Event()
        self._database = database
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._window = Window[_Kept, Positions](_positions, _KEPT)
        self._redactions: list[UUID] | None = None  # the latest ones when the cache was last emptied
        self._task = asyncio.create_task(self._run(), name="feed reader")

    def stop(self) -> None:
        """Stop reading. A running query is not cancelled, because that would cost its connection."""
        self._stopping.set()
        self._woken.set()

    def past(self, begun: FeedPlace, bounds: Bounds) -> FeedPage | None:
        """Return the cached rows after ``begun`` within ``bounds``; None if the cache does not reach back to it."""
        if (read := begun.positions) is None:
            return None
        found = self._window.past(read, bounds, lambda kept: not read.covers(kept.row.position or 0))
        return None if found is None else _page([kept.row for kept in found[0]], begun, has_more=found[1])

    async def _run(self) -> None:
        caller.set(SERVICE)  # instead of the follower that started this task
        pause = _SOON
        with self._database.wakeups.waiting(None, self._woken):
            while not (self._stopping.is_set() or self._database.wakeups.closed):
                self._woken.clear()  # before reading, because messages recorded meanwhile set it again
                before = self._window.reached
                more, uncommitted = await self._read_new()
                if self._window.reached != before:
                    pause = _SOON
                    if not more:
                        await wait_for_event(self._woken, _SOON if uncommitted else _POLL)
                elif uncommitted:
                    await wait_for_event(self._stopping, pause)
                    pause = min(2 * pause, _POLL)
                else:
                    await wait_for_event(self._woken, _POLL)
        self._announce()

    async def _read_new(self) -> tuple[bool, bool]:
        """Read new messages; return whether there are more, and whether a transaction with more is still open."""
        try:
            async with self._database.driver_connection() as connection:
                feed = FeedDAO(connection)
                if (redactions := await feed.latest_redactions()) != self._redactions:
                    self._redactions = redactions
                    self._window.forget()  # it may hold the words that were taken out
                end = await feed.end()
                rows: Sequence[FeedRow] = []
                more = False
                if self._window.reached is not None:
                    rows, more = await feed.after(self._window.reached, end.positions, _STRIDE)
        except Unavailable:
            return False, False
        except Exception as error:  # noqa: BLE001 -- the next query may succeed
            log.warning("the feed was not read", **describe(error))
            return False, False
        self._keep(rows, None if more else end.positions)
        return more, end.more

    def _keep(self, rows: Sequence[FeedRow], end: Positions | None) -> None:
        """Keep ``rows``, which reach up to ``end`` or, if that is None, up to the last of them."""
        if (reached := self._window.reached) is None:
            self._window.begin(end or Positions())
            self._announce()  # a follower may wait for what was recorded before the reader began
            return
        kept = []
        for row in rows:
            reached = reached.past(row.position or 0)
            kept.append(_Kept(row, reached, row.document))
        if end is not None:
            reached |= end
        if reached != self._window.reached:
            self._window.add(kept, reached)
            self._announce()

    def _announce(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


def _page(rows: Sequence[FeedRow], begun: FeedPlace, *, has_more: bool) -> FeedPage:
    places = [*accumulate(rows, _past, initial=begun)][1:]
    return FeedPage(rows, places, places[-1] if places else begun, has_more=has_more)


def _past(place: FeedPlace, row: FeedRow) -> FeedPlace:
    """Return the place in the feed directly after a message, read from ``place`` on."""
    if row.position is None:
        return FeedPlace(None, row.conversation_id, row.sequence)
    return FeedPlace((place.positions or Positions()).past(row.position))


async def _read(database: Database, begun: FeedPlace, bounds: Bounds) -> FeedPage:
    async with database.driver_connection() as connection:
        feed = FeedDAO(connection)
        end = await feed.end()
        rows: Sequence[FeedRow] = []
        has_more = False
        if begun.positions is None:
            rows, has_more = await feed.before(begun.conversation_id, begun.sequence, bounds)
        if not has_more:
            rest = Bounds(bounds.rows - len(rows), max(bounds.size - sum(len(row.document) for row in rows), 0))
            later, has_more = await feed.after(begun.positions or Positions(), end.positions, rest)
            rows = [*rows, *later]
    # No message will appear before the end any more. There may be some that were not read, behind one that is too long
    # to be read beside them and that was erased before its text was.
    if not rows and not has_more and begun.positions is not None:
        begun = FeedPlace(begun.positions | end.positions)
    return _page(rows, begun, has_more=has_more)


def _positions(kept: _Kept) -> Positions:
    return kept.positions
