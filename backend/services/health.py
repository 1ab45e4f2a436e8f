"""Whether the service can do its work."""

from dataclasses import dataclass

from backend.dao_service.database import Database
from backend.dao_service.schema_dao import SchemaDAO
from backend.errors import DatabaseUnavailable, Unavailable
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
    return Readiness("ok" if state.writable else "read-only", schema, queue)


async def faults(database: Database, revision: str) -> list[str]:
    """Return a sentence for everything about the database that puts the record at risk."""
    async with database.reading() as session:
        state = await SchemaDAO(session).state()
        settings = await SchemaDAO(session).durability()
    found = [
        f"PostgreSQL runs with {name} = off: what was acknowledged can be lost in a crash."
        for name in ("fsync", "full_page_writes")
        if settings[name] == "off"
    ]
    if state.revision != revision:
        found.append(f"The schema is at {state.revision}, this version needs {revision}: run `verbatim migrate`.")
    if not state.writable:
        found.append("The database is a standby and takes no writes.")
    return found
