"""Invalidation of pooled connections that no longer reach PostgreSQL, so that a request does not fail on them.

A server that shuts down closes its connections, which a socket shows. A dead host closes nothing, so the first
statement that times out without an answer invalidates every connection that was opened before that moment. And a
connection on which a statement was interrupted is closed, because it may be left inside a transaction.
"""

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from backend.errors import RecordError


class PoolInvalidation:
    """Makes the pool of ``engine`` replace a dead connection at checkout, instead of failing the request."""

    def __init__(self, engine: Engine) -> None:
        self._since = 0.0
        event.listen(engine, "connect", _record_opened)
        event.listen(engine, "checkout", self._check)

    def invalidate_all(self) -> None:
        """Replace, at its next checkout, each connection that is open now."""
        self._since = time.monotonic()

    def _check(self, connection: Any, record: ConnectionPoolEntry, *_: object) -> None:
        driver: asyncpg.Connection = connection.driver_connection
        if record.info["opened"] < self._since:
            driver.terminate()  # a graceful close would wait for an answer of the dead host
        if driver.is_closed():
            raise DisconnectionError
        if _has_unread_bytes(driver):
            driver.terminate()
            raise DisconnectionError


def _has_unread_bytes(driver: Any) -> bool:
    """Return whether the socket holds data, or the end of the stream, that the event loop has not read yet.

    No statement runs on a connection in the pool, so these bytes are the server's notice that it ends the connection,
    or the end itself. On a busy machine a request may check the connection out before the event loop has read them.
    """
    poll = select.poll()
    poll.register(driver._transport.get_extra_info("socket").fileno(), select.POLLIN)  # noqa: SLF001 -- not public
    return bool(poll.poll(0))


def _record_opened(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["opened"] = time.monotonic()


@contextmanager
def terminate_unless_clean(connection: asyncpg.Connection) -> Iterator[None]:
    """Close ``connection`` unless the block succeeds or ends with an answer of PostgreSQL or a RecordError.

    asyncpg ends PostgreSQL's implicit transaction when it executes a statement, not when it has prepared one. If the
    caller is cancelled in between, or passes a value that does not fit the statement's types, the transaction and its
    locks stay open. Neither asyncpg nor the pool notices, and the next user of the connection would begin inside it.
    """
    try:
        yield
    except (asyncpg.PostgresError, RecordError) as error:
        if isinstance(error, asyncpg.DataError):
            connection.terminate()
        raise
    except BaseException:
        connection.terminate()
        raise
