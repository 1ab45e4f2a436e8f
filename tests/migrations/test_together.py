"""Several at once, faults on the way, and somebody in the way: nothing half-broken, and a sentence."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url

from backend.dao_service.schema_revision import SCHEMA_REVISION, VERSION_TABLE
from backend.migrations import runner
from verbatim_record.setup_error import SetupError

if TYPE_CHECKING:
    from tests.migrations.conftest import MakeSandbox, Sandbox

ROOT = Path(__file__).parents[2]


async def test_four_upgrades_at_once_all_succeed(make_sandbox: MakeSandbox) -> None:
    together, alone = await make_sandbox(), await make_sandbox()
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    runs = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "alembic", "upgrade", "head"),
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": together.url, "PYTHONPATH": path},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        for _ in range(4)
    ]
    async with asyncio.timeout(60):
        said = await asyncio.gather(*(run.communicate() for run in runs))
    assert [run.returncode for run in runs] == [0, 0, 0, 0], said
    await alone.upgrade()
    assert await together.catalogue() == await alone.catalogue()


async def test_threads_of_one_process_take_turns(make_sandbox: MakeSandbox) -> None:
    first, second = await make_sandbox(), await make_sandbox()
    await asyncio.gather(first.upgrade(), second.upgrade(), first.upgrade(), second.upgrade())
    assert await first.catalogue() == await second.catalogue()


async def test_nothing_is_printed(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    await sandbox.upgrade()
    await sandbox.drift()
    await asyncio.to_thread(runner.sql)
    await sandbox.downgrade("base")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("revision", "index"),
    [
        ("0001", "idx_messages_conversation"),
        ("0102", "messages_conversation_id_sequence_key"),
        ("0102", "idx_messages_spoken"),
    ],
)
async def test_an_index_that_a_killed_run_left_invalid_is_built_again(
    make_sandbox: MakeSandbox, revision: str, index: str
) -> None:
    sandbox, whole = await make_sandbox(), await make_sandbox()
    await whole.upgrade()
    await sandbox.upgrade("0103")
    [definition] = [
        row[3] for row in await whole.catalogue() and (await whole.catalogue())["indexes"] if row[1] == index
    ]
    if revision == "0001":
        await sandbox.run("DROP INDEX idx_messages_conversation")
    else:
        await sandbox.downgrade(revision)
    # A real one: two CONCURRENTLY wait for an open transaction, and are cancelled.
    async with sandbox.connect("in the way") as other, sandbox.connect("builder") as builder:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("LOCK TABLE messages IN ROW EXCLUSIVE MODE")
        await builder.execute("SET lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await builder.execute(definition.replace("INDEX", "INDEX CONCURRENTLY"))
        await transaction.rollback()
    assert not await sandbox.value("SELECT indisvalid FROM pg_index WHERE indexrelid = $1::text::regclass", index)
    await sandbox.run(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")
    await sandbox.upgrade()
    assert await sandbox.catalogue() == await whole.catalogue()


async def test_who_holds_a_lock_too_long_is_named_and_the_next_run_completes(make_sandbox: MakeSandbox) -> None:
    sandbox, whole = await make_sandbox(), await make_sandbox()
    await sandbox.make_host(seed=True)
    await whole.make_host(seed=True)
    await whole.upgrade()
    async with sandbox.connect("a forgotten shell") as reader:
        transaction = reader.transaction()
        await transaction.start()
        said = "SELECT count(*) FROM conversations -- what was said"
        await reader.fetch(said)
        with pytest.raises(SetupError) as refused:
            await sandbox.upgrade(patience=1.5)
        sentence = str(refused.value)
        assert f"process {reader.get_server_pid()} (a forgotten shell, idle in transaction" in sentence
        assert "holding conversations" in sentence
        assert "what was said" not in sentence
        await sandbox.run("INSERT INTO conversations (user_id, context_type) VALUES ('u', 'goal')")  # nobody is blocked
        await transaction.rollback()
    await sandbox.upgrade()
    assert await sandbox.catalogue() == await whole.catalogue()
    assert await sandbox.drift() == []


async def test_a_run_that_is_blocked_for_a_moment_goes_on_by_itself(sandbox: Sandbox) -> None:
    await sandbox.make_host()
    async with sandbox.connect() as reader:
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetch("SELECT count(*) FROM conversations")
        run = asyncio.ensure_future(sandbox.upgrade())
        async with sandbox.connect() as watcher, asyncio.timeout(20):
            while not await watcher.fetchval(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation IS NOT NULL)"
            ):
                await asyncio.wait([run], timeout=0.01)
                assert not run.done()
        await transaction.rollback()
        await run
    assert await asyncio.to_thread(runner.current, sandbox.url) == SCHEMA_REVISION


async def test_a_migration_that_is_killed_is_completed_by_the_next(sandbox: Sandbox) -> None:
    """Each revision is cut off while its first statement waits for a lock, at every place where one can wait."""
    await sandbox.make_host(seed=True)
    await sandbox.run(
        "INSERT INTO messages (conversation_id, role, content) SELECT id, 'user', 'hi' FROM conversations"
    )
    for table in ("conversations", "messages"):
        async with sandbox.connect() as reader, sandbox.connect() as watcher, asyncio.timeout(20):
            transaction = reader.transaction()
            await transaction.start()
            await reader.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
            run = asyncio.ensure_future(sandbox.upgrade())
            killed = 0
            while not killed and not run.done():
                killed = await watcher.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_locks "
                    "WHERE NOT granted AND relation = $1::text::regclass",
                    table,
                )
                await asyncio.wait([run], timeout=0.005)
            with pytest.raises(SetupError, match="broke the connection off"):
                await run
            await transaction.rollback()
    await sandbox.upgrade()
    assert await sandbox.faults() == []
    assert await sandbox.drift() == []


async def test_a_migration_that_is_killed_while_it_builds_an_index_says_so(sandbox: Sandbox) -> None:
    await sandbox.upgrade()
    await sandbox.run(f"DROP INDEX idx_conversations_newest; UPDATE {VERSION_TABLE} SET version_num = '0004'")
    async with sandbox.connect() as old, sandbox.connect() as watcher, asyncio.timeout(20):
        transaction = old.transaction()
        await transaction.start()
        await old.execute("LOCK TABLE conversations IN ROW EXCLUSIVE MODE")
        run = asyncio.ensure_future(sandbox.upgrade())
        while not await watcher.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE query ~ '^\\s*CREATE INDEX CONCURRENTLY' AND datname = current_database() "
            "AND wait_event_type = 'Lock'"
        ):
            await asyncio.wait([run], timeout=0.01)
            assert not run.done()
        with pytest.raises(SetupError, match="broke the connection off"):
            await run
        await transaction.rollback()
    await sandbox.upgrade()
    assert await sandbox.drift() == []


async def test_a_database_that_is_away_is_a_sentence() -> None:
    with pytest.raises(SetupError, match=r"PostgreSQL at 127\.0\.0\.1, database gone does not answer"):
        await asyncio.to_thread(runner.upgrade, "postgresql://me:secret@127.0.0.1:1/gone")
    with pytest.raises(SetupError, match="does not answer"):
        await asyncio.to_thread(runner.current, "postgresql://me:secret@127.0.0.1:1/gone")


async def test_a_database_or_user_that_is_not_there_is_a_sentence(sandbox: Sandbox) -> None:
    missing = make_url(sandbox.url).set(database="nowhere").render_as_string(hide_password=False)
    with pytest.raises(SetupError, match='"nowhere" does not exist; create it first'):
        await asyncio.to_thread(runner.upgrade, missing)
    nobody = make_url(sandbox.url).set(username="nobody_here").render_as_string(hide_password=False)
    with pytest.raises(SetupError, match="lets no nobody_here in"):
        await asyncio.to_thread(runner.upgrade, nobody)


async def test_a_user_who_may_not_create_is_a_sentence(sandbox: Sandbox) -> None:
    role = f"guest_{uuid4().hex}"
    await sandbox.run(f"CREATE ROLE {role} LOGIN")
    guest = make_url(sandbox.url).set(username=role).render_as_string(hide_password=False)
    try:
        with pytest.raises(SetupError, match="may not do what a migration needs: permission denied for schema public"):
            await asyncio.to_thread(runner.upgrade, guest)
        await sandbox.make_host()
        await sandbox.run(f"GRANT CREATE ON SCHEMA public TO {role}")
        with pytest.raises(SetupError, match="permission denied for table conversations"):
            await asyncio.to_thread(runner.upgrade, guest)
    finally:
        await sandbox.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_the_alembic_command_takes_the_url_from_the_environment_or_says_so() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "alembic", "upgrade", "head"),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await run.communicate()
    assert run.returncode != 0
    assert b"Which database? Set DATABASE_URL" in said
    assert b"Traceback" not in said


async def test_it_runs_from_a_thread_while_a_loop_runs_elsewhere(sandbox: Sandbox) -> None:
    beats = 0
    done = threading.Event()

    def work() -> None:
        runner.upgrade(sandbox.url)
        done.set()

    run = asyncio.ensure_future(asyncio.to_thread(work))
    while not done.is_set():
        await asyncio.wait([run], timeout=0.01)
        beats += 1
    await run
    assert beats > 1
