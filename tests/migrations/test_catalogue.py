"""What the migrations make is what the seed and the models say, whichever way it was made."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from backend.dao_service.connection.database import asyncpg_url
from backend.dao_service.models import Base
from backend.dao_service.schema_revision import SCHEMA_REVISION, VERSION_TABLE
from backend.migrations import runner
from tests.installed import postgres_tool
from verbatim_record.setup_error import SetupError

if TYPE_CHECKING:
    from tests.migrations.conftest import MakeSandbox, Sandbox

BASE_TABLES = """
    CREATE TABLE goals (id UUID PRIMARY KEY DEFAULT gen_random_uuid());
    CREATE TABLE tasks (id UUID PRIMARY KEY DEFAULT gen_random_uuid());
    CREATE TABLE conversations (
        id           UUID PRIMARY KEY DEFAULT gen_random_uuid(),
        user_id      TEXT,
        context_type TEXT NOT NULL,
        messages     JSONB DEFAULT '[]',
        created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
        updated_at   TIMESTAMPTZ NOT NULL DEFAULT now()
    );
"""
WIDENED = """
    ALTER TABLE conversations ADD CONSTRAINT conversations_context_type_check
    CHECK (context_type IN ('onboarding', 'goal', 'task', 'reschedule', 'voice'));
"""
OURS = {"last_sequence", "sequence", "timestamp", "client_sequence", "feed_position", ("messages", "voice_session_id")}
OUR_INDEXES = {
    "idx_conversations_ended",
    "idx_conversations_goal",
    "idx_conversations_intent",
    "idx_conversations_newest",
    "idx_conversations_open",
    "idx_conversations_owner",
    "idx_conversations_task",
    "idx_conversations_voice_session",
    "idx_messages_feed",
    "idx_messages_session",
    "idx_messages_time",
}
OUR_CHECKS = {
    "messages_content_size_check",
    "messages_metadata_object_check",
    "messages_metadata_readable_check",
    "messages_metadata_size_check",
}


def _what_the_seed_names(catalogue: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Leave out what we add, and what else is in the host's goals and tasks."""
    return {
        "columns": [
            row
            for row in catalogue["columns"]
            if row[0] in {"conversations", "messages"} and not {row[1], row[:2]} & OURS
        ],
        "constraints": [
            row
            for row in catalogue["constraints"]
            if row[0] in {"conversations", "messages"} and not set(row[4]) & OURS and row[1] not in OUR_CHECKS
        ],
        "indexes": [
            row
            for row in catalogue["indexes"]
            if row[0] in {"conversations", "messages"} and not ("sequence" in row[3] or row[1] in OUR_INDEXES)
        ],
    }


async def test_the_catalogue_restricted_to_what_the_seed_names_equals_the_seeds_sql_by_hand(
    make_sandbox: MakeSandbox, seed_sql: str
) -> None:
    by_hand, migrated = await make_sandbox(), await make_sandbox()
    await by_hand.run(BASE_TABLES + seed_sql + WIDENED)
    await migrated.upgrade()
    assert _what_the_seed_names(await migrated.catalogue()) == _what_the_seed_names(await by_hand.catalogue())


async def test_the_models_make_the_same_catalogue_as_the_migrations(make_sandbox: MakeSandbox) -> None:
    modelled, migrated = await make_sandbox(), await make_sandbox()
    engine = create_async_engine(asyncpg_url(modelled.url))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()
    await migrated.upgrade()
    await migrated.run(f"ALTER TABLE conversations DROP COLUMN messages; DROP TABLE {VERSION_TABLE}")
    expected, found = await modelled.catalogue(), await migrated.catalogue()
    for kind in ("columns", "constraints", "indexes"):
        assert found[kind] == expected[kind]


async def test_alembic_finds_no_drift(sandbox: Sandbox) -> None:
    await sandbox.upgrade()
    assert await sandbox.drift() == []


async def test_drift_is_told_in_a_line_each(sandbox: Sandbox) -> None:
    await sandbox.upgrade()
    await sandbox.run("ALTER TABLE conversations DROP COLUMN duration_seconds; DROP INDEX idx_messages_spoken")
    lines = await sandbox.drift()
    assert [("duration_seconds" in line, "idx_messages_spoken" in line) for line in lines] == [
        (True, False),
        (False, True),
    ]


async def test_up_down_and_up_again_leaves_nothing_between_and_the_same_at_the_end(sandbox: Sandbox) -> None:
    await sandbox.upgrade()
    first = await sandbox.catalogue()
    await sandbox.downgrade("base")
    between = await sandbox.catalogue()
    assert {row[0] for row in between["columns"]} == {VERSION_TABLE}
    assert between["triggers"] == between["functions"] == []
    await sandbox.upgrade()
    assert await sandbox.catalogue() == first


async def test_each_step_down_can_be_gone_up_again(sandbox: Sandbox) -> None:
    await sandbox.upgrade()
    whole = await sandbox.catalogue()
    for revision in runner.revisions()[-2::-1]:
        await sandbox.downgrade(revision)
        await sandbox.upgrade()
        assert await sandbox.catalogue() == whole


async def test_each_revision_can_be_done_twice(sandbox: Sandbox) -> None:
    """What a blocked or killed run leaves half-done is done again from its beginning."""
    await sandbox.upgrade()
    whole = await sandbox.catalogue()
    for revision in runner.revisions():
        await sandbox.run(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")
        await sandbox.upgrade()
        assert await sandbox.catalogue() == whole


async def test_the_printed_sql_run_by_psql_makes_the_same_catalogue(make_sandbox: MakeSandbox) -> None:
    online, offline = await make_sandbox(), await make_sandbox()
    await online.upgrade()
    run = await asyncio.to_thread(_run_psql, offline.url, runner.sql())
    assert run.returncode == 0, run.stderr
    assert await offline.catalogue() == await online.catalogue()
    assert await asyncio.to_thread(runner.current, offline.url) == SCHEMA_REVISION


async def test_a_host_may_be_adopted_by_the_printed_sql(make_sandbox: MakeSandbox) -> None:
    online, offline = await make_sandbox(), await make_sandbox()
    for host in (online, offline):
        await host.make_host(seed=True)
        await host.run(
            "INSERT INTO messages (conversation_id, role, content) SELECT id, 'user', 'x' FROM conversations"
        )
    await online.upgrade()
    run = await asyncio.to_thread(_run_psql, offline.url, runner.sql())
    assert run.returncode == 0, run.stderr
    assert await offline.catalogue() == await online.catalogue()
    assert await offline.faults() == []


async def test_the_printed_sql_goes_on_from_a_revision(make_sandbox: MakeSandbox) -> None:
    online, offline = await make_sandbox(), await make_sandbox()
    await online.upgrade()
    await offline.upgrade("0102")
    run = await asyncio.to_thread(_run_psql, offline.url, runner.sql("0102:head"))
    assert run.returncode == 0, run.stderr
    assert await offline.catalogue() == await online.catalogue()


async def test_tables_may_live_in_another_schema(make_sandbox: MakeSandbox) -> None:
    sandbox = await make_sandbox()
    name = sandbox.url.rpartition("/")[2].partition("?")[0]
    await sandbox.run(f'CREATE SCHEMA "the app"; ALTER DATABASE {name} SET search_path = "the app", public')
    await sandbox.upgrade()
    assert await sandbox.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'the app'") == 17
    assert await sandbox.drift() == []
    await sandbox.run("""
        SET search_path = pg_catalog;
        INSERT INTO "the app".conversations (context_type) VALUES ('voice');
        INSERT INTO "the app".messages (conversation_id, role, content)
        SELECT id, 'user', 'hi' FROM "the app".conversations;
    """)
    assert await sandbox.faults() == []


async def test_a_database_says_where_it_stands(sandbox: Sandbox) -> None:
    assert await asyncio.to_thread(runner.current, sandbox.url) is None
    await sandbox.upgrade("0003")
    assert await asyncio.to_thread(runner.current, sandbox.url) == "0003"


@pytest.mark.parametrize("revision", ["-1", "+2", "nonsense", "0005", "9999"])
async def test_a_revision_that_is_none_is_refused_in_a_sentence(sandbox: Sandbox, revision: str) -> None:
    with pytest.raises(SetupError, match="revision"):
        await sandbox.upgrade(revision)


def _run_psql(url: str, script: str) -> subprocess.CompletedProcess[str]:
    psql = str(postgres_tool("psql"))
    command = [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", url]
    return subprocess.run(command, input=script, capture_output=True, text=True, check=False, timeout=60)
