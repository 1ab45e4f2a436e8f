"""The SQL that records the events of a phone, on asyncpg's own connection: SQLAlchemy costs as much again.

A place in a session is the phone's number (`client_sequence`). An event without a number gets a place behind all
numbered ones: `UNCOUNTED` plus the conversation's last sequence when the event arrived.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from backend.dao_service.ownership import OWNER_SQL, reaches_sql
from backend.dao_service.voice_session_dao import PRESUMED, SEEN
from backend.vocabulary import LARGEST_INT, Enrichment

UNCOUNTED: Final = LARGEST_INT + 1

_NEAREST: Final = """
    LEFT JOIN LATERAL (
        SELECT client_sequence, timestamp FROM messages
        WHERE voice_session_id = session.id AND conversation_id = session.conversation_id
            AND client_sequence {side} wanted.number
        ORDER BY client_sequence {direction}, sequence {direction} LIMIT 1
    ) AS {name} ON true
"""
_FIND: Final = f"""
    SELECT session.id, session.conversation_id, provider, salt, wanted.number,
        before.client_sequence, before.timestamp, after.client_sequence, after.timestamp
    FROM voice_sessions AS session JOIN conversations AS conversation ON conversation.id = session.conversation_id
    LEFT JOIN unnest($3::int[]) AS wanted (number) ON true
    {_NEAREST.format(side="<", direction="DESC", name="before")}
    {_NEAREST.format(side=">", direction="ASC", name="after")}
    WHERE session.id = $1 AND {reaches_sql("$2::text", OWNER_SQL.format("conversation"))}
"""  # noqa: S608 -- made of constants
# First the conversation, then the session, as the transactions that end or erase one lock them: no deadlock.
_LOCK: Final = """
    SELECT last_sequence FROM conversations AS conversation, voice_sessions AS session
    WHERE conversation.id = $2 AND session.id = $1 FOR KEY SHARE OF conversation FOR NO KEY UPDATE OF session
"""
_ADD: Final = """
    INSERT INTO voice_events (
        voice_session_id, id, type, detail, client_sequence, after_sequence, received_at, time_estimated
    )
    SELECT $1, id, type, detail::jsonb, client_sequence, after_sequence,
        coalesce(received_at, clock_timestamp()), received_at IS NULL
    FROM unnest($2::uuid[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::timestamptz[])
        WITH ORDINALITY AS event (id, type, detail, client_sequence, after_sequence, received_at, place)
    ORDER BY place
    ON CONFLICT (voice_session_id, id) DO NOTHING
    RETURNING id
"""
_KNOWN: Final = """
    SELECT id, type, detail::text FROM voice_events WHERE voice_session_id = $1 AND id = ANY ($2::uuid[])
"""
_MOST_CONNECTIONS: Final = 1_000  # names kept of a session; a phone that reconnects every second takes 17 minutes
# Only messages whose metadata names the provider change: in others these keys are the sender's own. `= ANY` keeps the
# plan from reading the whole table.
_TOUCH: Final = f"""
    WITH enriched AS (
        UPDATE messages SET metadata = enriched.metadata
        FROM (
            SELECT message.id,
                (coalesce(message.metadata, '{{}}') - '{{{",".join(Enrichment)}}}'::text[]) || added.metadata::jsonb
            FROM messages AS message JOIN unnest($4::uuid[], $5::text[]) AS added (id, metadata) USING (id)
            WHERE message.id = ANY ($4) AND message.metadata ->> 'provider' = $6
        ) AS enriched (id, metadata)
        WHERE messages.id = ANY ($4) AND messages.id = enriched.id
            AND messages.metadata IS DISTINCT FROM enriched.metadata
    )
    UPDATE voice_sessions SET {SEEN}, duplicates = duplicates + $2,
        provider_session_ids = (provider_session_ids || ARRAY(
            SELECT name FROM unnest($3::text[]) WITH ORDINALITY AS new (name, place)
            WHERE name <> ALL (provider_session_ids) GROUP BY name ORDER BY min(place)
        ))[1:{_MOST_CONNECTIONS}]
    WHERE id = $1 RETURNING {PRESUMED}
"""  # noqa: S608 -- made of constants


class KnownSession(NamedTuple):
    """A voice session whose phone has sent events."""

    id: str
    conversation_id: UUID
    provider: str
    salt: UUID | None


class NumberedMessage(NamedTuple):
    """A message of a session: the phone's number, and the time at which it was said."""

    number: int
    at: datetime


class Neighbours(NamedTuple):
    """The messages with the nearest lower and the nearest higher number; None where there is none."""

    before: NumberedMessage | None
    after: NumberedMessage | None


class NewEvent(NamedTuple):
    """An event to store. The fields stand in the order of the statement's arrays.

    ``after_sequence`` is the conversation's last sequence when the event arrived.
    """

    id: UUID
    type: str
    detail: Mapping[str, object] | None
    client_sequence: int | None
    after_sequence: int
    received_at: datetime | None

    @property
    def place(self) -> int:
        """The event's place in its session."""
        return place_of(self.client_sequence, self.after_sequence)


def place_of(client_sequence: int | None, sequence: int) -> int:
    """Return the place in a session of a number of the phone or, without one, of a ``sequence`` of the conversation."""
    return UNCOUNTED + sequence if client_sequence is None else client_sequence


async def find_session(
    connection: asyncpg.Connection, session_id: str, owner: str | None, numbers: Collection[int]
) -> tuple[KnownSession | None, dict[int, Neighbours]]:
    """Return a session, and the messages on record next to each of ``numbers``, by number.

    The session is None unless its conversation belongs to ``owner`` (None admits every owner).
    """
    rows = await connection.fetch(_FIND, session_id, owner, [*numbers])
    around = {
        number: Neighbours(
            None if before is None else NumberedMessage(before, before_at),
            None if after is None else NumberedMessage(after, after_at),
        )
        for _, _, _, _, number, before, before_at, after, after_at in rows
        if number is not None
    }
    return KnownSession(*rows[0][:4]) if rows else None, around


class VoiceArrivalDAO:
    """The statements that record events of one session, in the transaction of ``connection``."""

    def __init__(self, connection: asyncpg.Connection, session: KnownSession) -> None:
        self.connection = connection
        self._session = session

    async def lock(self) -> int | None:
        """Lock the session until the transaction ends, and prevent erasure of its conversation (FOR KEY SHARE).

        Return the sequence of the conversation's last message, or None if one of the two was erased.
        """
        found: int | None = await self.connection.fetchval(_LOCK, self._session.id, self._session.conversation_id)
        return found

    async def add(self, events: Sequence[NewEvent]) -> set[UUID]:
        """Store the events whose id is new in this session, and return their ids."""
        ids, types, details, *others = zip(*events, strict=True)
        texts = [None if each is None else json.dumps(each) for each in details]
        rows = await self.connection.fetch(_ADD, self._session.id, ids, types, texts, *others)
        return {row[0] for row in rows}

    async def known(self, ids: Sequence[UUID]) -> dict[UUID, tuple[str, Mapping[str, object] | None]]:
        """Return the type and the detail, by id, of those of ``ids`` that are stored."""
        rows = await self.connection.fetch(_KNOWN, self._session.id, ids)
        return {row[0]: (row[1], row[2] and json.loads(row[2])) for row in rows}

    async def touch(
        self, *, duplicates: int, connections: Sequence[str], enriched: Mapping[UUID, Mapping[str, Any]]
    ) -> bool:
        """Set the time of the phone's last request to now, and add ``duplicates`` and new ``connections``.

        ``connections`` are the provider's names for connections that have begun. In the metadata of each message of
        ``enriched`` the keys of `Enrichment` are replaced by the given ones; other keys stay. Return whether the
        service has presumed the session's end, so that the caller must reopen it.
        """
        texts = [json.dumps(each) for each in enriched.values()]
        session = self._session
        return bool(
            await self.connection.fetchval(
                _TOUCH, session.id, duplicates, connections, [*enriched], texts, session.provider
            )
        )
