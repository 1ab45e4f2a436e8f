"""The index of search, for tests that need it complete, or some message in it."""

from typing import Final
from uuid import UUID

import asyncpg

from backend.search.vector import SearchableMessage, tsvector

# Whether every message has its words, for `until_found`.
INDEXED: Final = "SELECT (SELECT count(*) FROM message_words) = (SELECT count(*) FROM messages)"

_STORE: Final = """
    INSERT INTO message_words (message_id, conversation_id, position, words) VALUES ($1, $2, $3, $4::text::tsvector)
    ON CONFLICT (message_id) DO UPDATE SET position = excluded.position, words = excluded.words
"""


async def say_at(connection: asyncpg.Connection, conversation: UUID, content: str, position: int) -> None:
    """Record a message, and index it at a position of the feed, as if that many others had come before."""
    recorded = "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', $2) RETURNING id"
    identity = await connection.fetchval(recorded, conversation, content)
    words = tsvector(SearchableMessage(content, "user", None, None, "voice", position))
    await connection.execute(_STORE, identity, conversation, position, words)
