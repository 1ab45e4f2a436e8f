"""Checks of a host's data that the catalogue cannot answer.

They find what a CHECK constraint means, which rows violate Verbatim's constraints, and which transactions hold locks.
Reading every row may take long, so a statement ends after ``COUNTING``. Each check has a savepoint, so that the survey
continues without its answer.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.migrations.adoption.introspection import HostConstraint, HostTable
from backend.migrations.adoption.plan import Plan
from backend.migrations.adoption.requirements import CONTEXT_RULE, RULES
from backend.vocabulary import ContextType

COUNTING: Final = "30s"  # `statement_timeout` for counting rows
_LONG: Final = 5  # seconds; older transactions are reported, because they may hold locks


async def lists_of_context_types(connection: AsyncConnection, conversations: HostTable) -> list[HostConstraint]:
    """Return the CHECK constraints on context_type alone that are a list of words."""
    return [
        rule
        for rule in conversations.constraints
        if rule.kind == "c" and rule.columns == ("context_type",) and await _is_list(connection, rule)
    ]


async def count_other_context_types(connection: AsyncConnection, found: Plan) -> None:
    """Add a blocker for each context type on record that Verbatim's constraint does not allow."""
    try:
        async with connection.begin_nested():
            rows = await connection.execute(text(_OTHER_TYPES), {"words": sorted(ContextType)})
            found.blockers += [
                f"{row.count} conversations are of type {row.context_type!r}, which {CONTEXT_RULE} does not allow; "
                "change them to one of its five words first."
                for row in rows
            ]
    except DBAPIError as error:
        _warn_not_counted(error, "conversations", found)


async def count_offenders(connection: AsyncConnection, messages: HostTable, found: Plan) -> None:
    """Add a blocker for each constraint of messages that existing rows violate, counted in one pass."""
    missing = {name: rule for name, rule in RULES.items() if not ((c := messages.constraint(name)) and c.valid)}
    if not missing:
        return
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for _, condition in missing.values())
    try:
        async with connection.begin_nested():
            row = (await connection.exec_driver_sql(f"SELECT {counts} FROM messages")).one()  # noqa: S608
    except DBAPIError as error:
        _warn_not_counted(error, "messages", found)
        return
    for count, (name, (fault, _)) in zip(row, missing.items(), strict=True):
        if count:
            found.blockers.append(f"In {count} messages {fault}, against {name}; repair or remove them first.")


async def name_old_transactions(connection: AsyncConnection, found: Plan) -> None:
    """Add a warning for each transaction that has been open for more than five seconds."""
    found.warnings += [
        f"Process {row.pid} ({row.application_name or 'without a name'}) has been in a transaction for "
        f"{row.seconds} s; while it holds a lock on these tables, nothing can be added to them."
        for row in await connection.execute(text(_OLD_TRANSACTIONS), {"seconds": _LONG})
    ]


async def _is_list(connection: AsyncConnection, rule: HostConstraint) -> bool:
    """Return whether ``rule`` lists words: it refuses `voice` or a made-up word, as the migration tests it, too."""
    probe = (
        f"SELECT bool_or(({rule.expression}) IS FALSE) FROM (VALUES (text 'voice'), ('zyzzyva')) AS p (context_type)"  # noqa: S608
    )
    try:
        async with connection.begin_nested():
            return bool((await connection.exec_driver_sql(probe)).scalar())
    except DBAPIError:  # the column is not text, which is another blocker
        return False


def _warn_not_counted(error: DBAPIError, table: str, found: Plan) -> None:
    if getattr(error.orig, "sqlstate", None) != "57014":  # query_canceled: the time-out
        raise error
    found.warnings.append(
        f"The rows of {table} could not be checked within {COUNTING}; a constraint may fail on old rows."
    )


_OTHER_TYPES: Final = """
    SELECT context_type, count(*) AS count FROM conversations
    WHERE context_type::text <> ALL (:words) GROUP BY 1 ORDER BY 2 DESC LIMIT 10
"""

_OLD_TRANSACTIONS: Final = """
    SELECT pid, application_name, extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND xact_start < clock_timestamp() - make_interval(secs => :seconds)
    ORDER BY xact_start LIMIT 5
"""
