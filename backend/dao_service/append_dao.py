"""The SQL of the append path.

The appender calls it for every message, so it uses asyncpg directly: the same statement through SQLAlchemy costs three
times the processor time (measured).

All messages of a commit go to PostgreSQL in one call of the function `verbatim_append`. It locks their conversations,
looks which ids are on record, counts, inserts, and reads back, each by a statement of its own. Under READ COMMITTED a
statement sees the tables as they were when it began, so one that both locks a conversation and reads its messages would
miss the rows that the previous holder of the lock committed. The migration that created the function has its text.

Each message carries its expected owner and the locking query filters by it, so another owner's conversation behaves
exactly like a missing one.

On a cluster (`placement`) the messages of one part go to PostgreSQL in one call, of `verbatim_append_near`, which runs
on the node that has the part and commits there.

The function does not wait for the lock of a conversation: it skips a conversation that another transaction has locked
(SKIP LOCKED), and the caller tries its messages again.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.pool_invalidation import terminate_unless_clean
from backend.dao_service.connection.sync_commit import require_standby
from backend.dao_service.placement import Placement
from backend.dao_service.privileges import APPEND
from backend.vocabulary import AuditAction


class NewMessage(NamedTuple):
    """One message to store. The fields stand in the order of the statements' arrays.

    ``metadata`` is JSON text. The conversation must belong to ``owner``; None admits any owner.
    """

    id: UUID
    conversation_id: UUID
    role: str
    content: str
    input_modality: str
    metadata: str
    timestamp: datetime | None
    voice_session_id: str | None
    client_sequence: int | None
    owner: str | None


class StoredMessage(NamedTuple):
    """A message on record: its sequence (from 1), and the JSON that every reader gets.

    ``differing`` names the fields in which a message that was sent again differs from it; None: it is new.
    """

    sequence: int
    document: bytes
    differing: list[str] | None


# Seconds that a commit, and so every caller, waits for a lock that is not on a conversation: a table's lock, or a
# message id that another program has inserted in a transaction that is still open.
LOCK_TIMEOUT: Final = 0.5

_APPEND: Final = f"""
    SELECT place, id, sequence, document, differing, locked
    FROM {APPEND}({", ".join(f"${number}" for number, _ in enumerate(NewMessage._fields, 1))})
"""  # noqa: S608 -- made of constants
_APPEND_NEAR: Final = f"""
    SELECT place, id, sequence, document, differing, locked
    FROM verbatim_append_near({", ".join(f"${number}" for number in range(1, len(NewMessage._fields) + 2))})
"""  # noqa: S608 -- made of constants
_REDACTED: Final = f"""
    SELECT DISTINCT message_id FROM audit_entries
    WHERE conversation_id = ANY($1::uuid[]) AND message_id = ANY($2::uuid[])
        AND action = '{AuditAction.MESSAGE_REDACTED}'
"""  # noqa: S608 -- made of constants
_ERASED: Final = "SELECT conversation_id, owner_digest FROM erasures WHERE conversation_id = ANY($1::uuid[])"


class AppendConnection:
    """The one connection of the appender, outside the pool: opened at first use, and again after it was lost."""

    def __init__(self, database: Database, placement: Placement) -> None:
        self._database = database
        self._placement = placement
        self._connection: asyncpg.Connection | None = None

    @property
    def is_single(self) -> bool:
        """Whether the record is known to be on one server, so that there is one part."""
        return self._placement.is_known and not self._placement.is_cluster

    async def parts(self, messages: Sequence[NewMessage]) -> list[list[int]]:
        """Return the places of the messages of each part of the cluster; on a single server there is one part.

        Raises DatabaseUnavailable when no connection can be opened, and the driver's exceptions otherwise.
        """
        if not self._placement.is_known:
            await self.look_again()
        if self.is_single:
            return [[*range(len(messages))]]
        wanted = {each.conversation_id for each in messages}
        if strange := [each for each in wanted if self._placement.of(each) is None]:
            with _in_use(await self._connected()) as connection:
                await self._placement.look_up(connection, strange)
        parts: defaultdict[int | None, list[int]] = defaultdict(list)
        for place, each in enumerate(messages):
            parts[self._placement.of(each.conversation_id)].append(place)
        return [*parts.values()]

    async def look_again(self) -> bool:
        """Find out how the record is placed, and return whether that has changed; raises as `parts`."""
        with _in_use(await self._connected()) as connection:
            return await self._placement.load(connection)

    async def append(
        self, messages: Sequence[NewMessage], *, lock: float | None = None
    ) -> dict[int, StoredMessage | None]:
        """Store those of ``messages`` that are new, in one transaction, and return what became of each, by its place.

        None stands for a message that must be tried again: another transaction has locked its conversation, or erased
        the message that had its id. A message without a conversation of its owner has no entry. ``lock`` is the
        transaction's lock time-out in seconds; the default is LOCK_TIMEOUT. Raises DatabaseUnavailable when no
        connection can be opened, and the driver's exceptions otherwise.
        """
        transaction = self._database.single if lock is None else self._database.transaction
        with _in_use(await self._connected()) as connection:
            async with transaction(connection, lock=LOCK_TIMEOUT):
                if lock is not None:
                    await connection.execute(f"SET LOCAL lock_timeout = {round(lock * 1000)}")
                columns = map(_array, zip(*messages, strict=True))
                if self._placement.is_cluster:  # all messages are of one part
                    rows = await connection.fetch(_APPEND_NEAR, messages[0].conversation_id, *columns)
                else:
                    rows = await connection.fetch(_APPEND, *columns)
            await self._database.note_commit(connection)
        new: dict[UUID, StoredMessage] = {}
        others: dict[int, StoredMessage | None] = {}
        missing: set[int] = set()
        for place, identity, sequence, document, differing, locked in rows:
            if place is None:
                new[identity] = StoredMessage(sequence, document, None)
            elif locked is False:
                missing.add(place - 1)
            else:
                others[place - 1] = None if locked else StoredMessage(sequence, document, differing)
        return {
            place: others[place] if place in others else new.get(each.id)
            for place, each in enumerate(messages)
            if place not in missing
        }

    async def redacted(self, messages: Sequence[NewMessage]) -> set[UUID]:
        """Return the ids of those of ``messages`` from which, by the audit, words were taken out."""
        conversations, ids = {each.conversation_id for each in messages}, {each.id for each in messages}
        with _in_use(await self._connected()) as connection:
            async with self._database.single(connection, lock=LOCK_TIMEOUT):
                return {row[0] for row in await connection.fetch(_REDACTED, conversations, ids)}

    async def erased(self, conversation_ids: Collection[UUID]) -> dict[UUID, bytes | None]:
        """Return the digest of the owner (None without an owner) of each of the conversations that was erased."""
        with _in_use(await self._connected()) as connection:
            async with self._database.single(connection, lock=LOCK_TIMEOUT):
                return {row[0]: row[1] for row in await connection.fetch(_ERASED, conversation_ids)}

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.connect(lock=LOCK_TIMEOUT)
        return self._connection

    async def close(self) -> None:
        """Close the connection; calling it twice is safe."""
        if self._connection is not None:
            self._connection.terminate()


@contextmanager
def _in_use(connection: asyncpg.Connection) -> Iterator[asyncpg.Connection]:
    with terminate_unless_clean(connection), require_standby(connection):
        yield connection


def _array(values: tuple[object, ...]) -> tuple[object, ...] | None:
    """Return ``values``, or None if all of them are, because asyncpg encodes each element of an array."""
    return None if values.count(None) == len(values) else values
