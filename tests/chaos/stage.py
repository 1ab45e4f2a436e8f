"""The one PostgreSQL that all of it is about: fully durable, on a disk that may be made full."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson
from sqlalchemy import make_url

from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner
from tests import clusters
from tests.chaos.checker import Row
from tests.disks import small_disk

DISK: Final = "2g"
_ROWS: Final = """
    SELECT id::text, conversation_id::text, sequence, role, content, input_modality, metadata::text, timestamp,
        voice_session_id, client_sequence
    FROM messages
"""


class Stage:
    """PostgreSQL, and how strangers get at it, past every proxy."""

    def __init__(self, folder: Path, postgres: EmbeddedPostgres, *, small_disk: bool) -> None:
        self.folder = folder
        self.small_disk = small_disk
        self._postgres = postgres

    @property
    def url(self) -> str:
        return self._postgres.url

    @property
    def socket(self) -> str:
        return f"{make_url(self.url).query['host']}/.s.PGSQL.5432"

    @property
    def pid(self) -> int | None:
        return self._postgres.pid

    def through(self, port: int) -> str:
        """Return the URL of the same database behind a proxy's port."""
        url = make_url(self.url)
        return f"postgresql+asyncpg://{url.username}@127.0.0.1:{port}/{url.database}"

    async def connect(self) -> asyncpg.Connection:
        url = make_url(self.url)
        host = str(url.query["host"])
        return await asyncpg.connect(host=host, user=url.username, database=url.database, timeout=10)

    async def restore(self) -> None:
        """See to it that PostgreSQL runs, and has the newest schema."""
        await asyncio.to_thread(self._postgres.start)  # which does nothing where it still is looked after
        await asyncio.to_thread(runner.upgrade, self.url)

    async def rows(self) -> tuple[list[Row], dict[str, int]]:
        """Return everything on record, and what each conversation says that it has."""
        connection = await self.connect()
        try:
            rows = [_row(each) for each in await connection.fetch(_ROWS)]
            counters = await connection.fetch("SELECT id::text, last_sequence FROM conversations")
        finally:
            await connection.close()
        return rows, {each[0]: each[1] for each in counters}


def _row(found: asyncpg.Record) -> Row:
    fields: dict[str, Any] = dict(found)
    moment: datetime = fields["timestamp"]
    return Row(**fields | {"metadata": orjson.loads(fields["metadata"]), "timestamp": moment})


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Bring it up, and take it down."""
    data = folder / "postgres"
    data.mkdir()
    with small_disk(data, DISK) as small, EmbeddedPostgres(clusters.prepare(data / "home"), durable=True) as postgres:
        runner.upgrade(postgres.url)
        prepared = Stage(data, postgres, small_disk=small)
        asyncio.run(_prepare(prepared))
        yield prepared


async def _prepare(prepared: Stage) -> None:
    connection = await prepared.connect()
    try:
        await connection.execute("ALTER SYSTEM SET max_wal_size = '128MB'")  # or the log alone would fill the disk
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()
