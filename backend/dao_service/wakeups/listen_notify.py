"""The notifier: a message that one process records wakes the followers in all processes, by PostgreSQL's LISTEN/NOTIFY.

Each process has one connection for it, outside the pool. Announcements are batched: while one NOTIFY is under way, and
for `PAUSE` seconds after it, the changed conversations are collected for the next. A NOTIFY in each append transaction
would cost two thirds of the throughput, because PostgreSQL lets only one transaction at a time queue notifications.

While the connection is down, announcements of other processes are missed. So after each reconnect the notifier wakes
every follower of its process, and each reads its conversation anew.
"""

import asyncio
import random
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID, uuid4

import asyncpg
import structlog

from backend.background_task import BackgroundTask
from backend.dao_service.connection.database import Database
from backend.dao_service.connection.sqlstate import describe

CHANNEL: Final = "verbatim_recorded"
PAUSE: Final = 0.01  # seconds between one NOTIFY and the next
CHECK: Final = 10.0  # seconds without an announcement after which a SELECT checks that the connection is alive
_DELAY: Final = 1.0  # seconds, at the longest, before a new connection
_FIRST_DELAY: Final = 0.05  # the same for one that has lasted longer than that: it alone may have been lost
_LOCK_TIMEOUT: Final = 5.0
_MOST: Final = 250  # conversations in a payload, which PostgreSQL bounds at 8,000 bytes
_WIDTH: Final = 16  # bytes of a UUID

log = structlog.get_logger(__name__)


class Notifier(BackgroundTask):
    """Announces the wakeups of this process to the other processes, and delivers theirs here."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._wakeups = database.wakeups
        self._name = uuid4().hex  # to recognise this process's own notifications, which PostgreSQL sends back
        self._is_down = False

    async def _run(self) -> None:
        while True:
            begun = time.monotonic()
            try:
                await self._listen_and_announce()
            except Exception as error:  # noqa: BLE001 -- the next connection may succeed
                if not self._is_down:
                    log.warning(
                        "notifier has no connection: followers in other processes wait for their next poll",
                        **describe(error),
                    )
                self._is_down = True
            self._wakeups.take_pending()  # the first NOTIFY after a reconnect wakes every follower anyway
            delay = _DELAY if time.monotonic() - begun < _DELAY else _FIRST_DELAY
            await asyncio.sleep(random.uniform(0, delay))  # noqa: S311 -- not all processes at once

    async def _listen_and_announce(self) -> None:
        connection = await self._database.connect_directly(lock=_LOCK_TIMEOUT)
        try:
            connection.add_termination_listener(lambda _: self._wakeups.announcing.set())
            await connection.add_listener(CHANNEL, self._on_notification)
            self._wakeups.wake_all()
            await self._notify(connection, [])
            self._is_down = False
            while not connection.is_closed():
                await self._announce(connection)
        finally:
            connection.terminate()

    async def _announce(self, connection: asyncpg.Connection) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECK):
                await self._wakeups.announcing.wait()
        self._wakeups.announcing.clear()
        pending = self._wakeups.take_pending()
        if pending is None:
            await self._notify(connection, [])
            pending = []
        elif not pending:
            await connection.execute("SELECT")
        for place in range(0, len(pending), _MOST):
            await self._notify(connection, pending[place : place + _MOST])
        await asyncio.sleep(PAUSE)

    async def _notify(self, connection: asyncpg.Connection, conversation_ids: Sequence[UUID]) -> None:
        names = b64encode(b"".join(each.bytes for each in conversation_ids)).decode()
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, f"{self._name}:{names}")

    def _on_notification(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        sender, _, encoded = str(payload).partition(":")
        if sender == self._name:
            return
        try:
            names = b64decode(encoded, validate=True)
            changed = [UUID(bytes=names[place : place + _WIDTH]) for place in range(0, len(names), _WIDTH)]
        except ValueError:
            changed = []
        if changed:
            self._wakeups.wake_here(changed)
        else:  # the sender has just reconnected, or its release uses another format
            self._wakeups.wake_all()
