"""All that is on record of one person is handed out, or erased, by one request; and nothing of anybody else."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest

from backend.app import create_app
from backend.dao_service import erasure_dao
from backend.dao_service.connection.database import Database
from backend.dao_service.erasure_dao import ErasureDAO
from backend.dao_service.message_dao import MessageRows
from backend.services import subjects, transcripts
from backend.vocabulary import Scope
from tests import callers
from tests.api.test_authorization import open_conversation
from tests.conftest import running, settings_for, utterance
from tests.deepgram.examples import EXAMPLES
from tests.description import assert_described
from tests.orchestrator_stand_in import settings
from tests.phones import CONVERSATIONS, SESSIONS, numbered, said

EXPORT, ERASURES = "/api/v1/export", "/api/v1/erasures"
OWNER, OTHER = callers.person("minh"), callers.person("lan")


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    told = settings("http://127.0.0.1:9/hook", deliver=False)
    service = settings_for(database_url, auth_issuers=callers.issuers(tmp_path), **told)
    async with running(create_app(service)) as client:
        yield client


@pytest.fixture
async def service(database: Database) -> dict[str, str]:
    scopes = Scope.CONVERSATIONS_READ_ANY, Scope.CONVERSATIONS_ERASE, Scope.INTENTS_WRITE
    return await callers.service(database, "caretaker", *scopes)


async def export(client: httpx.AsyncClient, headers: dict[str, str], **query: str) -> list[dict[str, Any]]:
    answer = await client.get(EXPORT, headers=headers, params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jsonl")
    lines = [orjson.loads(line) for line in answer.text.splitlines()]
    for line in lines:
        assert_described("ExportedConversation", line)
    return lines


async def call(client: httpx.AsyncClient, headers: dict[str, str]) -> tuple[str, UUID]:
    """Make a call with an error in it, that lacks an event at the end; return its session and its conversation."""
    begun = (await client.post(SESSIONS, json={}, headers=headers)).json()
    here = f"{SESSIONS}/{begun['id']}"
    talk = numbered([said("user", "one\u2028two"), EXAMPLES["Error"], said("assistant", "Three.")])
    await client.post(f"{here}/events", json={"events": talk}, headers=headers)
    await client.post(f"{here}/end", json={"reason": "hangup", "last_client_sequence": 4}, headers=headers)
    return begun["id"], UUID(begun["conversation_id"])


@pytest.mark.pooled
async def test_an_export_holds_a_conversation_whole(client: httpx.AsyncClient, service: dict[str, str]) -> None:
    session, conversation = await call(client, OWNER)
    await call(client, OTHER)
    place = f"{CONVERSATIONS}/{conversation}"
    await client.put(f"{place}/intent", json={"intent": "GOAL", "payload": {"title": "x"}}, headers=service)
    [line] = await export(client, OWNER)
    assert [line] == await export(client, service, user_id="minh") == await export(client, OWNER, user_id="minh")
    assert line["conversation"] == (await client.get(place, headers=OWNER)).json()
    assert line["messages"] == (await client.get(f"{place}/transcript", headers=OWNER)).json()["messages"]
    [found] = line["voice_sessions"]
    receipt = found.pop("receipt")
    assert found == (await client.get(f"{SESSIONS}/{session}", headers=OWNER)).json()
    assert [incident["type"] for incident in found["incidents"]] == ["Error"]
    assert receipt == (await client.get(f"{SESSIONS}/{session}/receipt", headers=OWNER)).json()
    assert receipt["missing"] == [[4, 4]]
    assert [(each["type"], each["state"]) for each in line["deliveries"]] == [("intent.extracted", "pending")]


@pytest.mark.pooled
async def test_an_export_goes_on_over_many_pages(
    client: httpx.AsyncClient, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.api.subjects.LARGEST_PAGE", 2)
    opened = [str(await open_conversation(connection, "minh")) for _ in range(5)]
    assert [line["conversation"]["id"] for line in await export(client, OWNER)] == opened[::-1]


@pytest.mark.pooled
async def test_what_is_erased_while_it_is_exported_leaves_whole_lines(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, erased = await call(client, OWNER)
    _, kept = await call(client, OWNER)
    read = transcripts._read

    async def reading(*asked: Any) -> MessageRows:
        found = await read(*asked)
        monkeypatch.setattr(transcripts, "_read", read)
        await client.delete(f"{CONVERSATIONS}/{asked[1].conversation_id}", headers=OWNER)
        return found._replace(more=True)  # as if there were a second part

    monkeypatch.setattr(transcripts, "_read", reading)
    first, second = await export(client, OWNER)
    assert (first["conversation"]["id"], first["erased"]) == (str(kept), True)
    assert (second["conversation"]["id"], len(second["messages"])) == (str(erased), 2)


@pytest.mark.parametrize(("method", "path"), [("GET", EXPORT), ("POST", ERASURES)])
async def test_a_person_asks_about_nobody_else_and_a_service_names_the_person(
    client: httpx.AsyncClient, service: dict[str, str], method: str, path: str
) -> None:
    def named(user_id: str | None) -> dict[str, Any]:
        fields = {"user_id": user_id} if user_id is not None else {}
        return {"params": fields} if method == "GET" else {"json": fields}

    refused = await client.request(method, path, headers=OWNER, **named("lan"))
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/scope-missing")
    unnamed = await client.request(method, path, headers=service, **named(None))
    pointer = "/query/user_id" if method == "GET" else "/user_id"
    assert (unnamed.status_code, unnamed.json()["errors"][0]["pointer"]) == (422, pointer)
    for wrong in ("", "\0", "x" * 256):
        assert (await client.request(method, path, headers=service, **named(wrong))).status_code == 422


async def test_everything_of_a_subject_is_erased_by_one_request(
    client: httpx.AsyncClient, connection: asyncpg.Connection, service: dict[str, str]
) -> None:
    mine = [(await call(client, OWNER))[1] for _ in range(3)]
    _, theirs = await call(client, OTHER)
    answer = await client.post(ERASURES, json={"user_id": "minh"}, headers=service)
    whole = {"user_id": "minh", "erased": 3, "messages": 6, "left": 0, "kept": []}
    assert (answer.status_code, answer.json()) == (200, whole)
    again = await client.post(ERASURES, json={}, headers=OWNER)
    assert again.json() == whole | {"erased": 0, "messages": 0}
    assert [row[0] for row in await connection.fetch("SELECT id FROM conversations")] == [theirs]
    late = await client.post("/api/v1/voice/messages", json=utterance(mine[0]), headers=OWNER)
    assert (late.status_code, late.json()["type"]) == (410, "/problems/conversation-erased")


async def test_what_is_left_of_erased_conversations_is_listed_to_their_person_and_each_page_for_a_service_audited(
    client: httpx.AsyncClient, connection: asyncpg.Connection, service: dict[str, str]
) -> None:
    opened = [
        (await client.post(CONVERSATIONS, json={"context_type": "voice"}, headers=OWNER)).json() for _ in range(3)
    ]
    for each in opened[:2]:
        await client.post("/api/v1/voice/messages", json=utterance(each["id"]), headers=OWNER)
        assert (await client.delete(f"{CONVERSATIONS}/{each['id']}", headers=service)).status_code == 204
    assert [line["conversation"]["id"] for line in await export(client, OWNER)] == [opened[2]["id"]]
    first = (await client.get(ERASURES, params={"limit": 1}, headers=OWNER)).json()
    rest = (await client.get(ERASURES, params={"cursor": first["next_cursor"]}, headers=OWNER)).json()
    found = first["data"] + rest["data"]
    assert [(each["conversation_id"], each["message_count"]) for each in found] == sorted(
        (each["id"], 1) for each in opened[:2]
    )
    assert (first["has_more"], rest["has_more"]) == (True, False)
    named = await client.get(ERASURES, params={"user_id": "minh"}, headers=service)
    assert named.json()["data"] == found
    of_minh = {"user_id": "minh", "cursor": first["next_cursor"]}
    assert (await client.get(ERASURES, params=of_minh, headers=service)).json()["data"] == rest["data"]
    audited = await connection.fetchval("SELECT count(*) FROM audit_entries WHERE action = 'subject.exported'")
    assert audited == 2
    assert (await client.get(ERASURES, headers=OTHER)).json()["data"] == []
    wrong = await client.get(ERASURES, params={"cursor": "bm90IG9uZQ"}, headers=OWNER)
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/query/cursor")


async def test_a_page_looks_at_so_many_erasures_and_an_empty_one_leads_on(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure_dao, "_STRETCH", 2)
    mine = [UUID(int=place) for place in (5, 6, 9)]
    async with database.writing() as session:
        for place in range(1, 11):
            await ErasureDAO(session).add(UUID(int=place), "minh" if UUID(int=place) in mine else "lan", 1)
    pages: list[dict[str, Any]] = []
    while not pages or pages[-1]["has_more"]:
        query = {"limit": 1, "cursor": pages[-1]["next_cursor"]} if pages else {"limit": 1}
        pages.append((await client.get(ERASURES, params=query, headers=OWNER)).json())
    found = [[UUID(each["conversation_id"]).int for each in page["data"]] for page in pages]
    assert found == [[], [], [5], [6], [9], []]
    last = {"cursor": pages[-1]["next_cursor"]}
    assert (await client.get(ERASURES, params=last, headers=OWNER)).json() == pages[-1]


async def test_what_the_host_keeps_is_named_and_stops_no_other(
    client: httpx.AsyncClient, connection: asyncpg.Connection, service: dict[str, str]
) -> None:
    kept, gone = (await call(client, OWNER))[1], (await call(client, OWNER))[1]
    await connection.execute("CREATE TABLE invoices (conversation_id UUID REFERENCES conversations (id))")
    await connection.execute("INSERT INTO invoices VALUES ($1)", kept)
    answer = (await client.post(ERASURES, json={"user_id": "minh"}, headers=service)).json()
    assert (answer["erased"], answer["left"]) == (1, 1)
    assert [each["conversation_id"] for each in answer["kept"]] == [str(kept)]
    assert (await client.get(f"{CONVERSATIONS}/{gone}", headers=OWNER)).status_code == 404


@pytest.mark.pooled
async def test_an_erasure_that_takes_too_long_says_what_is_left(
    client: httpx.AsyncClient, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await open_conversation(connection, "minh")
    monkeypatch.setattr(subjects, "ERASURE_SECONDS", 0)
    left = [(await client.post(ERASURES, json={}, headers=OWNER)).json()["left"] for _ in range(3)]
    assert left == [2, 1, 0]
