"""Reads the messages of another program's table: id, conversation_id, role, content, timestamp, metadata.

The timestamp has no zone and is in UTC. Everything is read as text, so that no value fails the whole read: an id of
another type, a role that is no word of ours, a time beyond the years 1 to 9999, JSON that `jsonb` cannot hold.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from backend.dao_service.connection.database import asyncpg_url, open_connection
from verbatim_record.setup_error import SetupError

_CONNECT: Final = 10.0  # seconds
_PREFETCH: Final = 500  # rows read at a time
_TABLE: Final = "SELECT to_regclass($1)::text"
# Rows of the same time come in the order in which they were inserted, as far as the table still has it.
_ROWS: Final = """
    SELECT id::text, conversation_id::text, role::text, content::text,
        CASE WHEN "timestamp" BETWEEN '0002-01-01' AND '9998-12-31' THEN "timestamp"::timestamp AT TIME ZONE 'UTC' END,
        metadata::text, "timestamp" IS NOT NULL
    FROM {} ORDER BY conversation_id, "timestamp" NULLS LAST, ctid
"""


class ForeignMessage(NamedTuple):
    """A row of the table. ``metadata`` is JSON text.

    ``said_at`` is None without a time, and for one that Python cannot hold; then ``is_timed`` is True.
    """

    id: str | None
    conversation_id: str | None
    role: str | None
    content: str | None
    said_at: datetime | None
    metadata: str | None
    is_timed: bool


@asynccontextmanager
async def foreign_messages(url: str, table: str) -> AsyncIterator[AsyncIterator[ForeignMessage]]:
    """Yield the rows of ``table`` in the database at ``url``, a conversation at a time, in the order of time.

    Raises SetupError if the database cannot be reached, or has no such table, or not these columns.
    """
    try:
        connection = await open_connection(
            asyncpg_url(url), timeout=_CONNECT, server_settings={"application_name": "verbatim import"}
        )
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise SetupError(f"The database of --url cannot be reached ({type(error).__name__}).") from None
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            name = await connection.fetchval(_TABLE, table)
            if name is None:
                raise SetupError(f"The database of --url has no table {table}.")
            try:
                cursor = await connection.prepare(_ROWS.format(name))
            except asyncpg.SyntaxOrAccessError as error:
                raise SetupError(f"The table {table} lacks a column that an import reads: {error}.") from None
            yield (ForeignMessage(*row) async for row in cursor.cursor(prefetch=_PREFETCH))
    finally:
        connection.terminate()
