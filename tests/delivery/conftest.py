"""An orchestrator, a dispatcher that tells it, and the table of deliveries, watched."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from backend.dao_service.connection.database import Database
from backend.delivery import Dispatcher, Orchestrator, OrchestratorEndpoint
from backend.services.outbox import Outbox
from tests.orchestrator_stand_in import OrchestratorStandIn, orchestrator
from tests.waiting import PATIENCE


class Table:
    """The table `deliveries`, as another program sees it, which hears of every change."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self._news = asyncio.Event()

    async def watch(self) -> None:
        await self.connection.execute(
            """
            CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NOTIFY deliveries; RETURN NULL; END';
            CREATE TRIGGER tell AFTER INSERT OR UPDATE ON deliveries EXECUTE FUNCTION tell()
            """
        )
        await self.connection.add_listener("deliveries", lambda *_: self._news.set())

    async def until(self, condition: str) -> None:
        """Wait for a delivery of which ``condition`` holds."""
        await self._until(f"EXISTS (SELECT FROM deliveries WHERE {condition})")

    async def until_all(self, condition: str) -> None:
        """Wait until ``condition`` holds of every delivery."""
        await self._until(f"NOT EXISTS (SELECT FROM deliveries WHERE ({condition}) IS NOT TRUE)")

    async def _until(self, condition: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                self._news.clear()
                if await self.connection.fetchval(f"SELECT {condition}"):
                    return
                await self._news.wait()

    async def only(self) -> dict[str, Any]:
        [row] = await self.connection.fetch("SELECT *, due_at - last_attempt_at AS wait FROM deliveries")
        return dict(row)

    async def states(self) -> dict[UUID, str]:
        rows = await self.connection.fetch("SELECT id, state FROM deliveries ORDER BY number")
        return {row[0]: row[1] for row in rows}

    async def make_due(self) -> None:
        """Let all waits and leases be over."""
        await self.connection.execute(
            "UPDATE deliveries SET due_at = now(), leased_until = leased_until - '1 day'::interval"
        )


@pytest.fixture
async def listener() -> AsyncIterator[OrchestratorStandIn]:
    async with orchestrator() as found:
        yield found


@asynccontextmanager
async def dispatching(
    database: Database, endpoint: OrchestratorEndpoint, schedule: Sequence[timedelta]
) -> AsyncIterator[Outbox]:
    """Run a dispatcher, and give the outbox that it empties."""
    outbox = Outbox(endpoint.url)
    dispatcher = Dispatcher(database, outbox, Orchestrator(endpoint), schedule)
    dispatcher.start()
    try:
        yield outbox
    finally:
        await dispatcher.close()


@pytest.fixture
async def table(connection: asyncpg.Connection) -> Table:
    watched = Table(connection)
    await watched.watch()
    return watched
