"""The steps that revisions share: each can be done twice, and leaves alone what is the host's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from backend.dao_service.connection.database import asyncpg_url
from backend.dao_service.schema_revision import BASELINE, VERSION_TABLE
from backend.migrations import access, runner

if TYPE_CHECKING:
    from tests.migrations.conftest import Sandbox

runner.scripts()  # loads what the revisions import
import verbatim_steps as steps  # noqa: E402

FROZEN = "ba22322b13787f6fe752640c82c0af394b6d63c15866d26bdfe97233068406d4"
TABLES = """
    CREATE TABLE conversations (id uuid PRIMARY KEY);
    CREATE TABLE messages (id int PRIMARY KEY, size int);
    INSERT INTO messages VALUES (1, 10);
"""
COLUMNS = (
    "SELECT attname::text FROM pg_attribute WHERE attrelid = 'messages'::regclass AND attnum > 0 AND NOT attisdropped"
)


@pytest.fixture
async def tables(sandbox: Sandbox) -> Sandbox:
    await sandbox.run(TABLES)
    return sandbox


async def _take(sandbox: Sandbox, step: Callable[[], None]) -> None:
    def run(connection: Connection) -> None:
        context = MigrationContext.configure(connection)
        with Operations.context(context), context.begin_transaction():
            step()

    async with access.connectable(asyncpg_url(sandbox.url)).connect() as connection:
        await connection.run_sync(run)


STEPS: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
    "columns": (
        lambda: steps.add_columns("messages", {"mood": "TEXT", "count": "BIGINT NOT NULL DEFAULT 0"}),
        lambda: steps.drop_columns("messages", ["mood", "count"]),
    ),
    "a table": (
        lambda: steps.create_table("moods", "CREATE TABLE moods (id int)", "CREATE INDEX m ON moods (id)"),
        lambda: steps.drop_table("moods"),
    ),
    "an index": (
        lambda: steps.build_index("idx_size", "messages (size) WHERE size > 3", unique=True),
        lambda: steps.drop_index("idx_size"),
    ),
    "checks": (
        lambda: steps.add_checks("messages", {"small": "size < 100", "odd": "size <> 7 OR id::text = '7'"}),
        lambda: steps.drop_checks("messages", ["small", "odd"]),
    ),
}


@pytest.mark.parametrize(("there", "back"), STEPS.values(), ids=STEPS.keys())
async def test_a_step_and_its_way_back_can_each_be_taken_twice(
    tables: Sandbox, there: Callable[[], None], back: Callable[[], None]
) -> None:
    before = await tables.catalogue()
    await _take(tables, there)
    after = await tables.catalogue()
    await _take(tables, there)
    assert await tables.catalogue() == after != before
    await _take(tables, back)
    await _take(tables, back)
    assert await tables.catalogue() == before


async def test_columns_and_tables_of_the_host_stay(tables: Sandbox) -> None:
    await tables.run("ALTER TABLE messages ADD COLUMN mood text; CREATE TABLE moods (id int)")
    await _take(tables, lambda: steps.add_columns("messages", {"mood": "TEXT", "count": "INT"}))
    await _take(tables, lambda: steps.drop_columns("messages", ["mood", "count"]))
    assert await tables.rows(COLUMNS) == [("id",), ("size",), ("mood",)]
    with pytest.raises(DBAPIError, match="There is a table moods that is not Verbatim's"):
        await _take(tables, lambda: steps.create_table("moods", "CREATE TABLE moods (id int)"))
    await _take(tables, lambda: steps.drop_table("moods"))
    assert await tables.value("SELECT to_regclass('moods') IS NOT NULL")


async def test_a_check_binds_new_rows_although_old_rows_break_it(tables: Sandbox) -> None:
    with pytest.raises(DBAPIError, match="violated by some row"):
        await _take(tables, lambda: steps.add_checks("messages", {"small": "size < 5"}))
    assert await tables.value("SELECT NOT convalidated FROM pg_constraint WHERE conname = 'small'")
    await tables.run("DELETE FROM messages")
    await _take(tables, lambda: steps.add_checks("messages", {"small": "size < 5"}))
    assert await tables.value("SELECT convalidated FROM pg_constraint WHERE conname = 'small'")


async def test_a_function_gets_the_names_of_the_schema_where_the_tables_are(sandbox: Sandbox) -> None:
    name = sandbox.url.rpartition("/")[2].partition("?")[0]
    await sandbox.run(f'CREATE SCHEMA "the app"; ALTER DATABASE {name} SET search_path = "the app"')
    await sandbox.run(TABLES)
    body = "'SELECT ''%1$s, %2$s, %3$s'''"
    await _take(sandbox, lambda: steps.qualified(f"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS {body}"))
    assert await sandbox.value("SELECT f()") == '"the app".conversations, "the app".messages, "the app"'


def test_what_the_first_release_migrates_by_stays_as_it_was() -> None:
    """A database that is migrated already would differ from a new one. Write another revision instead."""
    printed = runner.sql(BASELINE)
    ours = [line for line in printed[printed.index("DO $$") :].splitlines() if VERSION_TABLE not in line]
    assert hashlib.sha256("\n".join(ours).encode()).hexdigest() == FROZEN
