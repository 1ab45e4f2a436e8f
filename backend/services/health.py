"""Whether the service can do its work."""

from dataclasses import dataclass

from backend.dao_service.database import Database
from backend.dao_service.schema_dao import SchemaDAO
from backend.errors import DatabaseUnavailable, Unavailable
from backend.services import durability
from backend.services.appender import Appender


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


async def readiness(database: Database, appender: Appender, revision: str) -> Readiness:
    """Look at everything that a message needs; ``revision`` is the schema that this service was written for."""
    queue = "stopping" if not appender.running else "full" if appender.full else "ok"
    try:
        async with database.reading() as session:
            state = await SchemaDAO(session).state()
    except Unavailable as error:
        standby = isinstance(error, DatabaseUnavailable) and error.read_only
        return Readiness("read-only" if standby else "unavailable", "unknown", queue)
    schema = "ok" if state.revision == revision else "differs"
    found = "disk-full" if state.disk_full else "ok" if state.writable else "read-only"
    return Readiness(found, schema, queue)


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
