"""Detection of commits that PostgreSQL reports as successful although no synchronous standby has confirmed them.

When the wait for a synchronous standby is cancelled, the commit exists on the primary alone; PostgreSQL reports success
and only warns. If the client got a 2xx for it, a failover could lose an acknowledged message. So the outcome counts as
unknown, like that of a COMMIT whose connection broke.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakSet

import asyncpg

_unconfirmed: Final = WeakSet[asyncpg.Connection]()  # PostgreSQL has warned about their last commit


def watch_commits(connection: asyncpg.Connection) -> None:
    """Note PostgreSQL's warnings on a new ``connection``, for `require_standby`."""
    connection.add_log_listener(_note)


def _note(connection: Any, notice: asyncpg.PostgresLogMessage) -> None:
    if getattr(notice, "server_source_function", None) == "SyncRepWaitForLSN":
        _unconfirmed.add(connection)


@contextmanager
def require_standby(connection: asyncpg.Connection) -> Iterator[None]:
    """Raise StatementCompletionUnknownError at the end of the block if the standby did not confirm a commit in it."""
    _unconfirmed.discard(connection)
    yield
    if connection in _unconfirmed:
        raise asyncpg.StatementCompletionUnknownError
