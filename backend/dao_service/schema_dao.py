"""The state of the database itself."""

from typing import Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.faults import is_disk_full

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

    async def durability(self) -> Durability:
        """Return what is in force for what we commit, which `synchronous_commit = off` is not."""
        row = await self._session.execute(_DURABILITY)
        return Durability(*row.one())
