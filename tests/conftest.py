"""One real PostgreSQL a run, and a migrated database of its own for each test."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import URL, make_url
from starlette.types import Receive, Scope, Send

from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.embedded_postgres import EmbeddedPostgres
from backend.embedded_postgres.initdb import NAME
from backend.observability import logs
from backend.services.appender import Appender
from backend.settings import Settings
from tests import callers, clusters, lanes
from tests.pooler import PgBouncer
from tests.waiting import PATIENCE

_TEMPLATE = "migrated"
_OF_TESTS = "VERBATIM_TEST_"  # variables that tests read; the service refuses names that it does not know
_POOLERS: list[PgBouncer] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pooler", choices=["pgbouncer"], help="put a pooler between the service and its database")
    parser.addoption("--examples", type=int, default=25, help="how often whatever may happen is held against the model")
    parser.addoption("--steps", type=int, default=40, help="how much happens in each example")
    parser.addoption("--dialogues", type=Path, help="recorded dialogues to try a bad network with")
    parser.addoption("--complete", action="store_true", help="fail where a test lacks a package that can be installed")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if lanes.is_elsewhere(config, collection_path) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    lanes.assign(config, items)
    for item in items:
        shares = any(name.startswith("shared_") for name in getattr(item, "fixturenames", ()))
        if shares and item.get_closest_marker("asyncio"):
            # The event loop of what it shares, before the one of its own that it has otherwise.
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if item.config.getoption("--complete"):
        lanes.fail_for_what_is_not_installed(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if collector.config.getoption("--complete"):
        lanes.fail_for_what_is_not_installed(report)
    return report


@pytest.fixture(scope="session", autouse=True)
def _logs() -> None:
    logs.configure("INFO")


@pytest.fixture(scope="session", autouse=True)
def _cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The files that every server of a test begins with."""
    clusters.share(tmp_path_factory, in_worker=hasattr(request.config, "workerinput"))


@pytest.fixture(scope="session")
def postgres(_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A server without durability: fast, and gone with the run. Each worker of pytest-xdist has its own."""
    with (
        clusters.folder_in_memory(tmp_path_factory.mktemp("postgres")) as folder,
        EmbeddedPostgres(clusters.prepare(folder), durable=False) as server,
    ):
        yield make_url(server.url)


@pytest.fixture(scope="session", autouse=True)
def _pooler(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """With ``--pooler`` the service, wherever a test runs it, reaches this server through PgBouncer."""
    if request.config.getoption("--pooler") is None:
        yield
        return
    server: URL = request.getfixturevalue("postgres")
    with PgBouncer(tmp_path_factory.mktemp("pgbouncer"), server, pool_size=3) as pooler:
        _POOLERS.append(pooler)
        yield
        _POOLERS.clear()


@pytest.fixture(scope="session")
def template(postgres: URL) -> str:
    """The name of a database to clone, with our schema and nothing else in it."""
    asyncio.run(_execute(postgres.set(database="postgres"), f"CREATE DATABASE {_TEMPLATE} TEMPLATE {NAME}"))
    return _TEMPLATE


@pytest.fixture
async def database_url(postgres: URL, template: str) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    async with _clone(postgres, template) as url:
        yield url


@pytest.fixture
async def empty_database_url(postgres: URL) -> AsyncIterator[str]:
    """A database of the test's own, with nothing in it."""
    async with _clone(postgres, "template0") as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    settings = settings_for(database_url)
    database = Database(settings.database_url or "", direct=settings.pooler_bypass_url)
    yield database
    await database.close()


@pytest.fixture
async def appender(database: Database) -> AsyncIterator[Appender]:
    appender = Appender(database)
    appender.start()
    yield appender
    await appender.close()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Another program's connection to the test's database."""
    opened = await connect(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def app(database_url: str) -> FastAPI:
    return create_app(settings_for(database_url))


@pytest.fixture
async def service(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole service."""
    async with running(app) as client:
        yield client


@pytest.fixture
async def conversation(connection: asyncpg.Connection) -> UUID:
    return await open_conversation(connection)


# The same for tests of which none notices what another has left in the database: one service for a whole module.


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_database_url(postgres: URL, template: str) -> AsyncIterator[str]:
    async with _clone(postgres, template) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_service(shared_database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(settings_for(shared_database_url))) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_guarded(
    shared_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """A service that wants the tokens of `tests.callers`."""
    issuers = callers.issuers(tmp_path_factory.mktemp("issuers"))
    async with running(create_app(settings_for(shared_database_url, auth_issuers=issuers))) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_connection(shared_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await connect(shared_database_url)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="module")
async def shared_conversation(shared_connection: asyncpg.Connection) -> UUID:
    """One of the test's own, in the module's database."""
    return await open_conversation(shared_connection)


def settings_for(url: str, **more: Any) -> Settings:
    ways: dict[str, Any] = {"database_url": url}
    for pooler in _POOLERS:
        ways |= pooler.settings(url)
    return Settings(**ways | more)


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Run the service as Uvicorn would, without a socket, and give a client of it."""
    async with app.router.lifespan_context(app) as state:

        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=PATIENCE) as client:
            yield client


@contextmanager
def serving(url: str | None, *options: str, **environment: str) -> Iterator[str]:
    """Run `verbatim serve` on a free port, as a process of its own, and give its address once it has started."""
    command = [sys.executable, "-m", "backend", "serve", "--port", "0", *options]
    inherited = {
        name: value for name, value in os.environ.items() if name != "DATABASE_URL" and not name.startswith(_OF_TESTS)
    }
    environment = inherited | environment | (_environment(settings_for(url)) if url else {})
    # Where it listens stands on standard error, that it has started in its log, on standard output.
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout
            address = next(found[0] for line in process.stdout if (found := re.search(r"http://[^ ]+:\d+", line)))
            # It listens before it has come up, which on a busy machine is longer than clients wait.
            next(line for line in process.stdout if '"event":"started"' in line)
            # What is written from now on must be read, or the pipe fills and the service waits.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield address
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


def _environment(settings: Settings) -> dict[str, str]:
    """The variables that say which way leads to the database."""
    ways = {
        "DATABASE_URL": settings.database_url,
        "VERBATIM_DATABASE_DIRECT_URL": settings.database_direct_url,
        "VERBATIM_DATABASE_POOLER": settings.database_pooler,
    }
    return {name: way for name, way in ways.items() if way}


async def connect(url: str) -> asyncpg.Connection:
    parsed = make_url(url)
    return await asyncpg.connect(host=str(parsed.query["host"]), user=parsed.username, database=parsed.database)


async def open_conversation(connection: asyncpg.Connection, context_type: str = "voice") -> UUID:
    identity: UUID = await connection.fetchval(
        "INSERT INTO conversations (context_type) VALUES ($1) RETURNING id", context_type
    )
    return identity


def utterance(conversation: UUID, content: str = "Remind me to call the dentist.", **more: object) -> dict[str, Any]:
    """The body of a message."""
    return {"id": str(uuid4()), "conversation_id": str(conversation), "role": "user", "content": content} | more


@asynccontextmanager
async def _clone(postgres: URL, template: str) -> AsyncIterator[str]:
    name = f"test_{uuid4().hex}"
    await _execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield _text(postgres.set(database=name))
    finally:
        await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(postgres: URL, statement: str) -> None:
    connection = await connect(_text(postgres))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
