"""Whether the service can do its work."""

import asyncio
from dataclasses import dataclass
from typing import Final

from backend.dao_service.database import Database, Limits
from backend.dao_service.schema_dao import SchemaDAO
from backend.errors import DatabaseUnavailable, Unavailable
from backend.services import durability
from backend.services.appender import Appender
from backend.services.durability import InForce
from backend.services.shared import Shared

FRESH: Final = 1.0  # seconds
PATIENCE: Final = 2.0  # seconds after which a database that has not answered counts as unavailable
LIMITS: Final = Limits(pool_size=1, statement=1.0, lock=1.0, connect=1.0)  # of the database for these looks


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found, one word for each thing looked at: ``ok`` or what is wrong."""

    database: str
    schema: str
    queue: str

    @property
    def ready(self) -> bool:
        """Whether everything is in order."""
        return {self.database, self.schema, self.queue} == {"ok"}


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found of the database: a word each for itself and its schema, and what a commit survives, if known."""

    database: str
    schema: str
    in_force: InForce | None = None


class Health:
    """Looks at everything that a message needs; ``revision`` is the schema that this service was written for.

    ``database`` is for these looks alone, so that they wait for no connection of the pool. All who ask at once share a
    look, and one that found everything in order is good for ``FRESH`` seconds, so that asking costs the database
    nothing.
    """

    def __init__(self, database: Database, appender: Appender, revision: str) -> None:
        self._database = database
        self._appender = appender
        self._revision = revision
        self._looks = Shared(self._look, keep=lambda looked: (looked.database, looked.schema) == ("ok", "ok"))

    async def readiness(self) -> tuple[Readiness, InForce | None]:
        """Return what was found, and what an acknowledged message survives, if the database says so."""
        try:
            async with asyncio.timeout(PATIENCE):
                looked = await self._looks.get(FRESH)
        except TimeoutError:
            looked = _Look("unavailable", "unknown")
        queue = "stopping" if not self._appender.running else "full" if self._appender.full else "ok"
        return Readiness(looked.database, looked.schema, queue), looked.in_force

    async def close(self) -> None:
        """Look no more; safe to call twice."""
        await self._looks.close()
        await self._database.close()

    async def _look(self) -> _Look:
        try:
            async with self._database.reading() as session:
                state = await SchemaDAO(session).state()
                found = await SchemaDAO(session).durability()
        except Unavailable as error:
            standby = isinstance(error, DatabaseUnavailable) and error.read_only
            return _Look("read-only" if standby else "unavailable", "unknown")
        schema = "ok" if state.revision == self._revision else "differs"
        word = "disk-full" if state.disk_full else "ok" if state.writable else "read-only"
        return _Look(word, schema, durability.in_force(found))


@dataclass(frozen=True, slots=True)
class Findings:
    """A sentence for each fault that puts the record at risk, and what an acknowledgement is worth."""

    faults: list[str]
    promise: str


async def look(database: Database, revision: str) -> Findings:
    """Look at everything about the database that the record depends on."""
    async with database.reading() as session:
        state = await SchemaDAO(session).state()
        found = await SchemaDAO(session).durability()
    faults = durability.faults(found)
    if state.revision != revision:
        faults.append(f"The schema is at {state.revision}, this version needs {revision}: run `verbatim migrate`.")
    if not state.writable:
        faults.append("The database is a standby and takes no writes.")
    if state.disk_full:
        faults.append("The disk of the database's server is full: nothing new can be stored until it has room again.")
    return Findings(faults, durability.promise(found))
