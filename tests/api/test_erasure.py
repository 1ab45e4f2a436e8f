"""Erased is for good: every word is gone, and what comes later for it is sent away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.vocabulary import Scope
from tests import callers
from tests.api.test_authorization import open_conversation
from tests.conftest import running, settings_for, utterance
from tests.waiting import PATIENCE

pytestmark = pytest.mark.pooled

CONVERSATIONS = "/api/v1/conversations"
MESSAGES = "/api/v1/voice/messages"
OWNER, OTHER = callers.person("minh"), callers.person("lan")


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_for(database_url, auth_issuers=callers.issuers(tmp_path))
    async with running(create_app(settings)) as client:
        yield client


@pytest.fixture
async def erased(client: httpx.AsyncClient, connection: asyncpg.Connection) -> UUID:
    """A conversation in which two things were said, and which is no more."""
    conversation = await open_conversation(connection)
    for _ in range(2):
        await client.post(MESSAGES, json=utterance(conversation), headers=OWNER)
    assert (await client.delete(f"{CONVERSATIONS}/{conversation}", headers=OWNER)).status_code == 204
    return conversation


async def test_what_a_phone_sends_late_is_gone_and_the_record_stays_erased(
    client: httpx.AsyncClient, connection: asyncpg.Connection, erased: UUID
) -> None:
    late = await client.post(MESSAGES, json=utterance(erased), headers=OWNER)
    assert (late.status_code, late.json()["type"]) == (410, "/problems/conversation-erased")

    alive = await open_conversation(connection)
    queue = {"messages": [utterance(erased), utterance(alive), utterance(uuid4())]}
    batch = await client.post(f"{MESSAGES}/batch", json=queue, headers=OWNER)
    assert [result["status"] for result in batch.json()["results"]] == [410, 201, 404]

    again = await client.post(CONVERSATIONS, json={"id": str(erased), "context_type": "voice"}, headers=OWNER)
    assert (again.status_code, again.json()["type"]) == (410, "/problems/conversation-erased")
    for path in ("", "/messages", "/transcript"):
        assert (await client.get(f"{CONVERSATIONS}/{erased}{path}", headers=OWNER)).status_code == 404
    assert (await client.delete(f"{CONVERSATIONS}/{erased}", headers=OWNER)).status_code == 404
    assert await connection.fetchval("SELECT count(*) FROM conversations WHERE id = $1", erased) == 0
    assert await connection.fetchval("SELECT count(*) FROM messages WHERE conversation_id = $1", erased) == 0


async def test_to_a_stranger_it_is_as_if_it_had_never_been(
    client: httpx.AsyncClient, database: Database, erased: UUID
) -> None:
    assert (await client.post(MESSAGES, json=utterance(erased), headers=OTHER)).status_code == 404
    taken = await client.post(CONVERSATIONS, json={"id": str(erased), "context_type": "voice"}, headers=OTHER)
    assert (taken.status_code, taken.json()["type"]) == (409, "/problems/conversation-id-reused")
    pipeline = await callers.service(database, "pipeline", Scope.MESSAGES_WRITE_ANY)
    assert (await client.post(MESSAGES, json=utterance(erased), headers=pipeline)).status_code == 410


async def test_what_is_left_says_that_and_when_and_how_much_but_neither_what_nor_whose(
    connection: asyncpg.Connection, erased: UUID
) -> None:
    [left] = await connection.fetch("SELECT * FROM erasures")
    assert {*left.keys()} == {"conversation_id", "owner_digest", "message_count", "erased_at"}
    assert (left["conversation_id"], left["message_count"], len(left["owner_digest"])) == (erased, 2, 32)
    for table in ("conversations", "messages", "erasures"):
        rows = await connection.fetchval(f"SELECT string_agg(t::text, ' ') FROM {table} AS t")
        assert "minh" not in (rows or "")
        assert "dentist" not in (rows or "")


async def test_a_conversation_that_nobody_owned_stays_erased_too(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    conversation = await open_conversation(connection, None)
    assert (await service.delete(f"{CONVERSATIONS}/{conversation}")).status_code == 204
    assert (await service.post(MESSAGES, json=utterance(conversation))).status_code == 410
    wanted = {"id": str(conversation), "context_type": "voice"}
    assert (await service.post(CONVERSATIONS, json=wanted)).status_code == 410


async def test_whoever_sends_while_it_is_erased_is_recorded_before_or_sent_away_after(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    conversation = await open_conversation(connection)
    path = f"{CONVERSATIONS}/{conversation}"
    wanted = {"id": str(conversation), "context_type": "voice"}
    told: list[int] = []
    begun = asyncio.Event()

    async def send() -> None:
        while not told or told[-1] == 201:
            answer = await client.post(MESSAGES, json=utterance(conversation), headers=OWNER)
            told.append(answer.status_code)
            if len(told) > 20:
                begun.set()
            if answer.status_code not in {201, 410}:
                raise AssertionError(answer.text)

    async def reopen() -> None:
        while (answer := await client.post(CONVERSATIONS, json=wanted, headers=OWNER)).status_code == 200:
            pass
        assert answer.status_code == 410

    senders = [asyncio.create_task(work) for work in (*(send() for _ in range(8)), reopen())]
    await asyncio.wait_for(begun.wait(), PATIENCE)
    assert (await client.delete(path, headers=OWNER)).status_code == 204
    await asyncio.wait_for(asyncio.gather(*senders), PATIENCE)
    assert await connection.fetchval("SELECT count(*) FROM messages") == 0
    assert await connection.fetchval("SELECT count(*) FROM conversations") == 0
    assert await connection.fetchval("SELECT message_count FROM erasures") == told.count(201)


async def test_a_host_may_make_it_again_and_it_may_be_erased_again(
    client: httpx.AsyncClient, connection: asyncpg.Connection, erased: UUID
) -> None:
    await connection.execute(
        "INSERT INTO conversations (id, user_id, context_type) VALUES ($1, 'lan', 'voice')", erased
    )
    assert (await client.post(MESSAGES, json=utterance(erased), headers=OTHER)).status_code == 201
    assert (await client.delete(f"{CONVERSATIONS}/{erased}", headers=OTHER)).status_code == 204
    assert (await client.post(MESSAGES, json=utterance(erased), headers=OTHER)).status_code == 410
    assert await connection.fetchval("SELECT message_count FROM erasures") == 1
