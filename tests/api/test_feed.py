"""The feed: every message of every conversation, each once, whoever commits when."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from backend.app import create_app
from backend.dao_service import portions
from backend.dao_service.connection.database import Database
from backend.vocabulary import Scope
from tests import callers
from tests.conftest import connect, open_conversation, running, settings_for, utterance
from tests.streams import following, listening
from tests.waiting import PATIENCE, until_found

pytestmark = pytest.mark.pooled

EVERYTHING = 8 * 60 + 8 * 25
FEED = "/api/v1/messages/feed"
PLAIN = "INSERT INTO messages (id, conversation_id, role, content) VALUES ($1, $2, 'user', 'hello')"


async def read(client: httpx.AsyncClient, cursor: str | None = None, **query: Any) -> dict[str, Any]:
    answer = await client.get(FEED, params=query | ({"cursor": cursor} if cursor else {}))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def say(client: httpx.AsyncClient, conversation: UUID, content: str = "hello") -> dict[str, Any]:
    answer = await client.post("/api/v1/voice/messages", json=utterance(conversation, content))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_it_holds_every_message_of_every_conversation_once(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    conversations = [await open_conversation(connection) for _ in range(3)]
    recorded = [await say(service, conversations[number % 3]) for number in range(7)]
    found, cursor = [], None
    for size in (3, 3, 1):
        page = await read(service, cursor, limit=3)
        assert (len(page["data"]), page["has_more"]) == (size, size == 3)
        found += page["data"]
        cursor = page["next_cursor"]
    assert found == recorded
    assert (await read(service, cursor))["data"] == []
    late = await say(service, conversations[0])
    assert (await read(service, cursor))["data"] == [late]


async def test_whoever_waits_hears_at_once(service: httpx.AsyncClient, conversation: UUID) -> None:
    await say(service, conversation)
    end = (await read(service, start="end"))["next_cursor"]
    assert (await read(service, end, wait=0.01))["data"] == []
    waiting = asyncio.create_task(read(service, end, wait=30))
    await asyncio.sleep(0)
    message = await say(service, conversation)
    async with asyncio.timeout(PATIENCE):
        assert (await waiting)["data"] == [message]


async def test_what_commits_late_is_waited_for(
    service: httpx.AsyncClient, connection: asyncpg.Connection, database_url: str
) -> None:
    early, late = await open_conversation(connection), await open_conversation(connection)
    other = await connect(database_url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(PLAIN, uuid4(), late)  # it has drawn its place, and is not to be seen yet
    await say(service, early)
    before = await read(service)
    assert before["data"] == []
    await transaction.commit()
    await other.close()
    page = await read(service, before["next_cursor"])
    assert [message["conversation_id"] for message in page["data"]] == [str(late), str(early)]


async def test_who_takes_it_back_holds_nobody_up(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    async with connection.transaction():
        # A savepoint that is taken back takes the word back that was left in it; the next statement leaves it anew.
        savepoint = connection.transaction()
        await savepoint.start()
        await connection.execute(PLAIN, uuid4(), conversation)
        await savepoint.rollback()
        await connection.execute(PLAIN, uuid4(), conversation)
        await connection.execute(PLAIN, uuid4(), conversation)
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        assert await connection.fetchval(held) == 1  # however many statements follow
    message = await say(service, conversation)
    page = await read(service)
    assert [each["sequence"] for each in page["data"]] == [1, 2, 3]
    assert page["data"][-1] == message


async def test_each_conversation_comes_in_the_order_of_its_sequence_whoever_writes(
    service: httpx.AsyncClient, connection: asyncpg.Connection, database_url: str, conversation: UUID
) -> None:
    other = await connect(database_url)
    async with connection.transaction():
        await connection.execute("SELECT FROM conversations FOR NO KEY UPDATE")
        # It has drawn a place for its row before it waits for its turn in the conversation.
        waiting = asyncio.create_task(other.execute(PLAIN, uuid4(), conversation))
        await until_found(connection, "SELECT count(*) FROM pg_locks WHERE NOT granted")
        await connection.execute(PLAIN, uuid4(), conversation)
    await waiting
    await other.close()
    assert [message["sequence"] for message in (await read(service))["data"]] == [1, 2]


async def test_messages_from_before_there_was_a_feed_come_first(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    old = [await open_conversation(connection) for _ in range(2)]
    await connection.execute("ALTER TABLE messages DISABLE TRIGGER verbatim_take_position")
    for number in range(6):
        await connection.execute(PLAIN, uuid4(), old[number % 2])
    await connection.execute("ALTER TABLE messages ENABLE TRIGGER verbatim_take_position")
    new = [await say(service, old[0]) for _ in range(3)]
    found, cursor = [], None
    for _ in range(5):
        page = await read(service, cursor, limit=2)
        found += page["data"]
        cursor = page["next_cursor"]
    places = [(message["conversation_id"], message["sequence"]) for message in found]
    assert places[:6] == [(str(conversation), place) for conversation in sorted(old) for place in (1, 2, 3)]
    assert found[6:] == new


async def test_nothing_is_missed_or_doubled_under_many_writers_across_restarts_of_the_reader(
    app: FastAPI, connection: asyncpg.Connection, database_url: str
) -> None:
    conversations = [await open_conversation(connection) for _ in range(8)]
    acknowledged: list[str] = []
    chance = random.Random(7)

    async def post(client: httpx.AsyncClient) -> None:
        for _ in range(60):
            body = utterance(chance.choice(conversations))
            # The strangers may hold a conversation for longer than the service waits: then it is sent again.
            while (answer := await client.post("/api/v1/voice/messages", json=body)).status_code == 503:
                assert answer.headers["retry-after"]
            assert answer.status_code == 201, answer.text
            acknowledged.append(body["id"])

    async def dawdle() -> None:
        stranger = await connect(database_url)
        for _ in range(25):
            identity = uuid4()
            async with stranger.transaction():
                await stranger.execute(PLAIN, identity, chance.choice(conversations))
                await stranger.execute("SELECT pg_sleep(0.02)")
            acknowledged.append(str(identity))
        await stranger.close()

    async with listening(app) as client:
        writing = asyncio.gather(*(post(client) for _ in range(8)), *(dawdle() for _ in range(8)))
        pages = asyncio.create_task(_by_pages(client, writing, chance))
        streamed = asyncio.create_task(_by_stream(client, chance))
        await writing
        assert len(acknowledged) == EVERYTHING
        for found in (await pages, await streamed):
            assert Counter(message["id"] for message in found) == Counter(acknowledged)
            for conversation in conversations:
                mine = [each["sequence"] for each in found if each["conversation_id"] == str(conversation)]
                assert mine == list(range(1, len(mine) + 1))


async def _by_pages(
    client: httpx.AsyncClient, writing: "asyncio.Future[Any]", chance: random.Random
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        done = writing.done()
        page = await read(client, cursor, limit=chance.choice([1, 7, 500]), wait=0.05)
        found += page["data"]
        cursor = page["next_cursor"]
        if done and not page["data"]:
            return found


async def _by_stream(client: httpx.AsyncClient, chance: random.Random) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    headers: dict[str, str] = {}
    while len(found) < EVERYTHING:
        async with following(client, "/messages/feed", headers=headers) as reader:
            for _ in range(min(chance.randint(1, 200), EVERYTHING - len(found))):
                event = await reader.next(within=PATIENCE)
                found.append(event.data)
                headers = {"last-event-id": str(event.id)}
    return found


@pytest.fixture
async def guarded(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(settings_for(database_url, auth_issuers=callers.issuers(tmp_path)))) as client:
        yield client


async def test_only_a_service_that_may_read_everybodys_reads_it(guarded: httpx.AsyncClient, database: Database) -> None:
    everywhere = await callers.service(database, "everywhere", Scope.CONVERSATIONS_READ_ANY)
    nowhere = await callers.service(database, "nowhere", Scope.CONVERSATIONS_READ)
    for accept in ("application/json", "text/event-stream"):
        for headers in (callers.person("minh"), nowhere):
            refused = await guarded.get(FEED, headers={**headers, "accept": accept})
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/scope-missing")
            assert 'scope="conversations:read:any"' in refused.headers["www-authenticate"]
    assert (await guarded.get(FEED, headers=everywhere)).status_code == 200


@pytest.mark.parametrize("cursor", ["x", "WyJmZWVkIl0", "WyJmZWVkIiwtMV0", "WyJmZWVkIiwieCIsMV0", "W10"])
async def test_a_cursor_of_another_list_is_refused(shared_service: httpx.AsyncClient, cursor: str) -> None:
    for accept in ("application/json", "text/event-stream"):
        answer = await shared_service.get(FEED, params={"cursor": cursor}, headers={"accept": accept})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/cursor")


async def test_a_long_message_that_is_erased_while_it_is_read_hides_no_later_one(
    service: httpx.AsyncClient, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    erased, other = await open_conversation(connection), await open_conversation(connection)
    cursor = (await read(service, start="end"))["next_cursor"]
    await say(service, erased, "x" * 2**20)
    later = await say(service, other, "later " + "y" * 2_000)
    fitted = portions.fitted

    async def erasing(*arguments: Any) -> Any:
        await connection.execute("DELETE FROM conversations WHERE id = $1", erased)
        return await fitted(*arguments)

    monkeypatch.setattr(portions, "fitted", erasing)
    found = []
    for _ in range(3):
        page = await read(service, cursor)
        found += page["data"]
        cursor = page["next_cursor"]
    assert [each["id"] for each in found] == [later["id"]]
