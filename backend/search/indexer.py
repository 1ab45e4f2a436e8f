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
stores them on its own connection. So neither the event loop nor the pool is held up. But a thread shares the
interpreter's lock with the requests. So while more than `_MANY` new messages come in a second, the worker runs in a
process of its own (`backend/search/process.py`), with a lower priority than the one that serves. That process waits for
the advisory lock, and the worker, which sees it wait, hands the lock over.

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
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import aclosing, suppress
from typing import Any, Final
from uuid import UUID

import structlog

from backend.background_task import BackgroundTask
from backend.dao_service.connection.database import Database
from backend.dao_service.connection.priority import lower_server_priority
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.feed_dao import FeedDAO
from backend.dao_service.portions import Bounds
from backend.dao_service.search_index_dao import LOCK_TIMEOUT, Entry, Progress, SearchIndexDAO, Words
from backend.search.folding import FOLDING_VERSION
from backend.search.vector import SearchableMessage, tsvector

_PORTION: Final = Bounds(rows=500, size=2**20)  # messages that one statement stores
_PACE: Final = 0.2  # seconds between the beginnings of two rounds
_POLL: Final = 0.5  # seconds without a wake-up, because other programs cause none
_TAKEOVER: Final = 3.0  # seconds between two attempts to become the worker
_WINDOW: Final = 1.0  # seconds over which new messages are counted
_SOME: Final = 50.0  # new messages a second above which the past is filled at the slower rate
_MANY: Final = 200.0  # new messages a second above which a process of its own works
_REST: Final = 1.0  # times the seconds that a portion of the past took, without load
_REST_WHEN_BUSY: Final = 49.0
_MOST_SKIPPED: Final = 500  # messages that wait for others' locks; with more, no new ones are read

log = structlog.get_logger(__name__)


class SearchIndexer(BackgroundTask):
    """Keeps the words of all messages in ``database`` up to date, if no other process does.

    ``work_apart`` does the same in a process of its own while many messages come in, and then returns.
    """

    def __init__(self, database: Database, work_apart: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        super().__init__()
        self._database = database
        self._work_apart = work_apart
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
        apart: asyncio.Task[None] | None = None
        try:
            with self._database.wakeups.waiting() as woken:
                async with aclosing(rounds(self._database, woken, _POLL)) as done:
                    async for rate in done:
                        self._is_down = False
                        if rate > _MANY and self._work_apart and (apart is None or apart.done()):
                            apart = asyncio.create_task(self._work_apart())
            if apart:
                await apart
        finally:
            if apart:
                apart.cancel()
                await asyncio.wait({apart})


async def rounds(
    database: Database, woken: asyncio.Event, poll: float, *, patience: float = 0, niceness: int = 0
) -> AsyncGenerator[float, None]:
    """Work, and yield the number of new messages a second after each round; raises when the connection is lost.

    It ends when another process works and goes on for ``patience`` seconds, and when another one with patience is to
    take over. ``woken`` is set when there are new messages; the worker looks for them every ``poll`` seconds, too.
    PostgreSQL's process for it gets the ``niceness``, if it runs on this machine.
    """
    connection = await database.connect_directly(lock=LOCK_TIMEOUT)
    try:
        index = SearchIndexDAO(connection)
        if not await index.become_worker(patience):
            return
        log.info("this process is the search worker")
        if niceness:
            lower_server_priority(connection, niceness)
        worker = _Worker(index, FeedDAO(connection), poll)
        while worker.load.rate <= _MANY or not await index.is_wanted():
            woken.clear()  # before reading, because messages that are recorded meanwhile set it again
            begun = time.monotonic()
            pause = await worker.round()
            yield worker.load.rate
            if pause:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await woken.wait()
                        await asyncio.sleep(begun + _PACE - time.monotonic())
    finally:
        connection.terminate()


class _Load:
    """How many new messages come in: ``rate`` is the number a second, of the last `_WINDOW` seconds that are over."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._count = 0
        self._begun = time.monotonic()

    def note(self, count: int) -> None:
        """Count new messages."""
        self._count += count
        elapsed = time.monotonic() - self._begun
        if elapsed >= _WINDOW:
            self.rate = self._count / elapsed
            self._count, self._begun = 0, time.monotonic()


class _Worker:
    """The work of the process that holds the lock."""

    def __init__(self, index: SearchIndexDAO, feed: FeedDAO, poll: float) -> None:
        self.load = _Load()
        self._index = index
        self._feed = feed
        self._poll = poll
        self._followers: defaultdict[str, _Follower] = defaultdict(lambda: _Follower(index))
        self._past = _Past(index, self.load)

    async def round(self) -> float:
        """Store new messages, and then a portion of the past if it is due.

        Return the seconds to wait for a wake-up, 0 if more messages are there already.
        """
        end = max((await self._feed.end()).positions.by_server.values())  # search runs on a single server
        serving, other = await self._index.progress()
        while await self._assign(serving, other, end):
            serving, other = await self._index.progress()
        followed = [each for each in (serving, other) if each.serving or each.folding == FOLDING_VERSION]
        behind = False
        for table in followed:
            count, more = await self._followers[table.table].advance(table, end)
            self.load.note(count if table.serving else 0)
            behind |= more
        if behind:
            return 0
        filled = next((each for each in followed if each.folding == FOLDING_VERSION and not each.filled.complete), None)
        if filled:
            return min(self._poll, await self._past.fill(filled))
        if FOLDING_VERSION == other.folding > serving.folding and not self._followers[other.table].skipped:
            await self._index.swap()
            log.info("search uses the new folding of words", folding=FOLDING_VERSION)
        return self._poll

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
        """Store a portion of the messages up to ``end``; return how many are new, and whether there are more."""
        place = max(self._place, progress.reached)
        new: list[Entry] = []
        more = False
        if len(self.skipped) < _MOST_SKIPPED:
            new, more = await self._index.new(place, end, _PORTION)
            place = new[-1].position or place if more else max(place, end)
        again = await self._index.again(self.skipped) if self.skipped else []
        if new or self.skipped:
            positions = [(each.position or 0, each) for each in (*again, *new)]
            words = await asyncio.to_thread(_words, positions)
            skipped = await self._index.store(progress.table, words, place)
            self.skipped = {each.id: position for position, each in positions if each.id in skipped}
        self._place = place
        return len(new), more


class _Past:
    """Fills the past, and rests between two portions."""

    def __init__(self, index: SearchIndexDAO, load: _Load) -> None:
        self._index = index
        self._load = load
        self._due = 0.0

    async def fill(self, progress: Progress) -> float:
        """Store the next portion if it is due; return the seconds until the one after it."""
        begun = time.monotonic()
        if begun < self._due:
            return self._due - begun
        found = await self._index.past(progress.filled, _PORTION)
        words = await asyncio.to_thread(_words, found.entries)
        await self._index.store_past(progress.table, words, found.filled)
        now = time.monotonic()
        self._due = now + (now - begun) * (_REST_WHEN_BUSY if self._load.rate > _SOME else _REST)
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
