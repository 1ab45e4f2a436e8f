"""The appender: every message goes on record here, whether it came by HTTP, as an event, or from a recorder.

One commit is under way at a time, and the messages that arrive meanwhile share the next one. Under load many messages
share the cost of a transaction, of its locks and of the flush to disk. Without load a message is committed when it
arrives, because no timer delays a commit. `append_queue` decides which messages a commit takes, and
`append_transaction` does the work of one transaction.

Callers are answered after their transaction has committed, each about its own messages: appended, replayed, or refused.
A refusal touches no other message: the appender halves a commit that fails until it has found the message that the
database refuses, or that waits for a lock.

A transaction that failed may be tried again, by the appender or by the caller, because a message that is on record
already is found by its id. When a connection is lost at COMMIT, the next attempt finds out whether the rows are there.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import structlog

from backend.dao_service.append_dao import AppendConnection, NewMessage
from backend.dao_service.connection.database import Database
from backend.dao_service.connection.sqlstate import (
    constraint,
    describe,
    is_locked,
    is_outage,
    is_transient,
    suggests_outdated_schema,
)
from backend.errors import Busy, ConversationNotFound, DatabaseUnavailable, NotRecorded, RoleNotAllowed, Unavailable
from backend.observability import metrics
from backend.principal import Principal
from backend.schemas.message import MessageCreate
from backend.services.append_queue import AppendQueue, Commit
from backend.services.append_transaction import Outcome, Recorded, new_message, record, record_new, tell_the_erased
from backend.vocabulary import Scope

ATTEMPTS: Final = 4
TRANSACTION_SECONDS: Final = 10.0  # seconds for one transaction, after which its connection is given up
SHORT_LOCK: Final = 0.05  # seconds; the lock time-out while the message that waits for a lock is looked for
MOST_LOCKED: Final = 20  # waits of SHORT_LOCK in one search; two messages of a thousand are found with so many
MEMORY: Final = 5.0  # seconds for which a message id that was locked is refused without waiting for it again

# Two commits met: the same id in two conversations, or a writer that does not lock. The next look will see it.
_RACES: Final = {"messages_pkey", "messages_conversation_id_sequence_key"}

log = structlog.get_logger(__name__)


class Appender:
    """Puts messages on record, once, in order, many to a commit."""

    def __init__(self, database: Database) -> None:
        self._connection = AppendConnection(database)
        self._wakeups = database.wakeups
        self._queue = AppendQueue()
        self._closing = False
        self._try_insert_only = True  # the last commit held no replay: the next may take the one-statement path
        # Message ids that another program's open transaction was found to hold, and until when that counts.
        self._locked_ids: dict[UUID, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take messages; from inside the event loop that will serve them."""
        self._task = self._task or asyncio.create_task(self._run(), name="appender")

    async def close(self) -> None:
        """Take no more, finish within TRANSACTION_SECONDS what was taken, close the connection. Safe to call twice."""
        self._closing = True
        self._queue.arrived.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=TRANSACTION_SECONDS)
            self._task.cancel()
        self._queue.close()
        await self._connection.close()

    @property
    def full(self) -> bool:
        """Whether so much waits that nothing more is taken."""
        return self._queue.full

    @property
    def running(self) -> bool:
        """Whether messages are taken."""
        return self._task is not None and not self._task.done() and not self._closing

    async def append(self, principal: Principal, messages: Sequence[MessageCreate]) -> list[Outcome]:
        """Put what ``principal`` sends on record and return what became of each message, in order, after the commit.

        A caller that is cancelled while it waits stops nothing: its messages are committed with those of the others.
        A refusal of a single message is returned, not raised. Raises ScopeMissing; Busy when no message was stored; and
        DatabaseUnavailable when it is unknown which messages were stored.
        """
        owner = principal.owner(Scope.MESSAGES_WRITE)
        allowed = [new_message(message, owner) for message in messages if principal.may_write(message.role)]
        refused = {place: each.role for place, each in enumerate(messages) if not principal.may_write(each.role)}
        del messages  # parsed metadata takes up to twenty times the memory of its JSON
        if allowed and not self.running:
            raise Busy("The service is stopping")
        outcomes = iter(await self._queue.add(principal.subject, allowed) if allowed else [])
        count = len(allowed) + len(refused)
        return [RoleNotAllowed(refused[place]) if place in refused else next(outcomes) for place in range(count)]

    async def _run(self) -> None:
        while len(self._queue) or not self._closing:
            await self._queue.arrived.wait()
            if (commit := self._queue.take()).slices:
                await self._serve(commit)

    async def _serve(self, commit: Commit) -> None:
        messages = commit.messages
        try:
            outcomes = await self._tell_the_erased(messages, await self._record(messages))
        except Exception as error:  # noqa: BLE001 -- whatever it is, no caller may wait for ever
            self._queue.fail(commit, error)
            return
        self._queue.settle(commit, outcomes)
        decided = [outcome for outcome in outcomes if outcome is not None]
        _count(decided)
        self._wakeups.wake({each.message.conversation_id for each in decided if isinstance(each, Recorded)})

    async def _tell_the_erased(
        self, messages: list[NewMessage], outcomes: list[Outcome | None]
    ) -> list[Outcome | None]:
        """Return ``outcomes``, with ConversationErased where the conversation was the sender's and is erased.

        The messages that could be stored are committed by now, so a fault here refuses only those that could not.
        """
        try:
            return await tell_the_erased(self._connection, messages, outcomes)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the others are stored
            log.warning("erasures not read", **describe(error))
            busy = Busy("The database cannot tell now whether the conversation was erased")
            return [busy if isinstance(outcome, ConversationNotFound) else outcome for outcome in outcomes]

    async def _record(self, messages: list[NewMessage]) -> list[Outcome | None]:
        """Record messages in one commit or, if one of them stands in the way of the others, in several.

        None stands for a message whose conversation is locked. Raises Unavailable when it holds for all of them.
        """
        if not self._locked_ids:
            try:
                return await self._commit(messages)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 -- a rule of the host's in the database, or a bug of ours
                if len(messages) == 1:
                    return [self._refused(messages[0], error)]
                return await self._halve(messages, _Search())
        now = time.monotonic()
        self._locked_ids = {key: until for key, until in self._locked_ids.items() if until > now}
        return await self._record_apart(messages, _Search())

    async def _record_apart(self, messages: list[NewMessage], search: "_Search") -> list[Outcome | None]:
        """Record messages of which some may stand in the way of the others, which are found by halving."""
        free: dict[int, NewMessage] = {}
        for place, message in enumerate(messages):
            if message.id in self._locked_ids:
                search.hold(message, Busy("Another program's open transaction holds the id of the message"))
            if message.conversation_id not in search.held:
                free[place] = message
        recorded = dict(zip(free, await self._try([*free.values()], search) if free else [], strict=True))
        return [
            recorded[place] if place in recorded else search.held[message.conversation_id]
            for place, message in enumerate(messages)
        ]

    async def _halve(self, messages: list[NewMessage], search: "_Search") -> list[Outcome | None]:
        middle = len(messages) // 2
        first = await self._record_apart(messages[:middle], search)
        return first + await self._record_apart(messages[middle:], search)

    def _refused(self, message: NewMessage, error: Exception) -> Outcome:
        """Return what becomes of a single message that was refused for ``error``."""
        if not is_locked(error):
            log.error("message not recorded", **describe(error))
            return NotRecorded()
        self._locked_ids[message.id] = time.monotonic() + MEMORY
        return Busy("Another program's open transaction holds the id of the message, or the table")

    async def _try(self, messages: list[NewMessage], search: "_Search") -> list[Outcome | None]:
        outcomes: list[Outcome | None]
        try:
            outcomes = await self._commit(messages, lock=SHORT_LOCK)
        except Unavailable as error:
            outcomes = [error] * len(messages)
        except Exception as error:  # noqa: BLE001 -- as above
            search.waits += is_locked(error)
            if len(messages) > 1 and search.waits < MOST_LOCKED:
                return await self._halve(messages, search)
            if len(messages) == 1:
                outcomes = [self._refused(messages[0], error)]
            else:
                outcomes = [Busy("Another program holds the tables")] * len(messages)
        for message, outcome in zip(messages, outcomes, strict=True):
            if outcome is None or isinstance(outcome, Unavailable):
                search.hold(message, outcome)
        return outcomes

    async def _commit(self, messages: list[NewMessage], *, lock: float | None = None) -> list[Outcome | None]:
        uncertain = False
        for attempt in range(1, ATTEMPTS + 1):
            started = time.perf_counter()
            try:
                async with asyncio.timeout(TRANSACTION_SECONDS):
                    outcomes = await self._transact(messages, lock)
            except Exception as error:
                metrics.COMMIT_FAILURES.inc()
                uncertain = uncertain or is_outage(error)  # its COMMIT may have happened
                self._try_insert_only = False
                if attempt == ATTEMPTS or not _worth_another_try(error):
                    if uncertain or is_transient(error) or suggests_outdated_schema(error):
                        log.warning("append transaction failed", **describe(error))
                        raise DatabaseUnavailable from error
                    raise
            else:
                metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
                metrics.COMMIT_MESSAGES.observe(len(messages))
                # Busy says that nothing was stored, which is unknown after a commit whose answer was lost.
                return [DatabaseUnavailable() if uncertain and each is None else each for each in outcomes]
        raise AssertionError

    async def _transact(self, messages: list[NewMessage], lock: float | None) -> list[Outcome | None]:
        if self._try_insert_only and lock is None and (outcomes := await record_new(self._connection, messages)):
            return outcomes
        async with self._connection.transaction(lock=lock) as dao:
            outcomes = await record(dao, messages)
        # Replays come in crowds, from a client that sends again many messages whose answers it has not got.
        self._try_insert_only = not any(isinstance(outcome, Recorded) and outcome.replayed for outcome in outcomes)
        return outcomes


@dataclass(slots=True)
class _Search:
    """The search for messages that stand in the way of others.

    ``held`` are the conversations of which a message has to be sent or tried again: none that was said after it may go
    on record before it. ``waits`` counts lock time-outs.
    """

    held: dict[UUID, Outcome | None] = field(default_factory=dict)
    waits: int = 0

    def hold(self, message: NewMessage, outcome: Outcome | None) -> None:
        """Keep back what follows ``message`` in its conversation."""
        self.held.setdefault(message.conversation_id, outcome)


def _worth_another_try(error: Exception) -> bool:
    if isinstance(error, TimeoutError | DatabaseUnavailable):
        return False
    return is_transient(error) or is_outage(error) or constraint(error) in _RACES


def _count(outcomes: Sequence[Outcome]) -> None:
    replayed = sum(isinstance(outcome, Recorded) and outcome.replayed for outcome in outcomes)
    refused = sum(not isinstance(outcome, Recorded) for outcome in outcomes)
    metrics.REPLAYED.inc(replayed)
    metrics.REFUSED.inc(refused)
    metrics.APPENDED.inc(len(outcomes) - replayed - refused)
