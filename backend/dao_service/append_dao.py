"""The SQL of the append path.

The appender calls it for every message, so it uses asyncpg directly: the same statement through SQLAlchemy costs three
times the processor time (measured). Statements that do not run for every message go through a SQLAlchemy session.

There are two paths. A batch whose message ids are all new, as nearly all are, takes one statement, which is its own
transaction. That statement may lock conversations and read their counters in one step, because no sequence depends on
its snapshot of `messages`. If a conversation has changed since the statement began, PostgreSQL reads its row again,
counter included, after it has locked it. If an id is on record already, the unique index finds it, because an index has
no snapshot. Then the statement stores nothing, and the second path decides.

Each message carries its expected owner and the locking query filters by it, so another owner's conversation behaves
exactly like a missing one.

No statement waits for the lock of a conversation: it skips a conversation that another transaction has locked (SKIP
LOCKED), and the caller tries its messages again.

The second path is a transaction of several statements, which must stay apart. Under READ COMMITTED a statement sees
the tables as they were when it began. A statement that both locks a conversation and reads its messages would therefore
miss the rows that the previous holder of the lock committed. So the first statement locks, the second reads, and the
last inserts.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.pool_invalidation import terminate_unless_clean
from backend.dao_service.connection.sync_commit import require_standby
from backend.dao_service.ownership import OWNER_SQL, reaches_sql
from backend.dao_service.portions import DOCUMENT
from backend.vocabulary import Enrichment
from verbatim_record.vocabulary import REPAIRED, Repaired


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


class LockedConversation(NamedTuple):
    """The state of a conversation before an append: its last sequence (0 when it is empty) and its owner."""

    last_sequence: int
    owner: str | None


class StoredMessage(NamedTuple):
    """A message on record: its sequence, and the JSON that every reader gets."""

    sequence: int
    document: bytes


@dataclass(frozen=True, slots=True)
class Comparison:
    """A message that is on record already, and the fields in which the message that was sent now differs from it."""

    stored: StoredMessage
    differing: tuple[str, ...]


# Seconds that a commit, and so every caller, waits for a lock that is not on a conversation: a table's lock, or a
# message id that another program has inserted in a transaction that is still open.
LOCK_TIMEOUT: Final = 0.5

# The fields of NewMessage, in its order, as the statements call them. Each is a parameter: an array of its type.
_FIELDS: Final = {
    "id": "uuid",
    "conversation_id": "uuid",
    "role": "text",
    "content": "text",
    "input_modality": "text",
    "metadata": "text",
    "said_at": "timestamptz",
    "voice_session_id": "text",
    "client_sequence": "int",
    "owner": "text",
}
_PARAMETERS: Final = {name: f"${number}" for number, name in enumerate([*_FIELDS, "sequence"], 1)}
_ARRAYS: Final = ", ".join(f"{_PARAMETERS[name]}::{kind}[]" for name, kind in _FIELDS.items())
_COLUMNS: Final = ", ".join(_FIELDS)

_OWNER: Final = OWNER_SQL.format("c")
_FIND: Final = f"""
    SELECT id, last_sequence, {_OWNER} AS owner FROM conversations AS c
    WHERE id = ANY({{0}}::uuid[]) AND EXISTS (
        SELECT FROM unnest({{0}}::uuid[], {{1}}::text[]) AS wanted (id, owner)
        WHERE wanted.id = c.id AND {reaches_sql("wanted.owner", _OWNER)}
    )
"""  # noqa: S608 -- made of constants
# A conversation that another transaction has locked is left out: all callers would wait for it.
_LOCK: Final = _FIND + " ORDER BY id FOR NO KEY UPDATE OF c SKIP LOCKED"
_ERASED: Final = "SELECT conversation_id, owner_digest FROM erasures WHERE conversation_id = ANY($1::uuid[])"
_ENRICHMENT: Final = f"{{{','.join(Enrichment)}}}"
_KNOWN: Final = "SELECT id FROM messages WHERE id = ANY($1::uuid[])"
# These differences between a stored message and its repetition do not count:
# - The message was sent without a time. It then has the time of recording or, if it is numbered in a voice session, the
#   time that the record computed from its neighbours.
# - A voice session has added latency or interruption to the metadata since.
# - The record repaired the time, because the sender's clock was ahead. The clock may be right at the repetition.
# - Messages of one session that carry the same time are stored some microseconds apart.
_COMPARE: Final = f"""
    SELECT n.place, m.sequence, convert_to(row_to_json(document)::text, 'UTF8') AS document,
        m.conversation_id <> n.conversation_id AS conversation_id,
        m.role <> n.role AS role,
        m.content <> n.content AS content,
        m.input_modality <> n.input_modality AS input_modality,
        coalesce(m.metadata, '{{}}') - '{REPAIRED}' - ARRAY(
            SELECT key FROM unnest('{_ENRICHMENT}'::text[]) AS enrichment (key)
            WHERE n.voice_session_id IS NOT NULL AND NOT n.metadata::jsonb ? key
        ) <> n.metadata::jsonb - '{REPAIRED}' AS metadata_,
        m.timestamp <> coalesce(
            n.said_at,
            CASE num_nonnulls(n.voice_session_id, n.client_sequence) WHEN 2 THEN m.timestamp END,
            m.created_at
        ) AND NOT coalesce(m.metadata -> '{REPAIRED}' ? '{Repaired.TIMESTAMP}', false)
        AND NOT coalesce(n.metadata::jsonb -> '{REPAIRED}' ? '{Repaired.TIMESTAMP}', false) AND NOT (
            num_nonnulls(n.voice_session_id, n.client_sequence) = 2
            AND m.timestamp - n.said_at BETWEEN interval '0' AND interval '1 millisecond'
        ) AS timestamp_,
        m.voice_session_id IS DISTINCT FROM n.voice_session_id AS voice_session_id,
        m.client_sequence IS DISTINCT FROM n.client_sequence AS client_sequence
    FROM unnest({_ARRAYS}) WITH ORDINALITY AS n({_COLUMNS}, place)
    JOIN messages AS m ON m.id = n.id
    CROSS JOIN LATERAL ({DOCUMENT.format("m")}) AS document
"""  # noqa: S608 -- made of constants
_COMPARED: Final = (
    "role",
    "content",
    "input_modality",
    "metadata_",
    "timestamp_",
    "voice_session_id",
    "client_sequence",
)
# A message without a time that is numbered in a voice session and arrives late was said between its neighbours in that
# numbering. Its time is interpolated by number, so that a message that arrives later still fits on either side.
_BETWEEN: Final = """
    SELECT coalesce(
        before.timestamp + (after.timestamp - before.timestamp)
            * ((stamped.client_sequence - before.client_sequence)::float8
                / (after.client_sequence - before.client_sequence)),
        after.timestamp - interval '1 millisecond' * (after.client_sequence - stamped.client_sequence)
    )
    FROM (
        SELECT timestamp, client_sequence FROM messages
        WHERE voice_session_id = stamped.voice_session_id AND conversation_id = stamped.conversation_id
            AND client_sequence > stamped.client_sequence
        ORDER BY client_sequence LIMIT 1
    ) AS after LEFT JOIN LATERAL (
        SELECT timestamp, client_sequence FROM messages
        WHERE voice_session_id = stamped.voice_session_id AND conversation_id = stamped.conversation_id
            AND client_sequence < stamped.client_sequence
        ORDER BY client_sequence DESC LIMIT 1
    ) AS before ON true
"""
# The clock is read row by row, after the lock is held, so that created_at rises with sequence. The counter in
# `conversations` follows by trigger, for every INSERT.
_INSERT: Final = f"""
    INSERT INTO messages (
        id, conversation_id, role, content, input_modality, metadata, timestamp, voice_session_id, client_sequence,
        sequence, created_at, feed_position
    )
    SELECT id, conversation_id, role, content, input_modality, metadata::jsonb,
        coalesce(said_at, ({_BETWEEN}), recorded_at), voice_session_id, client_sequence, sequence, recorded_at,
        nextval('messages_feed_position_seq')
    FROM (SELECT ordered.*, clock_timestamp() AS recorded_at FROM (SELECT * FROM placed ORDER BY place) AS ordered)
        AS stamped
    RETURNING id, sequence, (
        SELECT convert_to(row_to_json(document)::text, 'UTF8') FROM ({DOCUMENT.format("messages")}) AS document
    )
"""  # noqa: S608 -- made of constants
_INSERT_AT: Final = f"""
    WITH placed AS (
        SELECT * FROM unnest({_ARRAYS}, {_PARAMETERS["sequence"]}::bigint[])
            WITH ORDINALITY AS n({_COLUMNS}, sequence, place)
    )
    {_INSERT}
"""  # noqa: S608 -- made of constants
# If a trigger of the host discards a row, its sequence would stay empty. The division by zero makes that an error,
# which rolls the statement back. The appender then tries each message alone, so that the others get dense sequences.
_APPEND: Final = f"""
    WITH held AS MATERIALIZED (
        {_LOCK.format(_PARAMETERS["conversation_id"], _PARAMETERS["owner"])}
    ), placed AS MATERIALIZED (
        SELECT n.*, last_sequence + row_number() OVER (PARTITION BY conversation_id ORDER BY place) AS sequence
        FROM unnest({_ARRAYS}) WITH ORDINALITY AS n({_COLUMNS}, place)
        JOIN held ON held.id = conversation_id AND {reaches_sql("n.owner", "held.owner")}
    ), inserted AS ({_INSERT})
    SELECT stored.*, whole
    FROM (SELECT 1 / ((SELECT count(*) FROM placed) = (SELECT count(*) FROM inserted))::int) AS counted (whole)
    LEFT JOIN inserted AS stored (id, sequence, document) ON true
"""  # noqa: S608 -- made of constants


class AppendDAO:
    """The statements of one append transaction, on the driver's ``connection``."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def lock(self, messages: Sequence[NewMessage]) -> dict[UUID, LockedConversation]:
        """Lock the conversations that ``messages`` may go to, in id order, and return the state of each by its id.

        Conversations that do not exist, that belong to another owner, or that another transaction has locked are left
        out.
        """
        return await _find(self._connection, _LOCK, messages)

    async def find(self, messages: Sequence[NewMessage]) -> dict[UUID, LockedConversation]:
        """Return the state of the conversations that ``messages`` may go to, by id, without locking them."""
        return await _find(self._connection, _FIND, messages)

    async def known(self, message_ids: Collection[UUID]) -> set[UUID]:
        """Return the subset of ``message_ids`` that is on record already."""
        return {row[0] for row in await self._connection.fetch(_KNOWN, message_ids)}

    async def compare(self, messages: Sequence[NewMessage]) -> list[Comparison]:
        """Return, for each of ``messages`` in order, the stored message of the same id and the fields that differ.

        All the ids must be on record. PostgreSQL compares, because only it knows when two JSONB values are equal.
        """
        rows = await self._connection.fetch(_COMPARE, *zip(*messages, strict=True))
        return [
            Comparison(StoredMessage(row["sequence"], row["document"]), _differing(row))
            for row in sorted(rows, key=lambda row: row["place"])
        ]

    async def insert(self, messages: Sequence[NewMessage], sequences: Sequence[int]) -> dict[UUID, StoredMessage]:
        """Store ``messages`` at ``sequences``, in conversations that the caller has locked; return them by id.

        Raises the driver's exceptions.
        """
        rows = await self._connection.fetch(_INSERT_AT, *zip(*messages, strict=True), sequences)
        return {row[0]: StoredMessage(row[1], row[2]) for row in rows}


async def _find(
    connection: asyncpg.Connection, statement: str, messages: Sequence[NewMessage]
) -> dict[UUID, LockedConversation]:
    wanted = {(message.conversation_id, message.owner) for message in messages}
    rows = await connection.fetch(statement.format("$1", "$2"), *zip(*wanted, strict=True))
    return {row[0]: LockedConversation(row[1], row[2]) for row in rows}


def _differing(row: asyncpg.Record) -> tuple[str, ...]:
    # Naming the other fields would let a client that guesses ids probe the content of another owner's message.
    if row["conversation_id"]:
        return ("conversation_id",)
    return tuple(field.rstrip("_") for field in _COMPARED if row[field])


class AppendConnection:
    """The one connection of the appender, outside the pool: opened at first use, and again after it was lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: asyncpg.Connection | None = None

    async def append(self, messages: Sequence[NewMessage]) -> dict[UUID, StoredMessage] | None:
        """Store those of ``messages`` whose conversation exists and is not locked, in one statement and transaction.

        Return the stored messages by id, or None, with nothing stored, when one of the ids is on record already. Raises
        what `transaction` raises.
        """
        try:
            async with self._connected() as connection, self._database.single(connection, lock=LOCK_TIMEOUT):
                rows = await connection.fetch(_APPEND, *zip(*messages, strict=True))
        except asyncpg.UniqueViolationError:
            return None
        return {row[0]: StoredMessage(row[1], row[2]) for row in rows if row[0] is not None}

    async def find(self, messages: Sequence[NewMessage]) -> dict[UUID, LockedConversation]:
        """Return the state of the conversations that ``messages`` may go to, by id, without locking them."""
        async with self._connected() as connection, self._database.single(connection, lock=LOCK_TIMEOUT):
            return await _find(connection, _FIND, messages)

    async def erased(self, conversation_ids: Collection[UUID]) -> dict[UUID, bytes | None]:
        """Return the digest of the owner (None without an owner) of each of the conversations that was erased."""
        async with self._connected() as connection, self._database.single(connection, lock=LOCK_TIMEOUT):
            return {row[0]: row[1] for row in await connection.fetch(_ERASED, conversation_ids)}

    @asynccontextmanager
    async def transaction(self, *, lock: float | None = None) -> AsyncIterator[AppendDAO]:
        """Yield the statements of the append path inside a transaction, which commits when the block ends.

        ``lock`` is the transaction's lock time-out in seconds; the default is LOCK_TIMEOUT. Raises DatabaseUnavailable
        when no connection can be opened, and the driver's exceptions otherwise.
        """
        async with self._connected() as connection, self._database.transaction(connection, lock=LOCK_TIMEOUT):
            if lock is not None:
                await connection.execute(f"SET LOCAL lock_timeout = {round(lock * 1000)}")
            yield AppendDAO(connection)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.connect(lock=LOCK_TIMEOUT)
        with terminate_unless_clean(self._connection), require_standby(self._connection):
            yield self._connection

    async def close(self) -> None:
        """Close the connection; calling it twice is safe."""
        if self._connection is not None:
            self._connection.terminate()
