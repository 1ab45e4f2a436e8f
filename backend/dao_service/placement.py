"""Which part of a cluster has a conversation. A single server is one part.

The messages of a part can share a commit, so the appender has a lane for each. What Citus says of a conversation never
changes while the number of parts stays the same: moving a part to another node keeps its number.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

import asyncpg
from cachetools import LRUCache

SPREAD: Final = "feed_shards"  # a table that only a cluster has
_MOST_KNOWN: Final = 100_000  # conversations
# A cluster has the function that appends on a conversation's node; its parts are counted in the order of their ids.
_PARTS: Final = """
    SELECT array_agg(shardid ORDER BY shardid) FROM pg_dist_shard WHERE logicalrelid = 'conversations'::regclass
"""
_OF: Final = """
    SELECT id, get_shard_id_for_distribution_column('conversations', id) FROM unnest($1::uuid[]) AS id
"""


class Placement:
    """The parts of one database, asked for by one worker process."""

    def __init__(self) -> None:
        self._parts: dict[int, int] | None = None
        self._known: LRUCache[UUID, int] = LRUCache(_MOST_KNOWN)

    @property
    def is_known(self) -> bool:
        """Whether `load` was called."""
        return self._parts is not None

    @property
    def is_cluster(self) -> bool:
        """Whether the record is spread over several servers, as far as this process knows."""
        return bool(self._parts)

    async def load(self, connection: asyncpg.Connection) -> bool:
        """Find out whether the database is a cluster, and its parts; return whether that has changed."""
        shards: list[int] | None = None
        if await connection.fetchval("SELECT to_regclass('pg_dist_shard') IS NOT NULL"):
            shards = await connection.fetchval(_PARTS)
        parts = {shard: place for place, shard in enumerate(shards or [])}
        if parts == self._parts:
            return False
        self._parts = parts
        self._known.clear()
        return True

    def of(self, conversation_id: UUID) -> int | None:
        """Return the part of a conversation, from 0; None if `look_up` must be called first."""
        return self._known.get(conversation_id) if self._parts else 0

    async def look_up(self, connection: asyncpg.Connection, conversation_ids: Iterable[UUID]) -> None:
        """Find out the parts of conversations of which `of` knows none."""
        parts = self._parts or {}
        rows = await connection.fetch(_OF, [*conversation_ids])
        self._known.update((row[0], parts.get(row[1], 0)) for row in rows)
