"""The state of the service for its operator: readiness, durability, versions, processes, outbox, search, sizes.

Each part that PostgreSQL tells is read in a transaction of its own. A part that cannot be read is left out with the
reason, and the others are answered: an operator asks when something is broken.
"""

import asyncio
import platform
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

import structlog

from backend import __version__
from backend.dao_service.connection.database import Database
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.schema_dao import Durability, SchemaDAO
from backend.dao_service.schema_revision import SCHEMA_REVISION, Stamp
from backend.dao_service.search_index_dao import SearchIndexDAO
from backend.dao_service.server_dao import ServerDAO
from backend.errors import RecordError
from backend.observability import workers
from backend.principal import Principal
from backend.schemas.service import (
    ConnectedRelease,
    ServiceDurability,
    ServiceOutbox,
    ServiceReadiness,
    ServiceResponse,
    ServiceSchema,
    ServiceSearch,
    ServiceSizes,
    ServiceVersions,
    TableSize,
    UnknownPart,
)
from backend.services import deliveries, durability
from backend.services.health import Health
from backend.services.single_flight import SingleFlight
from backend.vocabulary import Scope

STATUS_FRESH_SECONDS: Final = 3.0  # seconds for which an answer is cached
# Seconds for all parts of the database together. The readiness has a limit of its own (`health`).
READ_TIMEOUT_SECONDS: Final = 2.0

PartT = TypeVar("PartT")

log = structlog.get_logger(__name__)


class ServiceStatus:
    """Reads the state of the service, once for all callers that ask at the same time.

    ``database`` is the one of the health checks, so that no reading waits for the requests' connections.
    """

    def __init__(self, database: Database, health: Health) -> None:
        self._database = database
        self._health = health
        self._status = SingleFlight(self._read)

    async def get(self, principal: Principal) -> ServiceResponse:
        """Return the state, at most STATUS_FRESH_SECONDS old, within about four seconds; raises ScopeMissing."""
        principal.owner(Scope.DELIVERIES_MANAGE)
        return await self._status.get(STATUS_FRESH_SECONDS)

    async def close(self) -> None:
        """Cancel the reading, if one is running; safe to call twice."""
        await self._status.close()

    async def _read(self) -> ServiceResponse:
        checked = await self._health.check()
        checks = checked.readiness
        running = await asyncio.to_thread(workers.count)
        parts = _Parts(self._database)
        server = await parts.read("durability", _server)
        outbox = await parts.read("outbox", _outbox)
        search = await parts.read("search", _search)
        releases = await parts.read("releases", _releases)
        sizes = await parts.read("sizes", _sizes)
        return ServiceResponse(
            checked_at=datetime.now(UTC),
            readiness=ServiceReadiness(
                ready=checks.ready,
                database=checks.database,
                schema_=checks.schema,
                writes=checks.writes,
                queue=checks.queue,
                remedy=checked.remedy or None,
            ),
            durability=server and _durability(server[0]),
            schema_=server and _schema(server[1]),
            versions=ServiceVersions(
                service=__version__, python=platform.python_version(), postgresql=server and server[2]
            ),
            workers=running.workers,
            followers=running.followers,
            releases=releases,
            outbox=outbox,
            search=search,
            sizes=sizes,
            unknown=parts.unknown,
        )


class _Parts:
    """Reads parts of the state one after the other, within READ_TIMEOUT_SECONDS for all of them."""

    def __init__(self, database: Database) -> None:
        self.unknown: list[UnknownPart] = []
        self._database = database
        self._deadline = asyncio.get_running_loop().time() + READ_TIMEOUT_SECONDS

    async def read(self, name: str, find: Callable[[Database], Awaitable[PartT]]) -> PartT | None:
        """Return what ``find`` returns, or None, with the reason in ``unknown``, if it fails or is too slow."""
        try:
            async with asyncio.timeout_at(self._deadline):
                return await find(self._database)
        except TimeoutError:
            reason = "PostgreSQL did not answer in time."
        except RecordError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 -- the other parts are answered
            log.warning("a part of the service's state was not read", part=name, **describe(error))
            reason = "The reading failed; the log says why."
        self.unknown.append(UnknownPart(part=name, reason=reason))
        return None


async def _server(database: Database) -> tuple[Durability, Stamp, str]:
    async with database.reading() as session:
        schema = SchemaDAO(session)
        return await schema.durability(), await schema.stamp(), await ServerDAO(session).version()


def _durability(found: Durability) -> ServiceDurability:
    return ServiceDurability(
        survives=durability.survives(found), promise=durability.promise(found), faults=durability.faults(found)
    )


def _schema(stamp: Stamp) -> ServiceSchema:
    return ServiceSchema(code=SCHEMA_REVISION, database=stamp.revision, compatible_from=stamp.compatible_from)


async def _outbox(database: Database) -> ServiceOutbox:
    found = await deliveries.backlog(database)
    return ServiceOutbox(waiting=found.pending, held=found.held, failed=found.failed, oldest_at=found.oldest)


async def _search(database: Database) -> ServiceSearch | None:
    async with database.driver_connection() as connection:
        found = await SearchIndexDAO(connection).figures()
    return found and ServiceSearch(lag_seconds=max(found.lag or 0, 0), past_messages=round(found.past or 0))


async def _releases(database: Database) -> list[ConnectedRelease]:
    async with database.reading() as session:
        found = await ServerDAO(session).releases()
    return [ConnectedRelease(schema_=revision, connections=count) for revision, count in found]


async def _sizes(database: Database) -> ServiceSizes:
    async with database.reading() as session:
        found = await ServerDAO(session).sizes()
    tables = [TableSize(table=name, bytes=size) for name, size in found.tables]
    return ServiceSizes(database_bytes=found.database, tables=tables, wal_bytes=found.wal)
