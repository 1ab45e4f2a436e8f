"""Who may do what: every operation that the API describes, for every kind of caller."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.principal import PERSONAL
from backend.vocabulary import Scope
from tests import callers
from tests.architecture.test_openapi import current, operations
from tests.conftest import running, settings_for, utterance

OWNER, OTHER = "minh", "lan"
ANY = (
    Scope.MESSAGES_WRITE_ANY,
    Scope.CONVERSATIONS_READ_ANY,
    Scope.CONVERSATIONS_WRITE_ANY,
    Scope.CONVERSATIONS_ERASE,
    Scope.INTENTS_WRITE,
    Scope.DELIVERIES_MANAGE,
    Scope.GOVERNANCE_MANAGE,
    Scope.CONVERSATIONS_REDACT,
)
BASE = (Scope.MESSAGES_WRITE, Scope.CONVERSATIONS_READ, Scope.CONVERSATIONS_WRITE)
GUARDED = {"/mcp"}  # as the API, but not described as a part of it; tests/mcp_server
OPEN = {"/livez", "/readyz", "/metrics", "/problems/{slug}", "/docs", "/docs/assets", "/console", "/openapi.json"}


@pytest.fixture
def guarded(database_url: str, tmp_path: Path) -> FastAPI:
    return create_app(settings_for(database_url, auth_issuers=callers.issuers(tmp_path)))


@pytest.fixture
async def client(guarded: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with running(guarded) as client:
        yield client


@dataclass(frozen=True)
class Row:
    """An operation: the scope it needs, its body, and what its owner, everybody else and a service are answered."""

    scope: Scope
    owner: int
    others: int
    body: Callable[[UUID], dict[str, Any]] | None = None
    service: int | None = None  # as the owner
    query: dict[str, str] = field(default_factory=dict)


MATRIX = {
    "recordMessage": Row(Scope.MESSAGES_WRITE, 201, 404, utterance),
    "recordMessages": Row(Scope.MESSAGES_WRITE, 201, 404, lambda conversation: {"messages": [utterance(conversation)]}),
    "createConversation": Row(Scope.CONVERSATIONS_WRITE, 201, 201, lambda _: {"context_type": "voice"}),
    "listConversations": Row(Scope.CONVERSATIONS_READ, 200, 200),
    "getStats": Row(Scope.CONVERSATIONS_READ, 200, 200),
    "getConversation": Row(Scope.CONVERSATIONS_READ, 200, 404),
    "linkConversation": Row(Scope.CONVERSATIONS_WRITE, 200, 404, lambda _: {"linked_goal_id": None}),
    "endConversation": Row(Scope.CONVERSATIONS_WRITE, 409, 404, lambda _: {}),  # its voice session does
    "eraseConversation": Row(Scope.CONVERSATIONS_ERASE, 204, 404),
    "exportSubject": Row(Scope.CONVERSATIONS_READ, 200, 200, service=422),  # which must name a subject
    "listErasures": Row(Scope.CONVERSATIONS_READ, 200, 200, service=422),  # likewise
    "eraseSubject": Row(Scope.CONVERSATIONS_ERASE, 200, 200, lambda _: {}, service=422),
    "listMessages": Row(Scope.CONVERSATIONS_READ, 200, 404),
    "getTranscript": Row(Scope.CONVERSATIONS_READ, 200, 404),
    "getTimeline": Row(Scope.CONVERSATIONS_READ, 200, 404),
    "followConversation": Row(Scope.CONVERSATIONS_READ, 200, 404),
    "getIntent": Row(Scope.CONVERSATIONS_READ, 200, 404),
    "putIntent": Row(Scope.INTENTS_WRITE, 403, 403, lambda _: {"intent": "GOAL", "payload": {}}, service=200),
    "listDeliveries": Row(Scope.DELIVERIES_MANAGE, 403, 403, service=200),
    "getDelivery": Row(Scope.DELIVERIES_MANAGE, 403, 403, service=404),
    "retryFailedDeliveries": Row(Scope.DELIVERIES_MANAGE, 403, 403, service=200),
    "retryDelivery": Row(Scope.DELIVERIES_MANAGE, 403, 403, service=404),
    "redactMessage": Row(Scope.CONVERSATIONS_REDACT, 403, 403, lambda _: {"reason": "Card"}, service=404),
    "holdConversation": Row(Scope.GOVERNANCE_MANAGE, 403, 403, lambda _: {"reason": "Case 17"}, service=200),
    "releaseConversation": Row(Scope.GOVERNANCE_MANAGE, 403, 403, service=404),  # it is not held
    "listHolds": Row(Scope.GOVERNANCE_MANAGE, 403, 403, service=200),
    "listAudit": Row(Scope.GOVERNANCE_MANAGE, 403, 403, service=200),
    "getRetention": Row(Scope.GOVERNANCE_MANAGE, 403, 403, service=200),
    "getService": Row(Scope.DELIVERIES_MANAGE, 403, 403, service=200),
    "search": Row(Scope.CONVERSATIONS_READ, 200, 200, query={"q": "dentist"}),
    "readFeed": Row(Scope.CONVERSATIONS_READ_ANY, 403, 403, service=200),
    "beginVoiceSession": Row(
        Scope.CONVERSATIONS_WRITE, 201, 404, lambda conversation: {"conversation_id": str(conversation)}
    ),
    "getVoiceSession": Row(Scope.CONVERSATIONS_READ, 200, 404),
    "getDeepgramToken": Row(Scope.MESSAGES_WRITE, 409, 404),  # none is configured here
    "recordVoiceEvents": Row(Scope.MESSAGES_WRITE, 200, 404, lambda _: {"events": [{"event": {"type": "KeepAlive"}}]}),
    "endVoiceSession": Row(Scope.MESSAGES_WRITE, 200, 404, lambda _: {}),
    "getReceipt": Row(Scope.CONVERSATIONS_READ, 200, 404),
}
OPERATIONS = {operation["operationId"]: (name.split(), operation) for name, operation in operations()}


async def open_conversation(connection: asyncpg.Connection, owner: str | None = OWNER) -> UUID:
    """Open a conversation with a voice session in it."""
    identity: UUID = await connection.fetchval(
        "INSERT INTO conversations (context_type, user_id) VALUES ('voice', $1) RETURNING id", owner
    )
    await begin_session(connection, identity)
    return identity


async def begin_session(connection: asyncpg.Connection, conversation: UUID) -> None:
    values = session_in(conversation), conversation
    await connection.execute("INSERT INTO voice_sessions (id, conversation_id, provider) VALUES ($1, $2, '')", *values)
    # Whoever follows an ended conversation is answered at once.
    ended = "UPDATE conversations SET ended_at = now(), extracted_intent = 'GOAL', intent_payload = '{}' WHERE id = $1"
    await connection.execute(ended, conversation)


def session_in(conversation: UUID) -> str:
    return f"vs_{conversation.hex}"


async def call(
    client: httpx.AsyncClient, operation: str, conversation: UUID, headers: dict[str, str]
) -> httpx.Response:
    method, path = OPERATIONS[operation][0]
    body, query = MATRIX[operation].body, MATRIX[operation].query
    url = path.replace("{conversation_id}", str(conversation)).replace("{session_id}", session_in(conversation))
    url = url.replace("{delivery_id}", str(conversation)).replace("{message_id}", str(conversation))
    json = body(conversation) if body else None
    return await client.request(method, url, headers=headers, params=query, json=json)


def status(answer: httpx.Response) -> int:
    """The status of the answer, or that of the one message in a batch."""
    if answer.url.path.endswith("/batch") and answer.is_success:
        [result] = answer.json()["results"]
        return int(result["status"])
    return answer.status_code


def test_every_operation_has_its_row() -> None:
    assert OPERATIONS.keys() == MATRIX.keys()


def test_every_route_is_either_described_with_its_scope_or_known_to_be_open(guarded: FastAPI) -> None:
    described = current()["paths"]
    paths = {getattr(route, "path", "") for route in guarded.routes if getattr(route, "path", "")}
    assert {path for path in paths if not path.startswith("/api/")} <= OPEN | GUARDED
    assert {path for path in paths if path.startswith("/api/")} <= described.keys()
    for name, row in MATRIX.items():
        assert OPERATIONS[name][1]["security"] == [{"bearer": [row.scope]}]


@pytest.mark.parametrize("operation", MATRIX)
async def test_each_caller_gets_what_is_theirs_and_nothing_else(
    client: httpx.AsyncClient, connection: asyncpg.Connection, database: Database, operation: str
) -> None:
    row = MATRIX[operation]
    kinds = {
        "no token": ({}, 401),
        "expired": (callers.person(OWNER, exp=int(time.time()) - 60), 401),
        "wrong audience": (callers.person(OWNER, aud="somebody else"), 401),
        "algorithm none": (callers.unsigned(OWNER), 401),
        "HS256 signed with the RSA public key": (callers.signed_with_the_public_key(OWNER), 401),
        "missing scope": (callers.person(OWNER, PERSONAL - {row.scope}), 403),
        "scope that only a service may have": (callers.person(OWNER, frozenset(ANY) - PERSONAL), 403),
        "other user": (callers.person(OTHER), row.others),
        "owner": (callers.person(OWNER), row.owner),
        "service": (await callers.service(database, "everywhere", *ANY), row.service or row.owner),
        "service without :any": (
            await callers.service(database, "nowhere", *BASE),
            row.others if row.scope in BASE else 403,
        ),
    }
    found = {}
    for kind, (headers, _) in kinds.items():
        answer = await call(client, operation, await open_conversation(connection), headers)
        found[kind] = status(answer)
        if found[kind] == 401:
            assert answer.headers["www-authenticate"].startswith('Bearer realm="verbatim"')
            assert ("invalid_token" in answer.headers["www-authenticate"]) == (kind != "no token")
        if found[kind] == 403:
            assert f'error="insufficient_scope", scope="{row.scope}"' in answer.headers["www-authenticate"]
            assert row.scope in answer.json()["detail"]
    assert found == {kind: expected for kind, (_, expected) in kinds.items()}


@pytest.mark.parametrize("operation", [name for name, row in MATRIX.items() if row.others == 404])
async def test_a_foreign_conversation_is_answered_with_the_words_and_the_work_of_a_missing_one(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    operation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    connect = asyncpg.connect

    async def watched(*args: Any, **options: Any) -> asyncpg.Connection:
        opened: asyncpg.Connection = await connect(*args, **options)
        opened.add_query_logger(lambda query: asked.append(query.query))
        return opened

    monkeypatch.setattr(asyncpg, "connect", watched)
    headers = callers.person(OTHER)
    await call(client, operation, uuid4(), headers)  # connections are opened, statements are prepared
    answers = []
    for conversation in (await open_conversation(connection), await open_conversation(connection, None), uuid4()):
        asked.clear()
        answer = await call(client, operation, conversation, headers)
        await asyncio.sleep(0)  # asyncpg tells of a statement in the next iteration of the event loop
        problem = answer.json() if not answer.url.path.endswith("/batch") else answer.json()["results"][0]["problem"]
        words = {name: text for name, text in problem.items() if name not in {"instance", "request_id"}}
        words["detail"] = words["detail"].replace(str(conversation), "…")
        answers.append((answer.status_code, answer.headers.keys(), words, [*asked]))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][3]


async def test_nobody_waits_for_or_learns_of_a_lock_on_what_is_not_theirs(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    conversation = await open_conversation(connection)
    async with connection.transaction():
        await connection.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", conversation)
        for operation in ("recordMessage", "linkConversation", "eraseConversation"):
            answer = await call(client, operation, conversation, callers.person(OTHER))
            assert answer.status_code == 404
        assert (await call(client, "recordMessage", conversation, callers.person(OWNER))).status_code == 503
        # Now that somebody is known to hold it, too.
        assert (await call(client, "recordMessage", conversation, callers.person(OTHER))).status_code == 404


async def test_in_a_commit_that_all_share_each_reaches_only_what_is_theirs(
    client: httpx.AsyncClient, connection: asyncpg.Connection, database: Database
) -> None:
    mine, theirs = await open_conversation(connection), await open_conversation(connection, OTHER)
    everywhere = await callers.service(database, "everywhere", *ANY)
    kinds = [(callers.person(OWNER), {mine}), (callers.person(OTHER), {theirs}), (everywhere, {mine, theirs})]
    sent = [
        (headers, reach, conversation) for _ in range(10) for headers, reach in kinds for conversation in (mine, theirs)
    ]
    answers = await asyncio.gather(
        *(call(client, "recordMessage", conversation, headers) for headers, _, conversation in sent)
    )
    assert [answer.status_code for answer in answers] == [
        201 if conversation in reach else 404 for _, reach, conversation in sent
    ]
    counted = await connection.fetch("SELECT count(*), max(sequence) FROM messages GROUP BY conversation_id")
    assert [tuple(row) for row in counted] == [(20, 20), (20, 20)]


@pytest.mark.parametrize("content", ["Remind me to call the dentist.", "Something else."])
async def test_nobody_learns_by_guessing_what_a_foreign_message_says(
    client: httpx.AsyncClient, connection: asyncpg.Connection, content: str
) -> None:
    theirs, mine = await open_conversation(connection), await open_conversation(connection, OTHER)
    said = utterance(theirs)
    path = "/api/v1/voice/messages"
    await client.post(path, json=said, headers=callers.person(OWNER))
    guess = said | {"conversation_id": str(mine), "content": content}
    refused = await client.post(path, json=guess, headers=callers.person(OTHER))
    assert refused.status_code == 409
    assert "another conversation_id;" in refused.json()["detail"]
    # And under the conversation's own name it is as if nothing were there.
    assert (await client.post(path, json=said, headers=callers.person(OTHER))).status_code == 404


async def test_a_list_holds_what_is_ones_own_and_only_a_service_asks_for_somebody_elses(
    client: httpx.AsyncClient, connection: asyncpg.Connection, database: Database
) -> None:
    mine = [str(await open_conversation(connection)) for _ in range(3)]
    theirs, nobodys = str(await open_conversation(connection, OTHER)), str(await open_conversation(connection, None))
    everywhere = await callers.service(database, "everywhere", *ANY)

    async def listed(headers: dict[str, str], **query: str) -> set[str]:
        answer = await client.get("/api/v1/conversations", headers=headers, params=query)
        return {conversation["id"] for conversation in answer.json()["data"]}

    assert await listed(callers.person(OWNER)) == await listed(callers.person(OWNER), user_id=OWNER) == {*mine}
    assert await listed(everywhere) == {*mine, theirs, nobodys}
    assert await listed(everywhere, user_id=OTHER) == {theirs}
    refused = await client.get("/api/v1/conversations", headers=callers.person(OWNER), params={"user_id": OTHER})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/scope-missing")


async def test_a_conversation_belongs_to_whoever_opened_it(client: httpx.AsyncClient, database: Database) -> None:
    wanted = {"id": str(uuid4()), "context_type": "voice"}
    path = "/api/v1/conversations"
    opened = await client.post(path, json=wanted, headers=callers.person(OWNER))
    assert (opened.status_code, opened.json()["user_id"]) == (201, OWNER)
    assert (await client.post(path, json=wanted, headers=callers.person(OWNER))).status_code == 200
    everywhere = await callers.service(database, "everywhere", *ANY)
    for headers in (callers.person(OTHER), everywhere):
        taken = await client.post(path, json=wanted, headers=headers)
        assert (taken.status_code, taken.json()["type"]) == (409, "/problems/conversation-id-reused")
        assert OWNER not in taken.text
    other = await client.post(path, json={"context_type": "voice"}, headers=everywhere)
    assert other.json()["user_id"] == "service:everywhere"


async def test_a_service_opens_a_conversation_for_a_person_who_then_has_it(
    client: httpx.AsyncClient, database: Database
) -> None:
    everywhere = await callers.service(database, "everywhere", *ANY)
    wanted = {"id": str(uuid4()), "context_type": "voice", "user_id": OWNER}
    path = "/api/v1/conversations"
    opened = await client.post(path, json=wanted, headers=everywhere)
    assert (opened.status_code, opened.json()["user_id"]) == (201, OWNER)
    assert (await client.get(opened.headers["location"], headers=callers.person(OWNER))).json() == opened.json()
    assert (await client.get(opened.headers["location"], headers=callers.person(OTHER))).status_code == 404
    # The person, and the service again, find it open; for another person its id is taken.
    for headers, who, status in (
        (callers.person(OWNER), OWNER, 200),
        (everywhere, OWNER, 200),
        (everywhere, OTHER, 409),
        (callers.person(OTHER), OTHER, 409),
    ):
        again = await client.post(path, json=wanted | {"user_id": who}, headers=headers)
        assert again.status_code == status
    assert (await client.delete(opened.headers["location"], headers=callers.person(OWNER))).status_code == 204
    gone = await client.post(path, json=wanted, headers=everywhere)
    assert (gone.status_code, gone.json()["type"]) == (410, "/problems/conversation-erased")


async def test_a_service_begins_a_voice_session_for_a_person_who_then_goes_on_with_it(
    client: httpx.AsyncClient, database: Database
) -> None:
    everywhere = await callers.service(database, "everywhere", *ANY)
    wanted = {"id": f"vs_{uuid4().hex}", "user_id": OWNER}
    path = "/api/v1/voice/sessions"
    begun = await client.post(path, json=wanted, headers=everywhere)
    assert begun.status_code == 201
    place = f"/api/v1/conversations/{begun.json()['conversation_id']}"
    assert (await client.get(place, headers=callers.person(OWNER))).json()["user_id"] == OWNER
    for headers in (everywhere, callers.person(OWNER)):
        again = await client.post(path, json=wanted, headers=headers)
        assert (again.status_code, again.json()) == (200, begun.json())
    events = {"events": [{"event": {"type": "ConversationText", "role": "user", "content": "Hello."}}]}
    sent = await client.post(f"{path}/{wanted['id']}/events", json=events, headers=callers.person(OWNER))
    assert [result["status"] for result in sent.json()["results"]] == [201]


async def test_a_session_for_a_person_goes_on_with_their_conversation_and_no_others(
    client: httpx.AsyncClient, connection: asyncpg.Connection, database: Database
) -> None:
    everywhere = await callers.service(database, "everywhere", *ANY)
    theirs = str(await open_conversation(connection, OTHER))
    path = "/api/v1/voice/sessions"
    for who, status in ((OTHER, 201), (OWNER, 404)):
        body = {"conversation_id": theirs, "user_id": who}
        assert (await client.post(path, json=body, headers=everywhere)).status_code == status


@pytest.mark.parametrize("operation", ["createConversation", "beginVoiceSession"])
async def test_only_a_service_that_writes_everybodys_opens_something_for_another(
    client: httpx.AsyncClient, connection: asyncpg.Connection, database: Database, operation: str
) -> None:
    method, path = OPERATIONS[operation][0]
    body = {"context_type": "voice"} if operation == "createConversation" else {}
    kinds = {
        "person for another": (callers.person(OWNER), OTHER, 403),
        "person for themselves": (callers.person(OWNER), OWNER, 201),
        "service without :any": (await callers.service(database, "nowhere", *BASE), OWNER, 403),
        "service without :any for itself": (
            await callers.service(database, "nowhere", *BASE),
            "service:nowhere",
            201,
        ),
        "service": (await callers.service(database, "everywhere", *ANY), OWNER, 201),
    }
    for kind, (headers, who, expected) in kinds.items():
        answer = await client.request(method, path, json=body | {"user_id": who}, headers=headers)
        assert answer.status_code == expected, kind
        if expected == 403:
            assert 'scope="conversations:write:any"' in answer.headers["www-authenticate"]
    owners = {row["user_id"] for row in await connection.fetch("SELECT user_id FROM conversations")}
    assert owners == {OWNER, "service:nowhere"}


async def test_where_nothing_is_configured_a_conversation_may_be_opened_for_anybody(
    service: httpx.AsyncClient,
) -> None:
    opened = await service.post("/api/v1/conversations", json={"context_type": "voice", "user_id": OWNER})
    assert (opened.status_code, opened.json()["user_id"]) == (201, OWNER)
    listed = await service.get("/api/v1/conversations", params={"user_id": OWNER})
    assert [row["id"] for row in listed.json()["data"]] == [opened.json()["id"]]


async def test_only_a_service_writes_the_role_system_and_a_refusal_blocks_nobody(
    client: httpx.AsyncClient, connection: asyncpg.Connection, database: Database
) -> None:
    conversation = await open_conversation(connection)
    said = [utterance(conversation, role=role) for role in ("user", "system", "assistant", "function")]
    person, everywhere = callers.person(OWNER), await callers.service(database, "everywhere", *ANY)
    path = "/api/v1/voice/messages"
    refused = await client.post(path, json=said[1], headers=person)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/role-not-allowed")
    batch = await client.post(f"{path}/batch", json={"messages": said}, headers=person)
    assert [result["status"] for result in batch.json()["results"]] == [201, 403, 201, 201]
    assert (await client.post(path, json=said[1], headers=everywhere)).json()["sequence"] == 4


async def test_a_host_may_name_its_users_by_uuid(client: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    await connection.execute("ALTER TABLE conversations ALTER COLUMN user_id TYPE UUID USING user_id::uuid")
    subject = str(uuid4())
    somebody, stranger = callers.person(subject), callers.person("minh")
    path = "/api/v1/conversations"
    opened = await client.post(path, json={"context_type": "voice"}, headers=somebody)
    assert (opened.status_code, opened.json()["user_id"]) == (201, subject)
    conversation = UUID(opened.json()["id"])
    await begin_session(connection, conversation)
    # The one that begins a session comes last: a conversation that goes on is followed for as long.
    for operation in sorted(
        MATRIX.keys() - {"createConversation", "eraseConversation", "eraseSubject"}, key="beginVoiceSession".__eq__
    ):
        assert status(await call(client, operation, conversation, somebody)) == MATRIX[operation].owner
        assert status(await call(client, operation, conversation, stranger)) == MATRIX[operation].others
    refused = await client.post(path, json={"context_type": "voice"}, headers=stranger)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/host-owns-conversations")
    assert (await call(client, "eraseConversation", conversation, somebody)).status_code == 204


async def test_a_token_is_looked_at_even_where_none_is_needed(service: httpx.AsyncClient, database: Database) -> None:
    reader = await callers.service(database, "reader", Scope.CONVERSATIONS_READ)
    path = "/api/v1/conversations"
    assert (await service.post(path, json={"context_type": "voice"}, headers=reader)).status_code == 403
    assert (await service.get(path, headers=callers.person(OWNER))).status_code == 401
    assert (await service.post(path, json={"context_type": "voice"})).json()["user_id"] is None
