"""Reads from a replica of the primary, for requests that allow it.

A replica may be behind. After each commit the primary says how far its log (WAL) had come; the answer to a write
carries that position. A read that names a position goes to the replica once the replica has applied the log up to it,
else to the primary, so it sees the write. A read that asks for eventual consistency goes to the replica however far
that is behind, within `LONGEST_LAG`. All other reads go to the primary, as does every read while the replica does not
answer. A request that has read from the primary reads all else there: its answer must not have a new beginning and an
old end.

The replica is asked on the connection that serves the read: another server, or an older copy of this one, may have
taken its place.

The position that a process names is the latest of all its commits: it covers the write that is answered, and costs one
short statement for a commit, which many messages share.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, TypeVar

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.connection.database import Database, PoolLimits, driver_of
from backend.dao_service.connection.sqlstate import describe
from backend.errors import DatabaseUnavailable, Unavailable
from backend.observability import metrics

EVENTUAL: Final = 0  # the position that every replica has reached
LONGEST_LAG: Final = 60.0  # seconds; what was erased or redacted must not be shown for longer
_LOOK_SECONDS: Final = 1.0  # for the replica to say how far it is
_REST_SECONDS: Final = 5.0  # for which a replica that did not answer is not asked again


@dataclass(slots=True)
class ReadFrom:
    """Where a request reads, in whichever tasks: ``position`` is what the replica must have applied.

    None: the request reads from the primary.
    """

    position: int | None


read_from: ContextVar[ReadFrom | None] = ContextVar("read_from", default=None)

_WRITTEN: Final = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint"
# Whether the replica has applied the log up to $1, and is at most $2 seconds behind. One that has applied all that it
# receives is not behind, however long ago the primary wrote. NULL on a server that is no replica.
_REACHED: Final = """
    SELECT pg_last_wal_replay_lsn() - '0/0' >= $1::bigint AND (
        pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver)
        OR pg_last_xact_replay_timestamp() > clock_timestamp() - make_interval(secs => $2)
    )
"""

AnyT = TypeVar("AnyT")
_Way = Callable[[], AbstractAsyncContextManager[AnyT]]

log = structlog.get_logger(__name__)


def may_be_old() -> bool:
    """Return whether this request may have read from the replica, so that what it found is not for others."""
    reads = read_from.get()
    return reads is not None and reads.position is not None


class ReplicatedDatabase(Database):
    """A primary and a replica of it, at ``replica``. Everything that writes goes to the primary."""

    def __init__(self, url: str, replica: str, limits: PoolLimits | None = None, *, direct: str | None = None) -> None:
        super().__init__(url, limits, direct=direct)
        self._replica = Database(replica, limits, server="any")
        self._away_until = 0.0

    @asynccontextmanager
    async def driver_connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Yield a connection for reads, to the replica or to the primary, as `Database.driver_connection` does."""
        async with AsyncExitStack() as stack:
            connection = await self._enter_replica(stack, self._replica.driver_connection, _itself)
            if connection is None:
                connection = await stack.enter_async_context(super().driver_connection())
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for reads, on the replica or on the primary, as `Database.reading` does."""
        async with AsyncExitStack() as stack:
            session = await self._enter_replica(stack, self._replica.reading, _driver_of_session)
            if session is None:
                session = await stack.enter_async_context(super().reading())
            yield session

    async def note_commit(self, connection: asyncpg.Connection) -> None:
        """Note how far the log of the primary has come, now that ``connection`` has committed."""
        await self._note(_itself(connection))

    async def note_session(self, session: AsyncSession) -> None:
        """Note it after ``session`` has committed."""
        await self._note(_driver_of_session(session))

    async def close(self) -> None:
        """Close the connections to both servers."""
        await self._replica.close()
        await super().close()

    async def _note(self, connection: Awaitable[asyncpg.Connection]) -> None:
        try:
            self.position = max(await (await connection).fetchval(_WRITTEN), self.position or 0)
        except Exception as error:  # noqa: BLE001 -- the commit is done; without a position reads go to the primary
            self.position = None
            log.warning("position of a commit not read", **describe(error))

    async def _enter_replica(
        self, stack: AsyncExitStack, way: _Way[AnyT], driver: Callable[[AnyT], Awaitable[asyncpg.Connection]]
    ) -> AnyT | None:
        """Return what ``way`` yields if the replica may serve this request; if not, the primary serves all of it."""
        reads = read_from.get()
        if reads is None or reads.position is None:
            return None
        result = metrics.REPLICA_AWAY
        if time.monotonic() >= self._away_until:
            try:
                async with AsyncExitStack() as opened:
                    entered = await opened.enter_async_context(way())
                    if await self._reaches(await driver(entered), reads.position):
                        metrics.REPLICA_READ.inc()
                        await stack.enter_async_context(opened.pop_all())
                        return entered
                result = metrics.REPLICA_BEHIND
            except DatabaseUnavailable:
                self._away_until = time.monotonic() + _REST_SECONDS
            except Unavailable:  # its connections are in use
                pass
        result.inc()
        reads.position = None
        return None

    async def _reaches(self, connection: asyncpg.Connection, position: int) -> bool:
        return bool(await connection.fetchval(_REACHED, position, LONGEST_LAG, timeout=_LOOK_SECONDS))


async def _itself(connection: asyncpg.Connection) -> asyncpg.Connection:
    return connection


async def _driver_of_session(session: AsyncSession) -> asyncpg.Connection:
    return await driver_of(await session.connection())
