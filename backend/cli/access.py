"""The way from a command to the database: the configured one, or our own for as long as it is needed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from backend.cli.terminal import complaints
from backend.dao_service.connection.database import Database
from backend.embedded_postgres import EmbeddedPostgres
from backend.errors import SetupError
from backend.migrations import runner
from backend.settings import Settings
from backend.shutdown import STOP

ResultT = TypeVar("ResultT")


@contextmanager
def database_url(settings: Settings, *, serving: bool = False) -> Iterator[str]:
    """Give the URL of the database, past any pooler."""
    if settings.database_url is not None:
        yield settings.direct_url or settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir) as postgres:
        if serving and postgres.shared:
            complaints.print(f"Sharing the PostgreSQL of process {postgres.owner_pid} in {settings.data_dir}.")
        yield postgres.url


def reach(url: str, wait: float) -> str | None:
    """Return the schema's revision, as soon as the database answers within ``wait`` seconds."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return runner.current(url)
        except SetupError:
            STOP.exit_if_requested()
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.25)


def make_ready(url: str, wait: float, *, ours: bool) -> None:
    """See that the schema is ours to work with; only in a database of our own is it brought there."""
    revision, wanted = reach(url, wait), runner.head()
    if revision == wanted:
        return
    if not ours:
        raise SetupError(runner.mismatch(revision, wanted))
    runner.upgrade(url)


def ask(work: Callable[[Database], Awaitable[ResultT]]) -> ResultT:
    """Return what ``work`` makes of the database, once its schema is as it must be."""
    settings = Settings.from_environment()
    with database_url(settings) as url:
        make_ready(url, 0, ours=settings.database_url is None)
        return asyncio.run(with_database(url, work))


async def with_database(
    url: str, work: Callable[[Database], Awaitable[ResultT]], *, direct: str | None = None
) -> ResultT:
    """Return what ``work`` makes of the database at ``url``, and close it; ``direct`` leads past its pooler."""
    database = Database(url, direct=direct)
    try:
        return await work(database)
    finally:
        await database.close()
