"""How a command reaches the database: the configured one, or an embedded PostgreSQL for the command's duration."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from backend.cli.terminal import stderr
from backend.dao_service.connection.database import Database
from backend.embedded_postgres import EmbeddedPostgres
from backend.errors import SetupError
from backend.migrations import runner
from backend.settings import Settings
from backend.shutdown import STOP

ResultT = TypeVar("ResultT")


@contextmanager
def database_url(settings: Settings, *, serving: bool = False) -> Iterator[str]:
    """Yield a URL of the database that bypasses a pooler; without DATABASE_URL, start the embedded PostgreSQL.

    With ``serving``, print that the PostgreSQL of another process is used.
    """
    if settings.database_url is not None:
        yield settings.direct_url or settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir) as postgres:
        if serving and postgres.shared:
            stderr.print(f"Sharing the PostgreSQL of process {postgres.owner_pid} in {settings.data_dir}.")
        yield postgres.url


def await_database(url: str, wait: float) -> str | None:
    """Wait up to ``wait`` seconds until the database answers, and return its schema's revision, None for no schema.

    Raises SetupError if it does not answer.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            return runner.current(url)
        except SetupError:
            STOP.exit_if_requested()
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.25)


def ensure_schema(url: str, wait: float, *, ours: bool) -> None:
    """Check the schema's revision, after waiting up to ``wait`` seconds for the database.

    An outdated schema is migrated if ``ours``, that is in the embedded PostgreSQL; otherwise SetupError is raised.
    """
    revision, wanted = await_database(url, wait), runner.head()
    if revision == wanted:
        return
    if not ours:
        raise SetupError(runner.mismatch(revision, wanted))
    runner.upgrade(url)


def run_with_database(work: Callable[[Database], Awaitable[ResultT]]) -> ResultT:
    """Run ``work`` with the configured database, after its schema was checked, and return the result."""
    settings = Settings.from_environment()
    with database_url(settings) as url:
        ensure_schema(url, 0, ours=settings.database_url is None)
        return asyncio.run(with_database(url, work))


async def with_database(
    url: str, work: Callable[[Database], Awaitable[ResultT]], *, direct: str | None = None
) -> ResultT:
    """Run ``work`` with the database at ``url`` and return the result; ``direct`` bypasses its pooler."""
    database = Database(url, direct=direct)
    try:
        return await work(database)
    finally:
        await database.close()
