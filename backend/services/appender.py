"""The appender: every message, whichever door it came through, goes on record here.

One commit is under way at a time, and everybody who arrives meanwhile shares the next one. Under load the cost of
the transaction, of its locks and of the flush to disk is divided by all who wait; without load nobody waits for a
timer, because the first to arrive is committed at once.

What a transaction does is in `recording`. Only when it has committed does anybody hear of it, each caller about its
own messages: appended, replayed, or refused, and no refusal touches a neighbour.

Identity makes every repetition harmless, so whatever went wrong on the way may be tried again, by us or by the
caller: when a connection dies at COMMIT nobody knows whether the rows are there, and the next attempt finds out.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from backend.dao_service.append_dao import AppendConnection, NewMessage
from backend.dao_service.database import Database
from backend.dao_service.faults import constraint, describe, is_locked, is_outage, is_transient
from backend.errors import Busy, DatabaseUnavailable, NotRecorded, RoleNotAllowed, Unavailable
from backend.observability import metrics
from backend.principal import Principal
from backend.schemas.message import MessageCreate
from backend.services.recording import Outcome, Recorded, new_message, record, record_new, tell_the_erased
from backend.vocabulary import Scope

MOST_PER_COMMIT: Final = 1_000
MOST_WAITING: Final = 64 * 2**20  # characters of content
ATTEMPTS: Final = 4
MEMORY: Final = 5.0  # seconds that a conversation counts as held by somebody else, unless it is found free
PATIENCE: Final = 10.0  # seconds for one transaction, after which its connection is given up

# Two commits met: the same id in two conversations, or a writer that does not lock. The next look will see it.
_RACES: Final = {"messages_pkey", "messages_conversation_id_sequence_key"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Call:
    messages: list[NewMessage]
    size: int
    answer: asyncio.Future[list[Outcome]]


class Appender:
    """Puts messages on record, once, in order, many to a commit."""

    def __init__(self, database: Database) -> None:
        self._connection = AppendConnection(database)
        self._bell = database.bell
        self._calls: deque[_Call] = deque()
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._closing = False
        self._hopeful = True  # that the next messages are all new
        # Conversations that somebody else was found to hold, and until when that counts.
        self._held: dict[UUID, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take messages; from inside the event loop that will serve them."""
        self._task = self._task or asyncio.create_task(self._run(), name="appender")

    async def close(self) -> None:
        """Take no more, finish what was taken within ``PATIENCE``, and let the connection go; safe to call twice."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=PATIENCE)
            self._task.cancel()
        for call in self._calls:
            if not call.answer.done():
                call.answer.set_exception(Busy("The service is stopping"))
        await self._connection.close()

    @property
    def full(self) -> bool:
        """Whether so much waits that nothing more is taken."""
        return self._waiting > MOST_WAITING

    @property
    def running(self) -> bool:
        """Whether messages are taken."""
        return self._task is not None and not self._task.done() and not self._closing

    async def append(self, principal: Principal, messages: Sequence[MessageCreate]) -> list[Outcome]:
        """Put what ``principal`` sends on record and return what became of each message, in order, after the commit.

        A caller that is cancelled while it waits stops nothing: its messages are committed with those of the others.
        Raises Unavailable when none of them could be stored, or when nobody knows whether they were, and ScopeMissing.
        """
        owner = principal.owner(Scope.MESSAGES_WRITE)
        allowed = [message for message in messages if principal.may_write(message.role)]
        outcomes = iter(await self._enqueue([new_message(message, owner) for message in allowed]) if allowed else [])
        return [
            next(outcomes) if principal.may_write(message.role) else RoleNotAllowed(message.role)
            for message in messages
        ]

    async def _enqueue(self, messages: list[NewMessage]) -> list[Outcome]:
        if not self.running:
            raise Busy("The service is stopping")
        if self.full:
            raise Busy("Too many messages are waiting to be stored")
        size = sum(len(message.content) for message in messages)
        call = _Call(messages, size, asyncio.get_running_loop().create_future())
        self._calls.append(call)
        self._waiting += size
        metrics.APPEND_QUEUE.inc(len(messages))
        self._arrived.set()
        return await call.answer

    async def _run(self) -> None:
        while self._calls or not self._closing:
            await self._arrived.wait()
            self._arrived.clear()
            while self._calls:
                await self._serve(self._take())

    def _take(self) -> list[_Call]:
        taken = [self._calls.popleft()]
        count = len(taken[0].messages)
        while self._calls and count + len(self._calls[0].messages) <= MOST_PER_COMMIT:
            taken.append(self._calls.popleft())
            count += len(taken[-1].messages)
        self._waiting -= sum(call.size for call in taken)
        metrics.APPEND_QUEUE.dec(count)
        return taken

    async def _serve(self, calls: list[_Call]) -> None:
        messages = [message for call in calls for message in call.messages]
        try:
            outcomes = iter(await self._record(messages))
        except Exception as error:  # noqa: BLE001 -- whatever it is, nobody may wait for ever
            for call in calls:
                if not call.answer.done():
                    call.answer.set_exception(error)
            return
        for call in calls:
            answer = [next(outcomes) for _ in call.messages]
            if not call.answer.done():
                call.answer.set_result(answer)

    async def _record(self, messages: list[NewMessage]) -> list[Outcome]:
        try:
            outcomes = await self._commit(messages)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 -- a stranger's rule in the database, or a bug of ours
            if len(messages) == 1:
                log.error("message not recorded", **describe(error))
                return [NotRecorded()]
            return await self._record_singly(messages)
        _count(outcomes)
        self._bell.ring({each.message.conversation_id for each in outcomes if isinstance(each, Recorded)})
        return outcomes

    async def _record_singly(self, messages: list[NewMessage]) -> list[Outcome]:
        """Record each by itself, because one is refused for a reason that we do not know: none may share its fate."""
        outcomes: list[Outcome] = []
        held: set[UUID] = set()
        for message in messages:
            # Once a message of a conversation has to be sent again, none that was said after it may go before it.
            if message.conversation_id in held:
                outcomes.append(Busy("The conversation is locked by another program"))
                continue
            [outcome] = await self._record([message])
            if isinstance(outcome, Unavailable):
                held.add(message.conversation_id)
            outcomes.append(outcome)
        return outcomes

    async def _commit(self, messages: list[NewMessage]) -> list[Outcome]:
        skip_locked = self._expects_lock(messages)
        waited = uncertain = False
        for attempt in range(1, ATTEMPTS + 1):
            started = time.perf_counter()
            try:
                async with asyncio.timeout(PATIENCE):
                    outcomes = await self._transact(messages, skip_locked=skip_locked)
                    outcomes = await tell_the_erased(self._connection, messages, outcomes)
            except Exception as error:
                metrics.COMMIT_FAILURES.inc()
                uncertain = uncertain or is_outage(error)  # its COMMIT may have happened
                if attempt == ATTEMPTS or not _worth_another_try(error):
                    if refusal := _refusal(error, uncertain=uncertain):
                        raise refusal from error
                    raise
                waited = waited or is_locked(error)
                skip_locked = skip_locked or waited
                self._hopeful = False
            else:
                metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
                metrics.COMMIT_MESSAGES.observe(len(messages))
                self._remember(messages, outcomes, waited=waited)
                # Busy says that nothing was stored, which nobody knows after a commit that was lost.
                return [DatabaseUnavailable() if uncertain and isinstance(each, Busy) else each for each in outcomes]
        raise AssertionError

    async def _transact(self, messages: list[NewMessage], *, skip_locked: bool) -> list[Outcome]:
        if self._hopeful and not skip_locked and (outcomes := await record_new(self._connection, messages)):
            return outcomes
        async with self._connection.transaction() as dao:
            outcomes = await record(dao, messages, skip_locked=skip_locked)
        # Repetitions come in crowds, from somebody who sends again what he does not know to be stored.
        self._hopeful = not any(isinstance(outcome, Recorded) and outcome.replayed for outcome in outcomes)
        return outcomes

    def _expects_lock(self, messages: list[NewMessage]) -> bool:
        """Tell whether somebody was found to hold one of the conversations: nobody waits for the same lock twice."""
        return bool(self._held) and any(
            self._held.get(message.conversation_id, 0) > time.monotonic() for message in messages
        )

    def _remember(self, messages: list[NewMessage], outcomes: list[Outcome], *, waited: bool) -> None:
        if not (waited or self._held):
            return
        # Only a wait in vain tells of a stranger. A lock that was merely passed by may be another worker's, and gone.
        now = time.monotonic()
        self._held = {conversation: until for conversation, until in self._held.items() if until > now}
        for message, outcome in zip(messages, outcomes, strict=True):
            if isinstance(outcome, Busy):
                if waited:
                    self._held[message.conversation_id] = now + MEMORY
            else:
                self._held.pop(message.conversation_id, None)


def _refusal(error: Exception, *, uncertain: bool) -> Unavailable | None:
    """Return what the callers are told of a transaction that was given up, or None for a fault of nobody we know."""
    if not (uncertain or is_transient(error) or is_locked(error)):
        return None
    log.warning("append transaction failed", **describe(error))
    # With a lock that is no conversation's: a table is held, or an id in somebody's open transaction.
    return DatabaseUnavailable() if uncertain or is_transient(error) else Busy("Another program holds the tables")


def _worth_another_try(error: Exception) -> bool:
    if isinstance(error, TimeoutError | DatabaseUnavailable):
        return False
    return is_transient(error) or is_outage(error) or is_locked(error) or constraint(error) in _RACES


def _count(outcomes: Sequence[Outcome]) -> None:
    replayed = sum(isinstance(outcome, Recorded) and outcome.replayed for outcome in outcomes)
    refused = sum(not isinstance(outcome, Recorded) for outcome in outcomes)
    metrics.REPLAYED.inc(replayed)
    metrics.REFUSED.inc(refused)
    metrics.APPENDED.inc(len(outcomes) - replayed - refused)
