"""SQL of the feed: the messages of all conversations in one order, in which a reader misses no late commit.

Each message draws its position from a sequence, and a transaction that draws later may commit earlier. So before its
first draw a transaction takes a shared advisory lock whose number holds how far the sequence had come, and PostgreSQL
releases it after the commit is visible (see the migration that creates the feed). A reader asks in this order: the end
of the sequence, the lowest number of these locks (both by `verbatim_feed_ends`), and only then the messages up to the
lower of the two. A transaction that takes its lock after the second question draws positions beyond that end.

On a cluster each server has such a sequence and such locks. The messages of one server are read in the order of their
positions, and those of several are merged by the time of recording.
"""

from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from operator import attrgetter
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from backend.dao_service.portions import Bounds, fetch, statement
from backend.feed_positions import Positions
from backend.vocabulary import AuditAction

_ENDS: Final = "SELECT reached, uncommitted FROM verbatim_feed_ends()"
# Several, because a transaction with a lower number may commit later.
_LATEST_REDACTIONS: Final = f"""
    SELECT array_agg(id) FROM (
        SELECT id FROM audit_entries WHERE action = '{AuditAction.MESSAGE_REDACTED}' ORDER BY number DESC, id LIMIT 20
    ) AS latest
"""  # noqa: S608 -- made of constants
_PLACE: Final = "m.conversation_id, m.sequence, m.created_at, m.feed_position"
_BEFORE: Final = statement(
    _PLACE,
    "WHERE m.feed_position IS NULL AND (m.conversation_id, m.sequence) > ($2, $3) "
    "ORDER BY m.conversation_id, m.sequence",
)
_AFTER: Final = statement(_PLACE, "WHERE m.feed_position > $2 AND m.feed_position <= $3 ORDER BY m.feed_position")


@dataclass(frozen=True, slots=True)
class End:
    """Up to where, inclusively, every message is visible; ``more`` tells of later uncommitted ones."""

    positions: Positions
    more: bool


class FeedRow(NamedTuple):
    """A message as JSON, and its place; ``position`` is None for a message that is older than the feed."""

    document: bytes
    conversation_id: UUID
    sequence: int
    created_at: datetime
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
        ends = [tuple(row) for row in await self._connection.fetch(_ENDS)]
        return End(
            Positions.at(*(reached if lowest is None else min(reached, lowest) for reached, lowest in ends)),
            more=any(lowest is not None and lowest < reached for reached, lowest in ends),
        )

    async def latest_redactions(self) -> list[UUID] | None:
        """Return the ids of the latest redactions, None before the first; rows that were read before are outdated."""
        found: list[UUID] | None = await self._connection.fetchval(_LATEST_REDACTIONS)
        return found

    async def before(self, conversation_id: UUID, sequence: int, bounds: Bounds) -> FeedRows:
        """Return messages that are older than the feed, ordered by conversation, from after the one given."""
        return await self._rows(_BEFORE, bounds, conversation_id, sequence)

    async def after(self, begun: Positions, end: Positions, bounds: Bounds) -> FeedRows:
        """Return the messages from after ``begun`` (exclusive) up to ``end`` (inclusive)."""
        found = [
            await self._rows(_AFTER, bounds, begun.of(server), last)
            for server, last in end.by_server.items()
            if begun.of(server) < last
        ]
        if len(found) == 1:
            return found[0]
        merged = [*merge(*(each.rows for each in found), key=attrgetter("created_at"))]
        rows = bounds.fitting(merged, lambda row: len(row.document)) if merged else merged
        return FeedRows(rows, more=len(rows) < len(merged) or any(each.more for each in found))

    async def _rows(self, query: str, bounds: Bounds, *values: object) -> FeedRows:
        return FeedRows(*await fetch(self._connection, FeedRow, query, bounds, *values))
