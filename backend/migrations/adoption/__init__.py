"""The survey of `verbatim adopt`: it shows an operator what a host's database holds and what adoption will change.

The survey only reads, in one read-only transaction without locks that another transaction would wait for. It reads
PostgreSQL's catalogue and not the stored revision, so it also finds changes that were made by hand. `runner.upgrade`
then takes exactly these steps.

`introspection` reads the host's tables, `requirements` lists what Verbatim needs, and `plan` compares the two. Whatever
is missing becomes a step, because adding it blocks no writer. Whatever the host should know becomes a warning. Whatever
no step can repair becomes a blocker: a column of another type, or rows that would make a step fail, which `data_checks`
counts. If there is a blocker, nothing is changed.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dao_service.connection.database import asyncpg_url
from backend.dao_service.privileges import APPEND
from backend.dao_service.schema_revision import READ_STAMP, SCHEMA_REVISION, VERSION_TABLE
from backend.migrations import access, runner
from backend.migrations.access import connectable, sentence
from backend.migrations.adoption.advice import alembic_filter, grants_for_service_role
from backend.migrations.adoption.data_checks import (
    COUNTING,
    count_offenders,
    count_other_context_types,
    lists_of_context_types,
    name_old_transactions,
)
from backend.migrations.adoption.indexes import build_missing, missing
from backend.migrations.adoption.introspection import HostTable, read_made, read_server, read_tables
from backend.migrations.adoption.plan import (
    Plan,
    numbering_warnings,
    plan_conversations,
    plan_messages,
    plan_own_tables,
    table_warnings,
)
from backend.migrations.adoption.requirements import OWN_TABLES, SEED_COLUMNS, server_blockers, shape_blockers
from backend.migrations.compatibility import too_old
from verbatim_record.setup_error import SetupError

__all__ = ["HostTable", "Survey", "complete", "survey"]


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of a survey. Each of ``steps``, ``warnings`` and ``blockers`` is a sentence; ``advice`` is to copy."""

    revision: str | None
    tables: Mapping[str, HostTable]
    steps: tuple[str, ...]
    warnings: tuple[str, ...]
    blockers: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def adoptable(self) -> bool:
        """Whether no blocker prevents the adoption."""
        return not self.blockers

    @property
    def complete(self) -> bool:
        """Whether nothing has to be added; at most the stored revision is missing."""
        return not self.steps


def complete(url: str, found: Survey) -> None:
    """Take the steps of ``found``, the result of a survey of the same database; raises SetupError if one fails."""
    stamp = access.stamp(url)
    if stamp.is_ahead_of(SCHEMA_REVISION):
        raise SetupError(too_old(stamp, SCHEMA_REVISION))
    # At the newest revision steps remain only if an operator has dropped something that a migration made.
    runner.upgrade(url, anew=bool(found.steps) and found.revision == SCHEMA_REVISION)
    asyncio.run(build_missing(url))


def survey(url: str) -> Survey:
    """Return what adoption would change in the database at ``url``; reads only. Raises SetupError if that fails."""
    return asyncio.run(_survey(asyncpg_url(url)))


async def _survey(url: URL) -> Survey:
    try:
        async with connectable(url).connect() as connection, connection.begin():
            await connection.execute(text("SET TRANSACTION READ ONLY"))
            await connection.execute(text(f"SET LOCAL statement_timeout = '{COUNTING}'"))
            return await _survey_connection(connection)
    except (DBAPIError, OSError) as error:
        raise SetupError(sentence(error, url)) from error


async def _survey_connection(connection: AsyncConnection) -> Survey:
    server, tables = await read_server(connection), await read_tables(connection)
    present = {name: table for name, table in tables.items() if table.columns}
    conversations, messages = tables["conversations"], tables["messages"]
    found = Plan()
    found.blockers += server_blockers(server)
    for table in present.values():
        found.blockers += shape_blockers(table, sees_all=server.sees_all)
    found.steps += [f"There is no table {name}: it will be created, empty." for name in tables if name not in present]
    plan_own_tables(await read_made(connection, OWN_TABLES), found)
    if await connection.scalar(text("SELECT to_regproc(:name) IS NULL"), {"name": APPEND}):
        found.steps.append(f"There is no function {APPEND}, which records messages: it will be created.")
    if conversations.columns:
        plan_conversations(conversations, await lists_of_context_types(connection, conversations), found)
    if conversations.column("context_type"):
        await count_other_context_types(connection, found)
    if messages.columns:
        plan_messages(messages, found)
    if all(messages.column(name) for name in SEED_COLUMNS):
        await count_offenders(connection, messages, found)
    for table in present.values():
        found.warnings += table_warnings(table)
    if not server.leaves_triggers_out:
        found.warnings += numbering_warnings(conversations, messages, server.role)
    found.steps += [
        f"{table} has no index {index.name}: it will be built concurrently, while writers go on."
        for table, index in await missing(connection)
    ]
    await name_old_transactions(connection, found)
    return Survey(
        revision=await connection.scalar(READ_STAMP) if server.stamped else None,
        tables=present,
        steps=tuple(found.steps),
        warnings=tuple(found.warnings),
        blockers=tuple(found.blockers),
        advice=(
            *((alembic_filter(VERSION_TABLE),) if server.has_alembic else ()),
            grants_for_service_role(server.quoted_schema),
        ),
    )
