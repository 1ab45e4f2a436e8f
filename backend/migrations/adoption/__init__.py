"""What `verbatim adopt` tells an operator before it touches a host's database: what is there, and what will be done.

It only reads: one read-only transaction, and no lock that another transaction would wait for. It reads the catalogue
and not the stamp, so it also sees what was done by hand. `runner.upgrade` then does exactly these steps.

`introspection` reads what the host's database holds, `requirements` says what Verbatim needs, and `plan` compares them.
What is missing becomes a step, because adding it stops no writer. What the host should know becomes a warning. What no
step can mend becomes a blocker: a column of another type, or rows that would make a step fail, which `data_checks`
finds by reading them. With one blocker left, nothing is done.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dao_service.connection.database import asyncpg_url
from backend.errors import SetupError
from backend.migrations import runner
from backend.migrations.adoption.advice import for_a_role_that_serves, for_the_hosts_alembic
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
    plan_conversations,
    plan_messages,
    plan_own_tables,
    worries,
    worries_of_numbering,
)
from backend.migrations.adoption.requirements import OWN_TABLES, SEED, strange, unfit
from backend.migrations.runner import VERSION_TABLE, connectable, sentence

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
    runner.upgrade(url, anew=bool(found.steps) and found.revision == runner.head())
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
    found = Plan()
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
