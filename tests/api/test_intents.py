"""Intents: set once, replaced only knowingly, told in the same commit."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
import pytest

from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.vocabulary import Scope
from tests import callers
from tests.conftest import running, settings_for
from tests.orchestrator_stand_in import settings

TASK: dict[str, Any] = {"intent": "NEW_TASK", "payload": {"title": "Call the dentist", "minutes": 15}}
GOAL: dict[str, Any] = {"intent": "GOAL", "payload": {"title": "Healthy teeth"}}


def place(conversation: UUID) -> str:
    return f"/api/v1/conversations/{conversation}/intent"


@pytest.fixture
async def telling(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service that has somebody to tell, and leaves it to others to do so."""
    told = settings("http://127.0.0.1:9/hook", deliver=False)
    async with running(create_app(settings_for(database_url, **told))) as client:
        yield client


@pytest.mark.pooled
async def test_an_intent_is_on_the_conversation_and_in_the_outbox_with_one_commit(
    telling: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    answer = await telling.put(place(conversation), json=TASK)
    assert answer.status_code == 200
    assert answer.headers["etag"] == f'"{answer.json()["version"]}"'
    assert "idempotency-replayed" not in answer.headers
    state = (await telling.get(f"/api/v1/conversations/{conversation}")).json()
    assert (state["extracted_intent"], state["intent_payload"]) == ("NEW_TASK", TASK["payload"])
    [delivery] = (await telling.get("/api/v1/deliveries")).json()["data"]
    assert (delivery["id"], delivery["state"], delivery["attempts"]) == (answer.json()["delivery_id"], "pending", 0)
    assert delivery["webhook_id"] == f"msg_{UUID(delivery['id']).hex}"
    assert await connection.fetchval("SELECT d.xmin = c.xmin FROM deliveries AS d, conversations AS c")


async def test_no_delivery_holds_a_line_terminator(
    telling: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    payload = {"title": "one\u2028two\u2029three\x85four\nfive"}
    await telling.put(place(conversation), json=TASK | {"payload": payload})
    body = await connection.fetchval("SELECT body FROM deliveries")
    assert len(body.splitlines()) == 1
    assert orjson.loads(body)["data"]["payload"] == payload


async def test_the_same_again_changes_nothing_and_gets_the_same_answer(
    telling: httpx.AsyncClient, conversation: UUID
) -> None:
    first = await telling.put(place(conversation), json=TASK)
    # To PostgreSQL's jsonb these are the same.
    for payload in ('{"minutes": 15.0, "title": "Call the dentist"}', '{"title":"Call the dentist","minutes":1.5e1}'):
        body = f'{{"intent": "NEW_TASK", "payload": {payload}}}'
        again = await telling.put(place(conversation), content=body, headers={"content-type": "application/json"})
        assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
        assert again.json() == first.json()
    assert len((await telling.get("/api/v1/deliveries")).json()["data"]) == 1
    assert (await telling.get(place(conversation))).json() == first.json()


async def test_another_intent_is_refused_unless_it_names_what_it_replaces(
    telling: httpx.AsyncClient, conversation: UUID
) -> None:
    first = await telling.put(place(conversation), json=TASK)
    refused = await telling.put(place(conversation), json=GOAL)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/intent-conflict")
    assert refused.headers["etag"] == first.headers["etag"]
    tag = f'"another", W/{first.headers["etag"]}'
    replaced = await telling.put(place(conversation), json=GOAL, headers={"if-match": tag})
    assert (replaced.status_code, replaced.json()["intent"]) == (200, "GOAL")
    back = await telling.put(place(conversation), json=TASK, headers={"if-match": "*"})
    assert back.json()["version"] == first.json()["version"]
    assert back.json()["delivery_id"] != first.json()["delivery_id"]
    assert len((await telling.get("/api/v1/deliveries")).json()["data"]) == 3


@pytest.mark.pooled
@pytest.mark.parametrize("stale", ['"another"', 'W/"another"', '"*"', "x", ""])
async def test_an_intent_that_replaces_another_version_than_the_one_that_stands_changes_nothing(
    telling: httpx.AsyncClient, conversation: UUID, stale: str
) -> None:
    without = await telling.put(place(conversation), json=TASK, headers={"if-match": stale})
    assert (without.status_code, without.json()["type"]) == (412, "/problems/precondition-failed")
    assert "etag" not in without.headers
    first = await telling.put(place(conversation), json=TASK)
    refused = await telling.put(place(conversation), json=GOAL, headers={"if-match": stale})
    assert (refused.status_code, refused.json()["type"]) == (412, "/problems/precondition-failed")
    assert refused.headers["etag"] == first.headers["etag"]
    assert (await telling.get(place(conversation), headers={"if-match": stale})).status_code == 412
    assert (await telling.get(place(conversation))).json() == first.json()
    assert len((await telling.get("/api/v1/deliveries")).json()["data"]) == 1


async def test_an_intent_that_the_reader_has_already_is_not_sent_again(
    telling: httpx.AsyncClient, conversation: UUID
) -> None:
    put = await telling.put(place(conversation), json=GOAL)
    unchanged = await telling.get(place(conversation), headers={"if-none-match": put.headers["etag"]})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", put.headers["etag"])
    await telling.put(place(conversation), json=TASK, headers={"if-match": "*"})
    changed = await telling.get(place(conversation), headers={"if-none-match": put.headers["etag"]})
    assert (changed.status_code, changed.json()["intent"]) == (200, TASK["intent"])


async def test_of_many_at_once_one_wins_and_each_is_told_which(telling: httpx.AsyncClient, conversation: UUID) -> None:
    wanted = [{"intent": "GOAL", "payload": {"number": number % 5}} for number in range(20)]
    answers = await asyncio.gather(*(telling.put(place(conversation), json=each) for each in wanted))
    standing = (await telling.get(place(conversation))).json()
    for each, answer in zip(wanted, answers, strict=True):
        assert (answer.status_code == 200) == (each["payload"] == standing["payload"])
        assert answer.headers["etag"] == f'"{standing["version"]}"'
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 3
    assert len((await telling.get("/api/v1/deliveries")).json()["data"]) == 1


async def test_what_is_not_there_has_no_intent(service: httpx.AsyncClient, conversation: UUID) -> None:
    nothing = await service.get(place(conversation))
    assert (nothing.status_code, nothing.json()["type"]) == (404, "/problems/intent-not-found")
    for answer in (await service.get(place(uuid4())), await service.put(place(uuid4()), json=TASK)):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/conversation-not-found")
    await service.delete(f"/api/v1/conversations/{conversation}")
    assert (await service.put(place(conversation), json=TASK)).status_code == 410


async def test_without_an_orchestrator_an_intent_is_set_all_the_same(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    assert (await service.put(place(conversation), json=TASK)).json()["delivery_id"] is None
    assert (await service.get("/api/v1/deliveries")).json() == {"data": [], "next_cursor": None, "has_more": False}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"intent": "SING", "payload": {}}, "/intent"),
        ({"intent": "GOAL"}, "/payload"),
        ({"intent": "GOAL", "payload": []}, "/payload"),
        ({"intent": "GOAL", "payload": {"x": "\0"}}, "/payload"),
        ({"intent": "GOAL", "payload": {"x": 2**60}}, "/payload"),
        ({"intent": "GOAL", "payload": {"x": "y" * 65_536}}, "/payload"),
        ({"intent": "GOAL", "payload": {}, "more": 1}, "/more"),
        ({"intent": "GOAL", "payload": {}, "much more": 1}, ""),
    ],
)
async def test_what_no_reader_could_take_is_refused(
    shared_service: httpx.AsyncClient, shared_conversation: UUID, body: dict[str, Any], pointer: str
) -> None:
    answer = await shared_service.put(place(shared_conversation), json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.pooled
async def test_an_orchestrators_token_sets_intents_links_and_sees_deliveries(
    database_url: str, database: Database, connection: asyncpg.Connection, conversation: UUID, tmp_path: Any
) -> None:
    goal = await connection.fetchval("INSERT INTO goals DEFAULT VALUES RETURNING id")
    scopes = (Scope.INTENTS_WRITE, Scope.DELIVERIES_MANAGE, Scope.CONVERSATIONS_WRITE_ANY)
    headers = await callers.service(database, "orchestrator", *scopes)
    async with running(create_app(settings_for(database_url, auth_issuers=callers.issuers(tmp_path)))) as client:
        client.headers.update(headers)
        assert (await client.put(place(conversation), json=GOAL)).status_code == 200
        path = f"/api/v1/conversations/{conversation}"
        linked = await client.patch(path, json={"linked_goal_id": str(goal)})
        assert (linked.status_code, linked.json()["linked_goal_id"]) == (200, str(goal))
        assert (await client.get("/api/v1/deliveries")).status_code == 200
        assert (await client.get(place(conversation))).status_code == 403


@pytest.mark.pooled
@pytest.mark.parametrize("table", ["deliveries", "conversations"])
async def test_intent_and_delivery_are_in_one_commit_or_in_none(
    telling: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID, table: str
) -> None:
    """Whichever of the two the database takes back at the very commit."""
    await connection.execute(
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE check_violation; END';
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse()
        """
    )
    failed = await telling.put(place(conversation), json=TASK)
    assert (failed.status_code, failed.json()["type"]) == (500, "/problems/internal-error")
    assert await connection.fetchval("SELECT count(*) FROM deliveries") == 0
    assert (await telling.get(place(conversation))).status_code == 404

    await connection.execute(f"DROP TRIGGER refuse ON {table}")
    assert "idempotency-replayed" not in (await telling.put(place(conversation), json=TASK)).headers


async def test_a_retry_may_name_what_it_has_replaced_itself(telling: httpx.AsyncClient, conversation: UUID) -> None:
    headers = {"if-match": (await telling.put(place(conversation), json=TASK)).headers["etag"]}
    first, again = [await telling.put(place(conversation), json=GOAL, headers=headers) for _ in range(2)]
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("payload", ["null", "[1]", '{"a": 1e131000}', f'{{"a": {"9" * 5000}}}', None])
async def test_an_intent_of_the_hosts_own_can_be_read_and_replaced(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID, payload: str | None
) -> None:
    await connection.execute(
        "UPDATE conversations SET extracted_intent = 'DANCE', intent_payload = $2 WHERE id = $1", conversation, payload
    )
    found = await service.get(place(conversation))
    assert (found.status_code, found.json(parse_int=float)["intent"]) == (200, "DANCE")
    replaced = await service.put(place(conversation), json=TASK, headers={"if-match": found.headers["etag"]})
    assert replaced.status_code == 200


async def test_what_is_just_allowed_comes_back_and_goes_out_whole(
    telling: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    payload = {"": "x" * 60_000, "ключ": [2**53 - 1, -0.0, 1e-7, 0.1, 1e15, True, None, "🦷 \u2028 \x7f"]}
    put = await telling.put(place(conversation), json={"intent": "RESCHEDULE_TASK", "payload": payload})
    assert put.json()["payload"] == payload
    body = await connection.fetchval("SELECT body FROM deliveries")
    assert orjson.loads(body)["data"]["payload"] == payload
