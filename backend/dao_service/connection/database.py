"""The connection pool to PostgreSQL, and the five ways in which the service uses it.

- `driver_connection` lends the driver's own connection for single read statements.
- `driver_transaction` lends it for one transaction that writes; SQLAlchemy's takes twice as many round trips.
- `reading` opens a session for several read statements.
- `writing` opens a session with one transaction, which commits when the block ends.
- `connect` opens a connection outside the pool, for the appender.

PostgreSQL itself enforces that pooled connections are read-only (`default_transaction_read_only`); `writing` lifts that
for one transaction. A service function opens exactly one of them and leaves it before the client gets its answer. No
transaction is open while anything but PostgreSQL is awaited.

A request waits at most ``pool_wait`` seconds for a connection and then fails with Busy (503). Callers get connections
in rotation, so that one caller's many requests do not starve another caller's single request.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import asyncpg
import structlog
from sqlalchemy import URL, PoolProxiedConnection, event, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from backend.dao_service.connection import libpq, multihost
from backend.dao_service.connection.fair_semaphore import FairSemaphore
from backend.dao_service.connection.pool_invalidation import PoolInvalidation, terminate_unless_clean
from backend.dao_service.connection.session_settings import SessionSettings
from backend.dao_service.connection.sqlstate import (
    UNNAMED_POOLER,
    describe,
    is_locked,
    is_outage,
    is_permanent,
    is_timeout,
    is_transient,
    is_unanswered_timeout,
    suggests_outdated_schema,
    suggests_unnamed_pooler,
)
from backend.dao_service.connection.sync_commit import require_standby, watch_commits
from backend.dao_service.wakeups.local import Wakeups
from backend.errors import Busy, DatabaseUnavailable, RecordError, SettingsError, TooSlow, Unreadable
from backend.observability import metrics
from backend.principal import caller
from backend.vocabulary import Announcement

_DRIVER: Final = "postgresql+asyncpg"
_RESERVED: Final = 2  # connections that one caller leaves to the others, if the pool has more than that
_MOST_WAITING: Final = 1_000  # requests of one caller; more would not get a connection within `pool_wait`

log = structlog.get_logger(__name__)

Session = AsyncSession  # for use cases that share a transaction

_READ_WRITE: Final = text("SET TRANSACTION READ WRITE")
# PostgreSQL keeps a plan that reads a whole table, if it made the plan while the table was empty.
_BEGIN_BY_INDEX: Final = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL enable_seqscan = off"
# A transaction without WAL commits without waiting for the synchronous standby, yet may answer with a row that another
# transaction committed and that the standby lacks. One WAL record makes its COMMIT wait.
_WAIT_FOR_STANDBY: Final = text(
    "SELECT pg_logical_emit_message(true, 'verbatim', '') WHERE pg_current_xact_id_if_assigned() IS NULL"
)


def asyncpg_url(url: str) -> URL:
    """Return ``url``, in any form that libpq accepts, as a SQLAlchemy URL for asyncpg.

    Raises SettingsError when it is not a PostgreSQL URL. The error never quotes the URL, because it holds a password.
    """
    try:
        parsed = multihost.parse_url(url)
        multihost.split_hosts(parsed)
    except (ArgumentError, ValueError):
        raise SettingsError("DATABASE_URL is not a URL; write postgresql://user:password@host:5432/name.") from None
    if parsed.drivername.partition("+")[0] not in {"postgres", "postgresql"}:
        raise SettingsError("DATABASE_URL must name a PostgreSQL database: postgresql://user:password@host:5432/name.")
    try:
        libpq.read_parameters(parsed)
    except ValueError as error:
        raise SettingsError(f"DATABASE_URL: {error}.") from None
    return parsed.set(drivername=_DRIVER)


async def open_connection(
    url: URL,
    *,
    timeout: float,  # noqa: ASYNC109 -- the driver's own
    server_settings: dict[str, str],
    command_timeout: float | None = None,
    statement_cache_size: int = 100,
) -> asyncpg.Connection:
    """Open a connection outside any pool and return it; libpq's parameters in ``url`` are honoured.

    ``timeout`` limits the connecting and ``command_timeout`` each statement, in seconds; `connect_timeout` in the URL
    overrides ``timeout``. If the URL names several hosts, the primary is used unless `target_session_attrs` says
    otherwise: a standby takes no writes and may lag behind. Raises OSError, TimeoutError and asyncpg's exceptions.
    """
    parameters = libpq.read_parameters(_on("primary", url))
    if parameters.application_name:
        # PostgreSQL keeps 63 bytes, and `verbatim migrate` recognises a running release by the end of the name.
        name = f"{parameters.application_name[:30]}: {server_settings['application_name']}"
        server_settings = server_settings | {"application_name": name}

    async def connect(each: URL) -> asyncpg.Connection:
        if str(each.query.get("host", "")).startswith("/"):  # PostgreSQL has no TLS on a Unix socket; ignore PGSSLMODE
            each = each.update_query_dict({"sslmode": "disable"})
        connection = await asyncpg.connect(
            each.set(drivername="postgresql").render_as_string(hide_password=False),
            timeout=parameters.connect_timeout or timeout,
            command_timeout=command_timeout,
            server_settings=server_settings,
            statement_cache_size=statement_cache_size,
        )
        # asyncpg has no public attribute for the socket.
        transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            libpq.set_keep_alive(parameters, transport.get_extra_info("socket"))
        except OSError:
            connection.terminate()
            raise
        watch_commits(connection)
        return connection

    return await multihost.first_connected(map(connect, multihost.split_hosts(parameters.url)))


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The size of the pool and the time-outs, in seconds.

    ``pool_wait`` is the longest wait for a connection, ``statement`` and ``lock`` are PostgreSQL's `statement_timeout`
    and `lock_timeout`, and ``connect`` limits the opening of a connection.
    """

    pool_size: int = 5
    pool_wait: float = 2.0
    statement: float = 5.0
    lock: float = 2.0
    connect: float = 2.0


@dataclass(frozen=True, slots=True)
class Subscription:
    """What the orchestrator is told of beside intents. Its URL may hold a secret, so this has the SHA-256 only."""

    url_digest: bytes
    announcements: frozenset[Announcement]


class Database:
    """One PostgreSQL database and its pool of connections.

    If ``url`` leads to a pooler in transaction mode (PgBouncer), ``direct`` is the URL of PostgreSQL itself. ``server``
    is the `target_session_attrs` of libpq that applies unless ``url`` names one. The attribute ``subscription`` says
    which facts are announced to the orchestrator, in the transactions that make them.
    """

    def __init__(
        self, url: str, limits: PoolLimits | None = None, *, direct: str | None = None, server: str = "primary"
    ) -> None:
        self.limits = limits or PoolLimits()
        self.wakeups = Wakeups()
        # How far the log has come with the latest commit, if there is a replica (`replica`); None: not known.
        self.position: int | None = None
        self.subscription: Subscription | None = None
        self._url = _on(server, asyncpg_url(url))
        self._direct = _on(server, asyncpg_url(direct or url))
        self._session_settings = SessionSettings(self.limits.statement, pooled=direct is not None)
        self._engine: Final[AsyncEngine] = create_async_engine(
            f"{_DRIVER}://",
            pool_size=self.limits.pool_size,
            max_overflow=0,
            hide_parameters=True,
            creator=self._open_for_pool,
        )
        self._invalidation = PoolInvalidation(self._engine.sync_engine)
        # Connections that `_lent` has taken from SQLAlchemy's pool and keeps for its next use: to give one back and
        # take it again costs 19 µs, of a page's 200. A session first gives one back, so that together with those in
        # use, each of which has a permit, they are at most `pool_size`.
        self._idle: list[PoolProxiedConnection] = []
        self._permits = FairSemaphore(self.limits.pool_size, share=max(self.limits.pool_size - _RESERVED, 1))
        # Behind a pooler each transaction states its isolation level; otherwise the connection's default applies.
        for_writing = {"isolation_level": "READ COMMITTED"} if direct else {}
        for_reading = for_writing | ({"postgresql_readonly": True} if direct else {})
        self._reading = async_sessionmaker(self._engine.execution_options(**for_reading), expire_on_commit=False)
        self._writing = async_sessionmaker(self._engine.execution_options(**for_writing), expire_on_commit=False)

    @asynccontextmanager
    async def driver_connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Yield asyncpg's own connection from the pool, for single read statements, each its own transaction.

        Raises DatabaseUnavailable when PostgreSQL cannot be reached or fails for a time, Busy when no connection is
        free within ``pool_wait`` or a lock not within ``lock``, TooSlow when `statement_timeout` ended a statement, and
        Unreadable when a repetition would fail in the same way.
        """
        async with self._permit(reading=True), self._lent() as connection:
            with terminate_unless_clean(connection):
                async with self.single(connection, lock=self.limits.lock, read_only=True):
                    yield connection

    @asynccontextmanager
    async def driver_transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Yield asyncpg's own connection in a transaction that commits when the block ends; otherwise like `writing`.

        The transaction must write, and find its rows by indexes.
        """
        settings = self._session_settings.at_transaction_start(lock=self.limits.lock) or ""
        async with self._permit(), self._lent() as connection:
            with terminate_unless_clean(connection), require_standby(connection):
                try:
                    await connection.execute(f"{_BEGIN_BY_INDEX}; {settings}")
                    yield connection
                    await connection.execute("COMMIT")
                    await self.note_commit(connection)
                except (asyncpg.PostgresError, RecordError):
                    await connection.execute("ROLLBACK")
                    raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for read statements in one read-only transaction; raises what `driver_connection` raises."""
        async with self._session(self._reading, reading=True) as session:
            if settings := self._session_settings.at_transaction_start(lock=self.limits.lock):
                await session.execute(text(settings))
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """Yield a session whose transaction commits when the block ends, and rolls back on an exception.

        Raises what `driver_connection` raises except TooSlow. After DatabaseUnavailable it is unknown whether the
        transaction committed.
        """
        async with self._session(self._writing) as session:
            with require_standby(await driver_of(await session.connection())):
                await session.execute(_READ_WRITE)
                if settings := self._session_settings.at_transaction_start(lock=self.limits.lock):
                    await session.execute(text(settings))
                yield session
                await session.execute(_WAIT_FOR_STANDBY)
                await session.commit()
                await self.note_session(session)

    @asynccontextmanager
    async def rolled_back(self) -> AsyncIterator[AsyncSession]:
        """Yield a session that can write and whose transaction never commits; raises what `writing` raises."""
        async with self._session(self._writing) as session:
            await session.execute(_READ_WRITE)
            if settings := self._session_settings.at_transaction_start(lock=self.limits.lock):
                await session.execute(text(settings))
            yield session

    async def connect(self, *, lock: float) -> asyncpg.Connection:
        """Open a connection outside the pool, for the appender, and return it; the caller closes it.

        ``lock`` is its lock time-out in seconds. Raises DatabaseUnavailable when PostgreSQL cannot be reached.
        """
        return await self._open(self._url, self._session_settings, lock=lock, read_only=False)

    async def connect_directly(self, *, lock: float) -> asyncpg.Connection:
        """Open a connection that bypasses the pooler, as LISTEN needs, and return it; otherwise like `connect`."""
        return await self._open(self._direct, self._session_settings.without_pooler(), lock=lock, read_only=False)

    def single(
        self, connection: asyncpg.Connection, *, lock: float, read_only: bool = False
    ) -> AbstractAsyncContextManager[None]:
        """Return a context whose statements on ``connection`` are a transaction each; behind a pooler all share one.

        ``lock`` is the lock time-out in seconds.
        """
        if self._session_settings.pooled:
            return self.transaction(connection, lock=lock, read_only=read_only)
        return nullcontext()

    @asynccontextmanager
    async def transaction(
        self, connection: asyncpg.Connection, *, lock: float, read_only: bool = False
    ) -> AsyncIterator[None]:
        """Run the block in a transaction on ``connection``, which commits when the block ends.

        ``lock`` is the lock time-out in seconds. It applies behind a pooler alone; otherwise the connection has its
        own.
        """
        settings = self._session_settings.at_transaction_start(lock=lock)
        if settings is None:
            async with connection.transaction():
                yield
            return
        async with connection.transaction(isolation="read_committed", readonly=read_only):
            await connection.execute(settings if read_only else f"{_READ_WRITE}; {settings}")
            yield

    async def note_commit(self, connection: asyncpg.Connection) -> None:
        """Do what follows a commit on ``connection``: without a replica, nothing. Raises nothing."""

    async def note_session(self, session: AsyncSession) -> None:
        """Do what follows a commit of ``session``; as `note_commit`."""

    async def close(self) -> None:
        """Close every idle connection without waiting for PostgreSQL, which may no longer answer."""
        while self._idle:
            self._idle.pop().close()  # gives it back to the pool
        event.listen(self._engine.sync_engine, "close", lambda adapted, _: adapted.driver_connection.terminate())
        await self._engine.dispose()

    def _open_for_pool(self) -> Any:
        """Return a new connection in SQLAlchemy's adapter, for its pool."""
        # A prepared statement belongs to one of the pooler's connections; the next transaction may get another.
        caches = (
            {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
            if self._session_settings.pooled
            else {}
        )
        opened = partial(self._open, self._url, self._session_settings, lock=self.limits.lock, read_only=True)
        return self._engine.dialect.loaded_dbapi.connect(async_creator_fn=opened, **caches)

    async def _open(self, url: URL, settings: SessionSettings, *, lock: float, read_only: bool) -> asyncpg.Connection:
        connection = None
        try:
            connection = await open_connection(
                url,
                timeout=self.limits.connect,
                # `statement_timeout` ends a slow statement; this one detects a PostgreSQL that no longer answers.
                command_timeout=self.limits.statement * 2,
                server_settings=settings.startup_parameters(lock=lock),
                statement_cache_size=0 if settings.pooled else 100,
            )
            if said := settings.after_connect(read_only=read_only):
                await connection.execute(said)
        except BaseException as error:
            if connection is not None:
                connection.terminate()  # without a goodbye, because the caller no longer waits
            # A server that refuses the connection, for any reason, counts as unavailable.
            if is_outage(error) or isinstance(error, asyncpg.PostgresError):
                remedy = {"remedy": UNNAMED_POOLER} if suggests_unnamed_pooler(error) else {}
                log.warning("no connection to the database", **describe(error), **remedy)
                raise DatabaseUnavailable(
                    read_only=isinstance(error, asyncpg.TargetServerAttributeNotMatched)
                ) from error
            raise
        return connection

    def _idle_connection(self) -> PoolProxiedConnection | None:
        """Return a connection of `_idle` that still reaches PostgreSQL, or None."""
        while self._idle:
            pooled = self._idle.pop()
            if self._invalidation.is_usable(pooled):
                return pooled
            pooled.close()
        return None

    @asynccontextmanager
    async def _session(
        self, session_of: async_sessionmaker[AsyncSession], *, reading: bool = False
    ) -> AsyncIterator[AsyncSession]:
        async with self._permit(reading=reading):
            if self._idle:
                self._idle.pop().close()
            async with session_of() as session:
                yield session

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[asyncpg.Connection]:
        """Yield a connection straight from SQLAlchemy's pool, because its Connection takes 45 µs of a page's 180."""
        pooled = self._idle_connection() or await self._engine.raw_connection()
        try:
            yield cast("asyncpg.Connection", pooled.driver_connection)
        finally:
            self._idle.append(pooled)

    @asynccontextmanager
    async def _permit(self, *, reading: bool = False) -> AsyncIterator[None]:
        """Wait for a free connection, in rotation among callers, because SQLAlchemy's pool has no such order.

        PostgreSQL's failures inside the block are logged and become errors of `backend.errors`.
        """
        requester = caller.get()
        if self._permits.waiting(requester) >= _MOST_WAITING:
            raise Busy("Too many of your requests wait for the database")
        try:
            if not self._permits.acquire_now(requester):  # avoids the timer, which costs more than the rest
                async with asyncio.timeout(self.limits.pool_wait):
                    await self._permits.acquire(requester)
        except TimeoutError as error:
            raise Busy("All connections to the database are in use") from error
        try:
            with metrics.POOL_IN_USE.track_inprogress():
                yield
        except asyncio.CancelledError as error:
            # SQLAlchemy's frames refer to the exception, which refers to them by its traceback. Without the traceback
            # the cancelled caller's memory is freed at once, and not at the next garbage collection.
            error.__traceback__ = None
            raise asyncio.CancelledError(*error.args) from None
        except Exception as error:
            if is_unanswered_timeout(error):
                self._invalidation.invalidate_all()
            if translated := _translated(error, reading=reading):
                raise translated from error
            raise
        finally:
            self._permits.release(requester)


def _on(server: str, url: URL) -> URL:
    """Return ``url`` with the `target_session_attrs` ``server``, unless it has one."""
    return url if "target_session_attrs" in url.query else url.update_query_dict({"target_session_attrs": server})


async def driver_of(connection: AsyncConnection) -> asyncpg.Connection:
    """Return the driver's own connection below ``connection``, for a statement that is too frequent for SQLAlchemy."""
    pooled = await connection.get_raw_connection()
    return cast("asyncpg.Connection", pooled.driver_connection)


def _translated(error: Exception, *, reading: bool) -> RecordError | None:
    """Log PostgreSQL's ``error`` and return what callers are told; None if the use case has to judge it."""
    if is_locked(error):
        return Busy("Another program holds what this needs")
    if is_permanent(error):
        log.error("database request failed, and a retry would fail again", **describe(error))
        return Unreadable()
    if suggests_outdated_schema(error):
        log.error("database request failed: the schema lacks what it names; run `verbatim migrate`", **describe(error))
        return DatabaseUnavailable()
    if is_outage(error) or is_transient(error):
        log.warning("database request failed, and a retry may succeed", **describe(error))
        return TooSlow() if reading and is_timeout(error) else DatabaseUnavailable()
    return None
