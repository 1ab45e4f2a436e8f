"""SQL on erasures: the rows that keep an erased conversation's id, so that the service answers 410 for it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Text, cast, func, select
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

    async def of_owner(self, owner: str, *, after: UUID | None, limit: int) -> Sequence[Erasure]:
        """Return at most ``limit`` erasures of conversations of ``owner``, by id, from after ``after`` (exclusive).

        Every erasure from there on is looked at, because none tells its owner: a million take about a second.
        """
        of_it = func.concat(cast(Erasure.conversation_id, Text), ":", owner)
        wanted = select(Erasure).where(Erasure.owner_digest == func.sha256(func.convert_to(of_it, "UTF8")))
        if after is not None:
            wanted = wanted.where(Erasure.conversation_id > after)
        return (await self._session.scalars(wanted.order_by(Erasure.conversation_id).limit(limit))).all()

    async def add(self, conversation_id: UUID, owner: str | None, message_count: int) -> datetime:
        """Store that the conversation is erased, and return the time of the erasure.

        It replaces an earlier erasure of the same id, because a host may create a conversation again.
        """
        kept = {"owner_digest": owner_digest(conversation_id, owner), "message_count": message_count}
        new = insert(Erasure).values(conversation_id=conversation_id, erased_at=func.now(), **kept)
        erased_at: datetime | None = await self._session.scalar(
            new.on_conflict_do_update(
                index_elements=[Erasure.conversation_id], set_=kept | {"erased_at": new.excluded.erased_at}
            ).returning(Erasure.erased_at)
        )
        assert erased_at is not None  # noqa: S101 -- a row was written
        return erased_at
