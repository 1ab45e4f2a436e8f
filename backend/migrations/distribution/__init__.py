"""`verbatim distribute` spreads the record over the nodes of a Citus cluster, each conversation whole on one node.

`catalogue` reads what is there, `blockers` says what must be changed first, and `steps` plans the rest. The survey only
reads. Each step may be done twice, so the command is run again after it was cut off, and after nodes were added or
removed. `docs/scale.md` tells an operator when and how.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final, TypeVar

import asyncpg

from backend.dao_service.connection.database import asyncpg_url, open_connection
from backend.migrations.distribution.blockers import blockers
from backend.migrations.distribution.catalogue import read
from backend.migrations.distribution.steps import Step, plan
from verbatim_record.setup_error import SetupError

__all__ = ["COPIED", "Step", "Survey", "distribute", "survey"]

AnyT = TypeVar("AnyT")

COPIED: Final = 120_000  # rows a second that a node copies while writers wait, measured
_CONNECT: Final = 10  # seconds
_LOCK_TIMEOUT: Final = "10s"  # that the move waits for a transaction that holds a table, while writers queue behind it


@dataclass(frozen=True, slots=True)
class Survey:
    """What stands in the way, and the titles of the steps; ``writers_wait`` is the estimate in seconds."""

    blockers: Sequence[str]
    steps: Sequence[str]
    messages: int
    writers_wait: float


def survey(url: str, shards: int, *, searches: bool) -> Survey:
    """Return what `distribute` would do with the database at ``url``; reads only. Raises SetupError if that fails."""
    return _run(url, lambda connection: _survey(connection, shards, searches=searches))


def distribute(url: str, shards: int, tell: Callable[[Step], None]) -> None:
    """Spread the record over the nodes, into ``shards`` parts, and ``tell`` each step before it is taken.

    Raises SetupError if a step fails; what is done stays done, and the next run goes on from there.
    """
    _run(url, lambda connection: _distribute(connection, shards, tell))


async def _survey(connection: asyncpg.Connection, shards: int, *, searches: bool) -> Survey:
    found = await read(connection)
    return Survey(
        [*blockers(found, searches=searches)],
        [step.title for step in plan(found, shards)],
        found.messages,
        0.0 if found.is_distributed else found.messages / COPIED,
    )


async def _distribute(connection: asyncpg.Connection, shards: int, tell: Callable[[Step], None]) -> None:
    await connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'")
    for step in plan(await read(connection), shards):
        tell(step)
        async with connection.transaction() if step.is_atomic else nullcontext():
            for statement in step.statements:
                await connection.execute(statement)


def _run(url: str, work: Callable[[asyncpg.Connection], Awaitable[AnyT]]) -> AnyT:
    async def run() -> AnyT:
        connection = await open_connection(
            asyncpg_url(url), timeout=_CONNECT, server_settings={"application_name": "verbatim distribute"}
        )
        try:
            return await work(connection)
        finally:
            await connection.close()

    try:
        return asyncio.run(run())
    except asyncpg.PostgresError as error:
        raise SetupError(
            f"PostgreSQL stopped the distribution ({error.sqlstate}): {error.message}; what is done stays done, and "
            "the same command goes on from there."
        ) from error
    except OSError as error:
        raise SetupError(f"The coordinator, or a node, does not answer ({type(error).__name__}).") from error
