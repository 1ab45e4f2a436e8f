"""Remembering that a conversation was erased."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import Erasure
from backend.dao_service.ownership import owner_digest


class ErasureDAO:
    """Questions about erasures, and their addition."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, conversation_id: UUID) -> Erasure | None:
        """Return what is left of the conversation, if it was erased."""
        return await self._session.scalar(select(Erasure).where(Erasure.conversation_id == conversation_id))

    async def add(self, conversation_id: UUID, owner: str | None, message_count: int) -> None:
        """Note that the conversation is erased; a host may have made it a second time since."""
        kept = {"owner_digest": owner_digest(conversation_id, owner), "message_count": message_count}
        await self._session.execute(
            insert(Erasure)
            .values(conversation_id=conversation_id, **kept)
            .on_conflict_do_update(index_elements=[Erasure.conversation_id], set_=kept | {"erased_at": func.now()})
        )
