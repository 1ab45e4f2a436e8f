"""What only the database knows, for `/metrics`: read in the background, so that no scrape waits for the database."""

import asyncio
import time
from typing import Final

import structlog

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.schema_dao import SchemaDAO
from backend.observability import metrics
from backend.services import deliveries, durability
from backend.services.durability import Survives

FIGURES_FRESH_SECONDS: Final = 10.0  # seconds between two looks

_DURABILITY: Final = {Survives.NOTHING: 0, Survives.CRASH: 1, Survives.LOSS: 2}

log = structlog.get_logger(__name__)


class DatabaseMetrics:
    """Sets the gauges of the database. ``revision`` is the schema that this service was written for.

    A scrape asks for the next look and is answered with the figures of the one before, so nothing is read without
    scrapes. ``database`` has connections of its own, apart from those that requests wait for.
    """

    def __init__(self, database: Database, revision: str) -> None:
        self._database = database
        self._wanted = _number(revision)
        self._task: asyncio.Task[None] | None = None
        self._begun = 0.0

    def refresh(self) -> None:
        """Begin a look at the database, unless one is under way or began less than FIGURES_FRESH_SECONDS ago."""
        if self._task is not None and (not self._task.done() or time.monotonic() - self._begun < FIGURES_FRESH_SECONDS):
            return
        self._begun = time.monotonic()
        self._task = asyncio.create_task(self._look(), name="figures")

    async def close(self) -> None:
        """Look no more; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _look(self) -> None:
        metrics.SCHEMA_WANTED.set(self._wanted)
        try:
            await self._look_at_server()
            metrics.DATABASE_UP.set(1)
            await self._look_at_deliveries()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the next look may go better
            metrics.DATABASE_UP.set(0)
            log.warning("no figures from the database", **describe(error))

    async def _look_at_server(self) -> None:
        async with self._database.reading() as session:
            stamp = await SchemaDAO(session).stamp()
            found = await SchemaDAO(session).durability()
        metrics.SCHEMA_REVISION.set(_number(stamp.revision))
        metrics.DURABILITY.set(_DURABILITY[durability.survives(found)])
        metrics.STANDBYS_WANTED.set(durability.wanted(found))
        metrics.STANDBYS_CONNECTED.set(float("nan") if found.synchronous is None else found.synchronous)

    async def _look_at_deliveries(self) -> None:
        found = await deliveries.backlog(self._database)
        metrics.DELIVERIES_PENDING.set(found.pending)
        metrics.DELIVERIES_HELD.set(found.held)
        metrics.DELIVERIES_FAILED.set(found.failed)
        metrics.DELIVERY_OLDEST.set(max(0, time.time() - found.oldest.timestamp()) if found.oldest else 0)


def _number(revision: str | None) -> int:
    """Return the number that our migrations are named by; 0 for none, and for one that is not ours."""
    return int(revision) if revision and revision.isdecimal() else 0
