"""SQL on the events of a voice session that are not messages.

A place in a session is the phone's number (`client_sequence`). An event without a number gets a place behind all
numbered ones: `UNCOUNTED` plus the conversation's last sequence when the event arrived.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import BigInteger, DateTime, Integer, Text, and_, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import VoiceEvent, VoiceSession
from backend.vocabulary import LARGEST_INT, Enrichment

UNCOUNTED: Final = LARGEST_INT + 1

_ADD: Final = text("""
    INSERT INTO voice_events (
        conversation_id, voice_session_id, id, number, type, detail, client_sequence, after_sequence, received_at,
        time_estimated
    )
    SELECT :conversation, :session, id,
        (extract(epoch FROM statement_timestamp()) * 1000000)::bigint * 1000 + place, type, nullif(detail, 'null'),
        client_sequence, after_sequence,
        coalesce(received_at, clock_timestamp()), received_at IS NULL
    FROM unnest(:ids, :types, :details, :numbers, :afters, :times)
        WITH ORDINALITY AS event (id, type, detail, client_sequence, after_sequence, received_at, place)
    ORDER BY place
    ON CONFLICT DO NOTHING
    RETURNING id
""").bindparams(
    bindparam("ids", type_=ARRAY(SQL_UUID)),
    bindparam("types", type_=ARRAY(Text)),
    bindparam("details", type_=ARRAY(JSONB)),
    bindparam("numbers", type_=ARRAY(Integer)),
    bindparam("afters", type_=ARRAY(BigInteger)),
    bindparam("times", type_=ARRAY(DateTime(timezone=True))),
)
_ENRICH: Final = text(f"""
    UPDATE messages SET metadata = enriched.metadata
    FROM (
        SELECT message.id, (coalesce(message.metadata, '{{}}') - '{{{",".join(Enrichment)}}}'::text[]) || added.metadata
        FROM messages AS message JOIN unnest(:ids, :added) AS added (id, metadata) USING (id)
        WHERE message.conversation_id = :conversation AND message.metadata ->> 'provider' = :provider
    ) AS enriched (id, metadata)
    WHERE messages.conversation_id = :conversation AND messages.id = enriched.id
        AND messages.metadata IS DISTINCT FROM enriched.metadata
""").bindparams(bindparam("ids", type_=ARRAY(SQL_UUID)), bindparam("added", type_=ARRAY(JSONB)))  # noqa: S608


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


class IncidentRow(NamedTuple):
    """An event whose text is kept, such as an error or a warning of the provider."""

    type: str
    client_sequence: int | None
    received_at: datetime
    detail: Mapping[str, Any]


def place_of(client_sequence: int | None, sequence: int) -> int:
    """Return the place in a session of a number of the phone or, without one, of a ``sequence`` of the conversation."""
    return UNCOUNTED + sequence if client_sequence is None else client_sequence


class VoiceEventDAO:
    """The statements on the events of one voice session, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession, voice_session: VoiceSession) -> None:
        self._session = session
        self._names = {"session": voice_session.id, "conversation": voice_session.conversation_id}
        self._of_it = and_(
            VoiceEvent.voice_session_id == voice_session.id,
            VoiceEvent.conversation_id == voice_session.conversation_id,
        )

    async def add(self, events: Sequence[NewEvent]) -> set[UUID]:
        """Store the events whose id is new in this session, and return their ids."""
        ids, types, details, numbers, afters, times = zip(*events, strict=True)
        values = {"ids": ids, "types": types, "details": details, "numbers": numbers, "afters": afters, "times": times}
        return set(await self._session.scalars(_ADD, self._names | values))

    async def known(self, ids: Sequence[UUID]) -> dict[UUID, tuple[str, Mapping[str, object] | None]]:
        """Return the type and the detail, by id, of those of ``ids`` that are stored."""
        rows = await self._session.execute(
            select(VoiceEvent.id, VoiceEvent.type, VoiceEvent.detail).where(self._of_it, VoiceEvent.id.in_(ids))
        )
        return {row.id: (row.type, row.detail) for row in rows}

    async def enrich(self, added: Mapping[UUID, Mapping[str, Any]], provider: str) -> None:
        """Replace the keys of `Enrichment` in the metadata of each message by ``added``; other keys stay.

        Only messages whose metadata names ``provider`` change: in others these keys are the sender's own.
        """
        if added:
            conversation = self._names["conversation"]
            values = {"ids": [*added], "added": [*added.values()], "provider": provider, "conversation": conversation}
            await self._session.execute(_ENRICH, values)

    async def counts(self, most: int) -> dict[str, int]:
        """Return the number of events by type, for the ``most`` most frequent types."""
        rows = await self._session.execute(
            select(VoiceEvent.type, func.count())
            .where(self._of_it)
            .group_by(VoiceEvent.type)
            .order_by(func.count().desc(), VoiceEvent.type)
            .limit(most)
        )
        return dict(sorted((row[0], row[1]) for row in rows))

    async def incidents(self, types: Sequence[str], limit: int) -> Sequence[IncidentRow]:
        """Return the first ``limit`` events of the ``types``, in the phone's order."""
        rows = await self._session.execute(
            select(VoiceEvent.type, VoiceEvent.client_sequence, VoiceEvent.received_at, VoiceEvent.detail)
            .where(self._of_it, VoiceEvent.type.in_(types))
            .order_by(VoiceEvent.client_sequence.nulls_last(), VoiceEvent.number)
            .limit(limit)
        )
        return [IncidentRow(*row) for row in rows]
