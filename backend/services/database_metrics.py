"""The metrics that are read from the database: in the background, so that no scrape of `/metrics` waits for it."""

import asyncio
import time
from typing import Final

import structlog

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.hold_dao import HoldDAO
from backend.dao_service.schema_dao import SchemaDAO
from backend.observability import metrics
from backend.services import deliveries, durability, search_index
from backend.services.durability import Survives

FIGURES_FRESH_SECONDS: Final = 10.0  # seconds between two readings, at least

_DURABILITY: Final = {Survives.NOTHING: 0, Survives.CRASH: 1, Survives.LOSS: 2}

log = structlog.get_logger(__name__)


class DatabaseMetrics:
    """Sets the gauges of the database. ``revision`` is the schema revision that this release was written for.

    A scrape starts the next reading and gets the figures of the one before, so nothing is read without scrapes.
    ``database`` has a pool of its own, so that a reading takes no connection from requests.
    """

    def __init__(self, database: Database, revision: str) -> None:
        self._database = database
        self._wanted = _number(revision)
        self._task: asyncio.Task[None] | None = None
        self._begun = 0.0

    def refresh(self) -> None:
        """Start a reading, unless one is running or the last began less than FIGURES_FRESH_SECONDS ago."""
        if self._task is not None and (not self._task.done() or time.monotonic() - self._begun < FIGURES_FRESH_SECONDS):
            return
        self._begun = time.monotonic()
        self._task = asyncio.create_task(self._read(), name="database metrics")

    async def close(self) -> None:
        """Cancel the reading, if one is running; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _read(self) -> None:
        metrics.SCHEMA_WANTED.set(self._wanted)
        try:
            await self._read_server()
            metrics.DATABASE_UP.set(1)
            await self._read_deliveries()
            await self._read_holds()
            await self._read_search()
        except Exception as error:  # noqa: BLE001 -- the next reading may succeed
            metrics.DATABASE_UP.set(0)
            log.warning("no figures from the database", **describe(error))

    async def _read_server(self) -> None:
        async with self._database.reading() as session:
            stamp = await SchemaDAO(session).stamp()
            found = await SchemaDAO(session).durability()
        metrics.SCHEMA_REVISION.set(_number(stamp.revision))
        metrics.DURABILITY.set(_DURABILITY[durability.survives(found)])
        metrics.STANDBYS_WANTED.set(durability.wanted(found))
        metrics.STANDBYS_CONNECTED.set(float("nan") if found.synchronous is None else found.synchronous)

    async def _read_deliveries(self) -> None:
        found = await deliveries.backlog(self._database)
        metrics.DELIVERIES_PENDING.set(found.pending)
        metrics.DELIVERIES_HELD.set(found.held)
        metrics.DELIVERIES_FAILED.set(found.failed)
        metrics.DELIVERY_OLDEST.set(max(0, time.time() - found.oldest.timestamp()) if found.oldest else 0)

    async def _read_holds(self) -> None:
        async with self._database.reading() as session:
            metrics.HOLDS.set(await HoldDAO(session).count_active())

    async def _read_search(self) -> None:
        if found := await search_index.figures(self._database):
            metrics.SEARCH_LAG.set(found.lag)
            metrics.SEARCH_MESSAGES.set(found.messages)
            metrics.SEARCH_PAST_MESSAGES.set(found.past)


def _number(revision: str | None) -> int:
    """Return the number of one of our migrations; 0 for None, and for a revision that is not ours."""
    return int(revision) if revision and revision.isdecimal() else 0
