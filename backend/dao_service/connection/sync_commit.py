"""Detection of commits that PostgreSQL reports as successful although no synchronous standby has confirmed them.

When the wait for a synchronous standby is cancelled, the commit exists on the primary alone; PostgreSQL reports success
and only warns. If the client got a 2xx for it, a failover could lose an acknowledged message. So the outcome counts as
unknown, like that of a COMMIT whose connection broke.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg


@contextmanager
def require_standby(connection: asyncpg.Connection) -> Iterator[None]:
    """Raise StatementCompletionUnknownError at the end of the block if the standby did not confirm a commit in it."""
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
