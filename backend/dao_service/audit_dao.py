"""SQL on the audit, to which rows can only be added.

The number of an entry is a time, and above those of its conversation and of its action, so that a reader sees from the
highest ones that something was done since, also if the clock was set back. The caller has locked the conversation.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import insert, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import AuditEntry
from backend.dao_service.models.base import NUMBER
from verbatim_record.ids import new_id

_NEXT: Final = text(f"""
    SELECT greatest(
        {NUMBER},
        (SELECT max(number) + 1 FROM audit_entries WHERE conversation_id = :conversation_id),
        (SELECT max(number) + 1 FROM audit_entries WHERE action = :action)
    )
""")  # noqa: S608 -- made of constants


class AuditDAO:
    """The statements on the audit, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(
        self,
        action: str,
        actor: str,
        conversation_id: UUID | None,
        message_id: UUID | None,
        details: Mapping[str, object],
    ) -> None:
        """Store that ``actor`` did ``action``, in the transaction that does it."""
        number = await self._session.scalar(_NEXT, {"conversation_id": conversation_id, "action": action})
        await self._session.execute(
            insert(AuditEntry).values(
                id=new_id(),
                number=number,
                action=action,
                actor=actor,
                conversation_id=conversation_id,
                message_id=message_id,
                details=dict(details),
            )
        )

    async def details(self, action: str, conversation_id: UUID, message_id: UUID) -> Sequence[dict[str, Any]]:
        """Return the details of each entry about a message with ``action``."""
        found = select(AuditEntry.details).where(
            AuditEntry.conversation_id == conversation_id,
            AuditEntry.message_id == message_id,
            AuditEntry.action == action,
        )
        return (await self._session.scalars(found)).all()

    async def newest(
        self, action: str | None, conversation_id: UUID | None, *, before: tuple[int, UUID] | None, limit: int
    ) -> Sequence[AuditEntry]:
        """Return at most ``limit`` entries, newest first, from after the number and id ``before`` (exclusive)."""
        statement = select(AuditEntry).order_by(AuditEntry.number.desc(), AuditEntry.id.desc()).limit(limit)
        if action is not None:
            statement = statement.where(AuditEntry.action == action)
        if conversation_id is not None:
            statement = statement.where(AuditEntry.conversation_id == conversation_id)
        if before is not None:
            statement = statement.where(tuple_(AuditEntry.number, AuditEntry.id) < before)
        return (await self._session.scalars(statement)).all()
