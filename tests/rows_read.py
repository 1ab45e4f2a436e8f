"""Counting the rows that statements read."""

from typing import Final

import asyncpg

# It counts from the beginning of the connection's transaction or earlier, so only differences say something.
ROWS_READ: Final = "SELECT coalesce(sum(idx_tup_fetch + seq_tup_read), 0) FROM pg_stat_xact_user_tables"


async def rows_read(connection: asyncpg.Connection) -> int:
    """Return how many rows of all tables ``connection`` has read; call it in one transaction before and after."""
    return int(await connection.fetchval(ROWS_READ))
