"""The feed: the messages of all conversations in one order, in which nothing that commits late is missed.

How that can be is told in the migration that made it (0017). What it asks of a reader is the order of its questions,
each a statement of its own: how far has the sequence come, who is on the way, and only then what is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from backend.dao_service.message_dao import DOCUMENT

_REACHED: Final = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM messages_feed_position_seq"
_ON_THE_WAY: Final = """
    SELECT min((classid::bigint & 65535) << 32 | objid::bigint) FROM pg_locks
    WHERE locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 1 AND classid::bigint >> 16 = 22086
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_MESSAGE: Final = f"""
    SELECT row_to_json(document)::text, m.conversation_id, m.sequence, m.feed_position
    FROM messages AS m CROSS JOIN LATERAL ({DOCUMENT.format("m")}) AS document
"""  # noqa: S608 -- made of constants
_BEFORE: Final = f"""
    {_MESSAGE} WHERE m.feed_position IS NULL AND (m.conversation_id, m.sequence) > ($1, $2)
    ORDER BY m.conversation_id, m.sequence LIMIT $3
"""
_AFTER: Final = f"""
    {_MESSAGE} WHERE m.feed_position > $1 AND m.feed_position <= $2 ORDER BY m.feed_position LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class End:
    """Up to which position everything is to be seen, and whether more is on the way."""

    position: int
    more: bool


class FeedRow(NamedTuple):
    """A message as JSON text, and its place; ``position`` is None for those from before there was a feed."""

    document: str
    conversation_id: UUID
    sequence: int
    position: int | None


class FeedDAO:
    """Questions about the feed."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def end(self) -> End:
        """Return how far the feed may be read now; what `after` is asked next must be asked after this."""
        reached = await self._connection.fetchval(_REACHED)
        lowest = await self._connection.fetchval(_ON_THE_WAY)
        return End(reached, more=False) if lowest is None else End(min(reached, lowest), more=lowest < reached)

    async def before(self, conversation_id: UUID, sequence: int, limit: int) -> Sequence[FeedRow]:
        """Return messages from before there was a feed, conversation by conversation, past this one."""
        return [FeedRow(*row) for row in await self._connection.fetch(_BEFORE, conversation_id, sequence, limit)]

    async def after(self, position: int, end: int, limit: int) -> Sequence[FeedRow]:
        """Return the messages past ``position``, up to ``end``."""
        return [FeedRow(*row) for row in await self._connection.fetch(_AFTER, position, end, limit)]
