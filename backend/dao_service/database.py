"""The way to PostgreSQL: one pool, and the kinds of access there are: looking, reading, writing, and one who appends.

The pool's connections are read-only, in PostgreSQL's own keeping, and only `writing` lifts that, for one transaction.
A service function opens exactly one and has left it, committed, before its caller answers anybody. No transaction is
open while anything but PostgreSQL is awaited.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

import asyncpg
import structlog
from sqlalchemy import URL, event, make_url, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from backend.dao_service.bell import Bell
from backend.dao_service.faults import describe, is_locked, is_outage, is_transient
from backend.errors import Busy, DatabaseUnavailable, SettingsError
from backend.observability import metrics

_DRIVER: Final = "postgresql+asyncpg"

log = structlog.get_logger(__name__)

Session = AsyncSession  # for use cases that share a transaction

_READ_WRITE: Final = text("SET TRANSACTION READ WRITE")


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
        self.bell = Bell()
        self._url = asyncpg_url(url)
        self._engine: Final[AsyncEngine] = create_async_engine(
            self._url,
            pool_size=self.limits.pool_size,
            max_overflow=0,
            hide_parameters=True,
            async_creator=partial(self._open, lock=self.limits.lock, read_only=True),
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_the_dead)
        self._turns = asyncio.Semaphore(self.limits.pool_size)
        self._session = async_sessionmaker(self._engine, expire_on_commit=False)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[asyncpg.Connection]:
        """Give the driver's own connection, for single statements, each its own transaction.

        Raises DatabaseUnavailable when PostgreSQL is away, Busy when it has no connection or lock to give.
        """
        async with self._turn(), self._engine.connect() as connection:
            pooled = await connection.get_raw_connection()
            yield cast("asyncpg.Connection", pooled.driver_connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Give a session for several questions; raises what `looking` raises."""
        async with self._turn(), self._session() as session:
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """Give a session whose transaction is committed on the way out, and rolled back on an exception.

        Raises what `looking` raises; after DatabaseUnavailable nobody knows whether it committed.
        """
        async with self._turn(), self._session.begin() as session:
            await session.execute(_READ_WRITE)
            yield session

    async def connect(self, *, lock: float) -> asyncpg.Connection:
        """Open a connection outside the pool, for whoever appends or notifies; it waits ``lock`` seconds for a lock.

        The caller closes it. Raises DatabaseUnavailable when PostgreSQL is away.
        """
        return await self._open(lock=lock, read_only=False)

    async def close(self) -> None:
        """Close every connection that is not in use."""
        await self._engine.dispose()

    async def _open(self, *, lock: float, read_only: bool) -> asyncpg.Connection:
        try:
            connection = await dial(
                self._url,
                timeout=self.limits.connect,
                # PostgreSQL keeps time itself; this is for a PostgreSQL that no longer answers at all.
                command_timeout=self.limits.statement * 2,
                server_settings={
                    "application_name": "verbatim",
                    "timezone": "UTC",
                    "datestyle": "ISO",
                    "default_transaction_read_only": "on" if read_only else "off",
                    # Under another level a lock's new holder would look into the past.
                    "default_transaction_isolation": "read committed",
                    "statement_timeout": _milliseconds(self.limits.statement),
                    "lock_timeout": _milliseconds(lock),
                    "idle_in_transaction_session_timeout": _milliseconds(self.limits.statement * 2),
                },
            )
        except Exception as error:
            # A server that lets nobody in, for whatever reason, is away.
            if is_outage(error) or isinstance(error, asyncpg.PostgresError):
                log.warning("no connection to the database", **describe(error))
                raise DatabaseUnavailable from error
            raise
        # Whatever the operator chose for the rest of the database: a 2xx here means on disk. Stronger is left alone.
        await connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        return connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for a connection to be free, first come first served; the pool itself lets newcomers overtake."""
        try:
            async with asyncio.timeout(self.limits.pool_wait):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Busy("All connections to the database are in use") from error
        try:
            with metrics.POOL_IN_USE.track_inprogress():
                yield
        except Exception as error:
            if is_locked(error):
                raise Busy("Another program holds what this needs") from error
            if is_outage(error) or is_transient(error):
                raise DatabaseUnavailable from error
            raise
        finally:
            self._turns.release()


def _refuse_the_dead(connection: AsyncAdapt_asyncpg_connection, *_: object) -> None:
    """Let the pool open another connection where the server has closed this one, instead of failing a request."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
