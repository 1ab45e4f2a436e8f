"""Following a conversation as it goes on: everything once and in order, and a polite end."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest
from fastapi import FastAPI, Request

from backend.api import sse
from backend.app import create_app
from backend.auth import Verified, authenticator
from backend.dao_service.connection.database import Database
from backend.principal import LOCAL, Principal
from backend.services import live
from backend.vocabulary import Scope
from tests import callers
from tests.conftest import open_conversation, serving, settings_for, utterance
from tests.phones import begin, fall_silent, numbered
from tests.phones import said as spoken
from tests.streams import Event, following, listening
from tests.waiting import PATIENCE, until


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(app) as client:
        yield client


async def say(client: httpx.AsyncClient, conversation: UUID, *contents: str, **headers: str) -> None:
    messages = [utterance(conversation, content) for content in contents]
    answer = await client.post("/api/v1/voice/messages/batch", json={"messages": messages}, headers=headers)
    assert {result["status"] for result in answer.json()["results"]} == {201}


def said(events: list[Event]) -> list[tuple[str | None, str]]:
    return [(event.id, event.data["content"]) for event in events]


async def test_a_follower_hears_what_is_on_record_and_then_what_comes(
    client: httpx.AsyncClient, conversation: UUID
) -> None:
    await say(client, conversation, "one", "two")
    async with following(client, f"/conversations/{conversation}/live") as follower:
        assert follower.answer.headers["content-type"].startswith("text/event-stream")
        assert follower.answer.headers["cache-control"] == "no-store"
        assert said(await follower.take(2)) == [("1", "one"), ("2", "two")]
        await say(client, conversation, "three")
        event = await follower.next()
        assert "verbatim_followers 1.0" in (await client.get("/metrics")).text
    page = (await client.get(f"/api/v1/conversations/{conversation}/messages?order=recorded")).json()
    assert (event.kind, event.id, event.data) == ("message", "3", page["data"][2])


@pytest.mark.parametrize("resume", [{"after_sequence": 2}, {"headers": {"last-event-id": "2"}, "after_sequence": 0}])
async def test_a_follower_goes_on_where_it_left_off(
    client: httpx.AsyncClient, conversation: UUID, resume: dict[str, object]
) -> None:
    await say(client, conversation, "one", "two", "three")
    async with following(client, f"/conversations/{conversation}/live", **resume) as follower:  # type: ignore[arg-type]
        assert said([await follower.next()]) == [("3", "three")]


@pytest.mark.parametrize("place", ["-1", "x", "²", str(2**63), "", "1" * 5_000])
async def test_a_place_that_is_none_is_refused(service: httpx.AsyncClient, conversation: UUID, place: str) -> None:
    answer = await service.get(
        f"/api/v1/conversations/{conversation}/live", headers=[(b"last-event-id", place.encode())]
    )
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/header/last-event-id")


async def test_a_conversation_that_ends_says_so_when_all_has_been_heard(client: httpx.AsyncClient) -> None:
    phone = await begin(client)
    path = f"/conversations/{phone.conversation_id}/live"
    await say(client, phone.conversation_id, "one")
    async with following(client, path) as follower:
        await follower.next()
        await say(client, phone.conversation_id, "two")
        await phone.end()
        *heard, end = await follower.rest()
    assert said(heard) == [("2", "two")]
    state = (await client.get(f"/api/v1/conversations/{phone.conversation_id}")).json()
    assert (end.kind, end.data["reason"]) == ("end", "ended")
    assert datetime.fromisoformat(end.data["ended_at"]) == datetime.fromisoformat(state["ended_at"])
    assert end.id == "2"
    # What is said late is heard by a client that comes back, and the end again.
    await say(client, phone.conversation_id, "late")
    async with following(client, path, headers={"last-event-id": "2"}) as follower:
        late, again = await follower.rest()
    assert (late.id, again) == ("3", replace(end, id="3"))


async def test_a_client_that_comes_back_after_the_end_is_told_to_stop(client: httpx.AsyncClient) -> None:
    phone = await begin(client)
    path = f"/conversations/{phone.conversation_id}/live"
    await phone.end()
    async with following(client, path) as follower:
        [end] = await follower.rest()
    assert (end.kind, end.id) == ("end", "0")  # so that a browser, which has heard no message, names a place
    async with following(client, path, headers={"last-event-id": "0"}) as follower:
        assert (follower.answer.status_code, await follower.rest()) == (204, [])
    again = await begin(client, phone.conversation_id)
    async with following(client, path, headers={"last-event-id": "0"}) as follower:
        await say(client, phone.conversation_id, "one")
        await again.end()
        assert [event.kind for event in await follower.rest()] == ["message", "end"]


@pytest.mark.pooled
async def test_a_call_that_fell_silent_asks_its_followers_to_come_back_and_they_hear_the_rest(
    client: httpx.AsyncClient, connection: asyncpg.Connection, database: Database
) -> None:
    phone = await begin(client)
    path = f"/conversations/{phone.conversation_id}/live"
    await phone.send(*numbered([spoken("user", "one")]))
    async with following(client, path) as follower:
        await follower.next()
        await fall_silent(connection, database)
        [resume] = await follower.rest()
    assert (resume.kind, resume.data) == ("resume", {"reason": "abandoned"})
    async with following(client, path, headers={"last-event-id": "1"}) as follower:
        assert await follower.rest() == [resume]  # and not 204
    await phone.send(*numbered([spoken("user", "two")], first=2))
    async with following(client, path, headers={"last-event-id": "1"}) as follower:
        assert said([await follower.next()]) == [("2", "two")]
        await phone.end()
        assert [event.kind for event in await follower.rest()] == ["end"]


async def test_the_end_of_another_call_is_no_presumption(
    client: httpx.AsyncClient, connection: asyncpg.Connection, database: Database
) -> None:
    lost = await begin(client)
    await fall_silent(connection, database)
    await (await begin(client, lost.conversation_id)).end()
    async with following(client, f"/conversations/{lost.conversation_id}/live") as follower:
        assert [event.kind for event in await follower.rest()] == ["end"]


async def test_no_part_of_a_stream_is_an_event_without_data(
    client: httpx.AsyncClient, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "TICK", 0.01)
    monkeypatch.setattr(sse, "KEEPALIVE", 0.02)
    path = f"/api/v1/conversations/{conversation}/live"
    heard = b""
    async with client.stream("GET", path) as answer, asyncio.timeout(PATIENCE):
        async for piece in answer.aiter_bytes():
            heard += piece
            if heard.count(b": keep-alive") in {2, 5}:
                await say(client, conversation, "one")
            if heard.count(b"event: message") > 1 and heard.endswith(b"\n\n"):
                break
    assert heard.startswith(b"retry: 1000\n")
    *whole, rest = heard.split(b"\n\n")
    assert len(whole) >= 2
    assert all(b"\ndata: " in each for each in whole)
    assert rest == b""


async def test_what_is_said_ends_no_line_of_a_stream(client: httpx.AsyncClient, conversation: UUID) -> None:
    words = "one\u2028two\u2029three\x85four\nfive"
    await say(client, conversation, words)
    for path in (f"/conversations/{conversation}/live", "/messages/feed"):
        async with following(client, path) as follower:
            assert (await follower.next()).data["content"] == words
    lines = (await client.get(f"/api/v1/conversations/{conversation}/transcript?format=jsonl")).text.splitlines()
    assert [orjson.loads(line)["content"] for line in lines] == [words]


async def test_a_conversation_that_is_erased_ends(client: httpx.AsyncClient, conversation: UUID) -> None:
    async with following(client, f"/conversations/{conversation}/live") as follower:
        await say(client, conversation, "one")
        await follower.next()
        await client.delete(f"/api/v1/conversations/{conversation}")
        [end] = await follower.rest()
    assert (end.kind, end.data) == ("end", {"reason": "erased", "ended_at": None})


async def test_what_another_program_inserts_is_heard_a_little_later(
    client: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL", 0.05)
    async with following(client, f"/conversations/{conversation}/live") as follower:
        await say(client, conversation, "one")
        await follower.next()
        await connection.execute(
            "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', 'two')", conversation
        )
        assert said([await follower.next()]) == [("2", "two")]


@pytest.mark.pooled
async def test_a_fault_of_the_database_is_outlived(
    client: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL", 0.02)
    monkeypatch.setattr(live, "_AGAIN", 0.02)
    failed = asyncio.Event()

    def describe(error: BaseException) -> dict[str, str | None]:
        failed.set()
        return {"error": type(error).__name__}

    monkeypatch.setattr(live, "describe", describe)
    async with following(client, f"/conversations/{conversation}/live") as follower:
        await say(client, conversation, "one")
        await follower.next()
        await connection.execute("ALTER TABLE messages RENAME TO elsewhere")
        await connection.execute(
            "CREATE VIEW messages AS SELECT * FROM elsewhere WHERE (SELECT 1 / count(*) WHERE false) = 1"
        )
        await connection.execute("UPDATE conversations SET updated_at = now(), last_sequence = 2")
        async with asyncio.timeout(PATIENCE):
            await failed.wait()
        await connection.execute("UPDATE conversations SET last_sequence = 1")
        await connection.execute("DROP VIEW messages")
        await connection.execute("ALTER TABLE elsewhere RENAME TO messages")
        await say(client, conversation, "two")
        assert said([await follower.next()]) == [("2", "two")]


@pytest.mark.parametrize(("bound", "most"), [("_KEPT", 7), ("_KEPT_SIZE", 2_000), ("_ALL_KEPT", 0)])
async def test_followers_far_apart_hear_the_same_and_nothing_twice(
    client: httpx.AsyncClient, conversation: UUID, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(live, bound, most)  # so that most read from the record
    contents = [f"{number}" for number in range(1, 331)]
    await say(client, conversation, *contents[:250])
    path = f"/conversations/{conversation}/live"

    async def follow(after: int) -> list[tuple[str | None, str]]:
        async with following(client, path, after_sequence=after) as follower:
            return said(await follower.take(330 - after, within=PATIENCE))

    followers = [asyncio.create_task(follow(after)) for after in (0, 0, 100, 249, 250, 250)]
    for content in contents[250:]:
        await say(client, conversation, content)
    for after, heard in zip((0, 0, 100, 249, 250, 250), await asyncio.gather(*followers), strict=True):
        assert heard == [(content, content) for content in contents[after:]]


async def test_another_process_is_heard_at_once(
    client: httpx.AsyncClient, database_url: str, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when it is looked for what no wake-up announced."""
    monkeypatch.setattr(live, "POLL", 3600.0)
    async with (
        listening(create_app(settings_for(database_url))) as elsewhere,
        following(client, f"/conversations/{conversation}/live") as follower,
    ):
        for number in range(1, 12):
            await say(elsewhere, conversation, f"{number}")
            await follower.next()


@pytest.mark.pooled
async def test_nothing_is_lost_when_the_listener_is_killed(
    client: httpx.AsyncClient, connection: asyncpg.Connection, database_url: str, conversation: UUID
) -> None:
    kill = """
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND query ~ 'pg_notify|LISTEN|^SELECT$' AND pid <> pg_backend_pid()
    """
    async with (
        listening(create_app(settings_for(database_url))) as elsewhere,
        following(client, f"/conversations/{conversation}/live") as follower,
    ):
        for number in range(1, 31):
            while number % 10 == 5 and not await connection.fetchval(kill):
                await asyncio.sleep(0.01)  # it has not come back from the last time yet
            await say(elsewhere, conversation, f"{number}")
        assert said(await follower.take(30)) == [(f"{number}", f"{number}") for number in range(1, 31)]


async def test_no_connection_to_the_database_is_held_while_anybody_waits(app: FastAPI, conversation: UUID) -> None:
    async with listening(app) as client, asyncio.TaskGroup() as tasks:
        ready = asyncio.Barrier(31)

        async def follow() -> None:
            async with following(client, f"/conversations/{conversation}/live") as follower:
                await ready.wait()
                await follower.next(within=PATIENCE)

        for _ in range(30):  # six times what the pool has
            tasks.create_task(follow())
        await ready.wait()
        pages = [client.get(f"/api/v1/conversations/{conversation}/messages") for _ in range(20)]
        assert {answer.status_code for answer in await asyncio.gather(*pages)} == {200}
        await say(client, conversation, "Good night.")


async def test_silence_is_broken_so_that_no_proxy_takes_it_for_death(
    client: httpx.AsyncClient, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "TICK", 0.01)
    monkeypatch.setattr(sse, "KEEPALIVE", 0.02)
    async with following(client, f"/conversations/{conversation}/live") as follower:
        silent = asyncio.create_task(follower.next())
        await until(lambda: follower.comments > 2)
        assert not silent.done()
        await say(client, conversation, "one")
        await silent


async def test_a_service_that_stops_asks_its_followers_to_come_back(database_url: str, conversation: UUID) -> None:
    with ExitStack() as service:
        address = service.enter_context(serving(database_url))
        async with (
            httpx.AsyncClient(base_url=address) as client,
            following(client, f"/conversations/{conversation}/live") as follower,
            following(client, "/messages/feed") as reader,
        ):
            waiting = asyncio.create_task(client.get("/api/v1/messages/feed?start=end&wait=30"))
            await say(client, conversation, "one")
            await follower.next()
            await reader.next()
            assert (await waiting).json()["data"][0]["content"] == "one"
            waiting = asyncio.create_task(client.get("/api/v1/messages/feed?start=end&wait=30"))
            stopping = asyncio.create_task(asyncio.to_thread(service.close))
            for each in (follower, reader):
                [event] = await each.rest()
                assert (event.kind, event.data) == ("resume", {"reason": "stopping"})
            assert (await waiting).json()["data"] == []
            async with asyncio.timeout(PATIENCE):
                await stopping


async def test_a_listener_who_takes_nothing_is_let_go_and_loses_nothing(
    client: httpx.AsyncClient, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "SEND_SECONDS", 0.1)
    for _ in range(3):
        await say(client, conversation, *["x" * 60_000] * 30)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect((client.base_url.host, client.base_url.port))
    reader, writer = await asyncio.open_connection(sock=deaf, limit=2**10)
    writer.write(f"GET /api/v1/conversations/{conversation}/live HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    assert b"200" in await reader.readline()
    await until(lambda: "live reader" not in {task.get_name() for task in asyncio.all_tasks()})
    writer.transport.abort()
    async with following(client, f"/conversations/{conversation}/live") as follower:
        assert [event.id for event in await follower.take(90)] == [str(number) for number in range(1, 91)]


@pytest.fixture
async def guarded(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(create_app(settings_for(database_url, auth_issuers=callers.issuers(tmp_path)))) as client:
        yield client


async def test_who_may_follow_is_asked_before_the_first_word(
    guarded: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    theirs = await open_conversation(connection)
    await connection.execute("UPDATE conversations SET user_id = 'minh'")
    statuses = []
    for headers in (callers.person("minh"), callers.person("lan"), {}):
        async with following(guarded, f"/conversations/{theirs}/live", headers=headers) as follower:
            statuses.append(follower.answer.status_code)
    assert statuses == [200, 404, 401]


async def test_a_token_that_expires_ends_what_it_opened(
    guarded: httpx.AsyncClient, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = await open_conversation(connection)
    await connection.execute("UPDATE conversations SET user_id = 'minh'")
    monkeypatch.setattr(live, "TICK", 0.05)
    # Clocks may differ by half a minute, so it is good for two seconds more.
    minh = callers.person("minh", exp=int(time.time()) - 28)
    async with following(guarded, f"/conversations/{mine}/live", headers=minh) as follower:
        event = await follower.next()
    assert (event.kind, event.data) == ("resume", {"reason": "token-invalid"})


async def test_a_clock_that_is_set_back_puts_no_check_off(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    wall, since_boot = time.time(), 1000.0
    clock = SimpleNamespace(time=lambda: wall, monotonic=lambda: since_boot)

    async def verify() -> Verified:
        return Verified(LOCAL, wall + 3600)

    async def check(caller: Principal) -> None:
        asked.append(caller)

    monkeypatch.setattr(sse, "time", clock)
    permit = sse.Permit(Request({"type": "http", "state": {"verify": verify}}), check)
    await permit.ask()
    assert await permit.refusal() is None
    assert len(asked) == 1
    wall -= 86_400
    since_boot += sse.RECHECK
    assert await permit.refusal() is None
    assert len(asked) == 2


@pytest.mark.pooled
async def test_a_conversation_that_goes_to_somebody_else_is_heard_no_longer(
    guarded: httpx.AsyncClient, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "RECHECK", 0)
    mine = await open_conversation(connection)
    await connection.execute("UPDATE conversations SET user_id = 'minh'")
    minh = callers.person("minh")
    async with following(guarded, f"/conversations/{mine}/live", headers=minh) as follower:
        await say(guarded, mine, "one", **minh)
        await follower.next()
        await connection.execute("UPDATE conversations SET user_id = 'lan'")
        await say(guarded, mine, "two", **callers.person("lan"))
        [event] = await follower.rest()
    assert (event.kind, event.data) == ("resume", {"reason": "conversation-not-found"})


@pytest.mark.pooled
async def test_a_service_token_that_is_revoked_hears_no_more(
    guarded: httpx.AsyncClient, database: Database, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticator, "SERVICE_CACHE_SECONDS", 0.1)
    conversation = await open_conversation(connection)
    reader = await callers.service(database, "reader", Scope.CONVERSATIONS_READ_ANY)
    async with (
        following(guarded, f"/conversations/{conversation}/live", headers=reader) as follower,
        following(guarded, "/messages/feed", headers=reader) as feeding,
    ):
        assert follower.answer.status_code == feeding.answer.status_code == 200
        await connection.execute("UPDATE service_tokens SET revoked_at = now()")
        for each in (follower, feeding):
            [event] = await each.rest()
            assert (event.kind, event.data) == ("resume", {"reason": "token-invalid"})


async def test_who_was_cut_off_before_the_end_hears_of_a_redaction_and_of_the_end_once(
    client: httpx.AsyncClient,
) -> None:
    phone = await begin(client)
    await phone.send(*numbered([spoken("user", "My card is 4111.")]))
    [message] = await phone.messages()
    path = f"/conversations/{phone.conversation_id}"
    redacted = await client.post(f"/api/v1{path}/messages/{message['id']}/redact", json={"reason": "x"})
    assert redacted.status_code == 200
    await phone.end()
    async with following(client, f"{path}/live", headers={"last-event-id": "1"}) as follower:
        told, end = await follower.rest()
    assert (told.kind, told.data["id"], end.kind) == ("redacted", message["id"], "end")
    assert end.id
    async with following(client, f"{path}/live", headers={"last-event-id": end.id}) as follower:
        assert (follower.answer.status_code, await follower.rest()) == (204, [])
