"""SQL on demo data: which conversations are demo data, and the times of a past that was never recorded.

Demo data is told by its ids, which have the same first four bytes, and by its owners, whose names begin alike.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import ColumnElement, DateTime, and_, bindparam, delete, exists, func, not_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import Conversation, Delivery, Erasure, VoiceSession
from backend.dao_service.ownership import owner_text
from backend.vocabulary import DeliveryState

FIRST_ID: Final = UUID("de30da7a-0000-0000-0000-000000000000")
LAST_ID: Final = UUID("de30da7a-ffff-ffff-ffff-ffffffffffff")
OWNER_PREFIX: Final = "demo-"

_RECORDED_AT: Final = text("""
    UPDATE messages SET created_at = moved.at
    FROM unnest(:ids, :times) AS moved (id, at) WHERE messages.id = moved.id
""").bindparams(bindparam("ids", type_=ARRAY(SQL_UUID)), bindparam("times", type_=ARRAY(DateTime(timezone=True))))


class PastDelivery(NamedTuple):
    """A delivery with what became of it; the fields are columns of `deliveries`."""

    id: UUID
    state: DeliveryState
    attempts: int
    created_at: datetime
    due_at: datetime
    last_attempt_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None
    delivered_at: datetime | None = None


class DemoDataDAO:
    """The statements on demo data, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def ids(self) -> Sequence[UUID]:
        """Return the ids of all conversations of demo data, oldest first."""
        found = select(Conversation.id).where(_is_demo()).order_by(Conversation.created_at, Conversation.id)
        return (await self._session.scalars(found)).all()

    async def has_others(self) -> bool:
        """Return whether there is a conversation that is not demo data."""
        found = await self._session.scalar(select(exists().where(not_(func.coalesce(_is_demo(), False)))))
        return bool(found)

    async def move_messages(self, recorded_at: Mapping[UUID, datetime]) -> None:
        """Set when each message, by its id, was recorded."""
        await self._session.execute(_RECORDED_AT, {"ids": [*recorded_at], "times": [*recorded_at.values()]})

    async def move_session(self, session_id: str, started_at: datetime, seen_at: datetime) -> None:
        """Set when a voice session began, and when its phone last sent something; its duration follows."""
        length = func.extract("epoch", VoiceSession.ended_at - started_at)
        await self._session.execute(
            update(VoiceSession)
            .where(VoiceSession.id == session_id)
            .values(started_at=started_at, seen_at=seen_at, duration_seconds=func.round(length))
        )

    async def move_conversation(self, conversation_id: UUID, created_at: datetime, updated_at: datetime) -> None:
        """Set when a conversation was created, and when its row changed last."""
        await self._session.execute(
            update(Conversation)
            .where(Conversation.id == conversation_id)
            .values(created_at=created_at, updated_at=updated_at)
        )

    async def settle(self, delivery: PastDelivery) -> None:
        """Set what became of a delivery that this transaction has queued."""
        values = {name: value for name, value in delivery._asdict().items() if name != "id"}
        await self._session.execute(update(Delivery).where(Delivery.id == delivery.id).values(values))

    async def forget_erasures(self, conversation_ids: Sequence[UUID]) -> None:
        """Delete what tells that the conversations were erased, so that they can be created again."""
        await self._session.execute(delete(Erasure).where(Erasure.conversation_id.in_(conversation_ids)))


def _is_demo() -> ColumnElement[bool]:
    return and_(Conversation.id.between(FIRST_ID, LAST_ID), owner_text.startswith(OWNER_PREFIX))
