"""The state of the database itself."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession


class DatabaseState(NamedTuple):
    """``revision`` is the newest migration applied, None before the first."""

    revision: str | None
    writable: bool


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

    async def durability(self) -> dict[str, str]:
        """Return the settings that decide whether a commit outlives a crash."""
        rows = await self._session.execute(
            text("SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes')")
        )
        return {row.name: row.setting for row in rows}
