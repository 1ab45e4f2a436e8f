"""SQL of the search worker, which fills the tables of words from `messages` (`backend/search/indexer.py`).

**Progress.** `search_progress` has one row for each table of words:

- `serving`: searches read this table. `folding`: the version of the words in it, 0 if it is empty and unused.
- `reached`: of the feed, everything after the worker's start up to this position (inclusive) is in the table.
- `filled_to`: the past is filled from the newest message down. All between this position (exclusive) and the worker's
  start is in the table. At 0 the messages follow that are older than the feed, conversation by conversation, the newest
  first; `old_created_at`, `old_conversation` and `old_sequence` say how far (what is below remains), and `old_position`
  is the position for the next one: 0, -1, -2 and so on. `complete` is true when nothing remains.
- `stale_from`: from this position on another release, with another folding, has stored words here.
- `retired_at`: since when the table serves no more; it is emptied when searches that began before have ended.

**Storing.** Words are derived data, so their commits need not be flushed to disk (`synchronous_commit` is off). Words
and progress change in one statement, so what a crash takes back is done again.

Between reading a message and storing its words the message may be erased, or another program may change it. The
statement that stores locks each message (FOR SHARE) if no other transaction has locked it and it has not changed
(`xmin`). It skips the others, so the worker waits for no row lock and is part of no deadlock. An erasure that comes
later waits for the worker's commit, some milliseconds, and its cascade then deletes the words. Skipped messages do not
count as stored: `reached` stays before the first of them, and the worker tries them again.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.ownership import OWNER_SQL
from backend.dao_service.portions import Bounds

TABLES: Final = ("message_words", "message_words_b")

LOCK_TIMEOUT: Final = 0.2  # seconds to wait for a table that is to be emptied; erasures queue behind this wait

_KEY: Final = 0x5653 << 48  # "VS", for the advisory lock
_MOST_CONVERSATIONS: Final = 500  # that one statement looks through for messages that are older than the feed
_LARGEST: Final = 2**63 - 1

_WANTED: Final = """
    SELECT EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = $1::bigint::oid AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
"""
_PROGRESS: Final = """
    SELECT filled_to, old_created_at::text, old_conversation, old_sequence, old_position, complete,
        words, serving, folding, reached, stale_from,
        NOT serving AND coalesce(retired_at < clock_timestamp() - interval '1 minute', true)
    FROM search_progress ORDER BY serving DESC
"""
_BEGIN: Final = """
    UPDATE search_progress SET folding = $2, reached = $3, filled_to = $3, stale_from = NULL, retired_at = NULL,
        old_created_at = DEFAULT, old_conversation = DEFAULT, old_sequence = DEFAULT, old_position = DEFAULT,
        complete = false
    WHERE words = $1
"""
# No release has this folding, so the worker builds the other table, and then lets it serve.
_REBUILD: Final = text("UPDATE search_progress SET folding = -1 WHERE folding <> 0")
_MARK_STALE: Final = "UPDATE search_progress SET stale_from = reached + 1 WHERE words = $1"
_RENEW: Final = """
    UPDATE search_progress SET reached = least(reached, stale_from - 1), stale_from = NULL WHERE words = $1
"""
_SWAP: Final = """
    UPDATE search_progress SET serving = NOT serving, retired_at = CASE WHEN serving THEN clock_timestamp() END
"""
_COLUMNS: Final = f"""
    m.id, m.conversation_id, m.feed_position, m.sequence, m.xmin::text AS version, m.role, m.content,
    CASE m.role WHEN 'function' THEN m.metadata::text END AS metadata, c.context_type,
    {OWNER_SQL.format("c")} AS owner,
    octet_length(m.content) + CASE m.role WHEN 'function' THEN octet_length(m.metadata::text) ELSE 0 END AS size
"""
_ENTRY: Final = "id, conversation_id, feed_position, sequence, version, role, content, metadata, context_type, owner"
_FROM: Final = "FROM messages AS m JOIN conversations AS c ON c.id = m.conversation_id"
# PostgreSQL knows the lengths that are summed up without reading a long text.
_READ: Final = f"""
    SELECT {_ENTRY}, found FROM (
        SELECT *, sum(size) OVER (ORDER BY {{order}}) - size AS before, count(*) OVER () AS found
        FROM ({{chosen}} LIMIT $1) AS chosen
    ) AS summed WHERE before < $2 ORDER BY {{order}}
"""  # noqa: S608 -- made of constants
_NEW: Final = _READ.format(
    chosen=f"SELECT {_COLUMNS} {_FROM} WHERE m.feed_position > $3 AND m.feed_position <= $4 ORDER BY m.feed_position",
    order="feed_position",
)
_PAST: Final = _READ.format(
    chosen=f"SELECT {_COLUMNS} {_FROM} WHERE m.feed_position <= $3 ORDER BY m.feed_position DESC",
    order="feed_position DESC",
)
_ANY_OLD: Final = "SELECT EXISTS (SELECT FROM messages WHERE feed_position IS NULL)"
_OLD_CONVERSATIONS: Final = """
    SELECT id, created_at::text FROM conversations
    WHERE (created_at, id) <= ($1::text::timestamptz, $2) ORDER BY created_at DESC, id DESC LIMIT $3
"""
_OLD: Final = _READ.format(
    chosen=f"""
        SELECT {_COLUMNS}, place
        FROM unnest($3::uuid[]) WITH ORDINALITY AS near (id, place)
        JOIN conversations AS c ON c.id = near.id
        JOIN messages AS m ON m.conversation_id = near.id AND m.feed_position IS NULL
            AND (place > 1 OR m.sequence < $4)
        ORDER BY place, m.sequence DESC
    """,  # noqa: S608 -- made of constants
    order="place, sequence DESC",
)
_AGAIN: Final = f"SELECT {_ENTRY} FROM (SELECT {_COLUMNS} {_FROM} WHERE m.id = ANY($1)) AS chosen"  # noqa: S608
_STORE: Final = """
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[])
            AS given (id, conversation_id, position, version, words)
    ), free AS MATERIALIZED (
        SELECT m.id FROM given JOIN messages AS m ON m.id = given.id AND m.xmin = given.version::xid
        FOR SHARE OF m SKIP LOCKED
    ), stored AS (
        INSERT INTO {words} (message_id, conversation_id, position, words)
        SELECT id, conversation_id, position, words::tsvector FROM given JOIN free USING (id) ORDER BY position
        ON CONFLICT (message_id) DO UPDATE SET position = excluded.position, words = excluded.words
        RETURNING message_id
    ), skipped AS MATERIALIZED (
        SELECT id, position FROM given WHERE id NOT IN (SELECT message_id FROM stored)
    ), noted AS (
        UPDATE search_progress SET {progress}
    )
    SELECT id FROM skipped
"""
_REACHED: Final = "reached = least($6::bigint, (SELECT min(position) - 1 FROM skipped)) WHERE words = '{words}'"
_FILLED: Final = """
    filled_to = $6, old_created_at = $7::text::timestamptz, old_conversation = $8, old_sequence = $9,
    old_position = $10, complete = $11 WHERE words = '{words}' AND NOT EXISTS (SELECT FROM skipped)
"""
_FIGURES: Final = """
    SELECT
        greatest((
            SELECT extract(epoch FROM clock_timestamp() - created_at)::float8 FROM messages
            WHERE feed_position > (SELECT reached FROM search_progress WHERE serving) ORDER BY feed_position LIMIT 1
        ), 0),
        (
            SELECT coalesce(sum(greatest(recorded.reltuples - words.reltuples, 0)), 0)::float8
            FROM search_progress AS other
            JOIN pg_class AS words ON words.oid = to_regclass(other.words)
            JOIN pg_class AS recorded ON recorded.oid = to_regclass('messages')
            WHERE other.folding > 0 AND NOT other.complete
        ),
        coalesce(pg_stat_get_live_tuples(to_regclass(words)), 0)
    FROM search_progress WHERE serving AND folding <> 0
"""


class Entry(NamedTuple):
    """A message whose words are to be stored. ``version`` changes whenever the row does.

    ``position`` is None for a message that is older than the feed. ``metadata`` is JSON text, and None unless the
    message is a function's.
    """

    id: UUID
    conversation_id: UUID
    position: int | None
    sequence: int
    version: str
    role: str
    content: str
    metadata: str | None
    context_type: str
    owner: str | None


class Entries(NamedTuple):
    """The messages that fit into the requested bounds, and whether there are more."""

    entries: list[Entry]
    more: bool


class Words(NamedTuple):
    """What is stored of a message, in the order of the statement's arrays; ``words`` is the text of a tsvector."""

    id: UUID
    conversation_id: UUID
    position: int
    version: str
    words: str


class Filled(NamedTuple):
    """How far the past is filled; the module's docstring explains the columns."""

    filled_to: int
    old_created_at: str
    old_conversation: UUID
    old_sequence: int
    old_position: int
    complete: bool


class Progress(NamedTuple):
    """A row of `search_progress`; ``idle`` tells whether the table has served no search for a minute."""

    filled: Filled
    table: str
    serving: bool
    folding: int
    reached: int
    stale_from: int | None
    idle: bool


class PastEntries(NamedTuple):
    """Messages of the past, each with its position, and how far the past is filled when they are stored."""

    entries: list[tuple[int, Entry]]
    filled: Filled


class SearchFigures(NamedTuple):
    """``lag``: the age in seconds of the oldest message whose words are missing, 0 if there is none.

    ``past``: about how many messages of the past are not filled yet. ``messages``: about how many search finds.
    """

    lag: float
    past: float
    messages: int


async def request_rebuild(session: AsyncSession) -> None:
    """Make the worker store the words of all messages anew, in the table that serves no searches meanwhile."""
    await session.execute(_REBUILD)


class SearchIndexDAO:
    """The statements of the search worker, on the driver's ``connection``."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def become_worker(self, patience: float = 0) -> bool:
        """Take the lock of the one worker, until the connection is closed; wait for it up to ``patience`` seconds.

        Return whether it was free, or became free.
        """
        await self._connection.execute("SET synchronous_commit = off")
        if await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", _KEY):
            return True
        if not patience:
            return False
        limit = f"SET LOCAL lock_timeout = {round(patience * 1000)}; SET LOCAL statement_timeout = 0"
        try:
            async with self._connection.transaction():
                await self._connection.execute(limit)
                await self._connection.execute(f"SELECT pg_advisory_lock({_KEY})", timeout=2 * patience)
        except asyncpg.LockNotAvailableError:
            return False
        return True

    async def is_wanted(self) -> bool:
        """Return whether another process waits for the lock."""
        return bool(await self._connection.fetchval(_WANTED, _KEY >> 32))

    async def progress(self) -> list[Progress]:
        """Return the progress of both tables, the one that serves first."""
        rows = await self._connection.fetch(_PROGRESS)
        return [Progress(Filled(*row[:6]), *row[6:]) for row in rows]

    async def begin(self, table: str, folding: int, end: int) -> None:
        """Begin to fill ``table``, which is unused, with the words of ``folding``; new messages are after ``end``."""
        await self._connection.execute(_BEGIN, table, folding, end)

    async def empty(self, table: str) -> bool:
        """Empty ``table`` and leave it unused; return False if it was not free within the lock time-out."""
        try:
            async with self._connection.transaction():
                await self._connection.execute(f"TRUNCATE {table}")
                await self._connection.execute(_BEGIN, table, 0, 0)
        except asyncpg.LockNotAvailableError:
            return False
        return True

    async def mark_stale(self, table: str) -> None:
        """Note that from now on another folding than the table's is stored in it."""
        await self._connection.execute(_MARK_STALE, table)

    async def renew(self, table: str) -> None:
        """Go back to where another folding began to be stored, so that these messages are stored again."""
        await self._connection.execute(_RENEW, table)

    async def swap(self) -> None:
        """Let searches read the other table."""
        await self._connection.execute(_SWAP)

    async def new(self, after: int, end: int, bounds: Bounds) -> Entries:
        """Return the messages of the feed from after ``after`` (exclusive) up to ``end`` (inclusive)."""
        return await self._read(_NEW, bounds, after, end)

    async def again(self, ids: Collection[UUID]) -> list[Entry]:
        """Return those of the messages ``ids`` that still exist."""
        return [Entry(*row) for row in await self._connection.fetch(_AGAIN, [*ids])]

    async def past(self, filled: Filled, bounds: Bounds) -> PastEntries:
        """Return the next messages of the past, the newest first."""
        if filled.filled_to > 0:
            entries, more = await self._read(_PAST, bounds, filled.filled_to)
            found = [(each.position, each) for each in entries if each.position is not None]
            return PastEntries(found, filled._replace(filled_to=found[-1][0] - 1 if more else 0))
        if not await self._connection.fetchval(_ANY_OLD):
            return PastEntries([], filled._replace(complete=True))
        return await self._older_than_the_feed(filled, bounds)

    async def store(self, table: str, words: Sequence[Words], reached: int) -> set[UUID]:
        """Store the words of new messages, all of the feed up to ``reached`` (inclusive) that are not in the table.

        Return the ids of messages that were skipped: locked, changed since they were read, or erased.
        """
        return await self._store(table, _REACHED, words, reached)

    async def store_past(self, table: str, words: Sequence[Words], filled: Filled) -> set[UUID]:
        """Store the words of messages of the past; the progress becomes ``filled`` only if none was skipped.

        Return the ids of those that were skipped.
        """
        return await self._store(table, _FILLED, words, *filled)

    async def figures(self) -> SearchFigures | None:
        """Return the figures for operators; None if no worker has begun yet."""
        row = await self._connection.fetchrow(_FIGURES)
        return SearchFigures(*row) if row else None

    async def _older_than_the_feed(self, filled: Filled, bounds: Bounds) -> PastEntries:
        place = filled.old_created_at, filled.old_conversation
        near = await self._connection.fetch(_OLD_CONVERSATIONS, *place, _MOST_CONVERSATIONS)
        if not near:
            return PastEntries([], filled._replace(complete=True))
        begun = near[0][0] == filled.old_conversation
        entries, more = await self._read(
            _OLD, bounds, [row[0] for row in near], filled.old_sequence if begun else _LARGEST
        )
        created_at = {row[0]: row[1] for row in near}
        last, sequence = (entries[-1].conversation_id, entries[-1].sequence) if more else (near[-1][0], 0)
        return PastEntries(
            [(filled.old_position - number, each) for number, each in enumerate(entries)],
            Filled(
                0,
                created_at[last],
                last,
                sequence,
                filled.old_position - len(entries),
                complete=not more and len(near) < _MOST_CONVERSATIONS,
            ),
        )

    async def _read(self, query: str, bounds: Bounds, *values: object) -> Entries:
        rows = await self._connection.fetch(query, bounds.rows, bounds.size, *values)
        found = rows[0][-1] if rows else 0
        return Entries([Entry(*row[:-1]) for row in rows], found == bounds.rows or len(rows) < found)

    async def _store(self, table: str, progress: str, words: Sequence[Words], *values: object) -> set[UUID]:
        statement = _STORE.format(words=table, progress=progress.format(words=table))
        arrays = zip(*words, strict=True) if words else ([] for _ in Words._fields)
        return {row[0] for row in await self._connection.fetch(statement, *arrays, *values)}
