"""What no catalogue tells and PostgreSQL has to be asked: what a rule means, which rows break ours, who is in the way.

Reading every row may take long, so it ends after ``COUNTING``; each such question has a savepoint of its own, and the
survey goes on without the answer.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.migrations.adoption.introspection import HostConstraint, HostTable
from backend.migrations.adoption.plan import Plan
from backend.migrations.adoption.requirements import CONTEXT_RULE, RULES
from backend.vocabulary import ContextType

COUNTING: Final = "30s"  # the longest that counting rows may take
_LONG: Final = 5  # seconds, from which on a transaction may be in the way


async def lists_of_context_types(connection: AsyncConnection, conversations: HostTable) -> list[HostConstraint]:
    """Return the rules on context_type alone that list its words."""
    return [
        rule
        for rule in conversations.constraints
        if rule.kind == "c" and rule.columns == ("context_type",) and await _is_list(connection, rule)
    ]


async def count_other_context_types(connection: AsyncConnection, found: Plan) -> None:
    """Count the conversations that our rule would refuse."""
    try:
        async with connection.begin_nested():
            rows = await connection.execute(text(_OTHER_TYPES), {"words": sorted(ContextType)})
            found.blockers += [
                f"{row.count} conversations are of type {row.context_type!r}, which {CONTEXT_RULE} refuses; "
                "give them one of its five words first."
                for row in rows
            ]
    except DBAPIError as error:
        _admit_no_count(error, "conversations", found)


async def count_offenders(connection: AsyncConnection, messages: HostTable, found: Plan) -> None:
    """Count the rows that would make a VALIDATE fail, in one reading."""
    missing = {name: rule for name, rule in RULES.items() if not ((c := messages.constraint(name)) and c.valid)}
    if not missing:
        return
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for _, condition in missing.values())
    try:
        async with connection.begin_nested():
            row = (await connection.exec_driver_sql(f"SELECT {counts} FROM messages")).one()  # noqa: S608
    except DBAPIError as error:
        _admit_no_count(error, "messages", found)
        return
    for count, (name, (fault, _)) in zip(row, missing.items(), strict=True):
        if count:
            found.blockers.append(f"In {count} messages {fault}, which {name} refuses; repair or remove them first.")


async def name_old_transactions(connection: AsyncConnection, found: Plan) -> None:
    """Name the transactions that have been open for long."""
    found.warnings += [
        f"Process {row.pid} ({row.application_name or 'without a name'}) has been in a transaction for "
        f"{row.seconds} s; while it holds a lock on these tables, nothing can be added to them."
        for row in await connection.execute(text(_OLD_TRANSACTIONS), {"seconds": _LONG})
    ]


async def _is_list(connection: AsyncConnection, rule: HostConstraint) -> bool:
    """Whether it is a list of words: it refuses `voice`, or a word that nobody means (as migration 0004 has it)."""
    probe = (
        f"SELECT bool_or(({rule.expression}) IS FALSE) FROM (VALUES (text 'voice'), ('zyzzyva')) AS p (context_type)"  # noqa: S608
    )
    try:
        async with connection.begin_nested():
            return bool((await connection.exec_driver_sql(probe)).scalar())
    except DBAPIError:  # not text; another sentence says so
        return False


def _admit_no_count(error: DBAPIError, table: str, found: Plan) -> None:
    if getattr(error.orig, "sqlstate", None) != "57014":  # query_canceled: the time-out
        raise error
    found.warnings.append(f"The rows of {table} could not be checked within {COUNTING}; a rule may fail on old rows.")


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
