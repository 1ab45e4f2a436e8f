"""Which of a pool's connections are still believed to lead anywhere.

One that the server closed is known by that. A host that is gone closes nothing: whoever asks it first waits in vain,
and one such wait is enough to know of all the others. And who is cancelled while a transaction begins leaves it open,
which nobody knows but the driver: the next would work inside of it, and commit nothing.
"""

import time
from typing import Any

import asyncpg
from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry


class Trust:
    """Lets the pool open another connection where one is not trusted, instead of failing a request."""

    def __init__(self, engine: Engine) -> None:
        self._since = 0.0
        event.listen(engine, "connect", _note_the_time)
        event.listen(engine, "checkout", self._check)

    def lose(self) -> None:
        """Trust none that is open now."""
        self._since = time.monotonic()

    def _check(self, connection: Any, record: ConnectionPoolEntry, *_: object) -> None:
        driver: asyncpg.Connection = connection.driver_connection
        if record.info["opened"] < self._since or (not driver.is_closed() and driver.is_in_transaction()):
            driver.terminate()  # nobody is there to say goodbye to, or nobody knows what was begun
        if driver.is_closed():
            raise DisconnectionError


def _note_the_time(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["opened"] = time.monotonic()
