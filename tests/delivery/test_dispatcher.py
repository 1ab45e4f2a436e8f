"""Every intent arrives at least once, under one webhook-id, whatever the orchestrator and we ourselves do."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.delivery import OrchestratorEndpoint
from backend.delivery.endpoint import webhook_secret
from backend.delivery.schedule import LONGEST, SCHEDULE, wait_after
from backend.services import deliveries
from backend.services.outbox import Outbox
from backend.vocabulary import DeliveryState
from tests.conftest import open_conversation, running, settings_for
from tests.delivery.conftest import dispatching
from tests.orchestrator_stand_in import NEXT_SECRET, SECRET, OrchestratorStandIn, Told, settings
from tests.waiting import PATIENCE, until_found

SOON = [timedelta(milliseconds=20)] * 9
TABLE = "SELECT * FROM deliveries ORDER BY number"


@pytest.fixture
async def client(database_url: str, listener: OrchestratorStandIn) -> AsyncIterator[httpx.AsyncClient]:
    """A service that queues, and leaves it to the test to carry."""
    async with running(create_app(settings_for(database_url, **settings(listener.url, deliver=False)))) as client:
        yield client


async def put(client: httpx.AsyncClient, conversation: UUID, number: int = 0, **headers: str) -> str:
    wanted = {"intent": "GOAL", "payload": {"number": number}}
    answer = await client.put(f"/api/v1/conversations/{conversation}/intent", json=wanted, headers=headers)
    assert answer.status_code == 200, answer.text
    return f"msg_{UUID(answer.json()['delivery_id']).hex}"


def carrying(
    database: Database, url: str, *, patience: float = 5, secrets: tuple[str, ...] = (SECRET,)
) -> AbstractAsyncContextManager[Outbox]:
    """Run a dispatcher that waits only moments between attempts."""
    return dispatching(
        database, OrchestratorEndpoint(url, tuple(map(SecretStr, secrets)), patience, private=True), SOON
    )


async def until(connection: asyncpg.Connection, condition: str, count: int = 1) -> list[asyncpg.Record]:
    """Return the deliveries, as soon as ``condition`` holds of ``count`` of them."""
    await until_found(connection, f"SELECT count(*) >= {count} FROM deliveries WHERE {condition}")
    return list(await connection.fetch(TABLE))


async def test_an_intent_is_told_at_once_signed_and_only_once(
    database_url: str, listener: OrchestratorStandIn, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute("UPDATE conversations SET user_id = 'minh', voice_session_id = 'vs_1'")
    async with running(create_app(settings_for(database_url, **settings(listener.url)))) as client:
        identity = await put(client, conversation, 7)
        await listener.until(lambda: listener.told)
        [row] = await until(connection, "state = 'delivered'")
        answer = (await client.get("/api/v1/deliveries")).json()["data"][0]
    [told] = listener.told
    told.verify()
    assert told.id == identity
    assert told.headers["content-type"] == "application/json"
    assert told.event["type"] == "intent.extracted"
    assert told.event["data"] == {
        "conversation_id": str(conversation),
        "user_id": "minh",
        "voice_session_id": "vs_1",
        "intent": "GOAL",
        "payload": {"number": 7},
        "version": row["version"],
        "replaces": None,
    }
    assert (row["attempts"], row["last_status"], row["last_error"], row["leased_until"]) == (1, 204, None, None)
    assert (answer["state"], answer["attempts"], answer["last_status"]) == ("delivered", 1, 204)


@pytest.mark.parametrize(
    ("behaviour", "status", "error"),
    [
        (500, 500, "The orchestrator answered 500."),
        (404, 404, "The orchestrator answered 404."),
        ((302, {"location": "/elsewhere"}), 302, "The orchestrator answered 302."),
        ((307, {"location": "/elsewhere"}), 307, "The orchestrator answered 307."),
        ("cut", None, "The connection to the orchestrator broke before it answered."),
        ("hang", None, "The orchestrator did not answer within 0.3 s."),
    ],
)
async def test_what_fails_is_told_again_with_the_same_name_and_words(
    *,
    client: httpx.AsyncClient,
    database: Database,
    listener: OrchestratorStandIn,
    connection: asyncpg.Connection,
    conversation: UUID,
    behaviour: Any,
    status: int | None,
    error: str,
) -> None:
    listener.behaviours = iter([behaviour, behaviour])
    identity = await put(client, conversation)
    async with carrying(database, listener.url, patience=0.3):
        # Seen between the attempts: what went wrong, and that there will be another.
        [waiting] = await until(connection, "attempts >= 1 AND (last_error IS NOT NULL OR state = 'delivered')")
        if waiting["last_error"]:
            assert (waiting["state"], waiting["last_status"], waiting["last_error"]) == ("pending", status, error)
        [row] = await until(connection, "state = 'delivered'")
    assert (row["attempts"], row["last_status"], row["last_error"]) == (3, 204, None)
    assert {told.id for told in listener.told} == {identity}
    assert {told.body for told in listener.told} == {row["body"].encode()}
    assert len(listener.told) == 3
    for told in listener.told:
        told.verify()


async def test_an_answer_without_end_is_not_read(
    client: httpx.AsyncClient,
    database: Database,
    listener: OrchestratorStandIn,
    connection: asyncpg.Connection,
    conversation: UUID,
) -> None:
    listener.behaviours = iter(["endless"])
    await put(client, conversation)
    async with carrying(database, listener.url):
        [row] = await until(connection, "state = 'delivered'")
    assert (row["attempts"], row["last_status"]) == (1, 200)


async def test_nobody_there_is_no_connection(
    client: httpx.AsyncClient, database: Database, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await put(client, conversation)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/hook"
    async with carrying(database, url):
        [row] = await until(connection, "state = 'failed'")
    assert (row["attempts"], row["last_status"], row["last_error"]) == (
        10,
        None,
        "No connection to the orchestrator could be opened.",
    )


async def test_who_is_busy_is_left_alone_for_as_long_as_they_ask(
    client: httpx.AsyncClient,
    database: Database,
    listener: OrchestratorStandIn,
    connection: asyncpg.Connection,
    conversation: UUID,
) -> None:
    listener.behaviours = iter([(429, {"retry-after": "3600"})])
    await put(client, conversation)
    async with carrying(database, listener.url) as outbox:
        [row] = await until(connection, "last_status = 429")
        assert timedelta(minutes=59) < row["due_at"] - row["last_attempt_at"] < timedelta(minutes=61)
        await connection.execute("UPDATE deliveries SET due_at = now()")
        outbox.wake()
        await until(connection, "state = 'delivered'")


async def test_who_wants_no_more_gets_no_more_until_somebody_sends_anew(
    client: httpx.AsyncClient,
    database: Database,
    listener: OrchestratorStandIn,
    connection: asyncpg.Connection,
) -> None:
    conversations = [await open_conversation(connection) for _ in range(3)]
    listener.behaviours = iter([410])
    first = await put(client, conversations[0])
    async with carrying(database, listener.url) as outbox:
        await until(connection, "state = 'held'")
        await put(client, conversations[1])
        rows = await until(connection, "state = 'held'", 2)
        assert [row["attempts"] for row in rows] == [1, 0]
        answer = await client.post(f"/api/v1/deliveries/{rows[0]['id']}/retry")
        assert (answer.status_code, answer.json()["state"]) == (200, "pending")
        outbox.wake()
        await until(connection, "state = 'delivered'", 2)
        await put(client, conversations[2])
        outbox.wake()
        await until(connection, "state = 'delivered'", 3)
    assert listener.times[first] == 2
    assert sorted(listener.times.values()) == [1, 1, 2]


async def test_what_was_delivered_can_be_sent_anew_by_hand(
    client: httpx.AsyncClient,
    database: Database,
    listener: OrchestratorStandIn,
    connection: asyncpg.Connection,
    conversation: UUID,
) -> None:
    identity = await put(client, conversation)
    async with carrying(database, listener.url) as outbox:
        [row] = await until(connection, "state = 'delivered'")
        assert (await client.post(f"/api/v1/deliveries/{row['id']}/retry")).status_code == 200
        outbox.wake()
        [row] = await until(connection, "state = 'delivered' AND attempts = 2")
    assert listener.times == {identity: 2}


async def test_a_conversation_is_told_in_order_and_one_that_waits_holds_up_nobody_else(
    client: httpx.AsyncClient, database: Database, listener: OrchestratorStandIn, connection: asyncpg.Connection
) -> None:
    slow, other = [await open_conversation(connection) for _ in range(2)]
    first = await put(client, slow, 1)
    second = await put(client, slow, 2, **{"if-match": "*"})
    third = await put(client, other)
    listener.behaviours = iter([500])
    async with carrying(database, listener.url):
        rows = await until(connection, "state = 'delivered'", 3)
    order = [told.id for told in listener.told]
    assert [each for each in order if each != third] in ([first, first, second], [first, second])
    events = [told.event["data"] for told in listener.told if told.id == second]
    assert events[0]["replaces"] == rows[0]["version"]


@pytest.mark.parametrize("known", [SECRET, NEXT_SECRET])
async def test_while_secrets_change_either_is_enough(
    *,
    client: httpx.AsyncClient,
    database: Database,
    listener: OrchestratorStandIn,
    connection: asyncpg.Connection,
    conversation: UUID,
    known: str,
) -> None:
    await put(client, conversation)
    async with carrying(database, listener.url, secrets=(SECRET, NEXT_SECRET)):
        await until(connection, "state = 'delivered'")
    [told] = listener.told
    told.verify(known)
    with pytest.raises(WebhookVerificationError):
        Told(told.headers, told.body + b" ").verify(known)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(told.body, told.headers)


async def test_two_dispatchers_share_the_work_and_tell_nothing_twice(
    client: httpx.AsyncClient, database: Database, listener: OrchestratorStandIn, connection: asyncpg.Connection
) -> None:
    identities = {await put(client, await open_conversation(connection)) for _ in range(100)}
    async with carrying(database, listener.url), carrying(database, listener.url):
        rows = await until(connection, "state = 'delivered'", 100)
    assert listener.times == dict.fromkeys(identities, 1)
    assert {row["attempts"] for row in rows} == {1}


async def test_who_comes_late_with_a_lease_that_ran_out_changes_nothing(
    client: httpx.AsyncClient, database: Database, listener: OrchestratorStandIn, conversation: UUID
) -> None:
    await put(client, conversation)
    outbox = Outbox(listener.url)
    [late] = await deliveries.claim(database, 10, timedelta(0))
    [mine] = await deliveries.claim(database, 10, timedelta(minutes=1))
    assert (late.id, late.attempt, mine.attempt) == (mine.id, 1, 2)
    failed = deliveries.Outcome(DeliveryState.FAILED, 500, "The orchestrator answered 500.")
    assert not await deliveries.settle(database, outbox, late, failed)
    assert await deliveries.settle(database, outbox, mine, deliveries.Outcome(DeliveryState.DELIVERED, 204))
    assert not await deliveries.settle(database, outbox, mine, failed)
    assert await deliveries.claim(database, 10, timedelta(minutes=1)) == []


async def test_what_a_killed_dispatcher_had_in_hand_is_told_by_the_next(
    client: httpx.AsyncClient,
    database_url: str,
    listener: OrchestratorStandIn,
    connection: asyncpg.Connection,
    conversation: UUID,
) -> None:
    identity = await put(client, conversation)
    listener.behaviours = iter(["hang"])
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "VERBATIM_ORCHESTRATOR_URL": listener.url,
        "VERBATIM_ORCHESTRATOR_PRIVATE": "true",
        "VERBATIM_ORCHESTRATOR_SECRETS": orjson.dumps([SECRET]).decode(),
    }

    async def deliver() -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "backend", "deliver"]
        return await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)

    killed = await deliver()
    try:
        await listener.until(lambda: listener.told)
    finally:
        killed.kill()
        await killed.wait()
    [row] = await connection.fetch(TABLE)
    assert (row["state"], row["attempts"], row["last_status"]) == ("pending", 1, None)
    assert row["leased_until"] > row["last_attempt_at"]
    await connection.execute("UPDATE deliveries SET leased_until = now()")  # as time would
    another = await deliver()
    [row] = await until(connection, "state = 'delivered'")
    another.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE):
        assert await another.wait() == 0
    assert (listener.times, row["attempts"]) == ({identity: 2}, 2)


async def test_what_is_said_goes_with_its_conversation(
    client: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await put(client, conversation)
    await client.delete(f"/api/v1/conversations/{conversation}")
    assert await connection.fetch(TABLE) == []
    missing = await client.post(f"/api/v1/deliveries/{conversation}/retry")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/delivery-not-found")


async def test_deliveries_are_listed_newest_first_and_by_state(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    conversations = [await open_conversation(connection) for _ in range(5)]
    queued = [await put(client, each) for each in conversations]
    await connection.execute("UPDATE deliveries SET state = 'failed' WHERE number % 2 = 0")
    first = (await client.get("/api/v1/deliveries?limit=3")).json()
    second = (await client.get("/api/v1/deliveries", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [each["webhook_id"] for each in first["data"] + second["data"]] == queued[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)
    failed = (await client.get("/api/v1/deliveries?state=failed")).json()["data"]
    assert {each["state"] for each in failed} == {"failed"}
    of_one = (await client.get(f"/api/v1/deliveries?conversation_id={conversations[2]}")).json()["data"]
    assert [each["webhook_id"] for each in of_one] == [queued[2]]
    assert (await client.get("/api/v1/deliveries?cursor=x")).status_code == 422


def test_ten_attempts_take_three_days() -> None:
    waits = [wait_after(attempt, SCHEDULE, None) for attempt in range(1, 11)]
    assert waits[-1] is None
    whole = sum((wait for wait in waits if wait), timedelta())
    assert timedelta(days=2.7) < whole < timedelta(days=3.5)
    assert wait_after(1, SCHEDULE, timedelta(days=30)) == LONGEST
    assert (wait_after(1, SCHEDULE, timedelta(seconds=-5)) or timedelta()) > timedelta(seconds=4)


def test_a_secret_of_another_form_is_none() -> None:
    for secret in ("", "whsec_", "whsec_x", SECRET.removeprefix("whsec_"), "whsec_" + "A" * 100):
        with pytest.raises(ValueError, match="whsec_"):
            webhook_secret(SecretStr(secret))
    assert webhook_secret(SecretStr(SECRET)).get_secret_value() == SECRET
