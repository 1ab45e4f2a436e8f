"""The orchestrator hears of every end, erasure and redaction that it wants to hear of, as it hears of intents."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest

from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.services.retention import Run, erase_some
from backend.services.session_timeout import end_abandoned
from backend.vocabulary import Announcement, ContextType
from tests.conftest import open_conversation, running, settings_for
from tests.deepgram.examples import EXAMPLES
from tests.description import assert_described
from tests.orchestrator_stand_in import OrchestratorStandIn, orchestrator, settings
from tests.phones import CONVERSATIONS, begin, numbered, said

SCHEMAS = {
    "intent.extracted": "IntentExtracted",
    "conversation.ended": "ConversationEndedEvent",
    "conversation.erased": "ConversationErasedEvent",
    "message.redacted": "MessageRedactedEvent",
}
ALL = tuple(Announcement)


@pytest.fixture
async def listener() -> AsyncIterator[OrchestratorStandIn]:
    async with orchestrator() as listener:
        yield listener


@pytest.fixture
async def client(database_url: str, listener: OrchestratorStandIn) -> AsyncIterator[httpx.AsyncClient]:
    told = settings(listener.url, orchestrator_events=ALL)
    async with running(create_app(settings_for(database_url, **told))) as client:
        yield client


async def heard(listener: OrchestratorStandIn, count: int) -> list[dict[str, Any]]:
    """Wait until so many deliveries were told, and return what they say, each once."""
    await listener.until(lambda: len(listener.times) >= count)
    events = {told.id: orjson.loads(told.body) for told in listener.told}
    for told in listener.told:
        told.verify()
        event = orjson.loads(told.body)
        assert_described(SCHEMAS[event["type"]], event)
    return list(events.values())


async def test_a_call_is_told_from_its_intent_to_its_erasure_in_order(
    client: httpx.AsyncClient, listener: OrchestratorStandIn
) -> None:
    phone = await begin(client)
    await phone.send(*numbered([said("user", "My card is 4111."), EXAMPLES["UserStartedSpeaking"]]))
    place = f"{CONVERSATIONS}/{phone.conversation_id}"
    await client.put(f"{place}/intent", json={"intent": "GOAL", "payload": {}})
    why = "The caller said 4111."
    receipt = await phone.end(reason=why, last_client_sequence=3)
    assert await phone.end(reason=why, last_client_sequence=3) == receipt
    [message] = await phone.messages()
    redaction = {"reason": "Card", "ranges": [[11, 15]]}
    for _ in range(2):
        await client.post(f"{place}/messages/{message['id']}/redact", json=redaction)
    await heard(listener, 3)
    await client.delete(place)
    intent, ended, redacted, erased = await heard(listener, 4)
    kinds = [each["type"] for each in (intent, ended, redacted, erased)]
    assert kinds == ["intent.extracted", "conversation.ended", "message.redacted", "conversation.erased"]
    assert ended["data"]["receipt"] == receipt
    assert (ended["data"]["end_reason"], ended["data"]["message_count"]) == (None, 1)
    assert (redacted["data"]["message_id"], redacted["data"]["sequence"]) == (message["id"], 1)
    assert erased["data"]["message_count"] == 1
    assert {each["data"]["conversation_id"] for each in (ended, redacted, erased)} == {str(phone.conversation_id)}
    assert "4111" not in str([ended, redacted, erased])
    assert len(listener.times) == 4


async def test_an_end_without_a_session_and_a_presumed_one_are_told(
    client: httpx.AsyncClient, database: Database, connection: asyncpg.Connection, listener: OrchestratorStandIn
) -> None:
    conversation = await open_conversation(connection)
    for _ in range(2):
        assert (await client.post(f"{CONVERSATIONS}/{conversation}/end", json={})).status_code == 200
    [ended] = await heard(listener, 1)
    assert (ended["data"]["receipt"], ended["data"]["voice_session_id"]) == (None, None)

    phone = await begin(client)
    await phone.send(*numbered([said("user", "Hello.")]))
    await connection.execute("UPDATE voice_sessions SET seen_at = seen_at - interval '2 hours'")
    await connection.execute("UPDATE messages SET created_at = created_at - interval '2 hours'")
    database.subscription = settings_for("", **settings(listener.url, orchestrator_events=ALL)).subscription
    await end_abandoned(database, timedelta(hours=1))
    [_, presumed] = await heard(listener, 2)
    assert (presumed["data"]["end_reason"], presumed["data"]["receipt"]["complete"]) == ("abandoned", False)
    await phone.end(reason="hangup", last_client_sequence=1)
    [*_, final] = await heard(listener, 3)
    assert (final["data"]["end_reason"], final["data"]["receipt"]["complete"]) == (None, True)


async def test_while_another_session_is_open_no_end_is_told(
    client: httpx.AsyncClient, connection: asyncpg.Connection, listener: OrchestratorStandIn
) -> None:
    first = await begin(client)
    second = await begin(client, first.conversation_id)
    await first.end(reason="hangup")
    await second.end(reason="hangup")
    [ended] = await heard(listener, 1)
    assert ended["data"]["voice_session_id"] == second.session_id
    assert await connection.fetchval("SELECT count(*) FROM deliveries") == 1


async def test_what_is_not_wanted_is_not_told(database_url: str, connection: asyncpg.Connection) -> None:
    told = settings("http://127.0.0.1:9/hook", deliver=False, orchestrator_events=["conversation.erased"])
    async with running(create_app(settings_for(database_url, **told))) as client:
        conversation = await open_conversation(connection)
        await client.post(f"{CONVERSATIONS}/{conversation}/end", json={})
        await client.delete(f"{CONVERSATIONS}/{conversation}")
    assert await connection.fetchval("SELECT array_agg(type) FROM deliveries") == ["conversation.erased"]


async def test_fact_and_delivery_are_in_one_commit_or_in_none(
    client: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute("ALTER TABLE deliveries ADD CHECK (type <> 'conversation.erased')")
    assert (await client.delete(f"{CONVERSATIONS}/{conversation}")).status_code == 500
    assert await connection.fetchval("SELECT count(*) FROM conversations") == 1
    assert await connection.fetchval("SELECT count(*) FROM erasures") == 0


async def test_the_retention_tells_it_too(database: Database, connection: asyncpg.Connection) -> None:
    told = settings("http://127.0.0.1:9/hook", orchestrator_events=ALL)
    database.subscription = settings_for("", **told).subscription
    conversation = await open_conversation(connection)
    await connection.execute("UPDATE conversations SET created_at = now() - interval '9 days'")
    await erase_some(database, {ContextType.VOICE: timedelta(days=8)}, Run(), 0)
    [row] = await connection.fetch("SELECT type, conversation_id, state FROM deliveries")
    assert tuple(row) == ("conversation.erased", conversation, "pending")


async def test_an_erasure_removes_what_holds_an_intent_and_nothing_else(
    client: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID, listener: OrchestratorStandIn
) -> None:
    wait = asyncio.Event()
    listener.behaviours = iter([wait])
    place = f"{CONVERSATIONS}/{conversation}"
    await client.put(f"{place}/intent", json={"intent": "GOAL", "payload": {"title": "Call the dentist"}})
    await client.post(f"{place}/end", json={})
    await client.delete(place)
    rows = await connection.fetch("SELECT type FROM deliveries ORDER BY number")
    assert [row["type"] for row in rows] == ["conversation.ended", "conversation.erased"]
    wait.set()
    events = await heard(listener, 3)
    assert [event["type"] for event in events] == ["intent.extracted", "conversation.ended", "conversation.erased"]


async def test_a_host_that_deletes_a_conversation_leaves_no_intent_behind(
    client: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await client.put(f"{CONVERSATIONS}/{conversation}/intent", json={"intent": "GOAL", "payload": {}})
    await connection.execute("DELETE FROM conversations WHERE id = $1", conversation)
    assert await connection.fetchval("SELECT count(*) FROM deliveries") == 0
