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
from typing import Any, Final, cast

import asyncpg
import structlog
from sqlalchemy import URL, event, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from backend.dao_service.connection import libpq, multihost
from backend.dao_service.connection.fair_semaphore import FairSemaphore
from backend.dao_service.connection.pool_invalidation import PoolInvalidation, orderly
from backend.dao_service.connection.session_settings import SessionSettings
from backend.dao_service.connection.sqlstate import (
    UNNAMED_POOLER,
    describe,
    is_lasting,
    is_locked,
    is_of_a_pooler,
    is_outage,
    is_silence,
    is_timeout,
    is_transient,
)
from backend.dao_service.connection.sync_commit import confirmed
from backend.dao_service.wakeups.local import Wakeups
from backend.errors import Busy, DatabaseUnavailable, SettingsError, TooSlow, Unreadable
from backend.observability import metrics
from backend.principal import caller

_DRIVER: Final = "postgresql+asyncpg"
_FOR_OTHERS: Final = 2  # connections of the pool that one caller leaves to the others, if the pool has more
_MOST_WAITING: Final = 1_000  # of one caller's requests; more would not have their turn within `pool_wait`

log = structlog.get_logger(__name__)

Session = AsyncSession  # for use cases that share a transaction

_READ_WRITE: Final = text("SET TRANSACTION READ WRITE")
# Who writes nothing answers with what others wrote. If that was committed but is not on a standby yet, a commit behind
# it waits until it is; a transaction that leaves nothing in the log would not wait.
_STAND_BY_IT: Final = text(
    "SELECT pg_logical_emit_message(true, 'verbatim', '') WHERE pg_current_xact_id_if_assigned() IS NULL"
)


def asyncpg_url(url: str) -> URL:
    """Return ``url`` as SQLAlchemy wants it, whichever PostgreSQL form it came in.

    Raises SettingsError when it is no PostgreSQL URL. The URL itself is never quoted: it holds a password.
    """
    try:
        parsed = multihost.parse(url)
        multihost.each(parsed)
    except (ArgumentError, ValueError):
        raise SettingsError("DATABASE_URL is not a URL; write postgresql://user:password@host:5432/name.") from None
    if parsed.drivername.partition("+")[0] not in {"postgres", "postgresql"}:
        raise SettingsError("DATABASE_URL must name a PostgreSQL database: postgresql://user:password@host:5432/name.")
    try:
        libpq.read(parsed)
    except ValueError as error:
        raise SettingsError(f"DATABASE_URL: {error}.") from None
    return parsed.set(drivername=_DRIVER)


async def dial(
    url: URL,
    *,
    timeout: float,  # noqa: ASYNC109 -- the driver's own
    server_settings: dict[str, str],
    command_timeout: float | None = None,
    statement_cache_size: int = 100,
) -> asyncpg.Connection:
    """Open a connection, as all of libpq's parameters in the URL say; `connect_timeout` there goes before ``timeout``.

    Of the hosts that are named the primary is taken, unless `target_session_attrs` says otherwise: on a standby nothing
    can be written, and what was written may not be there yet. Times are in seconds.
    """
    if "target_session_attrs" not in url.query:
        url = url.update_query_dict({"target_session_attrs": "primary"})
    asked = libpq.read(url)
    if asked.application_name:
        server_settings = server_settings | {"application_name": asked.application_name}

    async def connect(each: URL) -> asyncpg.Connection:
        if str(each.query.get("host", "")).startswith("/"):  # no TLS on a Unix socket, whatever PGSSLMODE says
            each = each.update_query_dict({"sslmode": "disable"})
        connection = await asyncpg.connect(
            each.set(drivername="postgresql").render_as_string(hide_password=False),
            timeout=asked.connect_timeout or timeout,
            command_timeout=command_timeout,
            server_settings=server_settings,
            statement_cache_size=statement_cache_size,
        )
        # The driver has no public way to the socket.
        transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            libpq.keep_alive(asked, transport.get_extra_info("socket"))
        except OSError:
            connection.terminate()
            raise
        return connection

    return await multihost.first(map(connect, multihost.each(asked.url)))


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections may be open, and how long PostgreSQL may take; times in seconds."""

    pool_size: int = 5
    pool_wait: float = 2.0
    statement: float = 5.0
    lock: float = 2.0
    connect: float = 2.0


class Database:
    """One PostgreSQL database and its pool of connections.

    If ``url`` leads to a pooler that lends connections for a transaction alone, ``direct`` is the way past it.
    """

    def __init__(self, url: str, limits: PoolLimits | None = None, *, direct: str | None = None) -> None:
        self.limits = limits or PoolLimits()
        self.wakeups = Wakeups()
        self._url = asyncpg_url(url)
        self._direct = asyncpg_url(direct or url)
        self._session_settings = SessionSettings(self.limits.statement, pooled=direct is not None)
        self._engine: Final[AsyncEngine] = create_async_engine(
            f"{_DRIVER}://",
            pool_size=self.limits.pool_size,
            max_overflow=0,
            hide_parameters=True,
            creator=self._adapted,
        )
        self._trust = PoolInvalidation(self._engine.sync_engine)
        self._permits = FairSemaphore(self.limits.pool_size, share=max(self.limits.pool_size - _FOR_OTHERS, 1))
        # A connection of our own is told once how its transactions begin; one that is lent, each time.
        for_writing = {"isolation_level": "READ COMMITTED"} if direct else {}
        for_reading = for_writing | ({"postgresql_readonly": True} if direct else {})
        self._reading = async_sessionmaker(self._engine.execution_options(**for_reading), expire_on_commit=False)
        self._writing = async_sessionmaker(self._engine.execution_options(**for_writing), expire_on_commit=False)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[asyncpg.Connection]:
        """Give the driver's own connection, for single statements, each its own transaction.

        Raises DatabaseUnavailable when PostgreSQL is away, Busy when it has no connection or lock to give, TooSlow when
        a statement was ended by its time limit, and Unreadable when asking again is no use.
        """
        async with self._permit(reading=True), self._engine.connect() as pooled:
            connection = await _driver(pooled)
            with orderly(connection):
                async with self.single(connection, lock=self.limits.lock, read_only=True):
                    yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Give a session for several questions; raises what `looking` raises."""
        async with self._permit(reading=True), self._reading() as session:
            if settings := self._session_settings.of_transaction(lock=self.limits.lock):
                await session.execute(text(settings))
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """Give a session whose transaction is committed on the way out, and rolled back on an exception.

        Raises what `looking` raises; after DatabaseUnavailable nobody knows whether it committed.
        """
        async with self._permit(), self._writing() as session:
            with confirmed(await _driver(await session.connection())):
                await session.execute(_READ_WRITE)
                if settings := self._session_settings.of_transaction(lock=self.limits.lock):
                    await session.execute(text(settings))
                yield session
                await session.execute(_STAND_BY_IT)
                await session.commit()

    @asynccontextmanager
    async def trying(self) -> AsyncIterator[AsyncSession]:
        """Give a session that can write and whose transaction is always rolled back; raises what `looking` raises."""
        async with self._permit(), self._writing() as session:
            await session.execute(_READ_WRITE)
            if settings := self._session_settings.of_transaction(lock=self.limits.lock):
                await session.execute(text(settings))
            yield session

    async def connect(self, *, lock: float) -> asyncpg.Connection:
        """Open a connection outside the pool, for the one who appends, who waits ``lock`` seconds at most for a lock.

        The caller closes it. Raises DatabaseUnavailable when PostgreSQL is away.
        """
        return await self._open(self._url, self._session_settings, lock=lock, read_only=False)

    async def connect_directly(self, *, lock: float) -> asyncpg.Connection:
        """Open a connection past any pooler, for whoever must be reached on it; else as `connect`."""
        return await self._open(self._direct, self._session_settings.unpooled(), lock=lock, read_only=False)

    @asynccontextmanager
    async def single(
        self, connection: asyncpg.Connection, *, lock: float, read_only: bool = False
    ) -> AsyncIterator[None]:
        """Hold single statements on ``connection``, each its own transaction; with a pooler all are in one."""
        if self._session_settings.pooled:
            async with self.transaction(connection, lock=lock, read_only=read_only):
                yield
        else:
            yield

    @asynccontextmanager
    async def transaction(
        self, connection: asyncpg.Connection, *, lock: float, read_only: bool = False
    ) -> AsyncIterator[None]:
        """Hold a transaction on ``connection``, committed on the way out."""
        settings = self._session_settings.of_transaction(lock=lock)
        if settings is None:
            async with connection.transaction():
                yield
            return
        async with connection.transaction(isolation="read_committed", readonly=read_only):
            await connection.execute(settings if read_only else f"{_READ_WRITE}; {settings}")
            yield

    async def close(self) -> None:
        """Close every connection that is not in use; nobody waits for a PostgreSQL that may have fallen silent."""
        event.listen(self._engine.sync_engine, "close", lambda adapted, _: adapted.driver_connection.terminate())
        await self._engine.dispose()

    def _adapted(self) -> Any:
        """Open a connection for the pool, as SQLAlchemy wants it."""
        # A prepared statement stays on one of the pooler's connections, and the next transaction is on another.
        caches = (
            {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
            if self._session_settings.pooled
            else {}
        )
        opened = partial(self._open, self._url, self._session_settings, lock=self.limits.lock, read_only=True)
        return self._engine.dialect.loaded_dbapi.connect(async_creator_fn=opened, **caches)

    async def _open(self, url: URL, settings: SessionSettings, *, lock: float, read_only: bool) -> asyncpg.Connection:
        try:
            connection = await dial(
                url,
                timeout=self.limits.connect,
                # PostgreSQL keeps time itself; this is for a PostgreSQL that no longer answers at all.
                command_timeout=self.limits.statement * 2,
                server_settings=settings.at_login(lock=lock),
                statement_cache_size=0 if settings.pooled else 100,
            )
        except Exception as error:
            # A server that lets nobody in, for whatever reason, is away.
            if is_outage(error) or isinstance(error, asyncpg.PostgresError):
                remedy = {"remedy": UNNAMED_POOLER} if is_of_a_pooler(error) else {}
                log.warning("no connection to the database", **describe(error), **remedy)
                raise DatabaseUnavailable(
                    read_only=isinstance(error, asyncpg.TargetServerAttributeNotMatched)
                ) from error
            raise
        try:
            if said := settings.of_connection(read_only=read_only):
                await connection.execute(said)
        except BaseException:
            connection.terminate()  # whoever was to have it does not wait any longer
            raise
        return connection

    @asynccontextmanager
    async def _permit(self, *, reading: bool = False) -> AsyncIterator[None]:
        """Wait for a connection to be free, in fair turns with other callers; the pool itself knows no order.

        What PostgreSQL fails with inside is logged, and becomes an error of the record's.
        """
        asks = caller.get()
        if self._permits.waiting(asks) >= _MOST_WAITING:
            raise Busy("Too many of your requests wait for the database")
        try:
            if not self._permits.acquire_now(asks):  # a timer costs more than all else here
                async with asyncio.timeout(self.limits.pool_wait):
                    await self._permits.acquire(asks)
        except TimeoutError as error:
            raise Busy("All connections to the database are in use") from error
        try:
            with metrics.POOL_IN_USE.track_inprogress():
                yield
        except asyncio.CancelledError as error:
            # SQLAlchemy's frames refer to the exception, which refers to them by its traceback. Without it, what the
            # cancelled caller had in hand is freed at once, and not when the garbage collector comes to it.
            error.__traceback__ = None
            raise asyncio.CancelledError(*error.args) from None
        except Exception as error:
            if is_locked(error):
                raise Busy("Another program holds what this needs") from error
            if is_silence(error):
                self._trust.lose()
            if is_lasting(error):
                log.error("the database cannot do what was asked, and asking again is no use", **describe(error))
                raise Unreadable from error
            if is_outage(error) or is_transient(error):
                log.warning("the database did not do what was asked", **describe(error))
                raise (TooSlow if reading and is_timeout(error) else DatabaseUnavailable) from error
            raise
        finally:
            self._permits.release(asks)


async def _driver(connection: AsyncConnection) -> asyncpg.Connection:
    pooled = await connection.get_raw_connection()
    return cast("asyncpg.Connection", pooled.driver_connection)
