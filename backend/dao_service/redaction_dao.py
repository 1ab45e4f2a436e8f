"""SQL that takes words out of a message, and out of what was derived from it.

The message's row is locked first. The search worker stores words while it holds a lock on that row, and only if the row
has not changed since it read it; so it has committed before, and its words are emptied here, or it reads the row anew.
"""

import hashlib
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.portions import ONE
from backend.dao_service.search_index_dao import TABLES
from backend.vocabulary import INCIDENTS, REDACTED, REDACTED_DETAIL

_LOCK: Final = text("""
    SELECT sequence, content, coalesce(metadata, '{}') AS metadata, role, clock_timestamp() AS now
    FROM messages WHERE id = :message AND conversation_id = :conversation FOR UPDATE
""").columns(metadata=JSONB)
_REWRITE: Final = text("""
    UPDATE messages SET content = :content, metadata = :metadata
    WHERE id = :message AND conversation_id = :conversation
""").bindparams(bindparam("metadata", type_=JSONB))
_EMPTY: Final = [text(f"UPDATE {table} SET words = '' WHERE message_id = :message") for table in TABLES]  # noqa: S608
_IN_CONVERSATION: Final = """
    conversation_id = :conversation
    AND voice_session_id IN (SELECT id FROM voice_sessions WHERE conversation_id = :conversation)
"""
# Any incident may quote a part of the message, or paraphrase it.
_INCIDENTS: Final = text(f"""
    UPDATE voice_events SET detail = :redacted WHERE {_IN_CONVERSATION} AND type IN {INCIDENTS} AND detail <> :redacted
""").bindparams(bindparam("redacted", type_=JSONB))  # noqa: S608 -- made of constants
# Short words can be found from the hash of what the provider repeated of the message after a reconnect.
_HISTORY: Final = text(f"""
    UPDATE voice_events SET detail = jsonb_build_object('role', CAST(:role AS text), '{REDACTED}', true)
    WHERE {_IN_CONVERSATION} AND type = 'History' AND detail ->> 'role' = :role AND detail ->> 'sha256' = :before
""")  # noqa: S608 -- made of constants
_DOCUMENT: Final = text(ONE)


class Redactable(NamedTuple):
    """A message that is locked, and PostgreSQL's time."""

    sequence: int
    content: str
    metadata: dict[str, Any]
    role: str
    now: datetime


class RedactionDAO:
    """The statements that redact the message ``message_id`` of a conversation, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession, conversation_id: UUID, message_id: UUID) -> None:
        self._session = session
        self._names = {"conversation": conversation_id, "message": message_id}

    async def lock(self) -> Redactable | None:
        """Lock the message until the transaction ends, and return it, or None if there is none."""
        row = (await self._session.execute(_LOCK, self._names)).one_or_none()
        return None if row is None else Redactable(*row)

    async def rewrite(self, before: Redactable, content: str, metadata: dict[str, Any]) -> None:
        """Store the new content and metadata; empty the words for search, the conversation's incidents, the history."""
        await self._session.execute(_REWRITE, self._names | {"content": content, "metadata": metadata})
        for statement in _EMPTY:
            await self._session.execute(statement, self._names)
        await self._session.execute(_INCIDENTS, self._names | {"redacted": REDACTED_DETAIL})
        digest = hashlib.sha256(before.content.encode()).hexdigest()
        await self._session.execute(_HISTORY, self._names | {"before": digest, "role": before.role})

    async def document(self) -> bytes:
        """Return the message as every reader gets it, as JSON."""
        found: bytes = await self._session.scalar(_DOCUMENT, self._names)
        return found
