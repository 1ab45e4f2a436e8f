import asyncio
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from psutil import Process, net_if_addrs, wait_procs

from backend import cli
from backend.dao_service.models import Base
from backend.dao_service.schema_revision import SCHEMA_REVISION
from backend.migrations import downgrade_losses, runner
from backend.settings import Settings
from tests.conftest import connect, open_conversation, serving
from tests.migrations.citus_stand_in import STAND_IN
from tests.orchestrator_stand_in import SECRET
from tests.searching import index_at


class Result(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Result]

COMMANDS = {name: cli.load(name) for name in cli.COMMANDS}

PATIENCE = 60.0  # seconds: a service says where it listens before it has come up, and a machine may be busy


@pytest.fixture
def verbatim(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run a command as the shell would, and give its exit code and what it printed."""
    monkeypatch.setenv("VERBATIM_DATA_DIR", str(tmp_path / "data"))  # not the folder of the person who runs the tests

    def run(*words: str, **environment: str) -> Result:
        monkeypatch.delenv("DATABASE_URL", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["verbatim", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capfd.readouterr()
        return Result(int(left.value.code or 0), printed.out, printed.err)

    return run


def test_the_list_of_commands_says_of_each_what_it_says_of_itself() -> None:
    listed = {name: sentence for name, (_, sentence) in cli.COMMANDS.items()}
    assert listed == {name: command.help.partition("\n\n")[0].strip() for name, command in COMMANDS.items()}


def test_the_list_of_commands_is_shown_without_importing_what_they_need() -> None:
    script = "import sys; from backend import cli; sys.argv[1:] = ['--help']; sys.exit = print; cli.main()"
    script += "; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=PATIENCE)
    loaded = {*shown.stdout.split()}
    assert "typer" in loaded
    assert not loaded & {"alembic", "asyncpg", "fastapi", "httpx", "pydantic", "sqlalchemy", "structlog"}


@pytest.mark.parametrize(
    "command",
    [
        [],
        *([name] for name in COMMANDS),
        *([name, below] for name, command in COMMANDS.items() for below in getattr(command, "commands", ())),
    ],
)
def test_every_command_explains_itself(verbatim: Command, command: list[str]) -> None:
    assert verbatim(*command, "--help").code == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VERBATIM_PRT", "1"),
        ("VERBATIM_PORT", "x"),
        ("VERBATIM_PORT", "70000"),
        ("VERBATIM_WORKERS", "0"),
        ("VERBATIM_LOG_LEVEL", "LOUD"),
        ("VERBATIM_CORS_ORIGINS", '["*"]'),
        ("VERBATIM_ORCHESTRATOR_URL", "https://orchestrator.example/"),  # and no secret
        ("VERBATIM_ORCHESTRATOR_URL", "nowhere"),
        ("VERBATIM_ORCHESTRATOR_SECRETS", '["whsec_short"]'),
        ("VERBATIM_ORCHESTRATOR_TIMEOUT", "0"),
        ("VERBATIM_DELIVER", "perhaps"),
        ("VERBATIM_CORS_ORIGINS", '["https://app.example/path"]'),
        ("VERBATIM_CORS_ORIGINS", '["https://App.example"]'),
        ("VERBATIM_CORS_ORIGINS", '["https://app.example:443"]'),
        ("VERBATIM_CORS_ORIGINS", '["https://secret@app.example"]'),
        ("VERBATIM_CORS_ORIGINS", "https://app.example"),
        ("VERBATIM_TRUSTED_PROXIES", '["*"]'),
        ("VERBATIM_TRUSTED_PROXIES", '["10.0.0.1/8"]'),
        ("VERBATIM_TRUSTED_PROXIES", "10.0.0.0/8"),
        ("VERBATIM_RATE_LIMIT_SUBJECT", "often"),
        ("VERBATIM_RATE_LIMIT_SUBJECT", "600/minute; 20/second"),
        ("VERBATIM_RATE_LIMIT_ADDRESS", "0/minute"),
        ("VERBATIM_RATE_LIMIT_REDIS_URL", "http://secret@127.0.0.1"),
        ("VERBATIM_RATE_LIMIT_REDIS_URL", "redis://:secret@127.0.0.1/0?socket_timeout=soon"),
        ("VERBATIM_RATE_LIMIT_REDIS_URL", "redis://:secret@127.0.0.1/0?unheard_of=1"),
        ("VERBATIM_DEEPGRAM_API_KEY", "secret key"),
        ("VERBATIM_DEEPGRAM_URL", "http://secret.example"),
        ("VERBATIM_DEEPGRAM_URL", "api.deepgram.com"),
        ("VERBATIM_DEEPGRAM_AGENT_URL", "https://agent.deepgram.com/v1/agent/converse"),
        ("VERBATIM_SESSION_TIMEOUT", "0"),
        ("VERBATIM_TOKEN", "secret\n"),
        ("VERBATIM_TOKEN", "secrét"),
        ("DATABASE_URL", "mysql://secret@host/name"),
        ("DATABASE_URL", "nonsense secret"),
        ("DATABASE_URL", "postgresql://u:secret@/name?host=one,two&port=1,2,3"),
        ("VERBATIM_DATABASE_POOLER", "secretary"),
        ("VERBATIM_DATABASE_POOLER", "pgbouncer"),
        ("VERBATIM_DATABASE_DIRECT_URL", "mysql://secret@host/name"),
        ("VERBATIM_DATABASE_DIRECT_URL", "postgresql://u:secret@host/name"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_2(verbatim: Command, name: str, value: str) -> None:
    result = verbatim("check", **{name: value})
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert name in result.err
    assert "secr" not in result.err


# What Kubernetes gives each container for a Service named `verbatim` with a named port, and one named `verbatim-db`.
OF_SERVICES = {
    "VERBATIM_SERVICE_HOST": "10.0.0.11",
    "VERBATIM_SERVICE_PORT": "8000",
    "VERBATIM_SERVICE_PORT_HTTP": "8000",
    "VERBATIM_PORT": "tcp://10.0.0.11:8000",
    "VERBATIM_PORT_8000_TCP": "tcp://10.0.0.11:8000",
    "VERBATIM_PORT_8000_TCP_PROTO": "tcp",
    "VERBATIM_PORT_8000_TCP_PORT": "8000",
    "VERBATIM_PORT_8000_TCP_ADDR": "10.0.0.11",
    "VERBATIM_DB_SERVICE_HOST": "10.0.0.12",
    "VERBATIM_DB_SERVICE_PORT": "5432",
    "VERBATIM_DB_PORT": "tcp://10.0.0.12:5432",
    "VERBATIM_DB_PORT_5432_TCP": "tcp://10.0.0.12:5432",
}


def test_what_kubernetes_makes_of_services_is_said_once_and_ignored(verbatim: Command, database_url: str) -> None:
    listed = verbatim("token", "list", DATABASE_URL=database_url, **OF_SERVICES)
    assert (listed.code, listed.err.count("\n")) == (0, 1)
    assert all(name in listed.err for name in OF_SERVICES)
    assert Settings.from_environment().port == 8000
    stranger = verbatim("token", "list", VERBATIM_PORT_HTTP="8000")
    assert (stranger.code, "There is no setting VERBATIM_PORT_HTTP;" in stranger.err) == (2, True)


def test_the_operators_own_port_stands_beside_what_kubernetes_makes_of_services(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (OF_SERVICES | {"VERBATIM_PORT": "9000"}).items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment().port == 9000


@pytest.mark.parametrize("command", ["serve", "migrate", "check", "show"])
def test_a_database_that_is_away_is_one_sentence_and_exit_1(verbatim: Command, command: str) -> None:
    words = [command, str(uuid4())] if command == "show" else [command]
    result = verbatim(*words, DATABASE_URL="postgresql://someone:secret@127.0.0.1:1/name", VERBATIM_PORT="0")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "secret" not in result.err


def test_waiting_for_a_database_ends(verbatim: Command) -> None:
    started = time.monotonic()
    result = verbatim("check", "--wait", "0.6", DATABASE_URL="postgresql://127.0.0.1:1/name")
    assert result.code == 1
    assert time.monotonic() - started >= 0.6


def test_a_port_that_is_taken_is_a_sentence(verbatim: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = verbatim("serve", "--port", port)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert port in result.err


def test_a_folder_that_cannot_be_written_is_a_sentence(verbatim: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = verbatim("check", VERBATIM_DATA_DIR=str(tmp_path / "file" / "data"))
    assert (result.code, result.err.count("\n")) == (1, 1)


def test_a_schema_that_is_behind_says_which_command_to_run(verbatim: Command, empty_database_url: str) -> None:
    result = verbatim("serve", "--port", "0", DATABASE_URL=empty_database_url)
    assert result.code == 1
    assert "`verbatim migrate`" in result.err


def test_migrating_goes_up_down_and_up(verbatim: Command, empty_database_url: str) -> None:
    head = SCHEMA_REVISION
    for target, there in (("head", head), ("head", head), ("0004", "0004"), ("base", None), ("head", head)):
        result = verbatim("migrate", "--to", target, DATABASE_URL=empty_database_url)
        assert result.code == 0, result.err
        assert str(there or "nothing") in result.out
        assert runner.current(empty_database_url) == there


async def test_the_words_of_messages_can_be_made_anew(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE search_progress SET folding = 1 WHERE serving")
    done = await asyncio.to_thread(verbatim, "reindex", DATABASE_URL=database_url)
    assert done.code == 0, done.err
    assert await connection.fetchval("SELECT array_agg(folding ORDER BY serving) FROM search_progress") == [0, -1]


def test_an_unknown_revision_is_a_sentence(verbatim: Command, empty_database_url: str) -> None:
    result = verbatim("migrate", "--to", "9999", DATABASE_URL=empty_database_url)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert f"There is no revision 9999; name one from 0001 to {SCHEMA_REVISION}" in result.err


async def test_going_back_counts_what_it_loses_and_wants_a_yes(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    conversation = await open_conversation(connection)
    await connection.execute(
        "INSERT INTO messages (conversation_id, role, content) SELECT $1, 'user', 'x' FROM generate_series(1, 1200)",
        conversation,
    )
    await connection.execute("INSERT INTO erasures (conversation_id, message_count) VALUES (gen_random_uuid(), 1)")
    for target, lost in (
        ("0105", "would delete 1 row of erasures, 1,200 rows of messages.feed_position for good"),
        ("base", "would delete 1 row of conversations, 1,200 rows of messages, 1 row of erasures for good"),
    ):
        refused = await asyncio.to_thread(verbatim, "migrate", "--to", target, DATABASE_URL=database_url)
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert lost in refused.err
        assert await asyncio.to_thread(runner.current, database_url) == SCHEMA_REVISION
    gone = await asyncio.to_thread(verbatim, "migrate", "--to", "0105", "--yes", DATABASE_URL=database_url)
    assert gone.code == 0, gone.err
    assert await connection.fetchval("SELECT count(*) FROM messages") == 1200


async def test_everything_that_the_migrations_sign_is_counted_before_it_goes(connection: asyncpg.Connection) -> None:
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE obj_description(oid, 'pg_class') = 'Made by Verbatim.'"
    )
    columns = await connection.fetch(
        "SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE col_description(attrelid, attnum) = 'Made by Verbatim.' AND relkind = 'r'"
    )
    assert {row[0] for row in tables} == downgrade_losses.TABLES.keys()
    assert {tuple(row) for row in columns} <= downgrade_losses.COLUMNS.keys()
    assert {*downgrade_losses.TABLES.values(), *downgrade_losses.COLUMNS.values()} <= {*runner.revisions()}


async def test_distribute_lists_what_is_in_the_way_or_takes_its_steps(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    ways = {"DATABASE_URL": database_url, "VERBATIM_SEARCH": "false"}
    refused = await asyncio.to_thread(verbatim, "distribute", "--yes", **ways)
    assert refused.code == 1
    assert "This database has no Citus" in refused.out
    await connection.execute(STAND_IN)
    done = await asyncio.to_thread(verbatim, "distribute", "--yes", "--shards", "8", **ways)
    assert done.code == 0, done.err
    assert "writers wait for about 0 s" in done.out
    assert "The record is distributed." in done.out


@pytest.mark.parametrize("words", [("migrate",), ("adopt", "--yes"), ("check",), ("export",)])
async def test_a_database_that_is_newer_than_the_program_says_that_the_program_is_too_old(
    verbatim: Command, database_url: str, connection: asyncpg.Connection, words: tuple[str, ...]
) -> None:
    await connection.execute(
        "UPDATE verbatim_alembic_version SET version_num = '9999';"
        "COMMENT ON TABLE verbatim_alembic_version IS 'Compatible with releases from revision 9999 on.'"
    )
    result = await asyncio.to_thread(verbatim, *words, DATABASE_URL=database_url)
    assert result.code == 1
    assert "is at 9999" in result.err
    assert "this version is too old" in result.err


async def test_adopting_makes_again_what_was_dropped(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    await connection.execute("DROP TRIGGER verbatim_take_place ON messages")
    await connection.execute("ALTER TABLE messages DISABLE TRIGGER verbatim_take_position")
    await connection.execute("DROP FUNCTION verbatim_append")
    for table in Base.metadata.tables.values():
        for index in table.indexes:
            await connection.execute(f"DROP INDEX {index.name}")
    adopted = await asyncio.to_thread(verbatim, "adopt", "--yes", DATABASE_URL=database_url)
    assert adopted.code == 0, adopted.err
    again = await asyncio.to_thread(verbatim, "adopt", "--yes", DATABASE_URL=database_url)
    assert "Everything is there." in again.out
    checked = await asyncio.to_thread(verbatim, "check", DATABASE_URL=database_url)
    assert "lacks" not in checked.err
    assert "drifted" not in checked.err


def test_the_sql_for_a_dba_needs_no_database(verbatim: Command) -> None:
    result = verbatim("migrate", "--sql")
    assert result.code == 0
    assert "CREATE TABLE" in result.out


def test_checking_finds_what_puts_the_record_at_risk(verbatim: Command, database_url: str) -> None:
    """The tests' own server runs without durability, which is just what `check` is for."""
    result = verbatim("check", DATABASE_URL=database_url)
    assert result.code == 1
    assert "fsync = off" in result.err
    assert "drifted" not in result.err


async def test_demo_data_keeps_away_from_other_conversations_and_is_removed_without_them(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    async def run(*words: str) -> Result:
        return await asyncio.to_thread(verbatim, *words, DATABASE_URL=database_url)

    theirs = await open_conversation(connection)
    words = ("demo-data", "--calls", "40", "--days", "3", "--until", "2026-01-31T09:30:00")
    for refused in (words, ("demo-data", "--live")):
        result = await run(*refused)
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert "--into-existing" in result.err

    recorded = await run(*words, "--into-existing")
    assert recorded.code == 0, recorded.err
    assert recorded.out.startswith("Recorded 40 calls with ")
    again = await run(*words, "--into-existing")
    assert (again.code, again.err.count("\n")) == (1, 1)
    assert "demo data already" in again.err
    checked = await run("check")
    assert "drifted" not in checked.err
    assert "lacks" not in checked.err

    removed = await run("demo-data", "--remove")
    assert removed.out == "Removed 40 conversations of demo data.\n"
    assert await connection.fetchval("SELECT array_agg(id) FROM conversations") == [theirs]


def test_demo_data_is_refused_where_an_orchestrator_would_be_told_of_it(verbatim: Command, database_url: str) -> None:
    orchestrator = {"VERBATIM_ORCHESTRATOR_URL": "https://orchestrator.example/hook"}
    secret = {"VERBATIM_ORCHESTRATOR_SECRETS": f'["{SECRET}"]'}
    result = verbatim("demo-data", DATABASE_URL=database_url, **orchestrator, **secret)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "VERBATIM_ORCHESTRATOR_URL" in result.err


@pytest.mark.parametrize(
    "words", [("--until", "2999-01-01"), ("--days", "3", "--calls", "751"), ("--calls", "3"), ("--days", "1")]
)
def test_demo_data_that_cannot_be_is_wrong_usage(verbatim: Command, words: tuple[str, ...]) -> None:
    assert verbatim("demo-data", *words).code == 2


async def test_a_live_call_ends_with_ctrl_c(database_url: str, connection: asyncpg.Connection) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend", "demo-data", "--live"),
        env=os.environ | {"DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    conversation = (await process.stdout.readline()).decode().strip()
    process.send_signal(signal.SIGINT)
    printed, _ = await process.communicate()
    assert re.fullmatch(r"Ended with \d+ events and \d+ messages\.\n", printed.decode())
    assert await connection.fetchval("SELECT id::text FROM conversations WHERE ended_at IS NOT NULL") == conversation


async def test_adopting_says_what_it_will_do_and_does_nothing_without_a_yes(
    verbatim: Command, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await connect(empty_database_url)
    await host.execute(
        """
        CREATE TABLE goals (id UUID PRIMARY KEY); CREATE TABLE tasks (id UUID PRIMARY KEY);
        CREATE TABLE conversations (
            id UUID PRIMARY KEY DEFAULT gen_random_uuid(), user_id TEXT, context_type TEXT NOT NULL,
            messages JSONB, created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            CHECK (context_type IN ('onboarding', 'goal', 'task', 'reschedule')));
        INSERT INTO conversations (context_type, messages) VALUES ('goal', '[{"mine": true}]');
        """
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    unanswered = await asyncio.to_thread(verbatim, "adopt", DATABASE_URL=empty_database_url)
    assert unanswered.code == 1
    assert "Steps:" in unanswered.out
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON public.messages TO verbatim_service;" in unanswered.out
    assert await asyncio.to_thread(runner.current, empty_database_url) is None

    adopted = await asyncio.to_thread(verbatim, "adopt", "--yes", DATABASE_URL=empty_database_url)
    assert adopted.code == 0, adopted.err
    assert await asyncio.to_thread(runner.current, empty_database_url) == SCHEMA_REVISION
    assert await host.fetchval("SELECT messages::text FROM conversations") == '[{"mine": true}]'
    again = await asyncio.to_thread(verbatim, "adopt", "--yes", DATABASE_URL=empty_database_url)
    assert again.code == 0
    told = await host.fetch("SELECT action, actor FROM audit_entries")
    assert [tuple(entry) for entry in told] == [("database.adopted", "local")]  # what changed nothing is not told
    await host.close()


async def test_a_timeline_is_printed_with_the_time_since_the_beginning(
    verbatim: Command, database_url: str, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute(
        "INSERT INTO messages (conversation_id, role, content, input_modality, timestamp)"
        " SELECT $1, role, content, 'voice', at::timestamptz FROM unnest($2::text[], $3::text[], $4::text[])"
        " AS said (role, content, at)",
        conversation,
        ["user", "assistant"],
        ["What time\u202e is it?", "Half past nine."],
        ["2026-01-31 12:00Z", "2026-01-31 12:01:05Z"],
    )
    printed = await asyncio.to_thread(verbatim, "timeline", str(conversation), DATABASE_URL=database_url)
    lines = [" ".join(line.split()) for line in printed.out.splitlines() if "late" not in line]
    assert lines == [
        "00:00 ~1.1 s user speech What time<U+202E> is it?",
        "00:01 ~63.9 s assistant silence 1 min of silence",
        "01:05 ~1.0 s assistant speech Half past nine.",
    ]
    printed = await asyncio.to_thread(verbatim, "timeline", str(conversation), "--json", DATABASE_URL=database_url)
    assert [json.loads(line)["lane"] for line in printed.out.splitlines() if "late" not in line] == [
        "user",
        "assistant",
        "assistant",
    ]


async def test_showing_prints_what_was_said(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    conversation = await open_conversation(connection)
    await connection.execute(
        "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', '[red]Hello[/red]')", conversation
    )
    shown = await asyncio.to_thread(verbatim, "show", str(conversation), DATABASE_URL=database_url)
    assert shown.out.endswith("user: [red]Hello[/red]\n")
    missing = await asyncio.to_thread(verbatim, "show", str(uuid4()), DATABASE_URL=database_url)
    assert (missing.code, missing.err.count("\n")) == (1, 1)


async def test_following_prints_what_comes_until_the_conversation_ends(
    database_url: str, connection: asyncpg.Connection
) -> None:
    conversation = await open_conversation(connection)
    insert = "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', $2)"
    await connection.execute(insert, conversation, "one")
    command = [sys.executable, "-m", "backend", "follow", str(conversation)]
    everything = os.environ | {"DATABASE_URL": database_url}
    process = await asyncio.create_subprocess_exec(
        *command, env=everything, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout
    async with asyncio.timeout(PATIENCE):
        assert (await process.stdout.readline()).endswith(b"user: one\n")
        await connection.execute(insert, conversation, "two")
        assert (await process.stdout.readline()).endswith(b"user: two\n")
        await connection.execute("UPDATE conversations SET ended_at = '2026-01-31T12:00:00Z'")
        rest, complaints = await process.communicate()
    assert (process.returncode, rest, complaints) == (0, b"", b"Ended at 2026-01-31T12:00:00Z.\n")


async def test_deliveries_are_listed_and_sent_anew(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    conversation = await open_conversation(connection)
    queue = """
        INSERT INTO deliveries (id, conversation_id, type, version, body, state, attempts, last_status, last_error)
        VALUES (gen_random_uuid(), $1, 'intent.extracted', '', '', $2, 10, 500, 'The orchestrator answered 500.')
        RETURNING id
    """
    failed, delivered = [await connection.fetchval(queue, conversation, state) for state in ("failed", "delivered")]
    listed = await asyncio.to_thread(verbatim, "deliveries", DATABASE_URL=database_url)
    assert [line.split()[0] for line in listed.out.splitlines()] == ["delivery", str(delivered), str(failed)]
    only = await asyncio.to_thread(verbatim, "deliveries", "--state", "failed", DATABASE_URL=database_url)
    assert [str(failed) in only.out, "The orchestrator answered 500." in only.out, str(delivered) in only.out] == [
        True,
        True,
        False,
    ]
    again = await asyncio.to_thread(verbatim, "deliveries", "retry", str(failed), DATABASE_URL=database_url)
    assert (again.code, again.out) == (0, f"Delivery {failed} is pending, and due now.\n")
    for state in ("failed", "failed", "held"):
        await connection.execute(queue, conversation, state)
    every = await asyncio.to_thread(verbatim, "deliveries", "retry", "--failed", DATABASE_URL=database_url)
    assert (every.code, every.out) == (0, "2 failed and 1 held deliveries are pending, and due now.\n")
    states = await connection.fetchval("SELECT array_agg(DISTINCT state ORDER BY state) FROM deliveries")
    assert states == ["delivered", "pending"]
    for neither in ([], [str(failed), "--failed"]):
        wrong = await asyncio.to_thread(verbatim, "deliveries", "retry", *neither, DATABASE_URL=database_url)
        assert (wrong.code, "name one delivery, or --failed" in wrong.err) == (2, True)
    missing = await asyncio.to_thread(verbatim, "deliveries", "retry", str(uuid4()), DATABASE_URL=database_url)
    assert (missing.code, missing.err.count("\n")) == (1, 1)
    nobody = await asyncio.to_thread(verbatim, "deliver", DATABASE_URL=database_url)
    assert (nobody.code, nobody.err.count("\n")) == (2, 1)


async def test_exporting_prints_each_conversation_whole(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    conversations = [await open_conversation(connection) for _ in range(3)]
    fill = """
        INSERT INTO messages (conversation_id, role, content, sequence)
        SELECT $1, 'user', 'number ' || n, n FROM generate_series(1, $2::int) AS n
    """
    for conversation, count in zip(conversations, (0, 3, 1200), strict=True):
        await connection.execute(fill, conversation, count)
    await connection.execute("UPDATE conversations SET user_id = 'minh' WHERE id <> $1", conversations[0])
    exported = await asyncio.to_thread(verbatim, "export", DATABASE_URL=database_url)
    whole = [json.loads(line) for line in exported.out.splitlines()]
    assert [each["conversation"]["id"] for each in whole] == [str(each) for each in reversed(conversations)]
    assert [[message["sequence"] for message in each["messages"]] for each in whole] == [
        [*range(1, count + 1)] for count in (1200, 3, 0)
    ]
    mine = await asyncio.to_thread(verbatim, "export", "--subject", "minh", DATABASE_URL=database_url)
    assert mine.out.splitlines() == exported.out.splitlines()[:2]
    late = await asyncio.to_thread(verbatim, "export", "--since", "2999-01-01", DATABASE_URL=database_url)
    assert (late.code, late.out) == (0, "")


async def test_searching_prints_what_was_said_with_time_conversation_and_role(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    conversation = await open_conversation(connection)
    say = "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', $2) RETURNING id"
    for position, content in enumerate(["Gọi\n\x1b[31m nha sĩ", "Ai?", "x" * 400 + " Nha sĩ Lan " + "y" * 400], 1):
        await index_at(connection, await connection.fetchval(say, conversation, content), position)

    async def search(*words: str, **environment: str) -> Result:
        return await asyncio.to_thread(verbatim, "search", *words, DATABASE_URL=database_url, **environment)

    long, short = (await search("nha si")).out.splitlines()
    assert re.fullmatch(rf"\[\d{{4}}-\d\d-\d\d [\d:]{{8}}\] {conversation} user: Gọi <U\+001B>\[31m nha sĩ", short)
    assert re.search(r" user: …x{79} Nha sĩ Lan y{229}…$", long)
    hits = [json.loads(line) for line in (await search("nha", "--json", "--limit", "1")).out.splitlines()]
    assert [(hit["ranges"], hit["before"]["content"]) for hit in hits] == [([[401, 404]], "Ai?")]
    assert (await search("nha", "--role", "assistant", "--subject", "minh")).err == "Nothing was found.\n"
    for wrong in ("-", "a" * 201):
        assert ((await search(wrong)).code, (await search(wrong)).err.count("\n")) == (2, 1)
    assert (await search("nha", VERBATIM_SEARCH="false")).code == 1


async def test_figures_are_printed_as_a_table_and_as_json(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    conversation = await open_conversation(connection)
    await connection.execute(
        "INSERT INTO messages (conversation_id, role, content, metadata) VALUES ($1, 'user', 'Hello.', '{}'),"
        " ($1, 'assistant', 'Hello!', '{\"latency\": {\"total_ms\": 780}}')",
        conversation,
    )
    printed = await asyncio.to_thread(verbatim, "stats", "--since", "2h", "--bucket", "P7D", DATABASE_URL=database_url)
    titles, *weeks, total, slowest = printed.out.splitlines()
    assert titles.split()[:4] == ["from", "(UTC)", "calls", "minutes"]
    assert weeks[-1].split()[2:4] == ["1", "0.0"]  # two weeks early on a Monday
    assert total.split() == ["all", "1", "0.0", "2", "0", "0", "0", "0", "1", "780", "780", "780", "780"]
    assert "780 ms: message " in slowest
    assert str(conversation) in slowest
    words = ("stats", "--since", "2020-01-01", "--until", "2020-01-02T00:00+07:00", "--json")
    printed = await asyncio.to_thread(verbatim, *words, DATABASE_URL=database_url)
    found = json.loads(printed.out)
    assert (found["since"], found["until"], found["bucket"]) == (
        "2020-01-01T00:00:00Z",
        "2020-01-01T17:00:00Z",
        "PT15M",
    )
    assert (found["total"]["calls"], len(found["buckets"])) == (0, 68)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--since", "yesterday"], "neither a duration"),
        (["--since", "99999999999d"], "neither a duration"),
        (["--since", "²h"], "neither a duration"),
        (["--since", "0001-01-01"], "outside the years"),
        (["--since", "0m"], "must be before"),
        (["--since", "9w", "--bucket", "PT1M"], "the smallest that fits is PT6H"),
    ],
)
def test_a_period_that_cannot_be_counted_is_explained(
    verbatim: Command, database_url: str, words: list[str], said: str
) -> None:
    result = verbatim("stats", *words, DATABASE_URL=database_url)
    assert result.code == 2
    assert said in " ".join(result.err.replace("│", " ").split())


def test_several_workers_serve_one_record_and_count_together(database_url: str) -> None:
    with serving(database_url, "--workers", "2") as address, httpx.Client(base_url=address, timeout=PATIENCE) as client:
        opened = client.post("/api/v1/conversations", json={"context_type": "voice"}).json()
        said = {"conversation_id": opened["id"], "role": "user", "content": "Hello."}
        for number in range(1, 21):
            with httpx.Client(base_url=address, timeout=PATIENCE) as phone:
                assert phone.post("/api/v1/voice/messages", json=said).json()["sequence"] == number
        counted = [line for line in client.get("/metrics").text.splitlines() if 'outcome="appended"' in line]
        assert counted == ['verbatim_messages_total{outcome="appended"} 20.0']


def test_workers_may_take_long_to_come_up(database_url: str, tmp_path: Path) -> None:
    """On a machine that is busy: until its modules are there a worker answers nobody, nor its supervisor."""
    starts = tmp_path / "starts"
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import sys, time
if '--multiprocessing-fork' in sys.orig_argv:
    print(file=open({str(starts)!r}, 'a'))
    time.sleep(6)
"""
    )
    with serving(database_url, "--workers", "2", PYTHONPATH=str(tmp_path)) as address:
        assert httpx.get(f"{address}/readyz", timeout=PATIENCE).is_success
        assert len(starts.read_text()) == 2


def test_a_signal_is_heard_while_a_worker_comes_up(database_url: str, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import os, sys, time
if '--multiprocessing-fork' in sys.orig_argv and os.path.exists({str(begun)!r}):
    open({str(begun)!r}, 'a').write('again')
    time.sleep(600)
"""
    )
    with serving(database_url, "--workers", "2", PYTHONPATH=str(tmp_path)):
        [supervisor] = [child for child in Process().children() if "serve" in child.cmdline()]
        begun.touch()
        worker = next(child for child in supervisor.children() if "--multiprocessing-fork" in child.cmdline())
        worker.kill()
        deadline = time.monotonic() + PATIENCE
        while not begun.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        supervisor.terminate()
        ended, _ = wait_procs([supervisor], timeout=PATIENCE)
        assert ended


def test_workers_end_with_their_supervisor(database_url: str) -> None:
    """Left alone, they would keep the port, and nobody could take their place."""
    with serving(database_url, "--workers", "2") as address:
        port = int(address.rpartition(":")[2])
        [supervisor] = [child for child in Process().children() if "serve" in child.cmdline()]
        workers = supervisor.children(recursive=True)
        supervisor.kill()
        _, alive = wait_procs(workers, timeout=PATIENCE)
        for worker in alive:
            worker.kill()
        assert not alive
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no kernel ends them")
def test_a_worker_that_runs_no_other_thread_ends_with_its_supervisor(database_url: str, tmp_path: Path) -> None:
    """A function in C, such as a regular expression, may hold the interpreter's lock for minutes."""
    (tmp_path / "held").touch()
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import ctypes, os, sys, threading, time
def hold():
    while not os.path.exists({str(tmp_path / "hold")!r}):
        time.sleep(0.01)
    with open({str(tmp_path / "held")!r}, 'a') as held:
        held.write('x')
    ctypes.PyDLL(None).sleep(600)
if '--multiprocessing-fork' in sys.orig_argv:
    threading.Thread(target=hold, daemon=True).start()
"""
    )
    command = [sys.executable, "-m", "backend", "serve", "--port", "0", "--workers", "2"]
    path = os.pathsep.join([str(tmp_path), *sys.path])
    environment = os.environ | {"DATABASE_URL": database_url, "PYTHONPATH": path}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout
        for _ in range(2):
            next(line for line in supervisor.stdout if '"event":"started"' in line)
        workers = [each for each in Process(supervisor.pid).children() if "--multiprocessing-fork" in each.cmdline()]
        (tmp_path / "hold").touch()
        while (tmp_path / "held").read_text() != "xx":
            time.sleep(0.01)
        supervisor.kill()
        _, alive = wait_procs(workers, timeout=PATIENCE)
        for worker in alive:
            worker.kill()
        assert not alive


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_service_and_then_its_database_in_order(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "backend", "serve", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"VERBATIM_DATA_DIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert any(b'"event":"started"' in line for line in process.stdout)
        process.send_signal(number)
        _, complaints = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert complaints.startswith(b"Verbatim listens on")
    assert b"Traceback" not in complaints
    [log] = tmp_path.glob("*/*.log")
    assert "database system is shut down" in log.read_text()


def test_the_service_without_a_database_brings_its_own_and_keeps_it(tmp_path: Path) -> None:
    for opened in (0, 1):
        with serving(None, VERBATIM_DATA_DIR=str(tmp_path)) as address:
            conversations = httpx.get(f"{address}/api/v1/conversations", timeout=PATIENCE).json()["data"]
            assert len(conversations) == opened
            assert httpx.post(f"{address}/api/v1/conversations", json={"context_type": "voice"}).status_code == 201
    processes = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in processes


ISSUERS = json.dumps(
    [
        {
            "issuer": "https://id.example",
            "audience": "verbatim",
            "algorithms": ["HS256"],
            "secret": "thirty-two bytes of the tests' own, or more",
        }
    ]
)


def _elsewhere() -> list[str]:
    """The addresses at which others reach this machine."""
    inet = {socket.AF_INET, socket.AF_INET6}
    found = [each.address for card in net_if_addrs().values() for each in card if each.family in inet]
    return [address for address in found if not ip_address(address.partition("%")[0]).is_loopback]


@pytest.mark.parametrize("host", ["0.0.0.0", "0", "::", "", "192.0.2.1", *_elsewhere()])
def test_nobody_but_this_machine_is_served_while_nobody_is_told_apart(verbatim: Command, host: str) -> None:
    result = verbatim("serve", "--port", "0", "--host", host)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "VERBATIM_AUTH_ISSUERS" in result.err


@pytest.mark.parametrize("host", ["..", "[::1]", f"{'x' * 64}.example"])
def test_a_name_that_is_none_is_a_sentence(verbatim: Command, host: str) -> None:
    result = verbatim("serve", "--port", "0", "--host", host)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert f"Cannot listen on {host}" in result.err


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_this_machine_is_served_over_ipv6_too_and_under_no_other_name(database_url: str) -> None:
    with serving(database_url, "--host", "::1") as address:
        assert address.startswith("http://[::1]:")
        assert httpx.get(f"{address}/api/v1/conversations", timeout=PATIENCE).status_code == 200
        rebound = httpx.get(f"{address}/api/v1/conversations", headers={"host": "evil.example"})
        assert (rebound.status_code, rebound.json()["type"]) == (421, "/problems/not-from-here")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_every_address_of_ipv6_means_those_of_ipv4_too_and_their_clients_are_known_by_them(database_url: str) -> None:
    limits = {"VERBATIM_RATE_LIMIT_ADDRESS": "1/hour", "VERBATIM_TRUSTED_PROXIES": '["127.0.0.1/32"]'}
    with serving(database_url, "--host", "::", VERBATIM_AUTH_ISSUERS="[]", **limits) as address:
        port = address.rpartition(":")[2]
        for host in ("127.0.0.1", "[::1]"):
            assert httpx.get(f"http://{host}:{port}/livez", timeout=PATIENCE).status_code == 200
        asked = [
            httpx.get(f"http://127.0.0.1:{port}/nowhere", headers={"x-forwarded-for": client}, timeout=PATIENCE)
            for client in ("192.0.2.1", "192.0.2.2", "192.0.2.2")
        ]
        assert [answer.status_code for answer in asked] == [404, 404, 429]


def test_a_connection_without_a_request_is_closed_when_the_operator_says(database_url: str) -> None:
    with serving(database_url, VERBATIM_KEEP_ALIVE_TIMEOUT="1") as address:
        place = ("127.0.0.1", int(address.rpartition(":")[2]))
        with socket.create_connection(place, PATIENCE) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            received = b"".join(iter(lambda: connection.recv(4096), b""))
    assert received.count(b"HTTP/1.1 200") == 1


def test_with_issuers_another_address_is_no_fault(verbatim: Command, database_url: str) -> None:
    # Nobody has this address (RFC 5737), so that nothing is served; the sentence tells how far it came.
    for issuers in ("[]", ISSUERS):
        environment = {"DATABASE_URL": database_url, "VERBATIM_AUTH_ISSUERS": issuers}
        result = verbatim("serve", "--port", "0", "--host", "192.0.2.1", **environment)
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert "Cannot listen on 192.0.2.1" in result.err


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [({}, "it serves only clients on this machine"), ({"VERBATIM_AUTH_ISSUERS": "[]"}, "Every request needs a token")],
)
def test_the_banner_says_who_is_served_and_is_no_part_of_the_log(
    database_url: str, environment: dict[str, str], sentence: str
) -> None:
    command = [sys.executable, "-m", "backend", "serve", "--port", "0", "--host", "localhost"]
    everything = os.environ | {"DATABASE_URL": database_url} | environment
    with subprocess.Popen(
        command, env=everything, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr
            assert sentence in process.stderr.readline()
            process.terminate()
            log, _ = process.communicate(timeout=PATIENCE)
            assert all(json.loads(line)["level"] for line in log.splitlines())
        finally:
            process.kill()  # or leaving this block would wait for ever


def _conversation(address: str, token: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.post(
        f"{address}/api/v1/conversations", json={"context_type": "voice"}, headers=headers, timeout=PATIENCE
    )


def test_the_console_is_opened_without_the_token_of_eight_hours_that_is_printed_for_it(
    verbatim: Command, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    environment = {"DATABASE_URL": database_url, "VERBATIM_AUTH_ISSUERS": "[]"}
    for _ in range(3):
        printed = verbatim("console", "--url", "https://record.example/verbatim/", **environment)
        assert re.fullmatch(r"vbt_[\w-]{43}\n", printed.out)
        assert "Paste this token into https://record.example/verbatim/console/" in printed.err
    assert opened == ["https://record.example/verbatim/console/"] * 3
    listed = verbatim("token", "list", DATABASE_URL=database_url).out
    assert listed.count("conversations:read:any deliveries:manage") == 3
    lives = re.findall(r"console-[0-9a-f]{8}  ([\d-]+ [\d:]+)  ([\d-]+ [\d:]+)", listed)
    hours = [datetime.fromisoformat(ends) - datetime.fromisoformat(made) for made, ends in lives]
    assert hours == [timedelta(hours=8)] * 3


def test_without_authentication_the_console_needs_no_token(verbatim: Command) -> None:
    printed = verbatim("console", "--no-browser", VERBATIM_PORT="8123")
    assert (printed.code, printed.out) == (0, "http://127.0.0.1:8123/console/\n")


@pytest.mark.parametrize(("host", "named"), [("::", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")])
def test_the_console_is_reached_where_the_service_listens(verbatim: Command, host: str, named: str) -> None:
    assert verbatim("console", "--no-browser", VERBATIM_HOST=host).out == f"http://{named}:8000/console/\n"


def test_a_services_token_is_printed_once_alone_and_works_until_it_is_revoked(
    verbatim: Command, database_url: str
) -> None:
    create = ["token", "create", "--service", "pipeline", "--scope", "conversations:write"]
    tokens = []
    with serving(database_url, VERBATIM_AUTH_ISSUERS="[]") as address:
        for number in (1, 2):
            made = verbatim(*create, DATABASE_URL=database_url)
            assert re.fullmatch(r"vbt_[\w-]{43}\n", made.out)
            assert f"Token {number} for pipeline" in made.err
            tokens.append(made.out.strip())
            assert _conversation(address, tokens[-1]).status_code == 201
        third = verbatim(*create, DATABASE_URL=database_url)
        assert (third.code, third.out, third.err.count("\n")) == (1, "", 1)

        listed = verbatim("token", "list", DATABASE_URL=database_url).out
        assert [line.split()[:2] for line in listed.splitlines()[1:]] == [["1", "pipeline"], ["2", "pipeline"]]
        assert not any(token in listed for token in tokens)

    assert verbatim("token", "revoke", "1", DATABASE_URL=database_url).code == 0
    assert verbatim("token", "revoke", "7", DATABASE_URL=database_url).code == 1
    with serving(database_url, VERBATIM_AUTH_ISSUERS="[]") as address:
        assert [_conversation(address, token).status_code for token in tokens] == [401, 201]
    assert verbatim(*create, DATABASE_URL=database_url).code == 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("create", "--service", "x", "--scope", "everything"), "messages:write"),
        (("create", "--service", "x"), "--scope"),
        (("create", "--service", "A service", "--scope", "messages:write"), "lower-case letters"),
        (("dev", "--subject", "minh"), "VERBATIM_AUTH_ISSUERS"),
        (("dev", "--subject", "minh", "--scope", "messages:write:any"), "conversations:read"),
    ],
)
def test_a_token_that_cannot_be_made_is_explained(
    verbatim: Command, database_url: str, words: tuple[str, ...], named: str
) -> None:
    result = verbatim("token", *words, DATABASE_URL=database_url)
    assert (result.code, result.out) == (2, "")
    assert named in result.err


def test_a_token_for_development_puts_a_message_on_record(verbatim: Command, database_url: str) -> None:
    token = verbatim("token", "dev", "--subject", "minh", VERBATIM_AUTH_ISSUERS=ISSUERS).out.strip()
    with serving(database_url, VERBATIM_AUTH_ISSUERS=ISSUERS) as address:
        opened = _conversation(address, token).json()
        said = {"conversation_id": opened["id"], "role": "user", "content": "Hello."}
        headers = {"authorization": f"Bearer {token}"}
        assert httpx.post(f"{address}/api/v1/voice/messages", json=said, headers=headers).status_code == 201
    assert opened["user_id"] == "minh"


async def test_everything_of_a_subjects_is_erased_but_what_the_host_keeps(
    verbatim: Command, database_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.execute(
        """
        INSERT INTO conversations (user_id, context_type)
        SELECT owner, 'voice' FROM unnest(ARRAY['minh', 'minh', 'minh', 'lan']) AS owner;
        INSERT INTO messages (conversation_id, role, content) SELECT id, 'user', 'Hello.' FROM conversations;
        CREATE TABLE kept (id UUID REFERENCES conversations(id));
        INSERT INTO kept SELECT id FROM conversations WHERE user_id = 'minh' LIMIT 1;
        """
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    refused = await asyncio.to_thread(verbatim, "erase", "--subject", "minh", DATABASE_URL=database_url)
    assert (refused.code, await connection.fetchval("SELECT count(*) FROM conversations")) == (1, 4)

    erased = await asyncio.to_thread(verbatim, "erase", "--subject", "minh", "--yes", DATABASE_URL=database_url)
    assert erased.code == 1
    assert "Erased 2 conversations with 2 messages." in erased.out
    assert "kept_id_fkey" in erased.err
    assert await connection.fetchval("SELECT count(*) FROM conversations WHERE user_id = 'minh'") == 1

    await connection.execute("DROP TABLE kept")
    for expected in ("Erased 1 conversation with 1 message.", "There is nothing to erase."):
        again = await asyncio.to_thread(verbatim, "erase", "--subject", "minh", "--yes", DATABASE_URL=database_url)
        assert (again.code, expected in again.out) == (0, True)
    assert await connection.fetchval("SELECT string_agg(user_id, ',') FROM conversations") == "lan"
    assert await connection.fetchval("SELECT count(*) FROM erasures") == 3


async def test_one_conversation_is_erased_and_a_missing_one_is_named(
    verbatim: Command, database_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = str(await open_conversation(connection))
    for code in (0, 1):
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        erased = await asyncio.to_thread(verbatim, "erase", conversation, DATABASE_URL=database_url)
        assert erased.code == code
        assert "Erase 1 conversation, with everything said there?" in erased.out
    assert f"There is no conversation {conversation}" in erased.err


@pytest.mark.parametrize("words", [(), (str(uuid4()), "--subject", "minh")])
def test_what_to_erase_must_be_said_once(verbatim: Command, words: tuple[str, ...]) -> None:
    result = verbatim("erase", *words)
    assert (result.code, result.err.count("\n")) == (2, 1)


async def test_the_retention_prints_what_it_would_erase(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "INSERT INTO conversations (context_type, created_at) VALUES ('voice', now() - interval '400 days')"
    )
    without = await asyncio.to_thread(verbatim, "retention", DATABASE_URL=database_url)
    assert (without.code, "are kept for ever" in without.out) == (0, True)
    found = await asyncio.to_thread(
        verbatim, "retention", DATABASE_URL=database_url, VERBATIM_RETENTION='{"voice": "365d"}'
    )
    assert found.code == 0
    assert "voice: 1 older than 365 days\non hold, not erased: 0\n" in found.out
    assert "a day after one has started with these" in found.out


async def test_words_are_taken_out_of_a_message(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    conversation = str(await open_conversation(connection))
    said = "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', 'one two three') RETURNING id"
    words = ("redact", conversation, str(await connection.fetchval(said, conversation)), "--reason", "Card")
    for more, content in (("--range", "4:7", "--range", "0:2"), "[redacted]e [redacted] three"), ((), "[redacted]"):
        done = await asyncio.to_thread(verbatim, *words, *more, DATABASE_URL=database_url)
        assert (done.code, await connection.fetchval("SELECT content FROM messages")) == (0, content)
    for wrong, code in (("4", 2), ("4:x", 2), ("4:3", 1)):
        refused = await asyncio.to_thread(verbatim, *words, "--range", wrong, DATABASE_URL=database_url)
        assert (refused.code, refused.err.count("\n")) == (code, 1)


async def test_all_that_a_subject_has_is_held_and_released(
    verbatim: Command, database_url: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "INSERT INTO conversations (user_id, context_type) SELECT owner, 'voice' FROM unnest($1::text[]) AS owner",
        ["minh", "minh", "lan"],
    )
    because = ("--reason", "Case 17")
    held = await asyncio.to_thread(verbatim, "hold", "--subject", "minh", *because, DATABASE_URL=database_url)
    assert (held.code, held.out) == (0, "Held 2 conversations.\n")
    refused = await asyncio.to_thread(verbatim, "erase", "--subject", "minh", "--yes", DATABASE_URL=database_url)
    assert (refused.code, refused.err.count("is on hold")) == (1, 2)
    one = str(await connection.fetchval("SELECT conversation_id FROM conversation_holds LIMIT 1"))
    for words, out in ((one,), "Released 1 conversation.\n"), (("--subject", "minh"), "Released 1 conversation.\n"):
        released = await asyncio.to_thread(verbatim, "hold", *words, "--release", DATABASE_URL=database_url)
        assert (released.code, released.out) == (0, out)
    again = await asyncio.to_thread(verbatim, "hold", one, "--release", DATABASE_URL=database_url)
    assert (again.code, f"Conversation {one} is not on hold." in again.err) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ("--reason", "x"),
        (str(UUID(int=1)), "--subject", "minh", "--reason", "x"),
        (str(UUID(int=1)),),
        (str(UUID(int=1)), "--reason", "x", "--release"),
        (str(UUID(int=1)), "--reason", "x" * 256),
    ],
)
def test_what_to_hold_and_why_must_be_said_once(verbatim: Command, words: tuple[str, ...]) -> None:
    result = verbatim("hold", *words)
    assert (result.code, result.err.count("\n")) == (2, 1)


def test_replay_shows_its_token_and_without_one_says_what_is_missing(
    verbatim: Command, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "dialogues.jsonl"
    event = {"type": "ConversationText", "role": "user", "content": "Hello."}
    file.write_text(json.dumps({"dialogue_id": "d1", "events": [event]}))
    token = verbatim("token", "dev", "--subject", "minh", VERBATIM_AUTH_ISSUERS=ISSUERS).out.strip()
    with serving(database_url, VERBATIM_AUTH_ISSUERS=ISSUERS) as address:
        without = verbatim("replay", str(file), "--url", address)
        assert without.code == 1
        assert "set VERBATIM_TOKEN" in without.err
        shown = verbatim("replay", str(file), "--url", address, VERBATIM_TOKEN=token)
        assert shown.code == 0
        assert "1 messages: 1 new" in shown.out
