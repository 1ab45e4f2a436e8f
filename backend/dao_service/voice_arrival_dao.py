"""The SQL that records the events of a phone, on asyncpg's own connection: SQLAlchemy costs as much again.

A place in a session is the phone's number (`client_sequence`). An event without a number gets a place behind all
numbered ones: `UNCOUNTED` plus the conversation's last sequence when the event arrived.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from cachetools import LRUCache

from backend.dao_service.ownership import OWNER_SQL, reaches_sql
from backend.dao_service.placement import SPREAD
from backend.dao_service.voice_session_dao import PRESUMED, SEEN, TICK
from backend.vocabulary import LARGEST_INT, REDACTED, AuditAction, Enrichment

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
    WHERE session.id = $1 AND session.conversation_id = $4
        AND {reaches_sql("$2::text", OWNER_SQL.format("conversation"))}
"""  # noqa: S608 -- made of constants
_CONVERSATION: Final = "SELECT conversation_id FROM voice_session_ids WHERE id = $1"
# The conversation of each session that was found for an owner, so that the next request need not ask the directory. A
# session keeps its conversation, unless that is erased and the session begins anew: then the directory is asked again.
_KNOWN_CONVERSATIONS: Final[LRUCache[tuple[str, str | None], UUID]] = LRUCache(100_000)
# First the conversation, then the session, as the transactions that end or erase one lock them: no deadlock.
# PostgreSQL would plan the statements that follow anew for each request, which takes as long as they run (measured). It
# keeps their plans for the values of other requests, too; Citus has no such plans.
_LOCK: Final = f"""
    SELECT last_sequence, seen_at, provider_session_ids,
        CASE WHEN to_regclass('{SPREAD}') IS NULL THEN set_config('plan_cache_mode', 'force_generic_plan', true) END
    FROM conversations AS conversation, voice_sessions AS session
    WHERE conversation.id = $2 AND session.id = $1 AND session.conversation_id = $2
    FOR KEY SHARE OF conversation FOR NO KEY UPDATE OF session
"""  # noqa: S608 -- made of constants
_ADD: Final = """
    INSERT INTO voice_events (
        voice_session_id, conversation_id, id, number, type, detail, client_sequence, after_sequence, received_at,
        time_estimated
    )
    SELECT $1, $2, id, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint * 1000 + place, type,
        detail::jsonb, client_sequence, after_sequence, coalesce(received_at, clock_timestamp()), received_at IS NULL
    FROM unnest($3::uuid[], $4::text[], $5::text[], $6::int[], $7::bigint[], $8::timestamptz[])
        WITH ORDINALITY AS event (id, type, detail, client_sequence, after_sequence, received_at, place)
    ORDER BY place
    ON CONFLICT DO NOTHING
    RETURNING id
"""
_KNOWN: Final = """
    SELECT id, type, detail::text FROM voice_events
    WHERE voice_session_id = $1 AND conversation_id = $2 AND id = ANY ($3::uuid[])
"""
_IS_REDACTED: Final = f"""
    SELECT EXISTS (
        SELECT FROM audit_entries WHERE conversation_id = $1 AND action = '{AuditAction.MESSAGE_REDACTED}'
    )
"""  # noqa: S608 -- made of constants
_MOST_CONNECTIONS: Final = 1_000  # names kept of a session; a phone that reconnects every second takes 17 minutes
_TOUCH: Final = f"""
    UPDATE voice_sessions SET {SEEN.format(after="$3::timestamptz")}, duplicates = duplicates + $4,
        provider_session_ids = $5
    WHERE id = $1 AND conversation_id = $2 RETURNING {PRESUMED}
"""  # noqa: S608 -- made of constants
_ADDED: Final = f"(coalesce(m.metadata, '{{}}') - '{{{','.join(Enrichment)}}}'::text[]) || added.metadata::jsonb"
# Only messages whose metadata names the provider change: in others these keys are the sender's own. Redacted ones do
# not change: PostgreSQL looks again when it has waited for a row, and so sees a redaction that was committed meanwhile.
# The range of sequences keeps every plan from reading the whole conversation, which may be long.
_ENRICH_AND_TOUCH: Final = f"""
    WITH enriched AS (
        UPDATE messages AS m SET metadata = {_ADDED} FROM unnest($6::uuid[], $7::text[]) AS added (id, metadata)
        WHERE m.conversation_id = $2 AND m.sequence BETWEEN $9 AND $10 AND m.id = added.id
            AND m.metadata ->> 'provider' = $8 AND NOT m.metadata ? '{REDACTED}' AND m.metadata <> {_ADDED}
    )
    {_TOUCH}
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


class Enriched(NamedTuple):
    """What the events of a session say of messages.

    In the metadata of each message of ``additions``, by its id, the keys of `Enrichment` are replaced by the given
    ones; other keys stay. ``sequences`` are those of the messages.
    """

    additions: Mapping[UUID, Mapping[str, Any]]
    sequences: Collection[int]


def place_of(client_sequence: int | None, sequence: int) -> int:
    """Return the place in a session of a number of the phone or, without one, of a ``sequence`` of the conversation."""
    return UNCOUNTED + sequence if client_sequence is None else client_sequence


async def find_session(
    connection: asyncpg.Connection, session_id: str, owner: str | None, numbers: Collection[int]
) -> tuple[KnownSession | None, dict[int, Neighbours]]:
    """Return a session, and the messages on record next to each of ``numbers``, by number.

    The session is None unless its conversation belongs to ``owner`` (None admits every owner).
    """
    rows: list[asyncpg.Record] = []
    if conversation_id := _KNOWN_CONVERSATIONS.pop((session_id, owner), None):
        rows = await connection.fetch(_FIND, session_id, owner, [*numbers], conversation_id)
    if not rows:  # one that is missing takes as many statements as one of another owner
        conversation_id = await connection.fetchval(_CONVERSATION, session_id)
        rows = await connection.fetch(_FIND, session_id, owner, [*numbers], conversation_id)
    if rows:
        _KNOWN_CONVERSATIONS[session_id, owner] = rows[0]["conversation_id"]
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
        self._seen_at = datetime.min.replace(tzinfo=UTC)
        self._connections: list[str] = []

    async def lock(self) -> int | None:
        """Lock the session until the transaction ends, and prevent erasure and redaction meanwhile (FOR KEY SHARE).

        Return the sequence of the conversation's last message, or None if one of the two was erased.
        """
        found = await self.connection.fetchrow(_LOCK, *self._session[:2])
        if found is None:
            return None
        last: int
        last, self._seen_at, self._connections, _ = found
        return last

    async def is_redacted(self) -> bool:
        """Tell whether words were taken out of a message of the conversation; the caller has locked the session."""
        return bool(await self.connection.fetchval(_IS_REDACTED, self._session.conversation_id))

    async def add(self, events: Sequence[NewEvent]) -> set[UUID]:
        """Store the events whose id is new in this session, and return their ids."""
        ids, types, details, *others = zip(*events, strict=True)
        texts = [None if each is None else json.dumps(each) for each in details]
        rows = await self.connection.fetch(_ADD, *self._session[:2], ids, types, texts, *others)
        return {row[0] for row in rows}

    async def known(self, ids: Sequence[UUID]) -> dict[UUID, tuple[str, Mapping[str, object] | None]]:
        """Return the type and the detail, by id, of those of ``ids`` that are stored."""
        rows = await self.connection.fetch(_KNOWN, *self._session[:2], ids)
        return {row[0]: (row[1], row[2] and json.loads(row[2])) for row in rows}

    async def touch(self, *, duplicates: int, connections: Sequence[str], enriched: Enriched) -> bool:
        """Set the time of the last request of the locked session to now, and add ``duplicates`` and ``connections``.

        ``connections`` are the provider's names for connections that have begun. Return whether the service has
        presumed the session's end, so that the caller must reopen it.
        """
        names = [*dict.fromkeys([*self._connections, *connections])][:_MOST_CONNECTIONS]
        values = (*self._session[:2], self._seen_at + TICK, duplicates, names)
        if not enriched.additions:
            return bool(await self.connection.fetchval(_TOUCH, *values))
        texts = [json.dumps(each) for each in enriched.additions.values()]
        ends = min(enriched.sequences), max(enriched.sequences)
        messages = ([*enriched.additions], texts, self._session.provider, *ends)
        return bool(await self.connection.fetchval(_ENRICH_AND_TOUCH, *values, *messages))
