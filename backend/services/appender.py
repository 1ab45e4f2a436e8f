"""The appender of a worker records every message, whether it came by HTTP, as a voice event, or from a recorder.

It batches (group commit): one commit runs at a time, and the messages that arrive meanwhile share the next one. Under
load many messages share the cost of a transaction, of its locks and of the flush to disk. Without load a message is
committed when it arrives, because no timer delays a commit. `append_queue` decides which messages a commit takes, and
`append_transaction` does the work of one transaction.

A caller gets the outcomes of its own messages after their transaction has committed: appended, replayed, or refused. A
message that the database refuses, or that waits for a lock, does not affect the others of its commit: the appender
halves a commit that fails until it has found that message.

Appending is idempotent, because a message that is on record is found by its id. So the appender or the caller may retry
a failed transaction. When a connection is lost at COMMIT, the next attempt finds out whether the rows were committed.
"""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar
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
    is_unsupported,
    suggests_outdated_schema,
)
from backend.dao_service.placement import Placement
from backend.errors import Busy, ConversationNotFound, DatabaseUnavailable, NotRecorded, RoleNotAllowed, Unavailable
from backend.observability import metrics
from backend.principal import Principal
from backend.schemas.message import MessageCreate
from backend.services.append_queue import AppendQueue, Commit
from backend.services.append_transaction import Outcome, Recorded, mark_erased, new_message, record
from backend.vocabulary import Scope

ATTEMPTS: Final = 4  # of one commit
TRANSACTION_SECONDS: Final = 10.0  # seconds for one transaction, after which its connection is closed
SHORT_LOCK_TIMEOUT: Final = 0.05  # seconds; the lock timeout during the search for the message that waits for a lock
MAX_WAITS: Final = 20  # lock timeouts and missing tables in one search; enough to find two messages among a thousand
LOCKED_ID_SECONDS: Final = 5.0  # seconds for which a locked message id is refused without waiting for its lock again

# Another transaction inserted the same id in another conversation, or did not lock the conversation. The next attempt
# sees its rows.
_RACES: Final = {"messages_pkey", "messages_conversation_id_sequence_key"}

ResultT = TypeVar("ResultT")

log = structlog.get_logger(__name__)


class Appender:
    """Records messages, each once, in order, and many in one commit."""

    def __init__(self, database: Database, placement: Placement | None = None) -> None:
        self._connection = AppendConnection(database, placement or Placement())
        self._wakeups = database.wakeups
        self._queue = AppendQueue()
        self._closing = False
        # Message ids that an open transaction of another program has inserted, and until when they are refused.
        self._locked_ids: dict[UUID, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to append messages; call it in the event loop."""
        self._task = self._task or asyncio.create_task(self._run(), name="appender")

    async def close(self) -> None:
        """Accept no more messages, and commit the queued ones for up to `TRANSACTION_SECONDS`; safe to call twice."""
        self._closing = True
        self._queue.arrived.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=TRANSACTION_SECONDS)
            self._task.cancel()
        self._queue.close()
        await self._connection.close()

    @property
    def full(self) -> bool:
        """Whether the queue has reached its bound in bytes, so that further messages are refused."""
        return self._queue.full

    def waiting(self, subject: str | None) -> tuple[int, int]:
        """Return the bytes of the messages that wait, of ``subject`` and in all."""
        return self._queue.size_of(subject), self._queue.size

    @property
    def running(self) -> bool:
        """Whether messages are accepted: `start` was called, `close` was not, and the task has not failed."""
        return self._task is not None and not self._task.done() and not self._closing

    async def append(self, principal: Principal, messages: Sequence[MessageCreate]) -> list[Outcome]:
        """Record messages of ``principal``, and return the outcome of each, in order, after the commit.

        The refusal of a single message is returned, not raised. If the caller is cancelled while it waits, its messages
        are committed nevertheless. Raises ScopeMissing; Busy when no message was stored; and DatabaseUnavailable when
        it is unknown which messages were stored.
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
            outcomes = await self._mark_erased(messages, await self._record(messages))
        except Exception as error:  # noqa: BLE001 -- every caller of the commit must get an answer
            self._queue.fail(commit, error)
            return
        self._queue.settle(commit, outcomes)
        decided = [outcome for outcome in outcomes if outcome is not None]
        _count(decided)
        self._wakeups.wake({each.message.conversation_id for each in decided if isinstance(each, Recorded)})

    async def _mark_erased(self, messages: list[NewMessage], outcomes: list[Outcome | None]) -> list[Outcome | None]:
        """Return ``outcomes`` with ConversationErased for conversations of the sender that were erased.

        The stored messages are committed by now, so an error here refuses only messages that were not stored.
        """
        try:
            return await mark_erased(self._connection, messages, outcomes)
        except Exception as error:  # noqa: BLE001 -- the other messages are committed
            log.warning("erasures not read", **describe(error))
            busy = Busy("The database could not be read to find out whether the conversation was erased")
            return [busy if isinstance(outcome, ConversationNotFound) else outcome for outcome in outcomes]

    async def _record(self, messages: list[NewMessage]) -> list[Outcome | None]:
        """Record messages in one commit for each part of a cluster; of a part that is away each is Unavailable.

        None stands for a message whose conversation is locked. Raises Unavailable when no message was stored, or none
        is known to be.
        """
        if self._connection.is_single:
            return await self._record_part(messages)
        parts = await _within_time(self._connection.parts(messages))
        if len(parts) == 1:
            return await self._record_part(messages)
        outcomes: dict[int, Outcome | None] = {}
        for places in parts:
            found: list[Outcome | None]
            try:
                found = await self._record_part([messages[place] for place in places])
            except Unavailable as refusal:
                found = [refusal] * len(places)
            outcomes |= zip(places, found, strict=True)
        return [outcomes[place] for place in range(len(messages))]

    async def _record_part(self, messages: list[NewMessage]) -> list[Outcome | None]:
        """Record messages of one part in one commit or, if one of them makes it fail, in several."""
        if not self._locked_ids:
            try:
                return await self._commit(messages)
            except Unavailable as error:
                if len(messages) == 1 or not _may_be_of_one(error):
                    raise
                outcomes = await self._halve(messages, _Search())
                if all(isinstance(outcome, Unavailable) for outcome in outcomes):
                    raise
                return outcomes
            except Exception as error:  # noqa: BLE001 -- a trigger or constraint of the host, or a bug of ours
                if len(messages) == 1:
                    return [self._refused(messages[0], error)]
                return await self._halve(messages, _Search())
        now = time.monotonic()
        self._locked_ids = {key: until for key, until in self._locked_ids.items() if until > now}
        return await self._record_apart(messages, _Search())

    async def _record_apart(self, messages: list[NewMessage], search: "_Search") -> list[Outcome | None]:
        """Record messages of which some may make a commit fail; these are found by halving."""
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
        """Return the outcome of a single message whose commit failed with ``error``."""
        if not is_locked(error):
            log.error("message not recorded", **describe(error))
            return NotRecorded()
        self._locked_ids[message.id] = time.monotonic() + LOCKED_ID_SECONDS
        return Busy("Another program's open transaction holds the id of the message, or the table")

    async def _try(self, messages: list[NewMessage], search: "_Search") -> list[Outcome | None]:
        outcomes: list[Outcome | None]
        try:
            outcomes = await self._commit(messages, lock=SHORT_LOCK_TIMEOUT)
        except Unavailable as error:
            search.waits += _may_be_of_one(error)
            if len(messages) > 1 and _may_be_of_one(error) and search.waits < MAX_WAITS:
                return await self._halve(messages, search)
            outcomes = [error] * len(messages)
        except Exception as error:  # noqa: BLE001 -- as above
            search.waits += is_locked(error)
            if len(messages) > 1 and search.waits < MAX_WAITS:
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
                    outcomes = await record(self._connection, messages, lock=lock)
            except Exception as error:
                metrics.COMMIT_FAILURES.inc()
                if is_unsupported(error) and await _within_time(self._connection.look_again()):
                    raise Busy("The record was distributed over a cluster meanwhile") from error
                uncertain = uncertain or is_outage(
                    error
                )  # PostgreSQL may have committed before the connection was lost
                if attempt == ATTEMPTS or not _worth_another_try(error):
                    if uncertain or is_transient(error) or suggests_outdated_schema(error):
                        log.warning("append transaction failed", **describe(error))
                        raise DatabaseUnavailable from error
                    raise
            else:
                metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
                metrics.COMMIT_MESSAGES.observe(len(messages))
                # Busy would say that nothing was stored, which is unknown after a COMMIT without an answer.
                return [DatabaseUnavailable() if uncertain and each is None else each for each in outcomes]
        raise AssertionError


@dataclass(slots=True)
class _Search:
    """The search for the messages that make a commit fail.

    ``held`` are the conversations of which a message must be sent or tried again, with its outcome: the messages after
    it in its conversation must not be recorded before it, and get the same outcome. ``waits`` counts lock timeouts, and
    tables that were missing.
    """

    held: dict[UUID, Outcome | None] = field(default_factory=dict)
    waits: int = 0

    def hold(self, message: NewMessage, outcome: Outcome | None) -> None:
        """Hold back the messages that follow ``message`` in its conversation."""
        self.held.setdefault(message.conversation_id, outcome)


async def _within_time(look: Awaitable[ResultT]) -> ResultT:
    """Return what ``look`` finds within `TRANSACTION_SECONDS`; raises DatabaseUnavailable if a retry may succeed."""
    try:
        async with asyncio.timeout(TRANSACTION_SECONDS):
            return await look
    except Exception as error:
        if is_outage(error) or is_transient(error) or suggests_outdated_schema(error):
            log.warning("parts of the record not read", **describe(error))
            raise DatabaseUnavailable from error
        raise


def _may_be_of_one(error: Unavailable) -> bool:
    """Tell whether one message may be the cause: for it a trigger of the host may use a table that is missing."""
    return error.__cause__ is not None and suggests_outdated_schema(error.__cause__)


def _worth_another_try(error: Exception) -> bool:
    if isinstance(error, TimeoutError | DatabaseUnavailable):
        return False
    return is_transient(error) or is_outage(error) or constraint(error) in _RACES


def _count(outcomes: Sequence[Outcome]) -> None:
    replayed = sum(isinstance(outcome, Recorded) and outcome.replayed for outcome in outcomes)
    refused = sum(not isinstance(outcome, Recorded) for outcome in outcomes)
    if replayed or refused:
        metrics.REPLAYED.inc(replayed)
        metrics.REFUSED.inc(refused)
    metrics.APPENDED.inc(len(outcomes) - replayed - refused)
