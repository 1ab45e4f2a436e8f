"""The way to PostgreSQL: one engine, and the two kinds of transaction there are.

A service function opens exactly one of them and has left it, committed, before its caller answers anybody. No
transaction is open while anything but PostgreSQL is awaited.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from backend.dao_service.faults import is_outage
from backend.errors import DatabaseUnavailable, SettingsError
from backend.observability import metrics

_DRIVER: Final = "postgresql+asyncpg"


def asyncpg_url(url: str) -> URL:
    """Return ``url`` for asyncpg, whichever PostgreSQL form it came in (libpq's ``sslmode`` included).

    Raises SettingsError when it is no PostgreSQL URL. The URL itself is never quoted: it holds a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("DATABASE_URL is not a URL; write postgresql://user:password@host:5432/name.") from None
    if parsed.drivername.partition("+")[0] not in {"postgres", "postgresql"}:
        raise SettingsError("DATABASE_URL must name a PostgreSQL database: postgresql://user:password@host:5432/name.")
    query = {("ssl" if key == "sslmode" else key): value for key, value in parsed.query.items()}
    return parsed.set(drivername=_DRIVER, query=query)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections may be open, and how long PostgreSQL may take; times in seconds."""

    pool_size: int = 5
    pool_wait: float = 2.0
    statement: float = 5.0
    lock: float = 2.0
    connect: float = 2.0

    def server_settings(self, lock: float) -> dict[str, str]:
        """Return what each connection asks of PostgreSQL when it opens."""
        return {
            "application_name": "verbatim",
            "timezone": "UTC",
            "statement_timeout": str(round(self.statement * 1000)),
            "lock_timeout": str(round(lock * 1000)),
            "idle_in_transaction_session_timeout": str(round(self.statement * 2000)),
        }


class Database:
    """One PostgreSQL database and its pool of connections."""

    def __init__(self, url: str, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._url = asyncpg_url(url)
        self._engine: Final[AsyncEngine] = create_async_engine(
            self._url,
            pool_size=self.limits.pool_size,
            max_overflow=0,
            pool_timeout=self.limits.pool_wait,
            hide_parameters=True,
            connect_args=self._connect_arguments(self.limits.lock),
        )
        self._session = async_sessionmaker(self._engine, expire_on_commit=False)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Give a session whose transaction PostgreSQL itself keeps from writing.

        Raises DatabaseUnavailable when PostgreSQL is away.
        """
        async with self._translated(), self._session() as session:
            await session.connection(execution_options={"postgresql_readonly": True})
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """Give a session whose transaction is committed on the way out, and rolled back on an exception.

        Raises DatabaseUnavailable when PostgreSQL is away; whether it committed is then unknown.
        """
        async with self._translated(), self._session.begin() as session:
            yield session

    async def connect(self, *, lock: float) -> asyncpg.Connection:
        """Open a connection outside the pool, for the one who appends, who waits ``lock`` seconds at most for a lock.

        The caller closes it. Raises DatabaseUnavailable when PostgreSQL is away.
        """
        _, arguments = self._engine.dialect.create_connect_args(self._url)
        try:
            return await asyncpg.connect(**arguments, **self._connect_arguments(lock))
        except Exception as error:
            if is_outage(error):
                raise DatabaseUnavailable from error
            raise

    async def close(self) -> None:
        """Close every connection that is not in use."""
        await self._engine.dispose()

    def _connect_arguments(self, lock: float) -> dict[str, Any]:
        return {
            "timeout": self.limits.connect,
            # PostgreSQL keeps time itself; this is for a PostgreSQL that no longer answers at all.
            "command_timeout": self.limits.statement * 2,
            "server_settings": self.limits.server_settings(lock),
        }

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            with metrics.POOL_IN_USE.track_inprogress():
                yield
        except Exception as error:
            if is_outage(error):
                raise DatabaseUnavailable from error
            raise
