"""Invalidation of pooled connections that no longer reach PostgreSQL, so that a request does not fail on them.

A server that shuts down closes its connections, which a socket shows. A dead host closes nothing, so the first
statement that times out without an answer invalidates every connection that was opened before that moment. And a
connection on which a statement was interrupted is closed, because it may be left inside a transaction.
"""

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import asyncpg
from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from backend.errors import DatabaseUnavailable, RecordError


class PoolInvalidation:
    """Makes the pool of ``engine`` replace a dead connection at checkout, instead of failing the request."""

    def __init__(self, engine: Engine) -> None:
        self._since = 0.0
        event.listen(engine, "connect", _record_opened)
        event.listen(engine, "checkout", self._check)

    def invalidate_all(self) -> None:
        """Replace, at its next checkout, each connection that is open now."""
        self._since = time.monotonic()

    def is_usable(self, connection: ConnectionPoolEntry | PoolProxiedConnection) -> bool:
        """Tell whether an idle connection still reaches PostgreSQL; one that does not is closed."""
        driver = cast("asyncpg.Connection", connection.driver_connection)
        if not driver.is_closed() and (connection.info["opened"] < self._since or connection.info["socket"].poll(0)):
            # The socket holds data, or the end of the stream, that the event loop has not read yet. No statement runs,
            # so that is the server's notice that it ends the connection, or the end itself.
            driver.terminate()  # a graceful close would wait for an answer of the dead host
        return not driver.is_closed()

    def _check(self, _connection: object, entry: ConnectionPoolEntry, *_: object) -> None:
        if self.is_usable(entry):
            entry.info["used"] = True
        elif "used" in entry.info:
            raise DisconnectionError
        else:  # SQLAlchemy would open a few more, and then raise an error of the program
            raise DatabaseUnavailable


def _record_opened(connection: Any, entry: ConnectionPoolEntry) -> None:
    # asyncpg has no public attribute for the socket.
    transport = connection.driver_connection._transport  # noqa: SLF001
    socket = select.poll()
    socket.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    entry.info.update(opened=time.monotonic(), socket=socket)


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
