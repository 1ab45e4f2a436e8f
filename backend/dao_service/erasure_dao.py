"""SQL on erasures: the rows that keep an erased conversation's id, so that the service answers 410 for it."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import Erasure
from backend.dao_service.ownership import owner_digest


class ErasureDAO:
    """The statements on erasures, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, conversation_id: UUID) -> Erasure | None:
        """Return the erasure of the conversation, or None if it was not erased."""
        return await self._session.scalar(select(Erasure).where(Erasure.conversation_id == conversation_id))

    async def add(self, conversation_id: UUID, owner: str | None, message_count: int) -> None:
        """Store that the conversation is erased.

        It replaces an earlier erasure of the same id, because a host may create a conversation again.
        """
        kept = {"owner_digest": owner_digest(conversation_id, owner), "message_count": message_count}
        await self._session.execute(
            (
                new := insert(Erasure).values(conversation_id=conversation_id, erased_at=func.now(), **kept)
            ).on_conflict_do_update(
                index_elements=[Erasure.conversation_id], set_=kept | {"erased_at": new.excluded.erased_at}
            )
        )
