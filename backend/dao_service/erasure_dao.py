"""SQL on erasures: the rows that keep an erased conversation's id, so that the service answers 410 for it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Text, cast, func, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import Erasure
from backend.dao_service.ownership import owner_digest

_STRETCH: Final = 20_000  # erasures that one page looks at, in about 20 ms


class ErasureDAO:
    """The statements on erasures, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, conversation_id: UUID) -> Erasure | None:
        """Return the erasure of the conversation, or None if it was not erased."""
        return await self._session.scalar(select(Erasure).where(Erasure.conversation_id == conversation_id))

    async def of_owner(self, owner: str, *, after: UUID | None, limit: int) -> tuple[Sequence[Erasure], UUID | None]:
        """Return at most ``limit`` erasures of conversations of ``owner``, by id, from after ``after`` (exclusive).

        No erasure names its owner, so each is looked at, at most `_STRETCH` at once: there may be more rows although
        fewer than ``limit`` are returned. Also returns the id after which to go on, None at the end.
        """
        ids = Erasure.conversation_id
        beyond = ids > after if after is not None else true()
        end = await self._session.scalar(select(ids).where(beyond).order_by(ids).offset(_STRETCH - 1).limit(1))
        digest = func.sha256(func.convert_to(func.concat(cast(ids, Text), ":", owner), "UTF8"))
        wanted = select(Erasure).where(beyond, ids <= end if end is not None else true())
        wanted = wanted.where(Erasure.owner_digest == digest).order_by(ids).limit(limit + 1)
        rows = (await self._session.scalars(wanted)).all()
        return rows[:limit], rows[limit - 1].conversation_id if len(rows) > limit else end

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
