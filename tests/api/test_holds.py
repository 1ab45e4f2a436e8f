"""A conversation on hold stays as it is, and what was done to the record is told by an audit that nothing changes."""

import asyncio
import hashlib
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio

from backend.dao_service.connection.database import Database
from backend.vocabulary import Scope
from tests import callers
from tests.api.test_authorization import open_conversation
from tests.conftest import connect, settings_for, utterance
from tests.waiting import until_found

CONVERSATIONS, HOLDS, AUDIT = "/api/v1/conversations", "/api/v1/holds", "/api/v1/audit"
WHY = {"reason": "Case 2026-17"}


@pytest_asyncio.fixture(loop_scope="module")
async def shared_legal(shared_database_url: str) -> dict[str, str]:
    """A service that holds, erases and exports."""
    settings = settings_for(shared_database_url)
    database = Database(settings.database_url or "", direct=settings.pooler_bypass_url)
    scopes = Scope.GOVERNANCE_MANAGE, Scope.CONVERSATIONS_ERASE, Scope.CONVERSATIONS_READ_ANY
    headers = await callers.service(database, f"legal-{uuid4().hex}", *scopes)
    await database.close()
    return headers


@pytest_asyncio.fixture(loop_scope="module")
async def shared_owner() -> str:
    return f"owner-{uuid4().hex}"


@pytest_asyncio.fixture(loop_scope="module")
async def shared_owned(shared_connection: asyncpg.Connection, shared_owner: str) -> UUID:
    """A conversation of the owner, with a message in it."""
    conversation = await open_conversation(shared_connection, shared_owner)
    said = "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', 'Hello.')"
    await shared_connection.execute(said, conversation)
    return conversation


async def entries(client: httpx.AsyncClient, headers: dict[str, str], conversation: UUID) -> list[dict[str, Any]]:
    answer = await client.get(AUDIT, params={"conversation_id": str(conversation)}, headers=headers)
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


@pytest.mark.pooled
async def test_what_is_on_hold_is_erased_by_no_one_until_it_is_released(
    shared_guarded: httpx.AsyncClient, shared_legal: dict[str, str], shared_owner: str, shared_owned: UUID
) -> None:
    place, owner = f"{CONVERSATIONS}/{shared_owned}", callers.person(shared_owner)
    held = await shared_guarded.put(f"{place}/hold", json=WHY, headers=shared_legal)
    assert (held.status_code, held.json()["reason"], held.json()["released_at"]) == (200, WHY["reason"], None)
    for headers in (owner, shared_legal):
        refused = await shared_guarded.delete(place, headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/on-hold")
    for headers, body in ((owner, {}), (shared_legal, {"user_id": shared_owner})):
        left = (await shared_guarded.post("/api/v1/erasures", json=body, headers=headers)).json()
        assert (left["erased"], [each["conversation_id"] for each in left["kept"]]) == (0, [str(shared_owned)])
    said = await shared_guarded.post("/api/v1/voice/messages", json=utterance(shared_owned), headers=owner)
    assert said.status_code == 201
    assert (await shared_guarded.delete(f"{place}/hold", headers=shared_legal)).status_code == 204
    assert (await shared_guarded.delete(place, headers=owner)).status_code == 204


async def test_the_same_hold_again_changes_nothing_and_another_reason_begins_another(
    shared_guarded: httpx.AsyncClient, shared_legal: dict[str, str], shared_owned: UUID
) -> None:
    place = f"{CONVERSATIONS}/{shared_owned}/hold"
    first, again = [await shared_guarded.put(place, json=WHY, headers=shared_legal) for _ in range(2)]
    other = await shared_guarded.put(place, json={"reason": "Case 18"}, headers=shared_legal)
    assert first.json() == again.json()
    query = {"conversation_id": str(shared_owned)}
    listed = (await shared_guarded.get(HOLDS, params=query, headers=shared_legal)).json()["data"]
    assert [(hold["reason"], hold["released_at"] is None) for hold in listed] == [
        ("Case 18", True),
        (WHY["reason"], False),
    ]
    active = await shared_guarded.get(HOLDS, params=query | {"active": "true"}, headers=shared_legal)
    ended = await shared_guarded.get(HOLDS, params=query | {"active": "false"}, headers=shared_legal)
    assert (active.json()["data"], ended.json()["data"]) == ([other.json()], listed[1:])
    told = await entries(shared_guarded, shared_legal, shared_owned)
    assert [entry["action"] for entry in told] == ["conversation.held"] * 2


async def test_what_is_not_there_is_not_held_and_what_is_not_held_is_not_released(
    shared_guarded: httpx.AsyncClient, shared_legal: dict[str, str], shared_owner: str, shared_owned: UUID
) -> None:
    place = f"{CONVERSATIONS}/{shared_owned}"
    released = await shared_guarded.delete(f"{place}/hold", headers=shared_legal)
    assert (released.status_code, released.json()["type"]) == (404, "/problems/hold-not-found")
    missing = await shared_guarded.put(f"{CONVERSATIONS}/{uuid4()}/hold", json=WHY, headers=shared_legal)
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/conversation-not-found")
    await shared_guarded.delete(place, headers=callers.person(shared_owner))
    for method, body in (("PUT", WHY), ("DELETE", None)):
        gone = await shared_guarded.request(method, f"{place}/hold", json=body, headers=shared_legal)
        assert (gone.status_code, gone.json()["type"]) == (410, "/problems/conversation-erased")


async def test_of_a_hold_and_an_erasure_at_the_same_time_one_comes_first(
    shared_guarded: httpx.AsyncClient, shared_legal: dict[str, str], shared_connection: asyncpg.Connection
) -> None:
    for _ in range(10):
        place = f"{CONVERSATIONS}/{await open_conversation(shared_connection)}"
        held, erased = await asyncio.gather(
            shared_guarded.put(f"{place}/hold", json=WHY, headers=shared_legal),
            shared_guarded.delete(place, headers=shared_legal),
        )
        assert (held.status_code, erased.status_code) in {(200, 409), (410, 204)}


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 256}, {"reason": "a", "until": "b"}, []])
async def test_a_hold_needs_a_short_reason(
    shared_guarded: httpx.AsyncClient, shared_legal: dict[str, str], shared_owned: UUID, body: object
) -> None:
    refused = await shared_guarded.put(f"{CONVERSATIONS}/{shared_owned}/hold", json=body, headers=shared_legal)
    assert refused.status_code == 422


@pytest.mark.parametrize(("path", "time"), [(HOLDS, "held_at"), (AUDIT, "at")])
async def test_a_list_goes_on_over_pages_and_takes_no_cursor_of_another(
    shared_guarded: httpx.AsyncClient, shared_legal: dict[str, str], shared_owned: UUID, path: str, time: str
) -> None:
    for reason in ("a", "b", "c"):
        place = f"{CONVERSATIONS}/{shared_owned}/hold"
        await shared_guarded.put(place, json={"reason": reason}, headers=shared_legal)
    query = {"conversation_id": str(shared_owned), "limit": "2"}
    first = (await shared_guarded.get(path, params=query, headers=shared_legal)).json()
    rest = await shared_guarded.get(path, params=query | {"cursor": first["next_cursor"]}, headers=shared_legal)
    times = [each[time] for each in [*first["data"], *rest.json()["data"]]]
    assert (first["has_more"], rest.json()["has_more"], len(set(times))) == (True, False, 3)
    assert times == sorted(times, reverse=True)
    other = {HOLDS: AUDIT, AUDIT: HOLDS}[path]
    refused = await shared_guarded.get(other, params={"cursor": first["next_cursor"]}, headers=shared_legal)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/query/cursor")


async def test_the_audit_says_who_erased_how_much_and_never_whose_it_was(
    shared_guarded: httpx.AsyncClient,
    shared_legal: dict[str, str],
    shared_connection: asyncpg.Connection,
    shared_owner: str,
    shared_owned: UUID,
) -> None:
    others = [await open_conversation(shared_connection, shared_owner) for _ in range(2)]
    owner = callers.person(shared_owner)
    await shared_guarded.delete(f"{CONVERSATIONS}/{shared_owned}", headers=owner)
    await shared_guarded.delete(f"{CONVERSATIONS}/{others[0]}", headers=shared_legal)
    await shared_guarded.post("/api/v1/erasures", json={"user_id": shared_owner}, headers=shared_legal)
    told = [await entries(shared_guarded, shared_legal, each) for each in (shared_owned, *others)]
    assert [[entry["action"] for entry in each] for each in told] == [["conversation.erased"]] * 3
    assert [each[0]["details"] for each in told] == [{"messages": 1}, {"messages": 0}, {"messages": 0}]
    assert [each[0]["actor"].partition("-")[0] for each in told] == ["owner", "service:legal", "service:legal"]
    assert shared_owner not in str(told)


async def test_an_export_of_anothers_record_is_told_by_a_digest_and_ones_own_is_not(
    shared_guarded: httpx.AsyncClient, shared_legal: dict[str, str], shared_owner: str, shared_owned: UUID
) -> None:
    action = {"action": "subject.exported"}
    before = (await shared_guarded.get(AUDIT, params=action, headers=shared_legal)).json()["data"]
    exported = await shared_guarded.get("/api/v1/export", headers=callers.person(shared_owner))
    assert str(shared_owned) in exported.text
    await shared_guarded.get("/api/v1/export", params={"user_id": shared_owner}, headers=shared_legal)
    found = (await shared_guarded.get(AUDIT, params=action, headers=shared_legal)).json()["data"]
    assert len(found) == len(before) + 1
    details = found[0]["details"]
    assert hashlib.sha256(f"{details['salt']}:{shared_owner}".encode()).hexdigest() == details["subject_sha256"]
    assert shared_owner not in str(found)


async def test_a_token_is_told_when_it_is_made(shared_guarded: httpx.AsyncClient, shared_legal: dict[str, str]) -> None:
    query = {"action": "token.created", "limit": "1"}
    [made] = (await shared_guarded.get(AUDIT, params=query, headers=shared_legal)).json()["data"]
    assert made["actor"] == "local"
    assert made["details"]["service"].startswith("legal-")
    assert made["details"]["scopes"] == ["conversations:erase", "conversations:read:any", "governance:manage"]


async def test_what_is_not_done_is_not_told(
    shared_guarded: httpx.AsyncClient,
    shared_legal: dict[str, str],
    shared_connection: asyncpg.Connection,
    shared_owned: UUID,
) -> None:
    await shared_connection.execute("CREATE TABLE IF NOT EXISTS invoices (id UUID REFERENCES conversations (id))")
    await shared_connection.execute("INSERT INTO invoices VALUES ($1)", shared_owned)
    refused = await shared_guarded.delete(f"{CONVERSATIONS}/{shared_owned}", headers=shared_legal)
    assert refused.status_code == 409
    assert await entries(shared_guarded, shared_legal, shared_owned) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_entries SET actor = ''",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "DELETE FROM conversation_holds",
        "TRUNCATE conversation_holds",
    ],
)
async def test_postgresql_lets_nothing_be_taken_back(shared_connection: asyncpg.Connection, change: str) -> None:
    with pytest.raises(asyncpg.PostgresError, match="stay as they are"):
        await shared_connection.execute(change)


async def test_no_other_program_deletes_a_conversation_on_hold(
    database_url: str, connection: asyncpg.Connection, conversation: UUID
) -> None:
    hold = "INSERT INTO conversation_holds (id, conversation_id, reason, held_by) VALUES ($1, $1, 'Case', 'local')"
    delete = "DELETE FROM conversations WHERE id = $1"
    other = await connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM conversations WHERE id = $1 FOR NO KEY UPDATE", conversation)
            deleting = asyncio.create_task(other.execute(delete, conversation))
            await until_found(connection, "SELECT count(*) FROM pg_locks WHERE NOT granted")
            await connection.execute(hold, conversation)
        with pytest.raises(asyncpg.RestrictViolationError, match="is on hold") as refused:
            await deleting
    finally:
        await other.close()
    assert refused.value.constraint_name == "verbatim_keep_held"
    await connection.execute("UPDATE conversation_holds SET released_at = now()")
    assert await connection.execute(delete, conversation) == "DELETE 1"
