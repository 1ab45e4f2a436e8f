"""What the orchestrator was told, shown and sent anew."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY

from backend.app import create_app
from tests.conftest import open_conversation, running, settings_for
from tests.delivery.conftest import Table
from tests.orchestrator_stand_in import orchestrator, settings

pytestmark = pytest.mark.pooled

DELIVERIES = "/api/v1/deliveries"
ONE_DAY = timedelta(days=1)


async def add(connection: asyncpg.Connection, conversation: UUID, state: str = "pending", **more: object) -> str:
    values = {"id": uuid4(), "conversation_id": conversation, "type": "intent.extracted", "version": "", "body": "{}"}
    values |= {"state": state, **more}
    places = ", ".join(f"${number}" for number, _ in enumerate(values, 1))
    await connection.execute(f"INSERT INTO deliveries ({', '.join(values)}) VALUES ({places})", *values.values())
    return str(values["id"])


async def test_the_pages_of_the_list_meet_and_it_can_be_narrowed(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    other = await open_conversation(connection)
    queued = [await add(connection, (conversation, other)[n % 2], "held" if n < 3 else "pending") for n in range(7)]

    seen: list[str] = []
    cursor, more = None, True
    while more:
        page = (await service.get(DELIVERIES, params={"limit": 3} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [row["id"] for row in page["data"]]
        cursor, more = page["next_cursor"], page["has_more"]
    assert seen == queued[::-1]

    async def found(**query: object) -> list[str]:
        answer = await service.get(DELIVERIES, params={name: str(value) for name, value in query.items()})
        return [row["id"] for row in answer.json()["data"]]

    assert await found(state="held") == queued[2::-1]
    assert await found(conversation_id=other) == queued[5::-2]
    assert await found(conversation_id=conversation, state="held") == [queued[2], queued[0]]
    assert await found(conversation_id=uuid4()) == []


@pytest.mark.parametrize("query", [{"state": "lost"}, {"cursor": "WzEsMl0"}, {"limit": "0"}, {"q": "1"}])
async def test_a_strange_question_is_refused(service: httpx.AsyncClient, query: dict[str, str]) -> None:
    refused = await service.get(DELIVERIES, params=query)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid")


async def test_everything_of_a_delivery_is_shown_but_what_it_says(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    identity = await add(
        connection, conversation, attempts=2, last_status=500, last_error="The orchestrator answered 500."
    )
    [row] = (await service.get(DELIVERIES)).json()["data"]
    assert (await service.get(f"{DELIVERIES}/{identity}")).json() == row
    assert all(row.pop(name).endswith("Z") for name in ("created_at", "due_at"))
    assert row == {
        "id": identity,
        "webhook_id": f"msg_{UUID(identity).hex}",
        "conversation_id": str(conversation),
        "type": "intent.extracted",
        "state": "pending",
        "attempts": 2,
        "delivered_at": None,
        "last_attempt_at": None,
        "last_status": 500,
        "last_error": "The orchestrator answered 500.",
    }


@pytest.mark.parametrize("state", ["pending", "failed", "delivered", "held"])
async def test_a_delivery_is_sent_anew_by_hand_with_all_attempts_before_it(
    database_url: str, connection: asyncpg.Connection, conversation: UUID, state: str
) -> None:
    table = Table(connection)
    await table.watch()
    in_a_day = await connection.fetchval("SELECT now()") + ONE_DAY
    identity = await add(connection, conversation, state, attempts=10, due_at=in_a_day)
    async with orchestrator() as listener:
        listener.behaviours = iter([500])
        async with running(create_app(settings_for(database_url, **settings(listener.url)))) as client:
            retried = await client.post(f"{DELIVERIES}/{identity}/retry")
            assert (retried.status_code, retried.json()["state"]) == (200, "pending")
            await table.until("last_error IS NOT NULL")
            assert (await table.only())["state"] == "pending"  # it was not the last
            await client.post(f"{DELIVERIES}/{identity}/retry")
            await table.until("state = 'delivered'")
            [row] = (await client.get(DELIVERIES)).json()["data"]
    assert (row["attempts"], row["last_status"]) == (12, 204)
    assert listener.times == {row["webhook_id"]: 2}


async def test_a_delivery_that_is_not_there_is_not_found(service: httpx.AsyncClient) -> None:
    refused = await service.get(f"{DELIVERIES}/{uuid4()}")
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/delivery-not-found")


async def test_all_that_have_failed_or_are_held_are_sent_anew_with_one_request(
    database_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.dao_service.delivery_dao._STRIDE", 2)
    await connection.execute("INSERT INTO stopped_orchestrators (url_digest) VALUES ('x')")
    in_a_day = await connection.fetchval("SELECT now()") + ONE_DAY
    states = {"failed": 5, "held": 2, "delivered": 1, "pending": 1}
    added = {
        state: {
            await add(connection, await open_conversation(connection), state, attempts=10, due_at=in_a_day)
            for _ in range(count)
        }
        for state, count in states.items()
    }
    table = Table(connection)
    await table.watch()
    async with (
        orchestrator() as listener,
        running(create_app(settings_for(database_url, **settings(listener.url)))) as client,
    ):
        answer = await client.post(f"{DELIVERIES}/retry")
        assert (answer.status_code, answer.json()) == (200, {"failed": 5, "held": 2})
        await table.until_all("state = 'delivered' OR due_at > now() + '1 hour'::interval")
        again = await client.post(f"{DELIVERIES}/retry")
        assert again.json() == {"failed": 0, "held": 0}
    sent = {f"msg_{UUID(identity).hex}" for identity in added["failed"] | added["held"]}
    assert listener.times == dict.fromkeys(sent, 1)
    assert await connection.fetchval("SELECT count(*) FROM stopped_orchestrators") == 0


async def test_two_operators_who_retry_all_at_once_do_not_wait_for_each_other(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.dao_service.delivery_dao._STRIDE", 10)
    for number in range(100):
        await add(connection, conversation, ("failed", "held")[number % 2])
    answers = await asyncio.gather(*(service.post(f"{DELIVERIES}/retry") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["failed"] + answer.json()["held"] for answer in answers) == 100


async def test_deliveries_are_counted(database_url: str, connection: asyncpg.Connection, conversation: UUID) -> None:
    table = Table(connection)
    await table.watch()
    before = sample("verbatim_deliveries_total", outcome="delivered")
    async with orchestrator() as listener:
        app = create_app(settings_for(database_url, **settings(listener.url)))
        async with running(app) as client:
            await client.put(f"/api/v1/conversations/{conversation}/intent", json={"intent": "GOAL", "payload": {}})
            await table.until("state = 'delivered'")
    assert sample("verbatim_deliveries_total", outcome="delivered") == before + 1


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0
