"""Runs migrations: one at a time, in short steps, none of which blocks a writer for long.

PostgreSQL queues every later transaction on a table behind an ALTER TABLE that waits for its lock. So a step waits
for a lock for at most 200 ms (`lock_timeout`), lets the queue pass, and is tried again after a random pause that
grows, until 60 seconds were spent waiting (`PATIENCE`). A blocked revision is begun anew on a new connection; the
revisions before it are committed and stamped. So each step of a revision must be fit to be done twice. A step behind
which no transaction queues (VALIDATE, CONCURRENTLY, a row lock) raises `lock_timeout` for itself.

Migrations that are started at once take turns by an advisory lock, which a connection of its own holds. They poll for
it instead of waiting: a waiting connection holds a snapshot, CREATE INDEX CONCURRENTLY waits until all snapshots are
gone, and PostgreSQL's deadlock detector does not see that the two wait for each other.

With each revision the database stores which releases run on it (`backend/dao_service/schema_revision.py`).

`alembic check` ignores the tables, columns and indexes that are the host's own.
"""

import asyncio
import logging
import os
import random
import time
from typing import Any, Final

from alembic import context
from alembic.util import CommandError
from sqlalchemy import URL, Column, Connection, bindparam, event, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import SchemaItem

from backend.dao_service.connection.database import asyncpg_url
from backend.dao_service.models import Base
from backend.dao_service.schema_revision import BASELINE, BEFORE_BASELINE, VERSION_TABLE, comment
from backend.migrations.access import WITHOUT_TIME_LIMITS, connectable, sentence
from backend.migrations.runner import PATIENCE, compatible_from
from verbatim_record.setup_error import SetupError

_SESSION: Final = (
    "SET lock_timeout = '200ms'",
    "SET default_transaction_isolation = 'read committed'",
    WITHOUT_TIME_LIMITS,
)
_TURN_KEY: Final = 0x7665726261  # "verba"
_TURN_PATIENCE: Final = 1800.0  # seconds that another migration may take
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_LONGEST_LOCK_TIMEOUT: Final = 60.0  # what the patient steps of the revisions set
_BLOCKED: Final = {"55P03", "40P01"}  # lock_not_available, deadlock_detected
_SIGNATURE: Final = "Made by Verbatim."
_HOST_TABLES: Final = {"conversations", "goals", "tasks"}
_HOST_COLUMNS: Final = {"id", "user_id", "context_type", "created_at", "updated_at"}


def main() -> None:
    """Migrate the database, or in offline mode print the SQL."""
    if context.is_offline_mode():
        _print_sql()
        return
    if context.config.cmd_opts is not None:  # the `alembic` command, which a developer runs
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        url = context.config.attributes.get("url") or _url_from_settings()
        asyncio.run(_migrate(url, context.config.attributes.get("patience", PATIENCE)))
    except SetupError as error:
        raise CommandError(str(error)) from error


def _url_from_settings() -> URL:
    configured = context.config.get_main_option("sqlalchemy.url")
    url = configured or os.environ.get("VERBATIM_DATABASE_DIRECT_URL") or os.environ.get("DATABASE_URL")
    if not url:
        raise SetupError("Which database? Set DATABASE_URL to postgresql://user:password@host:5432/name.")
    return asyncpg_url(url)


async def _migrate(url: URL, patience: float) -> None:
    engine = connectable(url)
    try:
        async with engine.connect() as guard:
            await guard.execution_options(isolation_level="AUTOCOMMIT")
            await _prepare(guard)
            await _take_turn(guard)
            await _run_until_done(engine, guard, patience)
    except PendingRollbackError as error:
        # A step outside of a transaction lost its connection, and Alembic began another, which hides the cause.
        if not isinstance(error.__context__, DBAPIError):
            raise
        raise SetupError(sentence(error.__context__, url)) from error
    except (DBAPIError, OSError) as error:
        raise SetupError(sentence(error, url)) from error


async def _prepare(connection: AsyncConnection) -> None:
    for statement in _SESSION:
        await connection.execute(text(statement))
    await connection.commit()


async def _take_turn(guard: AsyncConnection) -> None:
    deadline = time.monotonic() + _TURN_PATIENCE
    while not await guard.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _TURN_KEY}):
        if time.monotonic() > deadline:
            raise SetupError(
                f"Another migration of this database has been running for {_TURN_PATIENCE / 60:.0f} minutes; "
                "wait for its end, then run this again."
            )
        await asyncio.sleep(random.uniform(0.05, 0.2))  # noqa: S311 -- to spread, not to hide


async def _run_until_done(engine: AsyncEngine, guard: AsyncConnection, patience: float) -> None:
    waiting = _Waiting(patience)
    event.listen(engine.sync_engine, "before_cursor_execute", waiting.note_statement)
    while True:
        try:
            async with engine.connect() as connection:
                await _prepare(connection)
                await connection.run_sync(_run, waiting)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _BLOCKED:
                raise
            if waiting.revisions and str(getattr(context.config.cmd_opts, "revision", ""))[:1] in {"+", "-"}:
                # `alembic downgrade -2`, done again after its first step, would count from there.
                raise SetupError("Blocked half-way; see where `alembic current` stands, and go on from it.") from error
            pause = waiting.next_pause()
            if pause is None:
                raise SetupError(await _name_what_is_in_the_way(guard)) from error
            await asyncio.sleep(pause)
        else:
            return


def _run(connection: Connection, waiting: "_Waiting") -> None:
    _stamp_baseline(connection)

    def note(*_: Any, **applied: Any) -> None:
        waiting.note_revision()
        _note_compatibility(**applied)

    context.configure(connection=connection, on_version_apply=note, **_OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def _stamp_baseline(connection: Connection) -> None:
    """Stamp a schema that a checkout before release 0.2.0 has brought to the state of that release."""
    with connection.begin():
        if not connection.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": VERSION_TABLE}):
            return
        if connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == BEFORE_BASELINE:
            connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{BASELINE}'"))
            connection.execute(text(comment(compatible_from(context.script, BASELINE))))


def _note_compatibility(*_: Any, **applied: Any) -> None:
    """Keep, in the transaction of the revision, which releases run on the schema now."""
    applied["ctx"].execute(comment(compatible_from(context.script, next(iter(applied["heads"]), None))))


class _Waiting:
    """Counts the seconds spent on locks since the last revision was done: in blocked statements and in pauses.

    Seconds in which a step did its work do not count: an index may take an hour to build.
    """

    def __init__(self, patience: float) -> None:
        self.revisions = 0
        self._patience = patience
        self._lost = 0.0
        self._pause = _FIRST_PAUSE
        self._began = time.monotonic()

    def note_statement(self, *_: Any) -> None:
        self._began = time.monotonic()

    def note_revision(self) -> None:
        self.revisions += 1
        self._lost = 0.0
        self._pause = _FIRST_PAUSE

    def next_pause(self) -> float | None:
        """Return the seconds to wait before the next attempt; None if ``patience`` seconds were spent."""
        pause = self._pause * random.uniform(0.5, 1.5)  # noqa: S311 -- to spread, not to hide
        self._pause = min(self._pause * 1.6, _LONGEST_PAUSE)
        self._lost += min(time.monotonic() - self._began, _LONGEST_LOCK_TIMEOUT) + pause
        return pause if self._lost < self._patience else None


async def _name_what_is_in_the_way(guard: AsyncConnection) -> str:
    tables = sorted({*Base.metadata.tables, VERSION_TABLE})
    found = await guard.execute(
        text("""
            SELECT pid, application_name, coalesce(state, backend_type, 'state unknown') AS state, held,
                   extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds
            FROM pg_stat_activity AS a, LATERAL (
                SELECT string_agg(DISTINCT relname, ', ')
                FROM pg_locks AS l JOIN pg_class ON pg_class.oid = relation
                WHERE l.pid = a.pid AND granted AND relname IN :tables AND relkind = 'r'
            ) AS locks (held)
            WHERE datname = current_database() AND pid <> pg_backend_pid()
              AND (held IS NOT NULL OR xact_start IS NOT NULL)
            ORDER BY held IS NULL, xact_start
            LIMIT 3
        """).bindparams(bindparam("tables", expanding=True)),
        {"tables": tables},
    )
    culprits = [
        f"process {row.pid} ({row.application_name or 'without a name'}, {row.state}"
        + (f", in a transaction for {row.seconds} s" if row.seconds is not None else "")
        + (f", holding {row.held}" if row.held else "")
        + ")"
        for row in found
    ]
    who = "; ".join(culprits) or "none is left now (but see pg_prepared_xacts)"
    return (
        f"Other transactions left no room for a brief lock: {who}. "
        "End them or let them end, then run the same again: it goes on where it stopped."
    )


_PREFACE: Final = f"""\
-- For psql -X -v ON_ERROR_STOP=1 -f FILE, by the owner of the tables, and not inside a transaction.
-- If it stops because a lock was not got, or is interrupted: SELECT version_num FROM {VERSION_TABLE}, and go on
-- with what `verbatim migrate --sql --to VERSION_NUM:head` prints. Each step can be done twice.

"""


def _print_sql() -> None:
    context.configure(url="postgresql+asyncpg://", on_version_apply=_note_compatibility, **_OPTIONS)
    print_ = context.get_context().impl.static_output
    print_(_PREFACE + ";\n".join(statement.strip() for statement in _SESSION) + ";\n")
    with context.begin_transaction():
        context.run_migrations()


def _is_ours(name: str | None, type_: str, _parents: Any) -> bool:
    """Return whether to read a table: only those that the models have."""
    return type_ != "table" or name in Base.metadata.tables


def _is_compared(
    item: SchemaItem,
    name: str | None,
    type_: str,
    reflected: bool,  # noqa: FBT001 -- Alembic's own signature
    compare_to: SchemaItem | None,
) -> bool:
    """Return whether to compare ``item``: not what the host added to its tables, nor the host's own columns."""
    table = getattr(item, "table", None)
    if table is None or table.name not in _HOST_TABLES:
        return True
    if reflected:
        return False
    if type_ == "column" and name in _HOST_COLUMNS:
        return isinstance(compare_to, Column) and compare_to.table.comment == _SIGNATURE
    return True


_OPTIONS: Final[dict[str, Any]] = {
    "target_metadata": Base.metadata,
    "version_table": VERSION_TABLE,
    "transaction_per_migration": True,
    "include_name": _is_ours,
    "include_object": _is_compared,
    "compare_server_default": True,
    "autogenerate_plugins": ["alembic.autogenerate.*", "~alembic.autogenerate.comments"],  # comments are signatures
}

main()
