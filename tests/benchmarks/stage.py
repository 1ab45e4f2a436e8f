"""What is measured, all of it up at once: one PostgreSQL, the services on it, and echoes, of one worker each but one.

While one of them is measured the others are idle. Each has the database that its own SQL made, with the same
conversations in it: 1,024 to write to and one of 1,000 messages to read. `search_corpus` measures what search costs, so
it is off here.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import urlopen
from uuid import UUID

import asyncpg
from sqlalchemy import make_url

from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner
from tests import clusters
from tests.ports import free_ports

CALLERS: Final = 32
CONVERSATIONS: Final = [UUID(int=(0x4000_8000 << 64) + number) for number in range(1_024)]
READ: Final = UUID(int=(0x4000_8000 << 64) + 10_000)
READ_MESSAGES: Final = 1_000
OWNER: Final = "somebody"

RAW_ECHO: Final = "an ASGI echo"
ECHO: Final = "an echo in FastAPI"
LITERAL: Final = "literal seed"
OURS: Final = "ours"
WITHOUT: Final = "ours without a database"
GUARDED: Final = "ours with a token each"
TWO: Final = "ours with two workers"

_REPOSITORY: Final = Path(__file__).parents[2]
# Counted as ever, but never too many.
_UNLIMITED: Final = dict.fromkeys(("VERBATIM_RATE_LIMIT_ADDRESS", "VERBATIM_RATE_LIMIT_SUBJECT"), "1000000000/minute")
_SEED: Final = Path(__file__).with_name("seed.sql")
_PATIENCE: Final = 30.0  # seconds for a service to come up, or to go
_FILL: Final = f"""
    INSERT INTO messages (conversation_id, role, content, input_modality, metadata, created_at)
    SELECT '{READ}', CASE n % 2 WHEN 0 THEN 'assistant' ELSE 'user' END,
        'Utterance ' || n || ': could you move the dentist to Thursday at nine and tell Minh about it?', 'voice',
        '{{"languages": ["en"]}}', now() - interval '1 day' + n * interval '1 second'
    FROM generate_series(1, {READ_MESSAGES}) AS n
"""


@dataclass(frozen=True)
class Database:
    """One of the databases on the one PostgreSQL."""

    url: str

    def environment(self) -> dict[str, str]:
        """Return what libpq's programs want to know."""
        url = make_url(self.url)
        return {"PGHOST": str(url.query["host"]), "PGUSER": url.username or "", "PGDATABASE": url.database or ""}

    def count(self) -> int:
        """Return how many messages there are."""
        return asyncio.run(_fetch(self.url, "SELECT count(*) FROM messages"))


@dataclass(frozen=True)
class Stage:
    """The services, by what they are, and the databases: the literal one's, ours, and one more like the literal one's.

    ``postgres`` is the process id of the server.
    """

    services: Mapping[str, "Service"]
    literal_database: Database
    our_database: Database
    bare_database: Database
    postgres: int


@dataclass(frozen=True)
class Service:
    """A service that runs as a process of its own."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def await_answer(self) -> str:
        """Return the address as soon as somebody answers there."""
        deadline = time.monotonic() + _PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                with urlopen(f"{self.address}/livez", timeout=_PATIENCE):
                    return self.address
            except HTTPError:
                return self.address
            except URLError:
                time.sleep(0.05)
        raise RuntimeError(f"{self.log.name}: {self.log.read_text()[-2000:]}")


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Set up everything in ``folder``, and take it down."""
    with ExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres(clusters.prepare(folder / "postgres"), durable=True))
        literal, ours, bare = (_database(postgres.url, name) for name in ("literal", "ours", "bare"))
        runner.upgrade(ours.url)
        for database in (literal, bare):
            asyncio.run(_execute(database.url, _SEED.read_text()))
        for database in (literal, ours, bare):
            asyncio.run(_fill(database.url))
        asyncio.run(_execute(ours.url, f"UPDATE conversations SET user_id = '{OWNER}'"))
        uvicorn = ["uvicorn", "--no-access-log"]
        commands = {
            RAW_ECHO: (bare, [*uvicorn, "tests.benchmarks.echoes:raw"]),
            ECHO: (bare, [*uvicorn, "tests.benchmarks.echoes:app"]),
            LITERAL: (literal, [*uvicorn, "tests.benchmarks.seed_service:app"]),
            OURS: (ours, ["backend", "serve"]),
            WITHOUT: (ours, ["tests.benchmarks.without_database", "serve"]),
            GUARDED: (ours, ["tests.benchmarks.guarded", "serve"]),
            TWO: (ours, ["backend", "serve", "--workers", "2"]),
        }
        services = {
            name: stack.enter_context(
                service(folder / f"{port}.log", port, database, arguments, VERBATIM_SEARCH="false")
            )
            for port, (name, (database, arguments)) in zip(free_ports(len(commands)), commands.items(), strict=True)
        }
        for each in services.values():
            each.await_answer()
        assert postgres.pid
        yield Stage(services, literal, ours, bare, postgres.pid)


def _database(server: str, name: str) -> Database:
    asyncio.run(_execute(server, f"CREATE DATABASE {name}"))
    return Database(make_url(server).set(database=name).render_as_string(hide_password=False))


async def _fill(url: str) -> None:
    names = ", ".join(f"('{conversation}', 'voice')" for conversation in (*CONVERSATIONS, READ))
    await _execute(url, f"INSERT INTO conversations (id, context_type) VALUES {names}")
    await _execute(url, _FILL)
    await _execute(url, "VACUUM ANALYZE")


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def _fetch(url: str, sql: str) -> int:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return int(await connection.fetchval(sql))
    finally:
        await connection.close()


@contextmanager
def service(log: Path, port: int, database: Database, arguments: list[str], **settings: str) -> Iterator[Service]:
    """Run one service, its log in a file as in real life."""
    command = [sys.executable, "-m", *arguments, "--port", str(port)]
    environment = os.environ | {"DATABASE_URL": database.url, "PYTHONPATH": str(_REPOSITORY), **_UNLIMITED, **settings}
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            yield Service(f"http://127.0.0.1:{port}", process, log)
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def kept_postgres(folder: Path, fill: Callable[[str], Coroutine[Any, Any, None]]) -> Iterator[str]:
    """Run a durable PostgreSQL in ``folder``, and yield its URL; if it is new, it is migrated and filled before."""
    is_new = not folder.exists()
    with EmbeddedPostgres(clusters.prepare(folder) if is_new else folder, durable=True) as postgres:
        if is_new:
            runner.upgrade(postgres.url)
            asyncio.run(fill(postgres.url))
        yield postgres.url
