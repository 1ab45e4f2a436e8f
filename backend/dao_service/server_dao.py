"""SQL on PostgreSQL itself, for the operator: its version, who is connected, and how large it is."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import Base
from backend.dao_service.schema_revision import CONNECTED_REVISION

_RELEASES: Final = text(f"""
    SELECT revision, count(*) FROM pg_stat_activity, {CONNECTED_REVISION} AS revision
    WHERE datname = current_database() AND revision IS NOT NULL
    GROUP BY revision ORDER BY revision
""")  # noqa: S608 -- our own constant
# Partitions are tables of their own, and a partitioned table has no size.
_TABLES: Final = text("""
    SELECT name, pg_total_relation_size(to_regclass(name)) AS size FROM unnest(CAST(:names AS text[])) AS wanted (name)
    WHERE to_regclass(name) IS NOT NULL ORDER BY size DESC, name
""")
_MAY_SEE_WAL: Final = text("SELECT has_function_privilege('pg_ls_waldir()', 'execute')")


class Sizes(NamedTuple):
    """Sizes in bytes; ``tables`` has the largest first, and ``wal`` is None if the role may not see it."""

    database: int
    tables: Sequence[tuple[str, int]]
    wal: int | None


class ServerDAO:
    """The statements on the server, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def version(self) -> str:
        """Return the server's version, as `18.1`, without what a distribution adds."""
        version = str(await self._session.scalar(text("SHOW server_version")))
        return version.partition(" ")[0]

    async def releases(self) -> list[tuple[str, int]]:
        """Return the schema revision of each connected release of ours, and its number of connections."""
        return [(revision, count) for revision, count in await self._session.execute(_RELEASES)]

    async def sizes(self) -> Sizes:
        """Return the sizes of the database, of each table that the models name, and of the write-ahead log.

        A table that another transaction has locked exclusively is waited for, up to the lock time-out.
        """
        size = await self._session.scalar(text("SELECT pg_database_size(current_database())"))
        found = await self._session.execute(_TABLES, {"names": [*Base.metadata.tables]})
        wal = None
        if await self._session.scalar(_MAY_SEE_WAL):
            wal = int(await self._session.scalar(text("SELECT coalesce(sum(size), 0) FROM pg_ls_waldir()")) or 0)
        return Sizes(int(size or 0), [(name, int(bytes_)) for name, bytes_ in found], wal)
