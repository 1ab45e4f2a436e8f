"""SQL on holds, whose rows are never removed."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import Hold
from verbatim_record.ids import new_id


class HoldDAO:
    """The statements on holds, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def active(self, conversation_id: UUID) -> Hold | None:
        """Return the hold of a conversation, or None if it is not held.

        The caller has locked the conversation, so that no hold begins before its transaction ends.
        """
        return await self._session.scalar(
            select(Hold).where(Hold.conversation_id == conversation_id, Hold.released_at.is_(None))
        )

    async def add(self, conversation_id: UUID, reason: str, actor: str) -> Hold:
        """Hold a conversation that the caller has locked and that is not held; return the hold."""
        hold = Hold(id=new_id(), conversation_id=conversation_id, reason=reason, held_by=actor)
        self._session.add(hold)
        await self._session.flush()
        await self._session.refresh(hold)
        return hold

    async def release(self, conversation_id: UUID, actor: str) -> bool:
        """End the hold of a conversation, and return whether it was held."""
        released = await self._session.scalar(
            update(Hold)
            .where(Hold.conversation_id == conversation_id, Hold.released_at.is_(None))
            .values(released_at=func.now(), released_by=actor)
            .returning(Hold.id)
        )
        return released is not None

    async def count_active(self) -> int:
        """Return how many conversations are on hold."""
        return await self._session.scalar(select(func.count()).where(Hold.released_at.is_(None))) or 0

    async def newest(
        self, conversation_id: UUID | None, *, active: bool | None, before: tuple[int, UUID] | None, limit: int
    ) -> Sequence[Hold]:
        """Return at most ``limit`` holds, newest first, from after the number and id ``before`` (exclusive).

        ``active`` selects those that hold (True) or that have ended (False); None selects both.
        """
        statement = select(Hold).order_by(Hold.number.desc(), Hold.id.desc()).limit(limit)
        if conversation_id is not None:
            statement = statement.where(Hold.conversation_id == conversation_id)
        if active is not None:
            statement = statement.where(Hold.released_at.is_(None) if active else Hold.released_at.is_not(None))
        if before is not None:
            statement = statement.where(tuple_(Hold.number, Hold.id) < before)
        return (await self._session.scalars(statement)).all()
