"""What /metrics says: by method and route, of refusals, of the database, and of every worker process."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from psutil import Process

from backend import __version__
from backend.api import health
from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.dao_service.schema_revision import SCHEMA_REVISION
from backend.embedded_postgres import EmbeddedPostgres
from backend.services import database_metrics
from tests import clusters
from tests.api.test_deliveries import add
from tests.conftest import open_conversation, running, serving, settings_for
from tests.phones import begin, fall_silent, numbered, said
from tests.waiting import PATIENCE

API = "/api/v1"

Sample = tuple[str, dict[str, str]]


@pytest.fixture(autouse=True)
def _never_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "METRICS_FRESH_SECONDS", 0)
    monkeypatch.setattr(database_metrics, "FIGURES_FRESH_SECONDS", 0)


async def scrape(client: httpx.AsyncClient) -> Callable[..., float | None]:
    """Return what gives the value of a sample, None if there is none."""
    found = dict(_samples((await client.get("/metrics")).text))
    return lambda name, **labels: found.get((name, frozenset(labels.items())))


def _samples(text: str) -> Iterator[tuple[tuple[str, frozenset[tuple[str, str]]], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield (sample.name, frozenset(sample.labels.items())), sample.value


async def until(client: httpx.AsyncClient, condition: Callable[[Callable[..., float | None]], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition(await scrape(client)):
            pass


async def test_requests_are_counted_by_method_and_by_route_even_where_they_are_refused_before_it(
    database_url: str,
) -> None:
    async with running(create_app(settings_for(database_url, auth_issuers=()))) as client:
        before = await scrape(client)
        for method, path in (
            ("GET", f"{API}/conversations/{uuid4()}/messages"),
            ("POST", f"{API}/voice/messages/batch"),
            ("DELETE", f"{API}/conversations/{uuid4()}"),
            ("GET", f"{API}/nowhere/{uuid4()}"),
            ("BREW", f"{API}/messages/feed"),
        ):
            assert (await client.request(method, path)).status_code == 401
        after = await scrape(client)
    for method, route in (
        ("GET", f"{API}/conversations/{{conversation_id}}/messages"),
        ("POST", f"{API}/voice/messages/batch"),
        ("DELETE", f"{API}/conversations/{{conversation_id}}"),
        ("GET", "none"),
        ("other", f"{API}/messages/feed"),
    ):
        counter = {"method": method, "route": route, "status": "401"}
        [then, now] = [each("verbatim_http_requests_total", **counter) or 0 for each in (before, after)]
        assert now == then + 1
        assert after("verbatim_http_seconds_count", method=method, route=route)


async def test_a_route_and_a_method_that_are_served_are_counted_by_the_same_words(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    for method in ("GET", "PATCH"):
        await service.request(method, f"{API}/conversations/{conversation}", json={})
    counted = await scrape(service)
    for method in ("GET", "PATCH"):
        labels = {"method": method, "route": f"{API}/conversations/{{conversation_id}}", "status": "200"}
        assert counted("verbatim_http_requests_total", **labels)


async def test_refusals_are_counted_by_the_slug_of_their_problem_in_a_batch_each(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    before = await scrape(service)
    good = {"conversation_id": str(conversation), "role": "user", "content": "Hello."}
    batch = [good, good | {"conversation_id": str(uuid4())}, good | {"role": "nobody"}, good | {"content": 1}]
    assert (await service.post(f"{API}/voice/messages/batch", json={"messages": batch})).status_code == 200
    assert (await service.get(f"{API}/conversations/{uuid4()}")).status_code == 404
    assert (await service.get("/nowhere")).status_code == 404
    after = await scrape(service)
    for problem, count in (("conversation-not-found", 2), ("invalid", 2), ("not-found", 1)):
        [then, now] = [each("verbatim_refusals_total", problem=problem) or 0 for each in (before, after)]
        assert now - then == count


async def test_ended_calls_are_counted_by_whether_anything_of_them_is_missing(
    service: httpx.AsyncClient, database: Database, connection: asyncpg.Connection
) -> None:
    before = await scrape(service)
    talk = numbered([said("user", "Hello?"), said("assistant", "Hello."), said("user", "Bye.")])
    for events in (talk, talk[::2]):
        phone = await begin(service)
        await phone.send(*events)
        for _ in range(2):
            await phone.end(last_client_sequence=3)
    await begin(service)
    await fall_silent(connection, database)
    after = await scrape(service)
    for receipt in ("complete", "incomplete", "abandoned"):
        [then, now] = [each("verbatim_voice_sessions_ended_total", receipt=receipt) or 0 for each in (before, after)]
        assert now - then == 1


@pytest.mark.pooled
async def test_what_waits_was_held_and_failed_is_counted_whether_this_service_delivers_or_not(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    now = await connection.fetchval("SELECT now()")
    for state, count in (("pending", 3), ("held", 2), ("failed", 1), ("delivered", 4)):
        for _ in range(count):
            await add(connection, await open_conversation(connection), state, created_at=now - timedelta(days=1))
    await until(service, lambda found: found("verbatim_deliveries_pending") == 3)
    found = await scrape(service)
    assert [found(f"verbatim_deliveries_{state}") for state in ("held", "failed")] == [2, 1]
    assert 86_400 <= (found("verbatim_delivery_oldest_seconds") or 0) < 87_000


async def test_conversations_on_hold_are_counted(service: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    for released in (None, None, await connection.fetchval("SELECT now()")):
        await connection.execute(
            """
            INSERT INTO conversation_holds (id, conversation_id, reason, held_by, released_at)
            VALUES ($1, $1, 'Case', 'local', $2)
            """,
            await open_conversation(connection),
            released,
        )
    await until(service, lambda found: found("verbatim_holds_active") == 2)


@pytest.mark.pooled
async def test_how_far_search_is_behind_is_said_whether_this_service_indexes_or_not(
    database_url: str, connection: asyncpg.Connection
) -> None:
    say = (
        "INSERT INTO messages (conversation_id, role, content, created_at) SELECT $1, 'user', 'x', now() - $2::interval"
    )
    conversation = await open_conversation(connection)
    async with running(create_app(settings_for(database_url))) as client:
        await until(client, lambda found: found("verbatim_search_lag_seconds") == 0)
        await until(client, lambda found: found("verbatim_search_past_messages") == 0)
        await connection.execute(say, conversation, timedelta(0))
        await until(client, lambda found: found("verbatim_search_messages") == 1)
    async with running(create_app(settings_for(database_url, search=False))) as client:
        await connection.execute(say, conversation, timedelta(days=1))
        await until(client, lambda found: 86_400 <= (found("verbatim_search_lag_seconds") or 0) < 87_000)
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.pooled
async def test_the_durability_the_schema_and_the_version_are_said(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    head = int(SCHEMA_REVISION)
    await until(service, lambda found: found("verbatim_schema_revision") == head)
    found = await scrape(service)
    assert found("verbatim_schema_revision_wanted") == head
    assert found("verbatim_build_info", version=__version__) == 1
    # The tests' own server writes nothing to the disk before it says so, and no standby follows.
    database_metrics = ("database_up", "durability", "standbys_wanted", "standbys_connected")
    assert [found(f"verbatim_{name}") for name in database_metrics] == [1, 0, 0, 0]
    await connection.execute("UPDATE verbatim_alembic_version SET version_num = '0001'")
    await until(service, lambda found: found("verbatim_schema_revision") == 1)


def test_before_the_first_look_nothing_is_said_of_the_database() -> None:
    """A 0 would be an alarm at each start."""
    program = "import prometheus_client as p; import backend.observability.metrics; print(p.generate_latest().decode())"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "\nverbatim_database_up NaN\n" in said
    assert "\nverbatim_schema_revision NaN\n" in said


async def test_metrics_are_answered_while_the_database_is_away_and_say_so(tmp_path: Path) -> None:
    server = EmbeddedPostgres(clusters.prepare(tmp_path), durable=False)
    url = await asyncio.to_thread(server.start)
    try:
        async with running(create_app(settings_for(url))) as client:
            await until(client, lambda found: found("verbatim_database_up") == 1)
            await asyncio.to_thread(server.stop)
            await until(client, lambda found: found("verbatim_database_up") == 0)
    finally:
        await asyncio.to_thread(server.stop)


@pytest.mark.pooled
async def test_metrics_wait_for_no_look_at_the_database(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        await connection.execute("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE")
        await until(service, lambda found: found("verbatim_build_info", version=__version__) == 1)
        async with asyncio.timeout(PATIENCE):
            while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                assert (await service.get("/metrics")).status_code == 200


def test_of_several_workers_each_is_measured_and_so_is_their_supervisor(database_url: str) -> None:
    with serving(database_url, "--workers", "2") as address, httpx.Client(base_url=address, timeout=PATIENCE) as client:
        [supervisor] = [child for child in Process().children() if "serve" in child.cmdline()]
        workers = [each for each in supervisor.children() if "--multiprocessing-fork" in each.cmdline()]
        wanted = {str(process.pid) for process in [supervisor, *workers]}
        found: dict[str, set[str]] = {}
        while len(found.get("process_cpu_seconds_total", ())) < len(wanted):  # a worker counts once it has come up
            text = client.get("/metrics").text
            found = {}
            for name, pid in re.findall(r'^(process_\w+)\{pid="(\d+)"\} ', text, re.MULTILINE):
                found.setdefault(name, set()).add(pid)
        assert text.count("# TYPE process_resident_memory_bytes gauge") == 1
        assert text.count(f'verbatim_build_info{{version="{__version__}"}} 1.0') == 1
        assert client.get(f"{API}/service").json()["workers"] == len(workers)
    for figure in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "start_time_seconds"):
        assert found[f"process_{figure}"] == wanted
