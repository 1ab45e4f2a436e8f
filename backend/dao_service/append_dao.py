"""The SQL of the append path.

It calls asyncpg directly, because it runs for every message: a statement through SQLAlchemy costs three times the work
of the same statement here. Statements that do not run for every message go through a session.

There are two paths. Messages that are all new, as nearly all are, take one statement, which is its own transaction. It
may lock conversations and read their counters in one step, because no sequence depends on its snapshot of `messages`:
PostgreSQL reads a conversation that has changed since the statement began once more when it has locked it, counter
included, and finds an id that is on record already by the unique index, which has no snapshot. Then nothing is stored,
and the second path decides.

Each message carries its expected owner and the locking query filters by it, so another owner's conversation behaves
exactly like a missing one.

No statement waits for the lock of a conversation: one that another transaction has locked is left out, and the caller
tries its messages again.

The second path is a transaction of several statements, which must stay apart. Under READ COMMITTED a statement sees
the tables as they were when it began. A statement that locks a conversation and reads its messages would therefore miss
what the lock's last holder wrote. So one statement locks, the next reads, and the last inserts.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.pool_invalidation import orderly
from backend.dao_service.connection.sync_commit import confirmed
from backend.dao_service.ownership import OWNER_SQL, reaches_sql
from backend.dao_service.portions import DOCUMENT
from backend.vocabulary import REPAIRED, Enrichment, Repaired


class NewMessage(NamedTuple):
    """What is to be stored, in the order of the statements' arrays. ``metadata`` is JSON text.

    The conversation must be ``owner``'s; None admits any owner.
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
    """A conversation that is to be written to: how far it has come, and whose it is."""

    last_sequence: int
    owner: str | None


class StoredMessage(NamedTuple):
    """A message on record: its place, and the whole of it as JSON, as every reader gets it."""

    sequence: int
    document: bytes


@dataclass(frozen=True, slots=True)
class Comparison:
    """A message that is on record already, and the fields in which the one at hand differs from it."""

    stored: StoredMessage
    differing: tuple[str, ...]


# Seconds that a commit, and so every caller, waits for a lock that is no conversation's: of a table, or of a message id
# in the open transaction of another program.
LOCK_TIMEOUT: Final = 0.5

_ARRAYS: Final = (
    "$1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::text[], $9::int[], "
    "$10::text[]"
)
_COLUMNS: Final = (
    "id, conversation_id, role, content, input_modality, metadata, said_at, voice_session_id, client_sequence, owner"
)

_OWNER: Final = OWNER_SQL.format("c")
_HEADS: Final = f"""
    SELECT id, last_sequence, {_OWNER} AS owner FROM conversations AS c
    WHERE id = ANY({{0}}::uuid[]) AND EXISTS (
        SELECT FROM unnest({{0}}::uuid[], {{1}}::text[]) AS wanted (id, owner)
        WHERE wanted.id = c.id AND {reaches_sql("wanted.owner", _OWNER)}
    )
"""  # noqa: S608 -- made of constants
# A conversation that another transaction has locked is left out: all callers would wait for it.
_LOCK: Final = _HEADS + " ORDER BY id FOR NO KEY UPDATE OF c SKIP LOCKED"
_ERASED: Final = "SELECT conversation_id, owner_digest FROM erasures WHERE conversation_id = ANY($1::uuid[])"
_ENRICHMENT: Final = f"{{{','.join(Enrichment)}}}"
_KNOWN: Final = "SELECT id FROM messages WHERE id = ANY($1::uuid[])"
# Sent without a time, a message said nothing of it; then only the record's own stamp is what it can have, or, counted
# in a voice session, the place that the record chose. What such a session added to it since is no difference. Neither
# is what the record has repaired: a clock that was ahead when the message came first is right when it comes again.
# Counted in a session, messages of one moment are set apart by microseconds.
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
# What says no time but is counted in a voice session, and comes late, was said between its neighbours in that count.
# As far between as the count says, so that whatever comes later still finds room on either side.
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
        SELECT * FROM unnest({_ARRAYS}, $11::bigint[]) WITH ORDINALITY AS n({_COLUMNS}, sequence, place)
    )
    {_INSERT}
"""  # noqa: S608 -- made of constants
# A row that a trigger of the host's discards would leave its place empty. The division makes that an error, which takes
# everything back; tried singly, the others get their places without it.
_APPEND: Final = f"""
    WITH held AS MATERIALIZED ({_LOCK.format("$2", "$10")}), placed AS MATERIALIZED (
        SELECT n.*, last_sequence + row_number() OVER (PARTITION BY conversation_id ORDER BY place) AS sequence
        FROM unnest({_ARRAYS}) WITH ORDINALITY AS n({_COLUMNS}, place)
        JOIN held ON held.id = conversation_id AND {reaches_sql("n.owner", "held.owner")}
    ), inserted AS ({_INSERT})
    SELECT stored.*, whole
    FROM (SELECT 1 / ((SELECT count(*) FROM placed) = (SELECT count(*) FROM inserted))::int) AS counted (whole)
    LEFT JOIN inserted AS stored (id, sequence, document) ON true
"""  # noqa: S608 -- made of constants


class AppendDAO:
    """Questions and changes inside one append transaction."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def lock(self, messages: Sequence[NewMessage]) -> dict[UUID, LockedConversation]:
        """Lock the conversations that ``messages`` may go to, in id order, and return how far each has come.

        Those that another transaction has locked are left out.
        """
        return await _heads(self._connection, _LOCK, messages)

    async def heads(self, messages: Sequence[NewMessage]) -> dict[UUID, LockedConversation]:
        """Return the conversations that ``messages`` may go to, locked or not."""
        return await _heads(self._connection, _HEADS, messages)

    async def known(self, message_ids: Collection[UUID]) -> set[UUID]:
        """Return those of the ids that are on record already."""
        return {row[0] for row in await self._connection.fetch(_KNOWN, message_ids)}

    async def compare(self, messages: Sequence[NewMessage]) -> list[Comparison]:
        """Hold each of ``messages``, all of whose ids are on record, against what is stored under it.

        The database compares, since it alone knows when two JSON values are the same to it.
        """
        rows = await self._connection.fetch(_COMPARE, *zip(*messages, strict=True))
        return [
            Comparison(StoredMessage(row["sequence"], row["document"]), _differing(row))
            for row in sorted(rows, key=lambda row: row["place"])
        ]

    async def insert(self, messages: Sequence[NewMessage], sequences: Sequence[int]) -> dict[UUID, StoredMessage]:
        """Store ``messages`` at ``sequences``, in their conversations, which the caller holds locked."""
        rows = await self._connection.fetch(_INSERT_AT, *zip(*messages, strict=True), sequences)
        return {row[0]: StoredMessage(row[1], row[2]) for row in rows}


async def _heads(
    connection: asyncpg.Connection, statement: str, messages: Sequence[NewMessage]
) -> dict[UUID, LockedConversation]:
    wanted = {(message.conversation_id, message.owner) for message in messages}
    rows = await connection.fetch(statement.format("$1", "$2"), *zip(*wanted, strict=True))
    return {row[0]: LockedConversation(row[1], row[2]) for row in rows}


def _differing(row: asyncpg.Record) -> tuple[str, ...]:
    # The other fields could tell a guesser what a message in another owner's conversation holds.
    if row["conversation_id"]:
        return ("conversation_id",)
    return tuple(field.rstrip("_") for field in _COMPARED if row[field])


class AppendConnection:
    """The one connection that appends, opened when it is first needed and anew when it is lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: asyncpg.Connection | None = None

    async def append(self, messages: Sequence[NewMessage]) -> dict[UUID, StoredMessage] | None:
        """Store those of ``messages`` whose conversation exists unlocked, in a statement that is its own transaction.

        Returns None, with nothing stored, when one of the ids is not new. Raises what `transaction` raises.
        """
        try:
            async with self._trusted() as connection, self._database.single(connection, lock=LOCK_TIMEOUT):
                rows = await connection.fetch(_APPEND, *zip(*messages, strict=True))
        except asyncpg.UniqueViolationError:
            return None
        return {row[0]: StoredMessage(row[1], row[2]) for row in rows if row[0] is not None}

    async def heads(self, messages: Sequence[NewMessage]) -> dict[UUID, LockedConversation]:
        """Return the conversations that ``messages`` may go to, locked or not."""
        async with self._trusted() as connection, self._database.single(connection, lock=LOCK_TIMEOUT):
            return await _heads(connection, _HEADS, messages)

    async def erased(self, conversation_ids: Collection[UUID]) -> dict[UUID, bytes | None]:
        """Return those of the conversations that were erased, and the digest of each one's owner."""
        async with self._trusted() as connection, self._database.single(connection, lock=LOCK_TIMEOUT):
            return {row[0]: row[1] for row in await connection.fetch(_ERASED, conversation_ids)}

    @asynccontextmanager
    async def transaction(self, *, lock: float | None = None) -> AsyncIterator[AppendDAO]:
        """Give the append path's questions inside a transaction; it is committed on the way out.

        ``lock`` is its lock time-out in seconds, LOCK_TIMEOUT if left out. Raises DatabaseUnavailable when no
        connection can be had, and the driver's exceptions otherwise.
        """
        async with self._trusted() as connection, self._database.transaction(connection, lock=LOCK_TIMEOUT):
            if lock is not None:
                await connection.execute(f"SET LOCAL lock_timeout = {round(lock * 1000)}")
            yield AppendDAO(connection)

    @asynccontextmanager
    async def _trusted(self) -> AsyncIterator[asyncpg.Connection]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.connect(lock=LOCK_TIMEOUT)
        with orderly(self._connection), confirmed(self._connection):
            yield self._connection

    async def close(self) -> None:
        """Close the connection; it is safe to close twice."""
        if self._connection is not None:
            self._connection.terminate()
