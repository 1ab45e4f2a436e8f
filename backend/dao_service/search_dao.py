"""SQL of searches, over the table of words that serves at the moment (`search_index_dao`).

The index finds words, and `conversations` decides whose a message is. OFFSET 0 keeps the rest of the statement from
the indexes: PostgreSQL might read all rows in the order of positions until it has met enough that match, which takes
very long for a rare word, or look up what is to be compared row by row. So one statement finds and sorts all matches
among its positions; `services.search` bounds how many these may be.
"""

import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from backend.dao_service.ownership import OWNER_SQL, reaches_sql
from backend.dao_service.portions import Bounds, fetch, statement
from backend.errors import SearchTooSlow

_SERVING: Final = "SELECT words FROM search_progress WHERE serving"
_NEWEST: Final = """
    SELECT w.position, m.created_at FROM {words} AS w JOIN messages AS m ON m.id = w.message_id
    ORDER BY w.position DESC LIMIT 1
"""
_FOUND: Final = statement(
    "w.position, m.conversation_id, m.sequence",
    f"""
    JOIN (
        SELECT message_id, position FROM (SELECT * FROM {{words}} WHERE words @@ $2::text::tsquery OFFSET 0) AS indexed
        WHERE ($3::text IS NULL OR words @@ $3::text::tsquery) AND position >= $4::bigint AND position < $5::bigint
        ORDER BY position DESC
    ) AS w ON w.message_id = m.id
    JOIN conversations AS c ON c.id = m.conversation_id
    WHERE {reaches_sql("$6::text", OWNER_SQL.format("c"))}
        AND ($7::text IS NULL OR m.role = $7) AND ($8::text IS NULL OR c.context_type = $8)
        AND ($9::timestamptz IS NULL OR m.timestamp >= $9) AND ($10::timestamptz IS NULL OR m.timestamp < $10)
    ORDER BY w.position DESC
    """,  # noqa: S608 -- made of constants
)
_OWNED: Final = f"""
    SELECT count(*) < $2::int AND coalesce(sum(last_sequence), 0) <= $3::bigint
    FROM (SELECT last_sequence FROM conversations AS c WHERE {OWNER_SQL.format("c")} = $1 LIMIT $2::int) AS owned
"""  # noqa: S608 -- made of constants
_MOST_CONVERSATIONS: Final = 4_096  # of one owner that are counted, which takes some milliseconds
_NEIGHBOURS: Final = """
    SELECT m.conversation_id, m.sequence, m.role, left(m.content, $3)
    FROM unnest($1::uuid[], $2::bigint[]) AS near (conversation_id, sequence)
    JOIN messages AS m ON m.conversation_id = near.conversation_id AND m.sequence = near.sequence
"""


class Asked(NamedTuple):
    """Two tsqueries that a message must match: the index finds ``indexed``; ``compared`` is for each of these rows."""

    indexed: str
    compared: str | None = None


class Newest(NamedTuple):
    """The newest message in the table ``words``: its position, and when it was recorded."""

    words: str
    position: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """What a message must be, besides having the words; None is no condition. ``until`` is exclusive.

    Nothing is found in conversations that do not belong to ``owner``; None admits every owner.
    """

    owner: str | None
    role: str | None
    context_type: str | None
    since: datetime | None
    until: datetime | None


class HitRow(NamedTuple):
    """A message that was found, as JSON; its position in the feed, and its place in the conversation."""

    document: bytes
    position: int
    conversation_id: UUID
    sequence: int


class HitRows(NamedTuple):
    """The rows that fit into the requested bounds, and whether there are more."""

    rows: list[HitRow]
    more: bool


class Neighbour(NamedTuple):
    """A message beside one that was found; ``content`` is cut."""

    conversation_id: UUID
    sequence: int
    role: str
    content: str


class SearchDAO:
    """The statements of one search, on the driver's ``connection``; together they may take ``timeout`` seconds."""

    def __init__(self, connection: asyncpg.Connection, *, timeout: float) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + timeout

    async def newest(self) -> Newest | None:
        """Return the newest message that can be found, None if there is none."""
        words = await self._connection.fetchval(_SERVING)
        row = await self._connection.fetchrow(_NEWEST.format(words=words)) if words else None
        return Newest(words, *row) if row else None

    async def owns_at_most(self, owner: str, messages: int) -> bool:
        """Return whether ``owner`` has at most ``messages``, and not very many conversations."""
        return bool(await self._connection.fetchval(_OWNED, owner, _MOST_CONVERSATIONS, messages))

    async def found(self, words: str, asked: Asked, positions: range, wanted: SearchFilter, bounds: Bounds) -> HitRows:
        """Return the messages of ``positions`` that match, the newest first; raises SearchTooSlow."""
        query = _FOUND.replace("{words}", words)
        values = positions.start, positions.stop, *astuple(wanted)
        try:
            async with self._connection.transaction():
                await self._connection.execute(self._settings())
                return HitRows(*await fetch(self._connection, HitRow, query, bounds, *asked, *values))
        except asyncpg.QueryCanceledError as error:
            raise SearchTooSlow from error

    def _settings(self) -> str:
        milliseconds = max(round((self._deadline - time.monotonic()) * 1000), 1)  # 0 would be no time-out
        # A plan that is made once for every query does not know whether a word is rare. A GIN index gives only bitmaps.
        plans = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_bitmapscan = on"
        return f"SET LOCAL statement_timeout = {milliseconds}; {plans}"

    async def neighbours(self, places: Sequence[tuple[UUID, int]], characters: int) -> list[Neighbour]:
        """Return the messages at ``places`` (conversation and sequence) that exist, cut to ``characters``."""
        conversations, sequences = zip(*places, strict=True)
        rows = await self._connection.fetch(_NEIGHBOURS, conversations, sequences, characters)
        return [Neighbour(*row) for row in rows]
