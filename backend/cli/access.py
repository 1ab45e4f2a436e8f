"""How a command reaches the database: the configured one, or an embedded PostgreSQL for the command's duration."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import uvloop

from backend.cli.terminal import stderr
from backend.dao_service.connection.database import Database, Subscription
from backend.dao_service.schema_revision import SCHEMA_REVISION, Stamp
from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations.access import stamp
from backend.migrations.compatibility import mismatch
from backend.settings import Settings
from backend.shutdown import STOP
from verbatim_record.setup_error import SetupError

ResultT = TypeVar("ResultT")


@contextmanager
def database_url(
    settings: Settings, *, serving: bool = False, meanwhile: Callable[[], object] | None = None
) -> Iterator[str]:
    """Yield a URL of the database that bypasses a pooler; without DATABASE_URL, start the embedded PostgreSQL.

    With ``serving``, print that the PostgreSQL of another process is used. ``meanwhile`` is called while it starts.
    """
    if settings.database_url is not None:
        yield settings.direct_url or settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir, meanwhile=meanwhile) as postgres:
        if serving and postgres.shared:
            stderr.print(f"Sharing the PostgreSQL of process {postgres.owner_pid} in {settings.data_dir}.")
        yield postgres.url


def await_database(url: str, wait: float) -> Stamp:
    """Wait up to ``wait`` seconds until the database answers, and return what it stores of its schema.

    Raises SetupError if it does not answer.
    """
    return _retry_for(wait, lambda: stamp(url))


def ensure_schema(url: str, wait: float, *, ours: bool) -> None:
    """Check that this release runs on the schema, within ``wait`` seconds.

    An outdated schema is migrated if ``ours``, that is in the embedded PostgreSQL. Any other database may be migrated
    by another process meanwhile; SetupError is raised if it was not.
    """
    if not ours:
        _retry_for(wait, lambda: _check_schema(url))
    elif await_database(url, wait).revision != SCHEMA_REVISION:
        from backend.migrations import runner  # noqa: PLC0415 -- Alembic takes 0.1 s to import, and is rarely needed

        runner.upgrade(url)


def _check_schema(url: str) -> None:
    if why := mismatch(stamp(url), SCHEMA_REVISION):
        raise SetupError(why)


def _retry_for(wait: float, action: Callable[[], ResultT]) -> ResultT:
    """Call ``action`` again while it raises SetupError, for up to ``wait`` seconds, and return what it returns."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return action()
        except SetupError:
            STOP.exit_if_requested()
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.25)


def run_with_database(work: Callable[[Database], Awaitable[ResultT]]) -> ResultT:
    """Run ``work`` with the configured database, after its schema was checked, and return the result."""
    settings = Settings.from_environment()
    with database_url(settings) as url:
        ensure_schema(url, 0, ours=settings.database_url is None)
        return uvloop.run(with_database(url, work, subscription=settings.subscription))


async def with_database(
    url: str,
    work: Callable[[Database], Awaitable[ResultT]],
    *,
    direct: str | None = None,
    subscription: Subscription | None = None,
) -> ResultT:
    """Run ``work`` with the database at ``url`` and return the result; ``direct`` bypasses its pooler.

    What ``work`` does is announced to the orchestrator as far as ``subscription`` says.
    """
    database = Database(url, direct=direct)
    database.subscription = subscription
    try:
        return await work(database)
    finally:
        await database.close()
