"""Whether the service can do its work."""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from backend.dao_service.connection.database import Database, PoolLimits
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.schema_dao import SchemaDAO
from backend.services import database_checks, durability
from backend.services.appender import Appender
from backend.services.database_checks import DatabaseChecks, Part
from backend.services.durability import InForce
from backend.services.single_flight import SingleFlight

VERDICT_FRESH_SECONDS: Final = 3.0  # load balancers ask often, and each look inserts a message and takes it back
LOOK_TIMEOUT_SECONDS: Final = 2.0  # seconds after which a database that has not answered counts as unavailable
LIMITS: Final = PoolLimits(pool_size=1, statement=1.0, lock=0.5, connect=1.0)  # of the database for these looks
_SILENT: Final = DatabaseChecks([database_checks.AWAY], None, tried=False)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found, one word for each thing looked at: ``ok`` or what is wrong."""

    database: str
    schema: str
    writes: str
    queue: str

    @property
    def ready(self) -> bool:
        """Whether everything is in order."""
        return {self.database, self.schema, self.writes, self.queue} == {"ok"}


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, what to do about it, and what an acknowledged message survives, if the database says so."""

    readiness: Readiness
    remedy: str
    in_force: InForce | None


class Health:
    """Looks at everything that a message needs; ``revision`` is the schema that this service was written for.

    ``database`` is for these looks alone, so that they wait for no connection of the pool. All who ask at once share a
    look, and one that found everything in order is good for VERDICT_FRESH_SECONDS, so that asking costs the database
    little. A look that finds the feed's sequence behind sets it forward: the next look finds it in order.
    """

    def __init__(self, database: Database, appender: Appender, revision: str) -> None:
        self._database = database
        self._appender = appender
        self._revision = revision
        self._looks = SingleFlight(self._examine, keep=lambda found: not found.faults)

    async def look(self) -> Look:
        """Return what was found; it may be VERDICT_FRESH_SECONDS old."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                found = await self._looks.get(VERDICT_FRESH_SECONDS)
        except TimeoutError:
            found = _SILENT
        queue = "stopping" if not self._appender.running else "full" if self._appender.full else "ok"
        readiness = Readiness(found.word(Part.DATABASE), found.word(Part.SCHEMA), found.word(Part.WRITES), queue)
        in_force = durability.in_force(found.durability) if found.durability else None
        return Look(readiness, " ".join(fault.sentence for fault in found.faults), in_force)

    async def close(self) -> None:
        """Look no more; safe to call twice."""
        await self._looks.close()
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
        except Exception as error:  # noqa: BLE001 -- the look has found the fault; whether it can be mended is another
            log.warning("the feed's sequence was not set forward", **describe(error))


@dataclass(frozen=True, slots=True)
class HealthReport:
    """A sentence for each fault that puts the record at risk, and what an acknowledgement is worth, if known.

    ``tried`` tells that the schema is of the right version and the database could be written to, so far.
    """

    faults: list[str]
    promise: str | None
    tried: bool


async def look(database: Database, revision: str) -> HealthReport:
    """Look at everything about the database that the record depends on."""
    found = await database_checks.examine(database, revision)
    sentences = [fault.sentence for fault in found.faults]
    if found.durability is None:
        return HealthReport(sentences, None, found.tried)
    worth = durability.promise(found.durability)
    return HealthReport([*durability.faults(found.durability), *sentences], worth, found.tried)
