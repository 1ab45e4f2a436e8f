"""A database is backed up, restored and moved whole or not at all, and another program's messages are taken in once."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from sqlalchemy import URL, make_url

from backend.dao_service.connection.database import Database, asyncpg_url
from backend.embedded_postgres import EmbeddedPostgres, binaries
from backend.errors import Unavailable
from backend.migrations import copies
from backend.migrations.copies import dump, manifest_of, restore
from backend.services.appender import Appender
from backend.services.importing import Imported, import_table
from tests.conftest import _clone, connect
from tests.installed import skip
from tests.test_cli import Command, verbatim
from tests.waiting import PATIENCE, until
from verbatim_record.setup_error import SetupError

__all__ = ["verbatim"]

ROWS = """
    INSERT INTO conversations (user_id, context_type) SELECT 'minh', 'voice' FROM generate_series(1, 20);
    INSERT INTO messages (conversation_id, role, content, metadata)
    SELECT c.id, 'user', 'Hello ' || n, jsonb_build_object('n', n) FROM conversations AS c, generate_series(1, 50) AS n;
    INSERT INTO conversation_holds (id, conversation_id, reason, held_by)
    SELECT id, id, 'Case', 'local' FROM conversations;
"""
HEADS = "SELECT array_agg((id, last_sequence)::text ORDER BY id) FROM conversations"
CHECKSUMS = """
    SELECT array_agg((conversation_id, digest)::text ORDER BY conversation_id) FROM (
        SELECT conversation_id, md5(string_agg(m::text, ',' ORDER BY sequence)) AS digest FROM messages AS m GROUP BY 1
    ) AS each
"""


@pytest.fixture
async def target_url(postgres: URL) -> AsyncIterator[str]:
    """Another database, with nothing in it."""
    async with _clone(postgres, "template0") as url:
        yield url


async def look(url: str, *questions: str) -> list[Any]:
    connection = await connect(url)
    try:
        return [await connection.fetchval(question) for question in questions]
    finally:
        await connection.close()


async def test_a_backup_is_restored_whole_and_goes_on(
    verbatim: Command, database_url: str, target_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute(ROWS)
    file = str(tmp_path / "backup.dump")
    written = await asyncio.to_thread(verbatim, "backup", file, DATABASE_URL=database_url)
    assert (written.code, "Wrote 1,000 messages of 20 conversations" in written.out) == (0, True), written.err
    await connection.execute("INSERT INTO conversations (context_type) VALUES ('voice')")
    restored = await asyncio.to_thread(verbatim, "restore", file, DATABASE_URL=target_url)
    assert (restored.code, "Restored 1,000 messages" in restored.out) == (0, True), restored.err
    await connection.execute("DELETE FROM conversations WHERE last_sequence = 0")
    assert await look(target_url, HEADS, CHECKSUMS) == await look(database_url, HEADS, CHECKSUMS)
    # It is a record like any other: places, holds and the audit go on.
    there = await connect(target_url)
    said = "INSERT INTO messages (conversation_id, role, content) SELECT id, 'user', 'x' FROM conversations"
    assert {row["sequence"] for row in await there.fetch(f"{said} RETURNING sequence")} == {51}
    with pytest.raises(asyncpg.PostgresError, match="stay as they are"):
        await there.execute("DELETE FROM conversation_holds")
    await there.close()
    again = await asyncio.to_thread(verbatim, "restore", file, DATABASE_URL=target_url)
    assert (again.code, "not empty" in again.err) == (1, True)


async def test_a_restore_that_differs_is_refused_by_name(
    database_url: str, target_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute(ROWS)
    file = tmp_path / "backup.dump"
    census = await asyncio.to_thread(dump, database_url, file)
    changed = dict(census) | {"public.messages": (999, "0")}
    manifest_of(file).write_bytes(orjson.dumps(changed))
    with pytest.raises(SetupError, match=r"differs from its backup in public\.messages"):
        await asyncio.to_thread(restore, file, target_url)
    manifest_of(file).unlink()
    with pytest.raises(SetupError, match="cannot be read"):
        await asyncio.to_thread(restore, file, target_url)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let commands that a test starts take SIGINT, also where it is ignored, as in what a script runs in background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
async def test_a_backup_that_was_interrupted_has_left_nothing_and_is_begun_again(
    database_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute(ROWS)
    file = tmp_path / "backup.dump"
    async with connection.transaction():
        await connection.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")  # for which pg_dump waits
        environment = {**os.environ, "DATABASE_URL": database_url}
        command = ("-m", "backend", "backup", str(file))
        process = await asyncio.create_subprocess_exec(sys.executable, *command, env=environment)
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'messages'::regclass"
        while not await connection.fetchval(waits):
            await asyncio.sleep(0)
        process.send_signal(signal.SIGINT)
        await process.wait()
    assert not file.exists()
    await asyncio.to_thread(dump, database_url, file)
    assert file.exists()


async def test_a_restore_that_was_interrupted_has_left_nothing_and_is_begun_again(
    database_url: str, target_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute(ROWS)
    file = tmp_path / "backup.dump"
    await asyncio.to_thread(dump, database_url, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(SetupError, match="pg_restore failed"):
        await asyncio.to_thread(restore, file, target_url)
    assert await look(target_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [0]
    file.write_bytes(whole)
    await asyncio.to_thread(restore, file, target_url)
    assert await look(target_url, HEADS, CHECKSUMS) == await look(database_url, HEADS, CHECKSUMS)


async def test_an_older_server_takes_a_backup(
    database_url: str, connection: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.execute(ROWS)
    file = tmp_path / "backup.dump"
    census = await asyncio.to_thread(dump, database_url, file)
    with monkeypatch.context() as without_the_wheel:
        without_the_wheel.setattr(binaries, "_wheel_folders", lambda: iter(()))
        try:
            binaries.find_binaries()
        except SetupError:
            skip("The system's PostgreSQL, 15 or newer,", "apt-get install postgresql")
        older = EmbeddedPostgres(tmp_path / "older", durable=False)
        await asyncio.to_thread(older.start)
    try:
        assert await asyncio.to_thread(restore, file, older.url) == census
        assert await look(older.url, HEADS, CHECKSUMS) == await look(database_url, HEADS, CHECKSUMS)
        # The last rows of a dump that ends early are whole, but nothing may be committed.
        there = await connect(older.url)
        await there.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await there.execute("CREATE VIEW messages AS SELECT 1")
        await there.close()
        with pytest.raises(SetupError, match=r'psql failed: .*relation "messages" already exists'):
            await asyncio.to_thread(restore, file, older.url)
        assert await look(older.url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [0]
    finally:
        await asyncio.to_thread(older.stop)


async def test_time_limits_of_the_database_do_not_end_a_copy(
    database_url: str, target_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute(ROWS)
    for url in (database_url, target_url):
        opened = await connect(url)
        for limit in ("idle_in_transaction_session_timeout", "transaction_timeout", "statement_timeout"):
            await opened.execute(f"ALTER DATABASE {make_url(url).database} SET {limit} = '30ms'")
        await opened.close()
    file = tmp_path / "backup.dump"
    census = await asyncio.to_thread(dump, database_url, file)
    assert await asyncio.to_thread(restore, file, target_url) == census


async def test_no_other_user_reads_a_backup_and_a_failed_one_leaves_the_one_before(
    database_url: str, connection: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.execute(ROWS)
    file = tmp_path / "backup.dump"
    modes: list[int] = []
    dump_to = copies._dump_to

    def look_at_modes() -> None:
        modes.extend(each.stat().st_mode & 0o777 for each in tmp_path.iterdir())

    async def dumping(*command: Any) -> None:
        look_at_modes()
        await dump_to(*command)

    monkeypatch.setattr(copies, "_dump_to", dumping)
    await asyncio.to_thread(dump, database_url, file)
    before = [each.read_bytes() for each in (file, manifest_of(file))]
    look_at_modes()
    assert modes == [0o600] * 4

    async def interrupted(*_: Any) -> None:
        raise OSError("No space is left.")

    await connection.execute("INSERT INTO conversations (context_type) VALUES ('voice')")
    for step in ("_census", "_dump_to"):
        with monkeypatch.context() as failing:
            failing.setattr(copies, step, interrupted)
            with pytest.raises(SetupError, match="No space"):
                await asyncio.to_thread(dump, database_url, file)
        assert [each.read_bytes() for each in (file, manifest_of(file))] == before
        modes.clear()
        look_at_modes()
        assert modes == [0o600] * 2


async def test_a_record_is_moved_once_no_service_writes_into_it(
    verbatim: Command, database_url: str, database: Database, target_url: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(ROWS)
    async with database.driver_connection() as of_a_service:  # which stays in the pool
        await of_a_service.fetchval("SELECT 1")
    served = await asyncio.to_thread(verbatim, "move", "--to", target_url, DATABASE_URL=database_url)
    assert (served.code, "Stop it first" in served.err) == (1, True)
    await database.close()
    await until_alone(database_url)
    moved = await asyncio.to_thread(verbatim, "move", "--to", target_url, DATABASE_URL=database_url)
    assert (moved.code, "Moved 1,000 messages" in moved.out) == (0, True), moved.err
    assert await look(target_url, HEADS, CHECKSUMS) == await look(database_url, HEADS, CHECKSUMS)
    same = await asyncio.to_thread(verbatim, "move", "--to", database_url, DATABASE_URL=database_url)
    assert same.code == 2


async def until_alone(url: str) -> None:
    while True:
        try:
            await asyncio.to_thread(copies.check_not_served, url)
        except SetupError:
            continue
        return


THEIRS = """
    CREATE TYPE speaker AS ENUM ('USER', 'ASSISTANT', 'SYSTEM', 'ROBOT');
    CREATE TABLE conversation_message (
        id uuid, conversation_id uuid, role speaker, content text, "timestamp" timestamp, metadata json
    );
"""


@pytest.fixture
async def theirs(target_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Another program's database, with its table."""
    opened = await connect(target_url)
    await opened.execute(THEIRS)
    yield opened
    await opened.close()


Import = Callable[[], Any]


@pytest.fixture
def bring(database: Database, appender: Appender, target_url: str) -> Import:
    async def bring() -> Imported:
        return await import_table(database, appender, target_url, "conversation_message", "minh")

    return bring


async def test_all_is_taken_in_as_it_was_in_its_order_and_a_second_run_changes_nothing(
    theirs: asyncpg.Connection, bring: Import, connection: asyncpg.Connection
) -> None:
    await theirs.execute("""
        INSERT INTO conversation_message
        SELECT gen_random_uuid(), md5((n % 30)::text)::uuid, (ARRAY['USER', 'ASSISTANT'])[n % 2 + 1]::speaker,
            'Message ' || n, timestamp '2025-03-01 08:00' + n / 3 * interval '1 second', NULL
        FROM generate_series(1, 3000) AS n
    """)
    done = await bring()
    assert (done.new, done.known, done.refused) == (3000, 0, [])
    mine = await connection.fetch(
        "SELECT id, conversation_id, content FROM messages ORDER BY conversation_id, sequence"
    )
    order = 'SELECT id, conversation_id, content FROM conversation_message ORDER BY conversation_id, "timestamp", ctid'
    assert mine == await theirs.fetch(order)
    said = await connection.fetchval("SELECT min(timestamp)::text FROM messages")
    assert said.startswith("2025-03-01 08:00:00")
    assert await connection.fetchval("SELECT count(DISTINCT user_id) FROM conversations WHERE user_id = 'minh'") == 1
    again = await bring()
    assert (again.new, again.known, again.refused) == (0, 3000, [])


async def test_whatever_a_column_holds_is_kept_repaired_or_named(
    theirs: asyncpg.Connection, bring: Import, connection: asyncpg.Connection
) -> None:
    metadata = [
        "null",
        '[1, null, "x"]',
        "7",
        '"text"',
        '{"a": "b\\u0000c", "n": 1e400}',
        '{"deep": ' + "[" * 40 + "]" * 40 + "}",
    ]
    for place, each in enumerate(metadata):
        await theirs.execute(
            """INSERT INTO conversation_message VALUES ($1, $2, 'USER', $3, '2025-03-01', $4)""",
            UUID(int=place + 1),
            UUID(int=99),
            f"Number {place}",
            each,
        )
    odd = [
        (10, "'USER'", f"repeat('x', {2**20 + 5})", "'2025-03-02'"),
        (11, "'USER'", "repeat('y', 100000)", "'2025-03-02'"),
        (12, "'USER'", "'late'", "'infinity'"),
        (13, "'USER'", "'timeless'", "NULL"),
        (14, "'ROBOT'", "'beep'", "'2025-03-02'"),
        (15, "'USER'", "NULL", "'2025-03-02'"),
        (16, "'SYSTEM'", "''", "'2025-03-02'"),
    ]
    for number, role, content, moment in odd:
        row = f"'{UUID(int=number)}', '{UUID(int=99)}', {role}, {content}, {moment}, NULL"
        await theirs.execute(f"INSERT INTO conversation_message VALUES ({row})")
    await theirs.execute("INSERT INTO conversation_message VALUES (NULL, NULL, 'USER', 'x', '2025-03-01', NULL)")
    done = await bring()
    assert {row for row, _ in done.refused} == {str(UUID(int=14)), str(UUID(int=15)), "without an id"}
    assert {why for _, why in done.refused} >= {"the role is unknown", "the content is not text"}
    found = {
        row["id"].int: orjson.loads(row["metadata"])
        for row in await connection.fetch("SELECT id, metadata FROM messages")
    }
    assert [found[place] for place in (1, 2, 3, 4)] == [{}, {"value": [1, None, "x"]}, {"value": 7}, {"value": "text"}]
    assert found[5]["repaired"]
    assert found[6]["repaired"]
    long = "SELECT string_agg(content, '' ORDER BY sequence) FROM messages WHERE content LIKE 'xx%'"
    assert await connection.fetchval(long) == "x" * (2**20 + 5)
    again = await bring()
    assert (again.new, again.known) == (0, done.new)


async def test_what_was_erased_is_not_brought_back(
    verbatim: Command, theirs: asyncpg.Connection, target_url: str, database_url: str, connection: asyncpg.Connection
) -> None:
    for number in (1, 2):
        row = f"'{UUID(int=number)}', '{UUID(int=98 + number)}', 'USER', 'Hello.', '2025-03-01', '{{}}'"
        await theirs.execute(f"INSERT INTO conversation_message VALUES ({row})")
    words = ("import", "--table", "conversation_message", "--url", target_url)
    first = await asyncio.to_thread(verbatim, *words, DATABASE_URL=database_url)
    assert (first.code, first.out) == (0, "2 new, 0 on record already, 0 refused.\n")
    await asyncio.to_thread(verbatim, "erase", str(UUID(int=99)), "--yes", DATABASE_URL=database_url)
    again = await asyncio.to_thread(verbatim, *words, DATABASE_URL=database_url)
    assert (again.code, again.out) == (1, "0 new, 1 on record already, 1 refused.\n")
    assert f"✗ {UUID(int=1)}: Conversation {UUID(int=99)} was erased for good" in again.err
    assert await connection.fetchval("SELECT count(*) FROM messages") == 1
    for table in ("nothing", "speaker", "x; DROP TABLE y"):
        wrong = await asyncio.to_thread(
            verbatim, "import", "--table", table, "--url", target_url, DATABASE_URL=database_url
        )
        assert wrong.code == 1


async def test_a_program_that_is_stopped_while_nobody_reads_what_it_prints_ends(database_url: str) -> None:
    url = asyncpg_url(database_url)
    much = "--command=SELECT repeat('x', 1000) FROM generate_series(1, 10000)"
    async with asyncio.timeout(PATIENCE):
        async with copies._started("psql", url, much, f"--dbname={copies._libpq(url)}", stdout=PIPE) as process:
            await until(lambda: process.stdout and getattr(process.stdout, "_paused", False))
    assert process.returncode is not None


async def test_an_import_that_finds_a_conversation_locked_is_repeated_in_order(
    theirs: asyncpg.Connection, bring: Import, connection: asyncpg.Connection, database_url: str
) -> None:
    identity = str(UUID(int=255))
    await theirs.execute(
        "INSERT INTO conversation_message SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, "
        f"'{identity}', 'USER', 'Message ' || n, NULL, NULL FROM generate_series(1, 1000) AS n"
    )
    await connection.execute(
        f"INSERT INTO conversations (id, user_id, context_type) VALUES ('{identity}', 'minh', 'voice')"
    )
    other = await connect(database_url)
    async with other.transaction():
        await other.execute("SELECT FROM conversations FOR UPDATE")
        with pytest.raises(Unavailable):
            await bring()
    await other.close()
    assert (await bring()).new == 1_000
    found = await connection.fetch("SELECT content FROM messages ORDER BY sequence")
    assert [row["content"] for row in found] == [f"Message {n}" for n in range(1, 1_001)]


async def test_an_imported_time_that_cannot_be_held_is_named_and_one_that_was_never_there_is_not(
    theirs: asyncpg.Connection, bring: Import, connection: asyncpg.Connection
) -> None:
    for number, at in enumerate(("'infinity'", "'20000-01-01'", "'0044-01-01 BC'", "NULL")):
        row = f"'{UUID(int=number + 1)}', '{UUID(int=99)}', 'USER', '{number}', {at}, NULL"
        await theirs.execute(f"INSERT INTO conversation_message VALUES ({row})")
    assert (await bring()).new == 4
    rows = await connection.fetch("SELECT metadata FROM messages ORDER BY content")
    repaired = [orjson.loads(row["metadata"]).get("repaired") for row in rows]
    assert repaired == [["/timestamp"], ["/timestamp"], ["/timestamp"], None]
