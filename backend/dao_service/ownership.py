"""The one rule of who may access a conversation, in its four forms: Python, SQLAlchemy, SQL text, and for erasures.

A caller reaches either the conversations of one owner or those of every owner. `Principal.owner` decides which: it
returns the caller's subject, or None when the caller's scope covers every owner. That value, called ``wanted`` here,
is a part of each statement that finds a conversation, and of those that lock, change or delete one which they find
themselves. So a conversation of another owner behaves exactly like one that does not exist, and no later check can be
forgotten. Statements that go on with what the caller has found by this rule take its id alone.

A conversation without an owner is reached only with ``wanted`` None. The host's column ``user_id`` may be of any type:
every form compares it as text, which is what the index ``idx_conversations_owner`` holds.
"""

import hashlib
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, true

from backend.dao_service.models import Conversation

owner_text: Final = cast(Conversation.user_id, Text)
# The owner of a conversation in SQL, to be formatted with the name or alias of the table.
OWNER_SQL: Final = "{}.user_id::text"


def reaches(wanted: str | None, owner: str | None) -> bool:
    """Return whether a caller who may access the conversations of ``wanted`` may access one of ``owner``."""
    return wanted is None or wanted == owner


def reached(wanted: str | None) -> ColumnElement[bool]:
    """Return the rule as a condition on `Conversation`; it is a constant if ``wanted`` is None."""
    return true() if wanted is None else owner_text == wanted


def reaches_sql(wanted: str, owner: str) -> str:
    """Return the rule as SQL text of two expressions of type text; NULL as ``wanted`` means every owner."""
    return f"({wanted} IS NULL OR {wanted} = {owner})"


def owner_digest(conversation_id: UUID, owner: str | None) -> bytes | None:
    """Return the SHA-256 of the conversation's id and ``owner``, or None without an owner.

    An erasure stores it: it verifies a known owner, and reveals no unknown one.
    """
    return None if owner is None else hashlib.sha256(f"{conversation_id}:{owner}".encode()).digest()


def reaches_erased(wanted: str | None, conversation_id: UUID, digest: bytes | None) -> bool:
    """Return whether a caller who may access ``wanted`` could access the erased conversation with this ``digest``."""
    return wanted is None or owner_digest(conversation_id, wanted) == digest
