"""SQL that takes words out of a message, and out of what was derived from it.

The message's row is locked first. The search worker stores words while it holds a lock on that row, and only if the row
has not changed since it read it; so it has committed before, and its words are emptied here, or it reads the row anew.
"""

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.portions import ONE
from backend.dao_service.search_index_dao import TABLES
from backend.vocabulary import INCIDENTS, REDACTED

REDACTED_DETAIL: Final = {REDACTED: True}  # of an event whose text was taken out

_LOCK: Final = text("""
    SELECT sequence, content, coalesce(metadata, '{}') AS metadata, role, voice_session_id, client_sequence,
        clock_timestamp() AS now
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
# An incident is the one about the message, by the phone's number, or one that quotes what is taken out.
_INCIDENTS: Final = text(f"""
    UPDATE voice_events SET detail = :redacted
    WHERE {_IN_CONVERSATION} AND type IN {INCIDENTS} AND detail IS NOT NULL AND (
        (voice_session_id, client_sequence) = (:session, :number)
        OR EXISTS (
            SELECT FROM jsonb_path_query(detail, '$.** ? (@.type() == "string")') AS quoted (value)
            JOIN unnest(:removed) AS removed (words) ON strpos(value #>> '{{}}', removed.words) > 0
        )
    )
""").bindparams(bindparam("redacted", type_=JSONB), bindparam("removed", type_=ARRAY(Text)))  # noqa: S608
# What the provider repeats of the message after a reconnect is compared with it by its hash.
_HISTORY: Final = text(f"""
    UPDATE voice_events SET detail = detail || jsonb_build_object('sha256', CAST(:after AS text), '{REDACTED}', true)
    WHERE {_IN_CONVERSATION} AND type = 'History' AND detail ->> 'role' = :role AND detail ->> 'sha256' = :before
""")  # noqa: S608 -- made of constants
_DOCUMENT: Final = text(ONE)


class Redactable(NamedTuple):
    """A message that is locked, and PostgreSQL's time."""

    sequence: int
    content: str
    metadata: dict[str, Any]
    role: str
    voice_session_id: str | None
    client_sequence: int | None
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

    async def rewrite(
        self, before: Redactable, content: str, metadata: dict[str, Any], removed: Collection[str]
    ) -> None:
        """Store the new content and metadata, and take ``removed`` out of search, incidents and history."""
        await self._session.execute(_REWRITE, self._names | {"content": content, "metadata": metadata})
        for statement in _EMPTY:
            await self._session.execute(statement, self._names)
        number = {"session": before.voice_session_id, "number": before.client_sequence}
        values = {"redacted": REDACTED_DETAIL, "removed": [*removed]}
        await self._session.execute(_INCIDENTS, self._names | number | values)
        digests = {"before": _digest(before.content), "after": _digest(content), "role": before.role}
        await self._session.execute(_HISTORY, self._names | digests)

    async def document(self) -> bytes:
        """Return the message as every reader gets it, as JSON."""
        found: bytes = await self._session.scalar(_DOCUMENT, self._names)
        return found


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
