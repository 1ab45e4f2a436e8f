"""Reads from a replica of the primary, for requests that allow it.

A replica may be behind. After each commit the primary says how far its log (WAL) had come; the answer to a write
carries that position. A read that names a position goes to the replica once the replica has applied the log up to it,
else to the primary, so it sees the write. A read that asks for eventual consistency goes to the replica however far
that is behind. All other reads go to the primary, as does every read while the replica does not answer.

The position that a process names is the latest of all its commits: it covers the write that is answered, and costs one
short statement for a commit, which many messages share.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Final, TypeVar

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.connection.database import Database, PoolLimits, driver_of
from backend.dao_service.connection.sqlstate import describe
from backend.errors import Unavailable
from backend.observability import metrics

EVENTUAL: Final = 0  # the position that every replica has reached
# The position that the reads of this request must see; None: they go to the primary.
read_from: ContextVar[int | None] = ContextVar("read_from", default=None)

_WRITTEN: Final = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint"
_REPLAYED: Final = "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint"

AnyT = TypeVar("AnyT")
_Way = Callable[[], AbstractAsyncContextManager[AnyT]]

log = structlog.get_logger(__name__)


class ReplicatedDatabase(Database):
    """A primary and a replica of it, at ``replica``. Everything that writes goes to the primary."""

    def __init__(self, url: str, replica: str, limits: PoolLimits | None = None, *, direct: str | None = None) -> None:
        super().__init__(url, limits, direct=direct)
        self._replica = Database(replica, limits, server="any")
        self._replayed = 0

    @asynccontextmanager
    async def driver_connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Yield a connection for reads, to the replica or to the primary, as `Database.driver_connection` does."""
        async with AsyncExitStack() as stack:
            yield await self._enter(stack, self._replica.driver_connection, super().driver_connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for reads, on the replica or on the primary, as `Database.reading` does."""
        async with AsyncExitStack() as stack:
            yield await self._enter(stack, self._replica.reading, super().reading)

    async def note_commit(self, connection: asyncpg.Connection) -> None:
        """Note how far the log of the primary has come, now that ``connection`` has committed."""
        try:
            self.position = max(await connection.fetchval(_WRITTEN), self.position or 0)
        except Exception as error:  # noqa: BLE001 -- the commit is done; without a position reads go to the primary
            self.position = None
            log.warning("position of a commit not read", **describe(error))

    async def note_session(self, session: AsyncSession) -> None:
        """Note it after ``session`` has committed."""
        await self.note_commit(await driver_of(await session.connection()))

    async def close(self) -> None:
        """Close the connections to both servers."""
        await self._replica.close()
        await super().close()

    async def _enter(self, stack: AsyncExitStack, replica: _Way[AnyT], primary: _Way[AnyT]) -> AnyT:
        if await self._may_read():
            with suppress(Unavailable):
                return await stack.enter_async_context(replica())
        return await stack.enter_async_context(primary())

    async def _may_read(self) -> bool:
        """Return whether this request's reads may go to the replica, which has applied what they must see."""
        wanted = read_from.get()
        if wanted is None:
            return False
        if self._replayed < wanted:
            try:
                async with self._replica.driver_connection() as connection:
                    self._replayed = await connection.fetchval(_REPLAYED) or 0  # NULL on a server that is no replica
            except Unavailable:
                metrics.REPLICA_AWAY.inc()
                return False
        (metrics.REPLICA_READ if self._replayed >= wanted else metrics.REPLICA_BEHIND).inc()
        return self._replayed >= wanted
