"""Live streams: clients follow a conversation, and get each message as it is recorded.

For each followed conversation one reader task of this worker reads the database for all followers. Wakeups tell it of
new messages, and it caches the newest ones without a gap (`window`). A follower takes the messages after its own
position from the cache; a follower that is further behind, or has just begun, queries the database itself. So there is
no queue for each follower: a slow follower costs no memory, misses no message, and delays no other follower. No
follower holds a database connection while it waits.

Messages that other programs insert cause no wakeup, and a wakeup may be lost. So every `POLL` seconds one statement
reads the state of all followed conversations, and wakes the readers of those that have changed.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.fair_semaphore import FairSemaphore
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.message_dao import ConversationState, MessageDAO, MessageRow, Selection
from backend.dao_service.portions import Bounds
from backend.errors import ConversationNotFound, Unavailable
from backend.principal import SERVICE, Principal, caller
from backend.services.window import Window
from backend.vocabulary import Scope

POLL: Final = 2.0  # seconds between two polls for messages without a wakeup
TICK: Final = 3.0  # seconds without a message after which `follow` yields None
_AGAIN: Final = 1.0  # seconds until a reader whose query failed tries again
_STRIDE: Final = Bounds(rows=100, size=2**18)  # read at a time for a follower, in memory while its client reads it
_KEPT: Final = 1_000  # messages in the cache of one conversation
_KEPT_SIZE: Final = 2**20  # bytes in the cache of one conversation
_ALL_KEPT: Final = 2**26  # bytes in the caches of all conversations together
_READERS: Final = 2  # followers that query the database at the same time, so that others find a connection in the pool

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """The conversation has ended at ``ended_at``, or was erased (None), so there is no more to follow.

    ``presumed`` tells that the service has ended it after the session's timeout, and that its phone may reopen it.
    ``redacted`` tells that words were taken out of a message, so that a follower that was away must hear of it.
    """

    ended_at: str | None = None
    last_sequence: int | None = None
    presumed: bool = False
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    """New messages of a conversation, earlier ones from which words were taken out, or its end."""

    messages: Sequence[MessageRow] = ()
    redacted: Sequence[MessageRow] = ()
    ended: Ended | None = None


class Stopping:
    """The worker is shutting down; the client should reconnect at the same place, to another worker."""


class Live:
    """The followers of conversations in this worker, and the readers that they share."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers: dict[UUID, _Reader] = {}
        self._cache_sizes = _CacheSizes()
        self._watching: asyncio.Task[None] | None = None
        self._own_reads = FairSemaphore(_READERS, share=_READERS)

    async def admit(self, principal: Principal, conversation_id: UUID) -> None:
        """Check that ``principal`` may follow the conversation now; raises ConversationNotFound or ScopeMissing."""
        owner = principal.owner(Scope.CONVERSATIONS_READ)
        # One statement without a transaction, because thousands of clients may reconnect at once.
        async with self._database.driver_connection() as connection:
            if await MessageDAO(connection).version(conversation_id, owner) is None:
                raise ConversationNotFound(conversation_id)

    async def finished(self, conversation_id: UUID, after: int, *, told: bool) -> bool:
        """Tell whether the conversation has ended, and has no message above the sequence ``after``.

        An end that the service set after a session's timeout does not count. If words were taken out of a message, the
        follower must have been ``told`` of the end, and so of them. The caller has called `admit`.
        """
        async with self._database.driver_connection() as connection:
            head = (await MessageDAO(connection).states([conversation_id])).get(conversation_id)
        if head is None or head.ended_at is None or head.presumed or after < head.last_sequence:
            return False
        return told or head.redacted is None

    async def follow(self, conversation_id: UUID, after: int) -> AsyncGenerator[LiveUpdate | Stopping | None, None]:
        """Yield the messages on record above the sequence ``after``, then new ones as they are recorded.

        Messages up to there from which words were taken out come once more. Yields None after each `TICK` seconds
        without a message. The last item is a LiveUpdate with the end of the conversation, or Stopping at shutdown. The
        caller has called `admit`, and calls it again from time to time.
        """
        redacted = 0
        with self._reader(conversation_id) as reader:
            while not self._database.wakeups.closed:
                changed = reader.changed  # before reading, because messages that arrive meanwhile set this event
                rows = reader.past(after)
                if rows is None:
                    rows = await self._read(conversation_id, after)
                if rows:
                    after = rows[-1].sequence
                    yield LiveUpdate(rows)
                elif (latest := reader.redacted) > redacted:
                    try:
                        async for rows in self._redacted(conversation_id, after, redacted):
                            yield LiveUpdate(redacted=rows)
                        redacted = latest
                    except Unavailable:  # tried again, from the first, after TICK
                        await wait_for_event(changed, TICK)
                        yield None
                elif ended := reader.ended(after):
                    yield LiveUpdate(ended=ended)
                    return
                else:
                    await wait_for_event(changed, TICK)
                    yield None
            yield Stopping()

    async def _read(self, conversation_id: UUID, after: int) -> Sequence[MessageRow]:
        wanted = Selection(conversation_id, None, _STRIDE)
        with suppress(Unavailable):  # the follower tries again after TICK
            async with self._own_reads.permit(caller.get()), self._database.driver_connection() as connection:
                found = await MessageDAO(connection).recorded(wanted, after)
                return found.rows if found else []
        return []

    async def _redacted(
        self, conversation_id: UUID, up_to: int, since: int
    ) -> AsyncGenerator[Sequence[MessageRow], None]:
        """Yield the messages up to the sequence ``up_to`` with a redaction of a number above ``since``.

        Raises Unavailable.
        """
        wanted = Selection(conversation_id, None, _STRIDE, up_to_sequence=up_to, redacted_since=since)
        place, more = 0, True
        while more:
            async with self._own_reads.permit(caller.get()), self._database.driver_connection() as connection:
                found = await MessageDAO(connection).recorded(wanted, place)
            if found and found.rows:
                place = found.rows[-1].sequence
                yield found.rows
            more = found is not None and found.more

    @contextmanager
    def _reader(self, conversation_id: UUID) -> Iterator["_Reader"]:
        reader = self._readers.get(conversation_id)
        if reader is None:
            reader = self._readers[conversation_id] = _Reader(self._database, conversation_id, self._cache_sizes)
            self._watching = self._watching or asyncio.create_task(self._watch(), name="live watch")
        reader.followers += 1
        try:
            yield reader
        finally:
            reader.followers -= 1
            if not reader.followers:
                self._readers.pop(conversation_id).stop()
            if not self._readers and self._watching is not None:
                self._watching.cancel()
                self._watching = None

    async def _watch(self) -> None:
        caller.set(SERVICE)  # instead of the follower that started this task
        while True:
            await asyncio.sleep(POLL * random.uniform(0.75, 1.25))  # noqa: S311 -- so that workers do not poll together
            with _errors_logged("how conversations stand is not known"):
                async with self._database.driver_connection() as connection:
                    heads = await MessageDAO(connection).states([*self._readers])
                for identity, reader in self._readers.items():
                    if reader.head != heads.get(identity):
                        reader.woken.set()


class _CacheSizes:
    """The bytes in the cache of each reader. Beyond `_ALL_KEPT` in all, the least recently used cache is emptied."""

    def __init__(self) -> None:
        self._sizes: dict[_Reader, int] = {}  # the least recently used first
        self._size = 0

    def note(self, reader: "_Reader", size: int) -> None:
        """Note that the cache of ``reader`` has ``size`` bytes now."""
        self._size += size - self._sizes.pop(reader, 0)
        if size:
            self._sizes[reader] = size
        while self._size > _ALL_KEPT:
            next(iter(self._sizes)).forget()


class _Reader:
    """The reader task of one conversation: reads its new messages into a cache for all followers."""

    def __init__(self, database: Database, conversation_id: UUID, cache_sizes: _CacheSizes) -> None:
        self.followers = 0
        self.changed = asyncio.Event()
        self.woken = asyncio.Event()
        self.head: ConversationState | None = None
        self._database = database
        self._conversation_id = conversation_id
        self._cache_sizes = cache_sizes
        self._window = Window(_sequence, Bounds(_KEPT, _KEPT_SIZE))
        self._stopped = False
        self._task = asyncio.create_task(self._run(), name="live reader")

    def stop(self) -> None:
        """Stop reading. A running query is not cancelled, because that would cost its connection."""
        self._stopped = True
        self.woken.set()
        self.forget()

    def forget(self) -> None:
        """Empty the cache: followers that are behind query the database."""
        self._window.forget()
        self._cache_sizes.note(self, 0)

    def past(self, after: int) -> Sequence[MessageRow] | None:
        """Return cached messages above the sequence ``after``; None if the cache does not reach back to it."""
        found = self._window.past(after, _STRIDE)
        return None if found is None else found[0]

    @property
    def redacted(self) -> int:
        """The number of the conversation's latest redaction, 0 before the first."""
        return (self.head and self.head.redacted) or 0

    def ended(self, after: int) -> Ended | None:
        """Return the end of the conversation, if it has ended and has no message above the sequence ``after``."""
        if self._window.since is None:
            return None
        if self.head is None:
            return Ended()
        if self.head.ended_at is None or after < self.head.last_sequence:
            return None
        return Ended(self.head.ended_at, self.head.last_sequence, self.head.presumed, self.redacted > 0)

    async def _run(self) -> None:
        with self._database.wakeups.waiting(self._conversation_id, self.woken):
            while not self._stopped:
                self.woken.clear()  # before reading, because messages recorded meanwhile set it again
                succeeded = more = False
                with _errors_logged("a conversation that is followed was not read"):
                    more = await self._read_new()
                    succeeded = True
                if not succeeded:
                    await asyncio.sleep(_AGAIN)
                elif not more and not self._stopped:
                    await self.woken.wait()

    async def _read_new(self) -> bool:
        """Read new messages, and return whether there are more."""
        wanted = Selection(self._conversation_id, None, _STRIDE)
        rows: Sequence[MessageRow] = []
        more = False
        async with self._database.driver_connection() as connection:
            messages = MessageDAO(connection)
            head = (await messages.states([self._conversation_id])).get(self._conversation_id)
            reached = head.last_sequence if head else 0
            reached = reached if self._window.reached is None else self._window.reached
            if head and (found := await messages.recorded(wanted, reached)):
                rows, more = found.rows, found.more
        if not self._stopped and (rows, head, reached) != ([], self.head, self._window.reached):
            if self._window.since is None:
                self._window.begin(reached)
            if head and (head.redacted or 0) > self.redacted:
                self._window.forget()  # it may hold the words that were taken out
            self._window.add(rows, rows[-1].sequence if rows else reached)
            self._cache_sizes.note(self, self._window.size)
            self.head = head
            self._announce()
        return more

    def _announce(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@contextmanager
def _errors_logged(what: str) -> Iterator[None]:
    """Log and suppress every exception, because the next query may succeed; `Unavailable` is logged elsewhere."""
    try:
        yield
    except Unavailable:
        pass
    except Exception as error:  # noqa: BLE001
        log.warning(what, **describe(error))


def _sequence(row: MessageRow) -> int:
    return row.sequence


async def wait_for_event(event: asyncio.Event, within: float) -> None:
    """Wait until ``event`` is set, but no longer than ``within`` seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()
