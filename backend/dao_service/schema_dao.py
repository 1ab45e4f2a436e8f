"""The state of the database itself."""

from typing import Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

# Whoever may not read all statistics is shown that there are standbys, and not in which state.
_DURABILITY: Final = text("""
    SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
        current_setting('synchronous_standby_names'), count(pid),
        CASE WHEN count(pid) = count(sync_state) THEN count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) END
    FROM pg_stat_replication
""")


class DatabaseState(NamedTuple):
    """``revision`` is the newest migration applied, None before the first."""

    revision: str | None
    writable: bool


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
        try:
            async with self._session.begin_nested():
                revision = await self._session.scalar(text("SELECT version_num FROM verbatim_alembic_version"))
        except ProgrammingError:
            revision = None
        return DatabaseState(revision, writable)

    async def durability(self) -> Durability:
        """Return what is in force for what we commit, which `synchronous_commit = off` is not."""
        row = await self._session.execute(_DURABILITY)
        return Durability(*row.one())
