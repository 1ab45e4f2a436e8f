"""The service on a real Citus cluster; skipped unless ``VERBATIM_TEST_CITUS`` names a coordinator.

``VERBATIM_TEST_KILLS`` is how many times workers are killed.
"""

import asyncio
import os
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import asyncpg
import httpx
import pytest

from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.migrations import distribution
from backend.services import deliveries
from backend.services.redaction import MARK
from backend.services.retention import Run, erase_some
from backend.vocabulary import ContextType
from tests.cluster.conftest import SHARDS, worker_of
from tests.cluster.workers import Worker, workers_of
from tests.cluster.writers import writing
from tests.conftest import running, serving, settings_for, utterance
from tests.phones import begin

A: Final = "/api/v1"
UNLIMITED: Final = {f"VERBATIM_RATE_LIMIT_{name}": "1000000/minute" for name in ("ADDRESS", "SUBJECT")}
EVENTS: Final[list[dict[str, Any]]] = [
    {"event": {"type": "Welcome", "request_id": "r1"}, "client_sequence": 1},
    {"event": {"type": "ConversationText", "role": "user", "content": "Hello"}, "client_sequence": 2},
    {"event": {"type": "AgentStartedSpeaking", "total_latency": 0.5}, "client_sequence": 3},
    {"event": {"type": "ConversationText", "role": "assistant", "content": "Hi"}, "client_sequence": 4},
    {"event": {"type": "Error", "description": "the model failed", "code": "X"}},
    {"event": {"type": "ConversationText", "role": "user", "content": "Bye"}, "client_sequence": 6},
]
KILLS: Final = int(os.environ.get("VERBATIM_TEST_KILLS", "4"))
PLACES: Final = """
    SELECT groupid FROM pg_dist_placement
    WHERE shardid = get_shard_id_for_distribution_column('conversations', $1::uuid)
"""
MOVABLE: Final = """
    SELECT DISTINCT ON (s.shardid) s.shardid, s.nodename, s.nodeport, other.nodename, other.nodeport
    FROM citus_shards AS s JOIN pg_dist_node AS other ON other.shouldhaveshards AND other.nodeport <> s.nodeport
    WHERE s.table_name = 'conversations'::regclass ORDER BY 1
"""


@pytest.mark.parametrize("place", ["coordinator", "worker"])
async def test_everything_is_asked_and_answered_through_any_node(
    distributed: str, sql: asyncpg.Connection, place: str
) -> None:
    url = distributed if place == "coordinator" else await worker_of(sql, distributed)
    settings = settings_for(url, search=False, retention={"voice": "1d"}, **ORCHESTRATOR)
    async with running(create_app(settings)) as client:
        await _post(client, sql)
        phone = await begin(client)
        assert [each["status"] for each in await phone.send(*EVENTS)] == [201] * 6
        assert [each["status"] for each in await phone.send(*EVENTS)] == [200] * 4 + [201, 200]
        assert (await phone.state())["message_count"] == 3
        assert (await phone.receipt())["missing"] == [[5, 5]]
        await phone.end(last_client_sequence=6)
        await _read(client, str(phone.conversation_id))
        await _decide(client, str(phone.conversation_id), url)
        await _govern(client, str(phone.conversation_id))
        assert (await client.delete(f"{A}/conversations/{phone.conversation_id}")).status_code == 204
        for table in ("deliveries", "voice_session_ids", "voice_events", "messages"):
            left = f"SELECT count(*) FROM {table} WHERE conversation_id = $1"
            assert await sql.fetchval(left, phone.conversation_id) == 0
        run = Run()
        database = Database(url)
        await erase_some(database, {ContextType.VOICE: timedelta()}, run, 0)
        await database.close()
        assert run.outcomes == {"erased": 12}


ORCHESTRATOR: Final[dict[str, Any]] = {
    "orchestrator_url": "http://127.0.0.1:9/hook",
    "orchestrator_private": True,
    "orchestrator_secrets": ["whsec_" + "A" * 32],
    "deliver": False,
}


async def _post(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    """Record messages of several conversations, one by one, in a batch, again, and by another program."""
    opened = [(await client.post(f"{A}/conversations", json={"context_type": "voice"})).json()["id"] for _ in range(12)]
    batch = {"messages": [utterance(conversation) for conversation in opened for _ in range(5)]}
    for status in (201, 200):
        answer = await client.post(f"{A}/voice/messages/batch", json=batch)
        assert {each["status"] for each in answer.json()["results"]} == {status}
    assert (await client.post(f"{A}/voice/messages", json=utterance(uuid4()))).status_code == 404
    changed = batch["messages"][0] | {"content": "other"}
    assert (await client.post(f"{A}/voice/messages", json=changed)).status_code == 409
    await sql.execute(
        "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', 'by another program')", opened[0]
    )
    places = await sql.fetch("SELECT sequence FROM messages WHERE conversation_id = $1 ORDER BY 1", opened[0])
    assert [row[0] for row in places] == [1, 2, 3, 4, 5, 6]
    heard = (await client.get(f"{A}/messages/feed", params={"limit": 500})).json()
    assert len({each["id"] for each in heard["data"]}) == len(heard["data"]) >= 61


async def _read(client: httpx.AsyncClient, conversation: str) -> None:
    of_it = f"/conversations/{conversation}"
    for path in (
        "/conversations?include=summary",
        "/conversations?ended=true&limit=2",
        of_it,
        f"{of_it}?include=summary",
        f"{of_it}/messages",
        f"{of_it}/messages?order=recorded&role=user",
        f"{of_it}/timeline",
        *(f"{of_it}/transcript?format={each}" for each in ("json", "jsonl", "text", "vtt", "openai", "deepgram")),
        "/stats",
        "/stats?source=deepgram&context_type=voice",
        "/service",
        "/messages/feed?start=end",
    ):
        answer = await client.get(A + path)
        assert answer.status_code == 200, (path, answer.text)
    said = (await client.get(f"{A}{of_it}/transcript")).json()["messages"]
    assert [each["content"] for each in said] == ["Hello", "Hi", "Bye"]
    ready = (await client.get("/readyz?verbose")).json()
    assert [each["survives"] for each in ready["nodes"]] == ["a crash of the database's server"] * 3


async def _decide(client: httpx.AsyncClient, conversation: str, url: str) -> None:
    intent = f"{A}/conversations/{conversation}/intent"
    for number in range(3):
        wanted = {"intent": "GOAL", "payload": {"number": number}}
        assert (await client.put(intent, json=wanted, headers={"if-match": "*"} if number else {})).status_code == 200
    queued = (await client.get(f"{A}/deliveries", params={"conversation_id": conversation})).json()["data"]
    assert len(queued) == 3
    assert (await client.post(f"{A}/deliveries/{queued[0]['id']}/retry")).status_code == 200
    pending = (await client.get(f"{A}/deliveries", params={"state": "pending", "limit": 500})).json()["data"]
    assert {each["id"] for each in queued} <= {each["id"] for each in pending}
    assert (await client.post(f"{A}/deliveries/retry")).status_code == 200
    database = Database(url)
    claimed = await deliveries.claim(database, 100, timedelta(seconds=1))
    await database.close()
    assert queued[-1]["id"] in {str(each.id) for each in claimed}


async def _govern(client: httpx.AsyncClient, conversation: str) -> None:
    of_it = f"{A}/conversations/{conversation}"
    first = await client.get(f"{of_it}/messages")
    message = first.json()["data"][0]["id"]
    redact, why = f"{of_it}/messages/{message}/redact", {"reason": "Case"}
    assert (await client.put(f"{of_it}/hold", json=why)).status_code == 200
    assert (await client.post(redact, json=why)).status_code == 409
    assert (await client.delete(of_it)).status_code == 409
    [held] = (await client.get(f"{A}/holds", params={"active": True})).json()["data"]
    assert held["conversation_id"] == conversation
    assert (await client.get(f"{A}/retention")).json()["complete"]
    assert (await client.delete(f"{of_it}/hold")).status_code == 204
    for _ in range(2):
        assert (await client.post(redact, json=why)).json()["content"] == MARK
    again = await client.get(f"{of_it}/messages", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.json()["data"][0]["content"]) == (200, MARK)
    async with asyncio.timeout(30), client.stream("GET", f"{of_it}/live", params={"after_sequence": 3}) as live:
        heard = [line async for line in live.aiter_lines()]
    assert any(MARK in line for line in heard)
    told = (await client.get(f"{A}/audit", params={"conversation_id": conversation})).json()["data"]
    assert [each["action"] for each in told] == ["message.redacted", "conversation.released", "conversation.held"]


async def test_workers_are_killed_under_writers(distributed: str, sql: asyncpg.Connection) -> None:
    workers = await workers_of(sql, distributed)
    with serving(distributed, VERBATIM_SEARCH="false", **UNLIMITED) as address:
        async with writing(address) as load:
            for number in range(KILLS):
                await load.acknowledges(50)
                worker = workers[number % len(workers)]
                worker.kill()
                await load.is_refused()
                await worker.start()
            await load.acknowledges(100)
        assert load.refused.keys() <= {503}
        await load.check(sql)


async def test_a_worker_that_is_away_stops_its_own_conversations_only(
    distributed: str, sql: asyncpg.Connection
) -> None:
    away, *_ = await workers_of(sql, distributed)
    async with running(create_app(settings_for(distributed, search=False))) as client:
        opened = [
            (await client.post(f"{A}/conversations", json={"context_type": "voice"})).json()["id"] for _ in range(12)
        ]
        places = {each: await sql.fetchval(PLACES, each) for each in opened}
        assert len({*places.values()}) > 1
        away.kill()
        answers = {each: await client.post(f"{A}/voice/messages", json=utterance(each)) for each in opened}
        assert {key: each.status_code for key, each in answers.items()} == expected(places, away)
        near = next(each for each, group in places.items() if group != away.group)
        held = await client.put(f"{A}/conversations/{near}/hold", json={"reason": "Case"})
        assert held.status_code == 503  # every node has a copy of the holds
        batch = await client.post(f"{A}/voice/messages/batch", json={"messages": [utterance(each) for each in opened]})
        assert [each["status"] for each in batch.json()["results"]] == [*expected(places, away).values()]
        await away.start()
        for each in opened:
            while (answer := await client.post(f"{A}/voice/messages", json=utterance(each))).status_code == 503:
                await asyncio.sleep(0.1)
            assert answer.status_code == 201


def expected(places: dict[str, int], away: Worker) -> dict[str, int]:
    return {key: 503 if group == away.group else 201 for key, group in places.items()}


async def test_parts_move_to_another_node_under_writers(distributed: str, sql: asyncpg.Connection) -> None:
    with serving(distributed, VERBATIM_SEARCH="false", **UNLIMITED) as address:
        async with writing(address) as load:
            await load.acknowledges(100)
            for part in await sql.fetch(MOVABLE):
                await sql.execute(
                    "SELECT citus_move_shard_placement($1, $2, $3, $4, $5, shard_transfer_mode := 'force_logical')",
                    *part,
                )
            await load.acknowledges(100)
        assert not load.refused
        await load.check(sql)


async def test_a_record_is_distributed_under_writers(emptied: str, sql: asyncpg.Connection) -> None:
    with serving(emptied, VERBATIM_SEARCH="false", **UNLIMITED) as address:
        async with writing(address) as load:
            await load.acknowledges(200)
            await asyncio.to_thread(distribution.distribute, emptied, SHARDS, lambda _step: None)
            await load.acknowledges(200)
        assert load.refused.keys() <= {503}
        await load.check(sql)
