"""Commits of which PostgreSQL said yes, although no synchronous standby has them.

When the wait for a standby is cancelled, the commit stands on the primary alone; PostgreSQL reports success and only
warns. Whoever was told yes would lose it with the primary. So it is *unknown*, like any commit that was cut off.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg


@contextmanager
def confirmed(connection: asyncpg.Connection) -> Iterator[None]:
    """Raise StatementCompletionUnknownError on the way out if a commit in the block was not confirmed."""
    warnings: list[asyncpg.PostgresLogMessage] = []

    def listen(_connection: object, notice: asyncpg.PostgresLogMessage) -> None:
        if getattr(notice, "server_source_function", None) == "SyncRepWaitForLSN":
            warnings.append(notice)

    connection.add_log_listener(listen)
    try:
        yield
    finally:
        connection.remove_log_listener(listen)
    if warnings:
        raise asyncpg.StatementCompletionUnknownError
