"""Indexes of Verbatim's own tables that were dropped or are invalid: found by name, built from the models.

The migrations build these indexes together with their tables, and so never again. A test ensures that the models define
the same indexes as the migrations.
"""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Index, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex

from backend.dao_service.connection.database import asyncpg_url
from backend.dao_service.models import Base
from backend.migrations.access import connectable, sentence
from backend.migrations.adoption.requirements import OWN_TABLES
from verbatim_record.setup_error import SetupError

_VALID: Final = text("""
    SELECT coalesce((SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)), false)
    FROM pg_class WHERE oid = to_regclass(:table)
""")


async def missing(connection: AsyncConnection) -> list[tuple[str, Index]]:
    """Return each missing or invalid index of Verbatim's own tables, as table name and index."""
    return [
        (table, index)
        for table, index in _ours()
        if await connection.scalar(_VALID, {"name": index.name, "table": table}) is False
    ]


async def build_missing(url: str) -> None:
    """Build the indexes that `missing` returns, concurrently, while writers go on; raises SetupError if that fails."""
    place = asyncpg_url(url)
    try:
        async with connectable(place).connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            for _, index in await missing(connection):
                await connection.exec_driver_sql(f'DROP INDEX CONCURRENTLY IF EXISTS "{index.name}"')
                create = str(CreateIndex(index).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
                await connection.exec_driver_sql(create.replace(" INDEX ", " INDEX CONCURRENTLY ", 1))
    except (DBAPIError, OSError) as error:
        raise SetupError(sentence(error, place)) from error


def _ours() -> Iterator[tuple[str, Index]]:
    for name in OWN_TABLES:
        for index in sorted(Base.metadata.tables[name].indexes, key=lambda index: str(index.name)):
            yield name, index
