"""The search worker: stores the words of each message in a table beside `messages`, so that search finds it.

**One a deployment.** Every process of the service tries to take an advisory lock, on a connection of its own that
bypasses a pooler. The process that holds it works; when it ends, however it ends, PostgreSQL releases the lock, and
another process takes over within `_TAKEOVER` seconds. All progress is in the database, changed in the transaction that
stores the words: so it does not matter where a worker was stopped, and nothing is indexed by two of them.

**New messages first.** The worker begins at the end of the feed and follows it. A wake-up tells it of new messages.
It collects them for `_PACE` seconds, because each round costs some statements. Between the rounds it fills the past,
the newest message first. After a portion of the past it rests for as long as the portion took, and for 49 times as long
while new messages come in, so that filling then takes 2 % of a processor.

**Beside the requests.** A thread makes the words, in portions that are bounded in messages and bytes, and the worker
stores them on its own connection. So neither the event loop nor the pool is held up.

**Foldings.** A release whose `FOLDING_VERSION` is higher than that of the table that serves fills the other table,
while new messages go on into both, and lets it serve when it is complete. The table that served before is emptied a
minute later, when no search reads it any more. A release with a lower version leaves the newer table in service and
goes on storing new messages in it, with its own folding; `stale_from` notes from where on. The release that made the
table stores these again when it is back.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog

from backend.background_task import BackgroundTask
from backend.dao_service.connection.database import Database
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.feed_dao import FeedDAO
from backend.dao_service.portions import Bounds
from backend.dao_service.search_index_dao import LOCK_TIMEOUT, Entry, Progress, SearchIndexDAO, Words
from backend.observability import metrics
from backend.search.folding import FOLDING_VERSION
from backend.search.vector import SearchableMessage, tsvector

_PORTION: Final = Bounds(rows=500, size=2**20)  # messages that one statement stores
_PACE: Final = 0.2  # seconds between the beginnings of two rounds
_POLL: Final = 0.5  # seconds without a wake-up, because other programs cause none
_TAKEOVER: Final = 3.0  # seconds between two attempts to become the worker
_BUSY: Final = 50.0  # new messages a second from which on the past is filled at the slower rate
_REST: Final = 1.0  # times the seconds that a portion of the past took, without load
_REST_WHEN_BUSY: Final = 49.0
_MOST_SKIPPED: Final = 500  # messages that wait for others' locks; with more, no new ones are read

log = structlog.get_logger(__name__)


class SearchIndexer(BackgroundTask):
    """Keeps the words of all messages in ``database`` up to date, if no other process does."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._is_down = False

    async def _run(self) -> None:
        while True:
            try:
                await self._work_if_alone()
            except Exception as error:  # noqa: BLE001 -- the next attempt may succeed
                if not self._is_down:
                    log.warning("the search worker has stopped; it tries again", **describe(error))
                self._is_down = True
            await asyncio.sleep(_TAKEOVER * random.uniform(0.5, 1))  # noqa: S311 -- not all processes at once

    async def _work_if_alone(self) -> None:
        connection = await self._database.connect_directly(lock=LOCK_TIMEOUT)
        try:
            index = SearchIndexDAO(connection)
            if await index.become_worker():
                log.info("this process is the search worker")
                with self._database.wakeups.waiting() as woken:
                    async for _ in _Worker(index, FeedDAO(connection), woken).rounds():
                        self._is_down = False
        finally:
            connection.terminate()


class _Worker:
    """The work of the process that holds the lock."""

    def __init__(self, index: SearchIndexDAO, feed: FeedDAO, woken: asyncio.Event) -> None:
        self._index = index
        self._feed = feed
        self._woken = woken
        self._followers: defaultdict[str, _Follower] = defaultdict(lambda: _Follower(index))
        self._past = _Past(index)

    async def rounds(self) -> AsyncIterator[None]:
        """Work until the connection is lost, which raises, and yield after each round."""
        while True:
            self._woken.clear()  # before reading, because messages that are recorded meanwhile set it again
            begun = time.monotonic()
            pause = await self._round()
            yield
            if pause:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()
                        await asyncio.sleep(begun + _PACE - time.monotonic())

    async def _round(self) -> float:
        """Store new messages, and then a portion of the past if it is due.

        Return the seconds to wait for a wake-up, 0 if more messages are there already.
        """
        end = (await self._feed.end()).position
        serving, other = await self._index.progress()
        while await self._assign(serving, other, end):
            serving, other = await self._index.progress()
        followed = [each for each in (serving, other) if each.serving or each.folding == FOLDING_VERSION]
        behind = False
        for table in followed:
            count, more = await self._followers[table.table].advance(table, end)
            self._past.note_new(count)
            behind |= more
        if behind:
            return 0
        filled = next((each for each in followed if each.folding == FOLDING_VERSION and not each.filled.complete), None)
        if filled:
            return min(_POLL, await self._past.fill(filled))
        if FOLDING_VERSION == other.folding > serving.folding and not self._followers[other.table].skipped:
            await self._index.swap()
            log.info("search uses the new folding of words", folding=FOLDING_VERSION)
        return _POLL

    async def _assign(self, serving: Progress, other: Progress, end: int) -> bool:
        """Decide what each table is for; return whether that changed anything."""
        if serving.folding == 0:
            await self._index.begin(serving.table, FOLDING_VERSION, end)
            return True
        if serving.folding == FOLDING_VERSION and serving.stale_from is not None:
            await self._index.renew(serving.table)
            self._followers.pop(serving.table, None)
            return True
        if serving.folding != FOLDING_VERSION and serving.stale_from is None:
            await self._index.mark_stale(serving.table)
        if serving.folding < FOLDING_VERSION and other.folding == 0:
            await self._index.begin(other.table, FOLDING_VERSION, end)
            return True
        useful = other.folding > serving.folding and other.folding >= FOLDING_VERSION
        if other.folding == 0 or useful or not other.idle:
            return False
        self._followers.pop(other.table, None)
        return await self._index.empty(other.table)


class _Follower:
    """Stores new messages in one table; ``skipped`` holds those that were locked, by id with their positions."""

    def __init__(self, index: SearchIndexDAO) -> None:
        self.skipped: dict[UUID, int] = {}
        self._index = index
        self._place = 0

    async def advance(self, progress: Progress, end: int) -> tuple[int, bool]:
        """Store a portion of the messages up to ``end``; return how many, and whether there are more."""
        place = max(self._place, progress.reached)
        entries: list[Entry] = []
        more = False
        if len(self.skipped) < _MOST_SKIPPED:
            entries, more = await self._index.new(place, end, _PORTION)
            place = entries[-1].position or place if more else max(place, end)
        if self.skipped:
            entries = [*await self._index.again(self.skipped), *entries]
        if entries or self.skipped:
            positions = [(each.position or 0, each) for each in entries]
            words = await asyncio.to_thread(_words, positions)
            skipped = await self._index.store(progress.table, words, place)
            self.skipped = {each.id: position for position, each in positions if each.id in skipped}
            metrics.SEARCH_NEW.inc(len(words) - len(skipped))
        self._place = place
        return len(entries), more


class _Past:
    """Fills the past, and rests between two portions."""

    def __init__(self, index: SearchIndexDAO) -> None:
        self._index = index
        self._due = 0.0
        self._counted_from = time.monotonic()
        self._new = 0

    def note_new(self, count: int) -> None:
        """Count new messages, which tell how busy the service is."""
        self._new += count

    async def fill(self, progress: Progress) -> float:
        """Store the next portion if it is due; return the seconds until the one after it."""
        begun = time.monotonic()
        if begun < self._due:
            return self._due - begun
        found = await self._index.past(progress.filled, _PORTION)
        words = await asyncio.to_thread(_words, found.entries)
        skipped = await self._index.store_past(progress.table, words, found.filled)
        metrics.SEARCH_PAST.inc(len(words) - len(skipped))
        now = time.monotonic()
        busy = self._new > _BUSY * (now - self._counted_from)
        self._due = now + (now - begun) * (_REST_WHEN_BUSY if busy else _REST)
        self._counted_from, self._new = now, 0
        return self._due - now


def _words(entries: Iterable[tuple[int, Entry]]) -> list[Words]:
    return [
        Words(
            entry.id,
            entry.conversation_id,
            position,
            entry.version,
            tsvector(
                SearchableMessage(entry.content, entry.role, entry.metadata, entry.owner, entry.context_type, position)
            ),
        )
        for position, entry in entries
    ]
