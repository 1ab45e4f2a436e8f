"""The state of the database itself."""

from typing import Final, NamedTuple

from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.connection.sqlstate import is_disk_full
from backend.dao_service.models import Base

# Whoever may not read all statistics is shown that there are standbys, and not in which state.
_DURABILITY: Final = text("""
    SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
        current_setting('synchronous_standby_names'), count(pid),
        CASE WHEN count(pid) = count(sync_state) THEN count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) END
    FROM pg_stat_replication
""")


# 8,192 numbers do not fit into 64 kB of memory, so PostgreSQL writes them into a temporary file of 112 kB. On a full
# disk it raises what it raises where a table must grow; no row and nothing in its log stays behind. The argument of the
# second function depends on the first one, which must be called before it.
ROOM: Final = text("""
    SELECT count(*) FROM set_config('work_mem', '64kB', true) AS memory
    CROSS JOIN LATERAL generate_series(1, 8192 + 0 * length(memory))
""")


_TRIGGERS: Final = (
    "verbatim_take_place",
    "verbatim_advance_counter",
    "verbatim_enter_feed",
    "verbatim_take_position",
)
_MISSING: Final = text("""
    SELECT name FROM unnest(CAST(:indexes AS text[])) AS wanted (name)
    WHERE NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(name) AND indisvalid)
    UNION ALL
    SELECT name FROM unnest(CAST(:triggers AS text[])) AS wanted (name)
    WHERE NOT EXISTS (
        SELECT FROM pg_trigger WHERE tgrelid = 'messages'::regclass AND tgname = name AND tgenabled IN ('O', 'A')
    )
    ORDER BY name
""")
_BEHIND: Final = text("""
    SELECT coalesce((SELECT max(feed_position) FROM messages) > (
        SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM messages_feed_position_seq
    ), false)
""")
_ADVANCE: Final = text("SELECT verbatim_advance_feed()")
_OF_THE_HOST: Final = text("""
    SELECT tgname || ' on ' || relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE tgrelid IN ('conversations'::regclass, 'messages'::regclass) AND NOT tgisinternal AND tgenabled IN ('O', 'A')
        AND tgname <> ALL (CAST(:ours AS text[]))
    ORDER BY 1
""")
_SECURED: Final = text("""
    SELECT name FROM unnest(CAST(:names AS text[])) AS wanted (name)
    WHERE to_regclass(name) IS NOT NULL AND row_security_active(to_regclass(name)) ORDER BY 1
""")


class DatabaseState(NamedTuple):
    """``revision`` is the newest migration applied, None before the first."""

    revision: str | None
    writable: bool
    disk_full: bool


class Durability(NamedTuple):
    """What decides whether a commit of ours outlives a crash, or its server.

    ``standbys`` follow, ``synchronous`` of them as commits wait for; None when that is hidden from this user.
    """

    fsync: str
    full_page_writes: str
    synchronous_commit: str
    synchronous_standby_names: str
    standbys: int
    synchronous: int | None


class SchemaDAO:
    """Questions about the database."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def state(self) -> DatabaseState:
        """Return what a service needs to know before it takes anything in."""
        writable = not await self._session.scalar(text("SELECT pg_is_in_recovery()"))
        return DatabaseState(await self.revision(), writable, await self._is_disk_full())

    async def revision(self) -> str | None:
        """Return the newest migration that was applied, None before the first."""
        try:
            async with self._session.begin_nested():
                found: str | None = await self._session.scalar(text("SELECT version_num FROM verbatim_alembic_version"))
        except ProgrammingError:
            return None
        return found

    async def _is_disk_full(self) -> bool:
        try:
            async with self._session.begin_nested():
                await self._session.execute(ROOM)
        except DBAPIError as error:
            if is_disk_full(error):
                return True
            raise
        return False

    async def missing(self) -> list[str]:
        """Return the indexes and triggers of ours that are not there, are invalid or are disabled."""
        found = await self._session.scalars(_MISSING, {"indexes": _indexes(), "triggers": [*_TRIGGERS]})
        return list(found.all())

    async def feed_is_behind(self) -> bool:
        """Tell whether the feed's sequence has yet to give a position that is on record. Needs the index on those."""
        return bool(await self._session.scalar(_BEHIND))

    async def advance_feed(self) -> bool:
        """Set the feed's sequence beyond all that is on record, and tell whether that was needed."""
        return bool(await self._session.scalar(_ADVANCE))

    async def triggers_of_the_host(self) -> list[str]:
        """Return the triggers that run when a conversation or a message is written and are not ours."""
        return list((await self._session.scalars(_OF_THE_HOST, {"ours": [*_TRIGGERS]})).all())

    async def secured(self) -> list[str]:
        """Return our tables on which row-level security holds for the session's role."""
        return list((await self._session.scalars(_SECURED, {"names": [*Base.metadata.tables]})).all())

    async def durability(self) -> Durability:
        """Return what is in force for what we commit, which `synchronous_commit = off` is not."""
        row = await self._session.execute(_DURABILITY)
        return Durability(*row.one())


def _indexes() -> list[str]:
    """Return the names of all indexes that the models have, those of constraints too; the host's keys are its own."""
    names: list[str] = []
    for table in Base.metadata.tables.values():
        names += [str(index.name) for index in table.indexes]
        names += [str(key.name) for key in table.constraints if isinstance(key, UniqueConstraint)]
        if table.name not in {"conversations", "goals", "tasks", "messages"}:
            names += [str(key.name) for key in table.constraints if isinstance(key, PrimaryKeyConstraint)]
    return names
