"""Which of a pool's connections are still believed to lead anywhere.

One that the server closed is known by that. A host that is gone closes nothing: whoever asks it first waits in vain,
and one such wait is enough to know of all the others. And what is left half done on a connection, nobody knows.
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
    """Lets the pool open another connection where one is not trusted, instead of failing a request."""

    def __init__(self, engine: Engine) -> None:
        self._since = 0.0
        event.listen(engine, "connect", _note_the_time)
        event.listen(engine, "checkout", self._check)

    def lose(self) -> None:
        """Invalidate every connection that is open now."""
        self._since = time.monotonic()

    def _check(self, connection: Any, record: ConnectionPoolEntry, *_: object) -> None:
        driver: asyncpg.Connection = connection.driver_connection
        if record.info["opened"] < self._since:
            driver.terminate()  # nobody is there to say goodbye to
        if driver.is_closed():
            raise DisconnectionError
        if _has_unread_bytes(driver):
            driver.terminate()
            raise DisconnectionError


def _has_unread_bytes(driver: Any) -> bool:
    """Tell whether PostgreSQL has sent something, or its end of the connection, that the event loop has not read yet.

    On a connection of the pool nothing is awaited, so it is the notice that the server ends it, or the end itself. On a
    busy machine a request may take the connection before the event loop comes to read that.
    """
    poll = select.poll()
    poll.register(driver._transport.get_extra_info("socket").fileno(), select.POLLIN)  # noqa: SLF001 -- no public way
    return bool(poll.poll(0))


def _note_the_time(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["opened"] = time.monotonic()


@contextmanager
def orderly(connection: asyncpg.Connection) -> Iterator[None]:
    """Drop ``connection`` if the block ends in any way but with success or a refusal.

    asyncpg ends PostgreSQL's implicit transaction only when it runs a statement, not when it has prepared one. Whoever
    is cancelled in between, or passes what the driver cannot put into the statement's types, leaves it open, with its
    locks, and neither the driver nor the pool knows: the next would begin inside it.
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
