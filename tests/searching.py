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


async def index_at(connection: asyncpg.Connection, message: UUID, position: int) -> None:
    """Index a message at a position of the feed, as if that many others had come before.

    If a service indexes this database, it must have indexed the message before.
    """
    found = await connection.fetchrow("SELECT conversation_id, content FROM messages WHERE id = $1", message)
    assert found
    words = tsvector(SearchableMessage(found["content"], "user", None, None, "voice", position))
    await connection.execute(_STORE, message, found["conversation_id"], position, words)
