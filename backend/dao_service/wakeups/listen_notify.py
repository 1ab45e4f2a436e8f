"""The notifier: what one process records wakes the followers of all, through PostgreSQL's LISTEN and NOTIFY.

One connection a process, outside the pool, hears and tells. What is told is gathered: while one NOTIFY is under way,
and for a moment after it, the conversations that go on are collected for the next. (A NOTIFY inside each append would
cost two thirds of its throughput: PostgreSQL lets only one transaction at a time queue them.)

When the connection is lost, nobody knows what was missed. So whoever waits is woken as soon as it is there again, and
looks for itself.
"""

import asyncio
import random
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID, uuid4

import asyncpg
import structlog

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.sqlstate import describe

CHANNEL: Final = "verbatim_recorded"
PAUSE: Final = 0.01  # seconds between one NOTIFY and the next
CHECK: Final = 10.0  # seconds without news after which the connection has to prove itself
_LOCK_TIMEOUT: Final = 5.0
_MOST: Final = 250  # conversations in a payload, which PostgreSQL bounds at 8,000 bytes
_WIDTH: Final = 16  # bytes of a UUID

log = structlog.get_logger(__name__)


class Notifier:
    """Carries the wakeups of this process to the others, and theirs here."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wakeups = database.wakeups
        self._name = uuid4().hex  # one's own notifications come back, too
        self._lost = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to hear and to tell; from inside the event loop."""
        self._task = self._task or asyncio.create_task(self._run(), name="notifier")

    async def close(self) -> None:
        """Hear and tell no more; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception as error:  # noqa: BLE001 -- whatever it is, the next connection may do better
                if not self._lost:
                    log.warning("processes do not wake each other's followers", **describe(error))
                self._lost = True
            self._wakeups.take_pending()  # what is told next, when there is a connection again, is everything
            await asyncio.sleep(random.uniform(0.1, 1))  # noqa: S311 -- not all processes at once

    async def _serve(self) -> None:
        connection = await self._database.connect_directly(lock=_LOCK_TIMEOUT)
        try:
            connection.add_termination_listener(lambda _: self._wakeups.announcing.set())
            await connection.add_listener(CHANNEL, self._hear)
            self._wakeups.wake_all()
            await self._notify(connection, [])
            self._lost = False
            while not connection.is_closed():
                await self._tell(connection)
        finally:
            connection.terminate()

    async def _tell(self, connection: asyncpg.Connection) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECK):
                await self._wakeups.announcing.wait()
        self._wakeups.announcing.clear()
        untold = self._wakeups.take_pending()
        if untold is None:
            await self._notify(connection, [])
            untold = []
        elif not untold:
            await connection.execute("SELECT")
        for place in range(0, len(untold), _MOST):
            await self._notify(connection, untold[place : place + _MOST])
        await asyncio.sleep(PAUSE)

    async def _notify(self, connection: asyncpg.Connection, conversation_ids: Sequence[UUID]) -> None:
        names = b64encode(b"".join(each.bytes for each in conversation_ids)).decode()
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, f"{self._name}:{names}")

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        sender, _, encoded = str(payload).partition(":")
        if sender == self._name:
            return
        try:
            names = b64decode(encoded, validate=True)
            heard = [UUID(bytes=names[place : place + _WIDTH]) for place in range(0, len(names), _WIDTH)]
        except ValueError:
            heard = []
        if heard:
            self._wakeups.wake_here(heard)
        else:  # it has just come up, or speaks otherwise than this version
            self._wakeups.wake_all()
