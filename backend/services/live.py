"""Following a conversation as it goes on.

However many follow one conversation in this process, one reader looks for all of them, woken by `wakeups`, and keeps
what came last. A follower takes from there whatever is past its own place; one that has fallen further behind reads
from the record, as it does at first. So nothing is queued for anybody: a slow follower costs no memory, misses nothing,
and holds up nobody. No connection to the database is held while anybody waits.

Nobody rings for what other programs insert, and a ring may be lost. So every few seconds one statement looks at how all
conversations stand that are followed here, and wakes the readers that have something to read.

The reader keeps what lies between two places without a gap (`window`): a follower whose place is inside
has missed nothing when it takes what is past it.
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

POLL: Final = 2.0  # seconds after which it is looked for what nobody rang for
TICK: Final = 3.0  # seconds after which a follower hears that nothing came
_AGAIN: Final = 1.0  # seconds after which it is looked again where the last look failed
_STRIDE: Final = Bounds(rows=100, size=2**18)  # read at a time, and what a follower holds while its client takes it
_KEPT: Final = 1_000  # messages kept of one conversation
_KEPT_SIZE: Final = 2**20  # bytes of these
_ALL_KEPT: Final = 2**26  # bytes kept of all conversations together
_READERS: Final = 2  # followers that read for themselves at the same time; the pool is there for others, too

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """There is no more to follow: the conversation has ended (then), or has been erased (None).

    ``presumed`` tells that only the service has ended it, and that its phone may come back.
    """

    ended_at: str | None = None
    last_sequence: int | None = None
    presumed: bool = False


@dataclass(frozen=True, slots=True)
class News:
    """What came: messages, or the end."""

    messages: Sequence[MessageRow] = ()
    ended: Ended | None = None


class Stopping:
    """The service stops; who follows should go on from the same place elsewhere."""


class Live:
    """Whoever follows a conversation in this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers: dict[UUID, _Reader] = {}
        self._memory = _Memory()
        self._watching: asyncio.Task[None] | None = None
        self._looks = FairSemaphore(_READERS, share=_READERS)

    async def admit(self, principal: Principal, conversation_id: UUID) -> None:
        """Return if ``principal`` may follow the conversation now; raises ConversationNotFound or ScopeMissing."""
        owner = principal.owner(Scope.CONVERSATIONS_READ)
        async with (
            self._database.driver_connection() as connection
        ):  # one statement, for thousands may come back at once
            if await MessageDAO(connection).version(conversation_id, owner) is None:
                raise ConversationNotFound(conversation_id)

    async def finished(self, conversation_id: UUID, after: int) -> bool:
        """Tell whether the conversation has ended for good and holds nothing past the sequence ``after``.

        The caller has asked `admit`.
        """
        async with self._database.driver_connection() as connection:
            head = (await MessageDAO(connection).states([conversation_id])).get(conversation_id)
        return bool(head and head.ended_at and not head.presumed and after >= head.last_sequence)

    async def follow(self, conversation_id: UUID, after: int) -> AsyncGenerator[News | Stopping | None, None]:
        """Yield what is on record past the sequence ``after``, then what comes, and at last why no more will come.

        None says that nothing came for a moment. The caller has asked `admit`, and asks again from time to time.
        """
        with self._reader(conversation_id) as reader:
            while not self._database.wakeups.closed:
                changed = reader.changed  # before looking: what comes meanwhile is announced to this one
                rows = reader.past(after)
                if rows is None:
                    rows = await self._read(conversation_id, after)
                if rows:
                    after = rows[-1].sequence
                    yield News(rows)
                elif ended := reader.ended(after):
                    yield News(ended=ended)
                    return
                else:
                    await happens(changed, TICK)
                    yield None
            yield Stopping()

    async def _read(self, conversation_id: UUID, after: int) -> Sequence[MessageRow]:
        wanted = Selection(conversation_id, None, _STRIDE)
        with suppress(Unavailable):  # then later
            async with self._looks.permit(caller.get()), self._database.driver_connection() as connection:
                return (await MessageDAO(connection).recorded(wanted, after)).rows
        return []

    @contextmanager
    def _reader(self, conversation_id: UUID) -> Iterator["_Reader"]:
        reader = self._readers.get(conversation_id)
        if reader is None:
            reader = self._readers[conversation_id] = _Reader(self._database, conversation_id, self._memory)
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
        caller.set(SERVICE)  # and not the follower's with whom it began
        while True:
            await asyncio.sleep(POLL * random.uniform(0.75, 1.25))  # noqa: S311 -- not all processes at once
            with _trouble_logged("how conversations stand is not known"):
                async with self._database.driver_connection() as connection:
                    heads = await MessageDAO(connection).states([*self._readers])
                for identity, reader in self._readers.items():
                    if reader.head != heads.get(identity):
                        reader.woken.set()


class _Memory:
    """How many bytes each reader keeps. Where all together keep too many, the least recently used forget theirs."""

    def __init__(self) -> None:
        self._sizes: dict[_Reader, int] = {}  # the least recently used first
        self._size = 0

    def note(self, reader: "_Reader", size: int) -> None:
        """Note that ``reader`` keeps ``size`` bytes now."""
        self._size += size - self._sizes.pop(reader, 0)
        if size:
            self._sizes[reader] = size
        while self._size > _ALL_KEPT:
            next(iter(self._sizes)).forget()


class _Reader:
    """Looks at one conversation for all who follow it."""

    def __init__(self, database: Database, conversation_id: UUID, memory: _Memory) -> None:
        self.followers = 0
        self.changed = asyncio.Event()
        self.woken = asyncio.Event()
        self.head: ConversationState | None = None
        self._database = database
        self._conversation_id = conversation_id
        self._memory = memory
        self._window = Window(_sequence, Bounds(_KEPT, _KEPT_SIZE))
        self._stopped = False
        self._task = asyncio.create_task(self._run(), name="live reader")

    def stop(self) -> None:
        """Look no more. A look that is under way comes to its end, as a connection would be lost with it."""
        self._stopped = True
        self.woken.set()
        self.forget()

    def forget(self) -> None:
        """Keep nothing: followers that are behind read from the record."""
        self._window.forget()
        self._memory.note(self, 0)

    def past(self, after: int) -> Sequence[MessageRow] | None:
        """Return what is known past ``after``, without a gap, as much as fits; None if that is not known."""
        found = self._window.past(after, _STRIDE)
        return None if found is None else found[0]

    def ended(self, after: int) -> Ended | None:
        """Return how the conversation ended, if it has and there is nothing past ``after``."""
        if self._window.since < 0:
            return None
        if self.head is None:
            return Ended()
        if self.head.ended_at is None or after < self.head.last_sequence:
            return None
        return Ended(self.head.ended_at, self.head.last_sequence, self.head.presumed)

    async def _run(self) -> None:
        with self._database.wakeups.waiting(self._conversation_id, self.woken):
            while not self._stopped:
                self.woken.clear()  # before looking: what is recorded meanwhile wakes it again
                looked = more = False
                with _trouble_logged("a conversation that is followed was not read"):
                    more = await self._look()
                    looked = True
                if not looked:
                    await asyncio.sleep(_AGAIN)
                elif not more and not self._stopped:
                    await self.woken.wait()

    async def _look(self) -> bool:
        """Look for what is new, and tell whether there is more."""
        wanted = Selection(self._conversation_id, None, _STRIDE)
        rows: Sequence[MessageRow] = []
        more = False
        async with self._database.driver_connection() as connection:
            messages = MessageDAO(connection)
            head = (await messages.states([self._conversation_id])).get(self._conversation_id)
            reached = self._window.reached if self._window.reached >= 0 else head.last_sequence if head else 0
            if head:
                rows, more = await messages.recorded(wanted, reached)
        if not self._stopped and (rows, head, reached) != ([], self.head, self._window.reached):
            if self._window.since < 0:
                self._window.begin(reached)
            self._window.add(rows, rows[-1].sequence if rows else reached)
            self._memory.note(self, self._window.size)
            self.head = head
            self._announce()
        return more

    def _announce(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@contextmanager
def _trouble_logged(what: str) -> Iterator[None]:
    """Go on after whatever went wrong: the next look may go better. That the database is away is said elsewhere."""
    try:
        yield
    except Unavailable:
        pass
    except Exception as error:  # noqa: BLE001
        log.warning(what, **describe(error))


def _sequence(row: MessageRow) -> int:
    return row.sequence


async def happens(event: asyncio.Event, within: float) -> None:
    """Wait for ``event``, but no longer than ``within`` seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()
