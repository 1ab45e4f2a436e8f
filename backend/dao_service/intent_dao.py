"""SQL on the intent of a conversation.

The payload is read as PostgreSQL's own JSON text: it loses nothing in Python, and a payload that the host stored with
numbers beyond Python's floats can still be read.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Select, Text, cast, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import Conversation
from backend.dao_service.ownership import owner_text, reached

_Stored = Select[str | None, str, str, str | None, datetime]


class StoredIntent(NamedTuple):
    """The intent of a conversation; ``intent`` is None where none was set, ``payload`` is JSON text."""

    intent: str | None
    payload: str | None
    owner: str | None
    voice_session_id: str | None
    updated_at: datetime


class IntentDAO:
    """The statements on intents, in the transaction of ``session``.

    The conversation must belong to ``owner``; None admits every owner.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, conversation_id: UUID, owner: str | None) -> StoredIntent | None:
        """Return the intent, or None if there is no such conversation."""
        return await self._one(_stored(conversation_id, owner))

    async def lock(self, conversation_id: UUID, owner: str | None) -> StoredIntent | None:
        """Lock the conversation's row until the transaction ends, and return its intent, or None without a row."""
        return await self._one(_stored(conversation_id, owner).with_for_update(key_share=True))

    async def set(self, conversation_id: UUID, intent: str, payload: Mapping[str, Any]) -> StoredIntent:
        """Set the intent of a conversation that the caller has locked, and return it as it is stored."""
        changed = await self._session.execute(
            update(Conversation)
            .where(Conversation.id == conversation_id)
            .values(extracted_intent=intent, intent_payload=payload, updated_at=func.now())
            .returning(*_COLUMNS)
        )
        return StoredIntent._make(changed.one())

    async def _one(self, statement: _Stored) -> StoredIntent | None:
        found = (await self._session.execute(statement)).one_or_none()
        return None if found is None else StoredIntent._make(found)


_COLUMNS: Final = (
    Conversation.extracted_intent,
    cast(Conversation.intent_payload, Text),
    owner_text,
    Conversation.voice_session_id,
    Conversation.updated_at,
)


def _stored(conversation_id: UUID, owner: str | None) -> _Stored:
    return select(*_COLUMNS).where(Conversation.id == conversation_id, reached(owner))
