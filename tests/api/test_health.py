import asyncio
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import orjson
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from starlette.types import Receive, Scope, Send

from backend.api import health
from backend.api.middleware import RequestMiddleware
from backend.api.problems import ALL
from backend.api.request_queue import RequestQueue
from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.dao_service.schema_dao import DISK_SPACE_PROBE, SchemaDAO
from backend.embedded_postgres import EmbeddedPostgres
from backend.errors import DatabaseUnavailable
from backend.observability.access_log import AccessLog, AccessLogChoice
from tests import clusters
from tests.conftest import running, settings_for
from tests.disks import fill, small_disk
from tests.gates import open_gate
from tests.streams import listening
from tests.waiting import PATIENCE


async def test_a_service_that_can_take_messages_is_ready(service: httpx.AsyncClient) -> None:
    assert (await service.get("/livez")).json() == {"status": "ok"}
    assert (await service.get("/readyz")).json() == {
        "status": "ok",
        "checks": {"database": "ok", "schema": "ok", "writes": "ok", "queue": "ok"},
    }


async def test_a_service_with_another_schema_is_not_ready(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE verbatim_alembic_version SET version_num = '0001'")
    answer = await service.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["schema"]) == (503, "differs")
    await connection.execute("DROP TABLE verbatim_alembic_version")
    assert (await service.get("/readyz")).json()["checks"]["schema"] == "differs"


async def test_without_its_database_the_service_lives_says_so_and_recovers(tmp_path: Path) -> None:
    server = EmbeddedPostgres(clusters.prepare(tmp_path), durable=False)
    url = await asyncio.to_thread(server.start)
    try:
        async with running(create_app(settings_for(url))) as service:
            opened = await service.post("/api/v1/conversations", json={"context_type": "voice"})
            said = {"conversation_id": opened.json()["id"], "role": "user", "content": "Hello."}
            place = opened.headers["location"]
            await asyncio.to_thread(server.stop)

            assert (await service.get("/livez")).status_code == 200
            assert (await service.get("/readyz")).json()["checks"]["database"] == "unavailable"
            for refused in (
                await service.post("/api/v1/voice/messages", json=said),
                await service.post("/api/v1/voice/messages/batch", json={"messages": [said]}),
                await service.post("/api/v1/conversations", json={"context_type": "voice"}),
                await service.get(place),
                await service.get(f"{place}/messages"),
                await service.get(f"{place}/transcript"),
                await service.delete(place),
            ):
                assert (refused.status_code, refused.json()["type"]) == (503, "/problems/database-unavailable")
                assert int(refused.headers["retry-after"]) > 0

            await asyncio.to_thread(server.start)
            assert (await service.get("/readyz")).status_code == 200
            assert (await service.post("/api/v1/voice/messages", json=said)).json()["sequence"] == 1
    finally:
        await asyncio.to_thread(server.stop)


async def test_while_the_disk_of_the_database_is_full_the_service_is_not_ready_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.services.health.VERDICT_FRESH_SECONDS", 0)
    with small_disk(tmp_path, "400m") as is_small:
        if not is_small:
            pytest.skip("only root may mount a small disk")
        with EmbeddedPostgres(clusters.prepare(tmp_path / "home"), durable=False) as server:
            async with running(create_app(settings_for(server.url))) as service:
                assert (await service.get("/readyz")).status_code == 200
                ballast = tmp_path / "ballast"
                await asyncio.to_thread(fill, ballast)
                for _ in range(2):
                    refused = await service.get("/readyz")
                    assert (refused.status_code, refused.json()["checks"]["database"]) == (503, "disk-full")
                assert (await service.get("/livez")).status_code == 200
                ballast.unlink()
                assert (await service.get("/readyz")).status_code == 200


async def test_looking_for_room_on_the_disk_writes_a_temporary_file_and_nothing_else(database: Database) -> None:
    async with database.reading() as session:
        assert not (await SchemaDAO(session).state()).disk_full
        assert await session.scalar(text("SELECT pg_current_xact_id_if_assigned()")) is None
        plan = await session.scalar(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {DISK_SPACE_PROBE}"))
    assert 10 <= plan[0]["Plan"]["Temp Written Blocks"] <= 100  # of 8 kB


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_a_load_balancer_may_ask_with_head(app: FastAPI, path: str) -> None:
    async with listening(app) as client:
        asked, got = await client.head(path), await client.get(path)
        assert (asked.status_code, asked.content) == (200, b"")
        assert asked.headers["content-type"] == got.headers["content-type"]


async def test_every_answer_carries_an_id_that_a_trace_may_give(shared_service: httpx.AsyncClient) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    traced = await shared_service.get("/nowhere", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert traced.headers["x-request-id"] == traced.json()["request_id"] == trace
    forged = await shared_service.get("/livez", headers={"traceparent": "00-zz-01"})
    assert len(forged.headers["x-request-id"]) == 32


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/livez", 405)])
async def test_every_error_is_a_problem_whose_type_leads_to_its_page(
    shared_service: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await shared_service.request(method, path)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    page = await shared_service.get(answer.json()["type"])
    assert page.status_code == 200
    assert answer.json()["title"] in page.text


@pytest.mark.parametrize("slug", ALL)
async def test_every_problem_is_described_at_the_service(shared_service: httpx.AsyncClient, slug: str) -> None:
    assert (await shared_service.get(f"/problems/{slug}")).headers["content-type"].startswith("text/html")


async def test_an_unknown_problem_is_not_found(shared_service: httpx.AsyncClient) -> None:
    assert (await shared_service.get("/problems/none")).status_code == 404


async def test_what_is_not_allowed_is_answered_with_all_that_is(shared_service: httpx.AsyncClient) -> None:
    for path, allowed in (
        (f"/api/v1/conversations/{uuid4()}", "DELETE, GET, PATCH"),
        ("/api/v1/conversations", "GET, POST"),
        ("/api/v1/voice/messages", "POST"),
        ("/livez", "GET, HEAD"),
    ):
        assert {*(await shared_service.put(path)).headers["allow"].split(", ")} == {*allowed.split(", ")}


async def test_a_phone_that_hangs_up_in_the_middle_is_no_fault_of_the_service(
    app: FastAPI, capfd: pytest.CaptureFixture[str]
) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/voice/messages",
        "headers": [(b"content-type", b"application/json")],
        "query_string": b"",
        "state": {},
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        raise AssertionError(message)

    await app(scope, receive, send)
    assert "fault" not in capfd.readouterr().out


async def test_a_request_that_is_cut_off_when_the_service_stops_is_told_to_come_again() -> None:
    sent: list[dict[str, Any]] = []
    begun = asyncio.Event()

    async def endless(_scope: Scope, _receive: Receive, _send: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    access_log = AccessLog(AccessLogChoice.ALL)
    layer = RequestMiddleware(endless, access_log=access_log, queue=RequestQueue(), gate=open_gate())
    request = asyncio.create_task(layer(scope, receive, send))
    await begun.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]


async def test_an_outage_in_the_middle_of_a_response_is_no_fault_of_the_service(
    database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"{}\n"
        raise DatabaseUnavailable

    app = create_app(settings_for(database_url))
    app.add_api_route("/parts", lambda: StreamingResponse(parts()))
    async with listening(app) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/parts")
    events = [orjson.loads(line)["event"] for line in capfd.readouterr().out.splitlines()]
    assert "response ended early" in events
    assert "fault of the service" not in events


async def test_the_documentation_needs_no_other_host(shared_service: httpx.AsyncClient) -> None:
    page = (await shared_service.get("/docs")).text
    assert "://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert f"/docs/assets/{asset}" in page
        assert (await shared_service.get(f"/docs/assets/{asset}")).status_code == 200


async def test_the_metrics_count_what_was_appended_and_replayed(
    service: httpx.AsyncClient, conversation: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "METRICS_FRESH_SECONDS", 0)

    async def count(name: str) -> float:
        lines = (await service.get("/metrics")).text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)

    said = {"id": "0e9dba35-4b0a-4ccb-8f4c-0c2a35d0c5b1", "conversation_id": str(conversation), "role": "user"}
    names = [f'verbatim_messages_total{{outcome="{word}"}}' for word in ("appended", "replayed", "refused")]
    before = [await count(name) for name in names]
    commits = await count("verbatim_commit_seconds_count")
    for content in ("Hello.", "Hello.", "Hello.", "Other."):
        await service.post("/api/v1/voice/messages", json=said | {"content": content})
    after = [await count(name) for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 2, 1]
    assert await count("verbatim_commit_seconds_count") == commits + 4
    async with asyncio.timeout(PATIENCE):
        while await count("verbatim_pool_connections_in_use"):  # other work of the service reads, too
            pass
    posted = 'verbatim_http_requests_total{method="POST",route="/api/v1/voice/messages",status="201"}'
    assert await count(posted) >= 1
