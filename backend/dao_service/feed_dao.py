"""SQL of the feed: the messages of all conversations in one order, in which a reader misses no late commit.

Each message draws its position from a sequence, and a transaction that draws later may commit earlier. So before its
first draw a transaction takes a shared advisory lock whose number holds how far the sequence had come, and PostgreSQL
releases it after the commit is visible (see the migration that creates the feed). A reader runs three separate
statements in this order: read the end of the sequence, read the lowest number of these locks, and only then read the
messages up to the lower of the two. A transaction that takes its lock after the second statement draws positions beyond
that end.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from backend.dao_service.portions import Bounds, fetch, statement
from backend.vocabulary import AuditAction

_REACHED: Final = f"""
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END,
        (SELECT max(number) FROM audit_entries WHERE action = '{AuditAction.MESSAGE_REDACTED}')
    FROM messages_feed_position_seq
"""  # noqa: S608 -- made of constants
_UNCOMMITTED: Final = """
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
    """The position up to which, inclusively, every message is visible; ``more`` tells of later uncommitted ones.

    ``redacted`` is the number of the latest redaction, None before the first.
    """

    position: int
    more: bool
    redacted: int | None = None


class FeedRow(NamedTuple):
    """A message as JSON, and its place; ``position`` is None for a message that is older than the feed."""

    document: bytes
    conversation_id: UUID
    sequence: int
    position: int | None


class FeedRows(NamedTuple):
    """The rows that fit into the requested bounds, and whether there are more."""

    rows: list[FeedRow]
    more: bool


class FeedDAO:
    """The statements of the feed, on the driver's ``connection``."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def end(self) -> End:
        """Return how far the feed may be read now; call `after` only after this has returned."""
        [(reached, redacted)] = await self._connection.fetch(_REACHED)
        lowest = await self._connection.fetchval(_UNCOMMITTED)
        if lowest is None:
            return End(reached, more=False, redacted=redacted)
        return End(min(reached, lowest), more=lowest < reached, redacted=redacted)

    async def before(self, conversation_id: UUID, sequence: int, bounds: Bounds) -> FeedRows:
        """Return messages that are older than the feed, ordered by conversation, from after the one given."""
        return await self._rows(_BEFORE, bounds, conversation_id, sequence)

    async def after(self, position: int, end: int, bounds: Bounds) -> FeedRows:
        """Return the messages from after ``position`` (exclusive) up to ``end`` (inclusive)."""
        return await self._rows(_AFTER, bounds, position, end)

    async def _rows(self, query: str, bounds: Bounds, *values: object) -> FeedRows:
        return FeedRows(*await fetch(self._connection, FeedRow, query, bounds, *values))
