"""What `verbatim adopt` tells an operator before it touches a host's database: what is there, and what will be done.

It only looks: one read-only transaction, no lock that anybody would notice. It asks the catalogue itself, not the
stamp, so that it also sees what was done by hand. Whoever then calls `migrator.upgrade` gets exactly these steps.

What the host holds (`catalogue`) is held against what Verbatim needs (`shape`). What is missing becomes a step, for
adding stops no writer, and what the host should know becomes a warning (`plan`). What nothing we add can mend becomes a
blocker, be it a column of another type, or rows that would make a step fail, which only reading them tells (`probe`).
With one blocker left, nothing is done.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dao_service import migrator
from backend.dao_service.adoption.advice import for_a_role_that_serves, for_the_hosts_alembic
from backend.dao_service.adoption.catalogue import HostTable, read_made, read_server, read_tables
from backend.dao_service.adoption.indexes import build_missing, missing
from backend.dao_service.adoption.plan import (
    Findings,
    plan_conversations,
    plan_messages,
    plan_own_tables,
    worries,
    worries_of_numbering,
)
from backend.dao_service.adoption.probe import (
    COUNTING,
    count_offenders,
    count_other_context_types,
    lists_of_context_types,
    name_old_transactions,
)
from backend.dao_service.adoption.shape import OWN_TABLES, SEED, strange, unfit
from backend.dao_service.database import asyncpg_url
from backend.dao_service.migrator import VERSION_TABLE, connectable, sentence
from backend.errors import SetupError

__all__ = ["HostTable", "Survey", "complete", "survey"]


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found. ``steps``, ``warnings`` and ``blockers`` are one sentence each; ``advice`` is text to copy."""

    revision: str | None
    tables: Mapping[str, HostTable]
    steps: tuple[str, ...]
    warnings: tuple[str, ...]
    blockers: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def adoptable(self) -> bool:
        return not self.blockers

    @property
    def complete(self) -> bool:
        """Everything is there already; at most the stamp is missing."""
        return not self.steps


def complete(url: str, found: Survey) -> None:
    """Take the steps of ``found``, which a survey of the same database has found; raises SetupError."""
    # At the newest revision there are only steps where an operator has dropped what was made.
    migrator.upgrade(url, anew=bool(found.steps) and found.revision == migrator.head())
    asyncio.run(build_missing(url))


def survey(url: str) -> Survey:
    """Look at a database, and say what adopting it would mean. Changes nothing."""
    return asyncio.run(_survey(asyncpg_url(url)))


async def _survey(url: URL) -> Survey:
    try:
        async with connectable(url).connect() as connection, connection.begin():
            await connection.execute(text("SET TRANSACTION READ ONLY"))
            await connection.execute(text(f"SET LOCAL statement_timeout = '{COUNTING}'"))
            return await _look(connection)
    except (DBAPIError, OSError) as error:
        raise SetupError(sentence(error, url)) from error


async def _look(connection: AsyncConnection) -> Survey:
    server, tables = await read_server(connection), await read_tables(connection)
    present = {name: table for name, table in tables.items() if table.columns}
    conversations, messages = tables["conversations"], tables["messages"]
    found = Findings()
    found.blockers += unfit(server)
    for table in present.values():
        found.blockers += strange(table, sees_all=server.sees_all)
    found.steps += [f"There is no table {name}: will be made, empty." for name in tables if name not in present]
    plan_own_tables(await read_made(connection, OWN_TABLES), found)
    if conversations.columns:
        plan_conversations(conversations, await lists_of_context_types(connection, conversations), found)
    if conversations.column("context_type"):
        await count_other_context_types(connection, found)
    if messages.columns:
        plan_messages(messages, found)
    if all(messages.column(name) for name in SEED):
        await count_offenders(connection, messages, found)
    for table in present.values():
        found.warnings += worries(table)
    if not server.leaves_triggers_out:
        found.warnings += worries_of_numbering(conversations, messages, server.role)
    found.steps += [
        f"{table} has no index {index.name}: will be built concurrently, while writers go on."
        for table, index in await missing(connection)
    ]
    await name_old_transactions(connection, found)
    stamp = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608
    return Survey(
        revision=await connection.scalar(stamp) if server.stamped else None,
        tables=present,
        steps=tuple(found.steps),
        warnings=tuple(found.warnings),
        blockers=tuple(found.blockers),
        advice=(
            *((for_the_hosts_alembic(VERSION_TABLE),) if server.has_alembic else ()),
            for_a_role_that_serves(server.quoted_schema),
        ),
    )
