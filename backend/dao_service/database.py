"""The way to PostgreSQL: one engine, and the two kinds of transaction there are.

A service function opens exactly one of them and has left it, committed, before its caller answers anybody. No
transaction is open while anything but PostgreSQL is awaited.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import asyncpg
from sqlalchemy import URL, event, make_url
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from backend.dao_service.faults import is_locked, is_outage, is_transient
from backend.errors import Busy, DatabaseUnavailable, SettingsError
from backend.observability import metrics

_DRIVER: Final = "postgresql+asyncpg"


def asyncpg_url(url: str) -> URL:
    """Return ``url`` as SQLAlchemy wants it, whichever PostgreSQL form it came in.

    Raises SettingsError when it is no PostgreSQL URL. The URL itself is never quoted: it holds a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("DATABASE_URL is not a URL; write postgresql://user:password@host:5432/name.") from None
    if parsed.drivername.partition("+")[0] not in {"postgres", "postgresql"}:
        raise SettingsError("DATABASE_URL must name a PostgreSQL database: postgresql://user:password@host:5432/name.")
    return parsed.set(drivername=_DRIVER)


async def dial(
    url: URL,
    *,
    timeout: float,  # noqa: ASYNC109 -- the driver's own
    server_settings: dict[str, str],
    command_timeout: float | None = None,
) -> asyncpg.Connection:
    """Open a connection; the driver itself reads the URL, so that all of libpq's parameters mean what they should.

    Several hosts may be named, to find the primary among them; times are in seconds.
    """
    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return await asyncpg.connect(dsn, timeout=timeout, command_timeout=command_timeout, server_settings=server_settings)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections may be open, and how long PostgreSQL may take; times in seconds."""

    pool_size: int = 5
    pool_wait: float = 2.0
    statement: float = 5.0
    lock: float = 2.0
    connect: float = 2.0


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
            async_creator=partial(self._open, self.limits.lock),
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_the_dead)
        self._session = async_sessionmaker(self._engine, expire_on_commit=False)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Give a session whose transaction PostgreSQL itself keeps from writing.

        Raises DatabaseUnavailable when PostgreSQL is away, Busy when it has no connection or lock to give.
        """
        async with self._translated(), self._session() as session:
            await session.connection(execution_options={"postgresql_readonly": True})
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """Give a session whose transaction is committed on the way out, and rolled back on an exception.

        Raises DatabaseUnavailable when PostgreSQL is away (whether it committed is then unknown), and Busy when it has
        no connection or lock to give.
        """
        async with self._translated(), self._session.begin() as session:
            yield session

    async def connect(self, *, lock: float) -> asyncpg.Connection:
        """Open a connection outside the pool, for the one who appends, who waits ``lock`` seconds at most for a lock.

        The caller closes it. Raises DatabaseUnavailable when PostgreSQL is away.
        """
        try:
            return await self._open(lock)
        except Exception as error:
            if is_outage(error):
                raise DatabaseUnavailable from error
            raise

    async def close(self) -> None:
        """Close every connection that is not in use."""
        await self._engine.dispose()

    async def _open(self, lock: float) -> asyncpg.Connection:
        connection = await dial(
            self._url,
            timeout=self.limits.connect,
            # PostgreSQL keeps time itself; this is for a PostgreSQL that no longer answers at all.
            command_timeout=self.limits.statement * 2,
            server_settings={
                "application_name": "verbatim",
                "timezone": "UTC",
                # Under another level a lock's new holder would look into the past.
                "default_transaction_isolation": "read committed",
                "statement_timeout": _milliseconds(self.limits.statement),
                "lock_timeout": _milliseconds(lock),
                "idle_in_transaction_session_timeout": _milliseconds(self.limits.statement * 2),
            },
        )
        # Whatever the operator chose for the rest of the database: a 2xx here means on disk. Stronger is left alone.
        await connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        return connection

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            with metrics.POOL_IN_USE.track_inprogress():
                yield
        except PoolTimeoutError as error:
            raise Busy("All connections to the database are in use") from error
        except Exception as error:
            if is_locked(error):
                raise Busy("Another program holds what this needs") from error
            if is_outage(error) or is_transient(error):
                raise DatabaseUnavailable from error
            raise


def _refuse_the_dead(connection: AsyncAdapt_asyncpg_connection, *_: object) -> None:
    """Let the pool open another connection where the server has closed this one, instead of failing a request."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
