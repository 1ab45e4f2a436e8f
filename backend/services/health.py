"""Readiness and health: whether this worker can record messages now, for load balancers and for `verbatim check`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from backend.dao_service.connection.database import Database, PoolLimits
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.schema_dao import SchemaDAO
from backend.services import database_checks, durability
from backend.services.appender import Appender
from backend.services.database_checks import DatabaseChecks, Part
from backend.services.durability import DurabilityReport, NodeReport
from backend.services.single_flight import SingleFlight

# Load balancers ask often, and each check inserts a message and rolls it back: so long one without faults is cached.
VERDICT_FRESH_SECONDS: Final = 3.0
LOOK_TIMEOUT_SECONDS: Final = 2.0  # seconds after which a database that has not answered counts as unavailable
LIMITS: Final = PoolLimits(pool_size=1, statement=1.0, lock=0.5, connect=1.0)  # of the pool for these checks, seconds
_TIMED_OUT: Final = DatabaseChecks([database_checks.UNAVAILABLE], None, tried=False)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Readiness:
    """The result of a readiness check: for each part ``ok``, or a word that names the fault."""

    database: str
    schema: str
    writes: str
    queue: str

    @property
    def ready(self) -> bool:
        """Whether all parts are ``ok``."""
        return {self.database, self.schema, self.writes, self.queue} == {"ok"}


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """The result of a health check: the readiness, what the operator should do, and the durability, if known.

    ``nodes`` are those of a cluster; a single server has none.
    """

    readiness: Readiness
    remedy: str
    durability: DurabilityReport | None
    nodes: Sequence[NodeReport]


class Health:
    """Checks everything that recording a message needs; ``revision`` is the schema that this release was written for.

    ``database`` is for these checks alone, so that they wait for no connection of the requests' pool. Concurrent
    requests share one check (single flight), and one without faults is cached for VERDICT_FRESH_SECONDS, so that
    frequent requests cost the database little. A check that finds the feed's sequence behind the record sets it
    forward, so that the next check finds no fault.
    """

    def __init__(self, database: Database, appender: Appender, revision: str) -> None:
        self._database = database
        self._appender = appender
        self._revision = revision
        self._checks = SingleFlight(self._examine, keep=lambda found: not found.faults)

    async def check(self) -> HealthCheck:
        """Return a result that is at most VERDICT_FRESH_SECONDS old, within LOOK_TIMEOUT_SECONDS."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                found = await self._checks.get(VERDICT_FRESH_SECONDS)
        except TimeoutError:
            found = _TIMED_OUT
        queue = "stopping" if not self._appender.running else "full" if self._appender.full else "ok"
        readiness = Readiness(found.word(Part.DATABASE), found.word(Part.SCHEMA), found.word(Part.WRITES), queue)
        report = durability.report(found.durability) if found.durability else None
        remedy = " ".join(fault.sentence for fault in found.faults)
        return HealthCheck(readiness, remedy, report, durability.nodes(found.nodes))

    async def close(self) -> None:
        """Cancel the check, if one is running, and close the database; safe to call twice."""
        await self._checks.close()
        await self._database.close()

    async def _examine(self) -> DatabaseChecks:
        found = await database_checks.examine(self._database, self._revision)
        if found.feed_is_behind:
            await self._advance_feed()
        return found

    async def _advance_feed(self) -> None:
        try:
            async with self._database.writing() as session:
                await SchemaDAO(session).advance_feed()
            log.warning("the feed's sequence was behind the record and was set forward")
        except Exception as error:  # noqa: BLE001 -- the check reports the fault anyway; the next one tries again
            log.warning("the feed's sequence was not set forward", **describe(error))


@dataclass(frozen=True, slots=True)
class HealthReport:
    """A sentence for each fault of the database, and one on durability (`promise`), None if that is unknown.

    ``tried`` tells whether the check got as far as a message that it inserted and rolled back, and ``is_cluster``
    whether the record is distributed, so that keys differ from those that the migrations make.
    """

    faults: list[str]
    promise: str | None
    tried: bool
    is_cluster: bool


async def check(database: Database, revision: str) -> HealthReport:
    """Return the faults of the database for a release with the schema ``revision``; what `verbatim check` prints."""
    found = await database_checks.examine(database, revision)
    sentences = [*durability.node_faults(found.nodes), *(fault.sentence for fault in found.faults)]
    if found.durability is None:
        return HealthReport(sentences, None, found.tried, bool(found.nodes))
    worth = durability.promise(found.durability)
    return HealthReport([*durability.faults(found.durability), *sentences], worth, found.tried, bool(found.nodes))
