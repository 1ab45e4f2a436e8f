"""SQL that reads the events of a voice session that are not messages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import and_, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import VoiceEvent, VoiceSession
from backend.vocabulary import INCIDENTS

# As text, because a plan for all values cannot use the index that has only these types.
_IS_INCIDENT: Final = text(f"type IN {INCIDENTS}")


class IncidentRow(NamedTuple):
    """An event whose text is kept, such as an error or a warning of the provider."""

    type: str
    client_sequence: int | None
    received_at: datetime
    detail: Mapping[str, Any]


class VoiceEventDAO:
    """The statements on the events of one voice session, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession, voice_session: VoiceSession) -> None:
        self._session = session
        self._names = {"session": voice_session.id, "conversation": voice_session.conversation_id}
        self._of_it = and_(
            VoiceEvent.voice_session_id == voice_session.id,
            VoiceEvent.conversation_id == voice_session.conversation_id,
        )

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

    async def incidents(self, limit: int) -> Sequence[IncidentRow]:
        """Return the first ``limit`` incidents, in the phone's order."""
        rows = await self._session.execute(
            select(VoiceEvent.type, VoiceEvent.client_sequence, VoiceEvent.received_at, VoiceEvent.detail)
            .where(self._of_it, _IS_INCIDENT)
            .order_by(VoiceEvent.client_sequence.nulls_last(), VoiceEvent.number)
            .limit(limit)
        )
        return [IncidentRow(*row) for row in rows]
