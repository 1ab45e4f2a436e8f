"""The feed: the messages of all conversations in one order, in which nothing that commits late is missed.

How that can be is told in the migration that made it (0017). What it asks of a reader is the order of its questions,
each a statement of its own: how far has the sequence come, who is on the way, and only then what is there.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from backend.dao_service.portions import Bounds, fetch, statement

_REACHED: Final = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM messages_feed_position_seq"
_ON_THE_WAY: Final = """
    SELECT min((classid::bigint & 65535) << 32 | objid::bigint) FROM pg_locks
    WHERE locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 1 AND classid::bigint >> 16 = 22086
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_PLACE: Final = "m.conversation_id, m.sequence, m.feed_position"
_BEFORE: Final = statement(
    _PLACE,
    "WHERE m.feed_position IS NULL AND (m.conversation_id, m.sequence) > ($3, $4) "
    "ORDER BY m.conversation_id, m.sequence",
)
_AFTER: Final = statement(_PLACE, "WHERE m.feed_position > $3 AND m.feed_position <= $4 ORDER BY m.feed_position")


@dataclass(frozen=True, slots=True)
class End:
    """Up to which position everything is to be seen, and whether more is on the way."""

    position: int
    more: bool


class FeedRow(NamedTuple):
    """A message as JSON, and its place; ``position`` is None for those from before there was a feed."""

    document: bytes
    conversation_id: UUID
    sequence: int
    position: int | None


class FeedRows(NamedTuple):
    """The rows that fit into the bounds asked for, and whether there are more."""

    rows: list[FeedRow]
    more: bool


class FeedDAO:
    """Questions about the feed."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def end(self) -> End:
        """Return how far the feed may be read now; what `after` is asked next must be asked after this."""
        reached = await self._connection.fetchval(_REACHED)
        lowest = await self._connection.fetchval(_ON_THE_WAY)
        return End(reached, more=False) if lowest is None else End(min(reached, lowest), more=lowest < reached)

    async def before(self, conversation_id: UUID, sequence: int, bounds: Bounds) -> FeedRows:
        """Return messages from before there was a feed, conversation by conversation, past this one."""
        return await self._rows(_BEFORE, bounds, conversation_id, sequence)

    async def after(self, position: int, end: int, bounds: Bounds) -> FeedRows:
        """Return the messages past ``position``, up to ``end``."""
        return await self._rows(_AFTER, bounds, position, end)

    async def _rows(self, query: str, bounds: Bounds, *values: object) -> FeedRows:
        return FeedRows(*await fetch(self._connection, FeedRow, query, bounds, *values))
