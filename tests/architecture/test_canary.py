"""What was said is found in the record and nowhere else: no log line, no refusal, no metric."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import jwt
import pytest

from backend.api.problems import ALL
from backend.app import create_app
from backend.auth import Issuer
from tests import callers
from tests.architecture.test_openapi import operations
from tests.conftest import running, settings_for, utterance
from tests.deepgram_stand_in import stand_in
from tests.orchestrator_stand_in import orchestrator, settings

CANARY = "my neighbour's canary sings at dawn"
MESSAGES = "/api/v1/voice/messages"
CONVERSATIONS = "/api/v1/conversations"
SESSIONS = "/api/v1/voice/sessions"
JSON = {"content-type": "application/json"}
OWNER = callers.person("minh")
NOBODY_ANSWERS = "http://127.0.0.1:9"
# What no request to the application can provoke: the HTTP server refuses those itself.
NOT_PROVOKED = {"bad-request", "head-too-large", "request-timeout"}

_ENDED_BY_ITS_TIME_LIMIT = """
    CREATE FUNCTION fail() RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'canary' USING ERRCODE = 'query_canceled'; END $$;
    ALTER TABLE conversations RENAME TO slow;
    CREATE VIEW conversations AS SELECT * FROM slow WHERE fail();
"""
_SEARCH_ENDED_BY_ITS_TIME_LIMIT = """
    CREATE FUNCTION words() RETURNS tsvector LANGUAGE plpgsql STABLE AS
    $$ BEGIN RAISE EXCEPTION 'canary' USING ERRCODE = 'query_canceled'; END $$;
    ALTER TABLE message_words RENAME TO quick;
    CREATE VIEW message_words AS
    SELECT id AS message_id, conversation_id, 1::bigint AS position, words() AS words FROM messages;
"""

pytestmark = pytest.mark.usefixtures("everything_is_logged")


@pytest.fixture
def everything_is_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(logging.getLogger("httpx"), "disabled", True)  # the tests' own client
    # It traces the headers of answers; no library is heard below a warning, whatever level is set.
    monkeypatch.setattr(logging.getLogger("httpcore.http11"), "disabled", True)


def spoken(conversation: UUID, **more: object) -> dict[str, Any]:
    return utterance(conversation, CANARY, metadata={CANARY: [CANARY]}, voice_session_id=CANARY) | more


async def test_what_was_said_is_found_nowhere_but_in_the_record(
    service: httpx.AsyncClient,
    connection: asyncpg.Connection,
    conversation: UUID,
    capfd: pytest.CaptureFixture[str],
) -> None:
    known = spoken(conversation)
    bodies: list[object] = [
        known | {"role": "assistant"},
        known | {"metadata": {CANARY: 2}},
        spoken(uuid4()),
        spoken(conversation, content=CANARY + "\0"),
        spoken(conversation, content=CANARY + "\ud800"),
        spoken(conversation, content=CANARY * (2**20 // len(CANARY) + 1)),
        spoken(conversation, metadata={CANARY: float("nan")}),
        spoken(conversation, metadata={CANARY: {CANARY: 2**60}}),
        spoken(conversation, metadata={CANARY + "\ud800": 1}),
        spoken(conversation, id=CANARY, role=CANARY, timestamp=CANARY, client_sequence=CANARY),
        spoken(conversation, **{CANARY: CANARY}),
        CANARY,
        {CANARY: CANARY},
    ]
    await service.post(MESSAGES, json=known)
    refused = [await service.post(MESSAGES, content=json.dumps(body).encode(), headers=JSON) for body in bodies]
    refused.append(await service.post(f"{MESSAGES}/batch", content=_ascii({"messages": bodies}), headers=JSON))
    refused += [
        await service.post(MESSAGES, content=f'{{"{CANARY}'.encode(), headers=JSON),
        await service.post("/api/v1/conversations", json={"context_type": CANARY, CANARY: CANARY}),
        await service.patch(f"/api/v1/conversations/{conversation}", json={"linked_goal_id": CANARY}),
        await service.get(f"/api/v1/conversations/{CANARY}"),
        await service.get("/api/v1/conversations", params={"cursor": CANARY, CANARY: CANARY, "intent": CANARY}),
        await service.get(f"/{CANARY}"),
        await service.get(f"/problems/{CANARY}"),
    ]
    assert not [answer for answer in refused if answer.is_success and answer.url.path != f"{MESSAGES}/batch"]
    assert (await service.get("/api/v1/search", params={"q": CANARY})).status_code == 200
    refused.append(await service.get("/api/v1/search", params={"q": f"-{CANARY}*" * 20}))

    # PostgreSQL quotes the whole row in what it says of a broken rule.
    await connection.execute("ALTER TABLE messages ADD CHECK (content NOT LIKE '%canary%') NOT VALID")
    broken = await service.post(MESSAGES, json=spoken(conversation))
    assert (broken.status_code, broken.json()["type"]) == (500, "/problems/internal-error")

    # And whatever else may break must not be printed with its words.
    await connection.execute(
        "ALTER TABLE messages RENAME TO elsewhere;"
        "CREATE VIEW messages AS SELECT * FROM elsewhere WHERE content::int > 0"  # PostgreSQL quotes what is no number
    )
    for path in ("messages", "transcript"):
        answer = await service.get(f"/api/v1/conversations/{conversation}/{path}")
        assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal-error")
        refused.append(answer)

    said = capfd.readouterr()
    everywhere = "\n".join(
        [said.out, said.err, broken.text, *(answer.text for answer in refused), (await service.get("/metrics")).text]
    )
    assert "fault of the service" in said.out
    assert '"sqlstate":"22P02"' in said.out  # enough to know what it was
    assert "canary" not in everywhere


async def test_what_an_orchestrator_is_told_and_what_it_says_is_found_nowhere_else(
    database_url: str, conversation: UUID, connection: asyncpg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    async with orchestrator() as listener:
        listener.behaviours = iter([(500, {"retry-after": CANARY, CANARY.replace(" ", "-"): CANARY})])
        told = settings(f"{listener.url}?{CANARY.replace(' ', '-')}")
        async with running(create_app(settings_for(database_url, **told))) as client:
            body = {"intent": "GOAL", "payload": {CANARY: CANARY}}
            assert (await client.put(f"{CONVERSATIONS}/{conversation}/intent", json=body)).status_code == 200
            await listener.until(lambda: listener.told)
            while not await connection.fetchval("SELECT last_status FROM deliveries"):
                await asyncio.sleep(0.01)
            deliveries, metrics = await client.get("/api/v1/deliveries"), await client.get("/metrics")
    said = capfd.readouterr()
    assert CANARY in listener.told[0].body.decode()
    assert "The orchestrator answered 500." in deliveries.text
    assert "canary" not in f"{said.out}\n{said.err}\n{deliveries.text}\n{metrics.text}"


@pytest.fixture
async def services(database_url: str, tmp_path: Path) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """A service where nobody is told apart, one that wants tokens, one that takes one request, one without database.

    And two with a key for Deepgram: to one it does not answer, to the other it says no.
    """
    away = Issuer(issuer="https://away.example", audience="verbatim", algorithms=("RS256",), jwks_url=NOBODY_ANSWERS)
    key = {"deepgram_api_key": CANARY.replace(" ", "-")}
    async with AsyncExitStack() as stack:
        deepgram = await stack.enter_async_context(stand_in(key="another"))
        configured = {
            "open": settings_for(database_url),
            "guarded": settings_for(database_url, auth_issuers=(*callers.issuers(tmp_path), away)),
            "limited": settings_for(database_url, auth_issuers=(), rate_limit_address="1/minute"),
            "without database": settings_for("postgresql://127.0.0.1:9/none"),
            "without search": settings_for(database_url, search=False),
            "unanswered": settings_for(database_url, **key, deepgram_url=NOBODY_ANSWERS),
            "refused": settings_for(database_url, **key, deepgram_url=deepgram.url),
        }
        yield {name: await stack.enter_async_context(running(create_app(each))) for name, each in configured.items()}


async def test_no_refusal_that_there_is_repeats_what_it_refuses(
    services: dict[str, httpx.AsyncClient],
    connection: asyncpg.Connection,
    capfd: pytest.CaptureFixture[str],
) -> None:
    problems, headers = [], []
    async for service, method, url, request in _provocations(services, connection):
        answer = await services[service].request(method, url, **request)
        headers.append(str(answer.headers))
        problems += [*_problems(answer)]
    types = {problem["type"] for problem in problems}
    assert types == {f"/problems/{slug}" for slug in ALL.keys() - NOT_PROVOKED}
    said = capfd.readouterr()
    metrics = [(await service.get("/metrics")).text for service in services.values()]
    assert "canary" not in "\n".join([said.out, said.err, *metrics, *headers, *map(str, problems)])


def _problems(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """Yield what is refused in an answer, the whole or some of many."""
    if not answer.is_success:
        yield answer.json()
    elif answer.content and answer.headers["content-type"] == "application/json":
        yield from (result["problem"] for result in answer.json().get("results", ()) if "problem" in result)


Provocation = tuple[str, str, str, dict[str, Any]]


async def _provocations(
    services: dict[str, httpx.AsyncClient], connection: asyncpg.Connection
) -> AsyncIterator[Provocation]:
    """Yield requests, each with the canary wherever it has room for it, until every refusal there is was provoked."""
    conversation = await _opened(services["guarded"])
    for name, _ in operations():
        method, path = name.split()
        for headers in ({}, callers.bearer(CANARY), {"authorization": f"Basic {CANARY}"}, OWNER):
            noisy = {"user-agent": CANARY, "cookie": CANARY, "origin": CANARY, "traceparent": CANARY, **headers}
            for identity in (CANARY, str(conversation), str(uuid4())):
                url = re.sub(r"\{\w+_id\}", identity, path)
                query = {CANARY: CANARY, "cursor": CANARY, "format": CANARY, "limit": CANARY}
                yield "guarded", method, url, {"headers": noisy, "params": query, "json": {CANARY: CANARY}}
    conversation = await _opened(services["guarded"])  # the other one is erased by now
    for each in (_by_words, _by_state):
        async for provocation in each(services["guarded"], connection, conversation):
            yield provocation
    for service in ("open", "unanswered", "refused"):
        begun = await services[service].post(SESSIONS, json={"id": f"vs_{uuid4().hex}"})
        session = begun.json().get("session", begun.json())
        yield service, "POST", f"{SESSIONS}/{session['id']}/token", {}
        yield service, "POST", f"{CONVERSATIONS}/{session['conversation_id']}/end", {"json": {}}
    async for provocation in _by_session(session["id"]):
        yield provocation
    opened = await services["open"].post(CONVERSATIONS, json={"context_type": "voice"})
    async for provocation in _by_intent(opened.json()["id"]):
        yield provocation
    said = {"json": spoken(conversation)}
    yield "open", "GET", CONVERSATIONS, {"headers": {"host": "canary.example"}}
    yield "open", "POST", MESSAGES, said | {"headers": {"origin": "https://canary.example"}}
    for _ in range(2):
        yield "limited", "POST", MESSAGES, said
    yield "without database", "POST", MESSAGES, said
    yield "without database", "GET", "/readyz", {}
    yield "without search", "GET", "/api/v1/search", {"params": {"q": CANARY}}
    await connection.execute(_SEARCH_ENDED_BY_ITS_TIME_LIMIT)
    yield "open", "GET", "/api/v1/search", {"params": {"q": CANARY}}
    await connection.execute(_ENDED_BY_ITS_TIME_LIMIT)
    yield "open", "GET", f"{CONVERSATIONS}/{opened.json()['id']}", {}


async def _by_words(
    _client: httpx.AsyncClient, _connection: asyncpg.Connection, conversation: UUID
) -> AsyncIterator[Provocation]:
    """Requests that are refused for what they say."""
    reader = callers.person("minh", frozenset())
    away = jwt.encode(callers.claims(CANARY, iss="https://away.example"), callers.KEY, "RS256")
    known = spoken(conversation)
    for body, headers in (
        (known, OWNER),
        (known | {"content": f"Not {CANARY}"}, OWNER),
        (spoken(conversation, role="system"), OWNER),
        (spoken(uuid4()), OWNER),
        (known, reader),
        (known, callers.bearer(away)),
        (known, callers.person(CANARY, aud=CANARY)),
    ):
        yield "guarded", "POST", MESSAGES, {"json": body, "headers": headers}
    yield "guarded", "POST", MESSAGES, {"content": CANARY.encode(), "headers": OWNER | {"content-type": "text/canary"}}
    yield "guarded", "POST", MESSAGES, {"content": CANARY.encode() * 100_000, "headers": OWNER | JSON}
    yield "guarded", "PUT", CONVERSATIONS, {"json": CANARY, "headers": OWNER}
    yield "guarded", "GET", f"/api/v1/{CANARY}", {"headers": OWNER}
    taken = {"id": str(conversation), "context_type": "goal"}
    yield "guarded", "POST", CONVERSATIONS, {"json": taken, "headers": OWNER}
    link = {"json": {"linked_goal_id": str(uuid4())}, "headers": OWNER}
    yield "guarded", "PATCH", f"{CONVERSATIONS}/{conversation}", link


async def _by_intent(conversation: str) -> AsyncIterator[Provocation]:
    """Requests about an intent and what tells of it that are refused."""
    place = f"{CONVERSATIONS}/{conversation}/intent"
    yield "open", "GET", place, {}
    named, other = {"if-match": f'"{CANARY}"'}, {CANARY: [CANARY]}
    for payload, headers in (({CANARY: CANARY}, {}), (other, {}), (other, named), ({CANARY: "\0"}, {})):
        yield "open", "PUT", place, {"json": {"intent": "GOAL", "payload": payload}, "headers": headers}
    yield "open", "POST", f"/api/v1/deliveries/{uuid4()}/retry", {}
    for end in ({}, {"ended_at": "2026-01-31T09:30:00Z"}, {CANARY: CANARY}, {"ended_at": CANARY}):
        yield "open", "POST", f"{CONVERSATIONS}/{conversation}/end", {"json": end}


async def _by_session(session: str) -> AsyncIterator[Provocation]:
    """Requests about a voice session that are refused, in whole or in part."""
    other = {"json": {"id": session, "conversation_id": str(uuid4())}}
    yield "open", "POST", SESSIONS, other
    words = {"type": "ConversationText", "role": "user", "content": CANARY}
    trouble = {"type": "Error", "description": CANARY, "code": CANARY}
    for event in (
        words,
        {**words, "content": f"Not {CANARY}"},
        {**words, "role": CANARY},
        {**words, "extra": {CANARY: [CANARY * 1000]}},
        {**words, "type": "History", "role": CANARY},
        {"type": CANARY * 10},
    ):
        events = [{"event": event, "client_sequence": 1, CANARY: CANARY}, {"event": event, "client_sequence": 1}]
        yield "open", "POST", f"{SESSIONS}/{session}/events", {"json": {"events": events}}
    for event in (trouble, {**trouble, "code": f"Not {CANARY}"}):
        yield (
            "open",
            "POST",
            f"{SESSIONS}/{session}/events",
            {"json": {"events": [{"event": event, "id": str(UUID(int=1))}]}},
        )
    for reason in (CANARY, f"Not {CANARY}"):
        yield "open", "POST", f"{SESSIONS}/{session}/end", {"json": {"reason": reason}}


async def _by_state(
    client: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> AsyncIterator[Provocation]:
    """Requests that are refused for what is in the database."""
    said = {"json": spoken(conversation), "headers": OWNER}
    async with connection.transaction():
        await connection.execute("SELECT FROM conversations FOR UPDATE")
        yield "guarded", "POST", MESSAGES, said
    held = {"json": {"reason": "Case 17"}}
    yield "open", "DELETE", f"{CONVERSATIONS}/{conversation}/hold", {}
    redaction = {"json": {"reason": "Card"}}
    yield "open", "POST", f"{CONVERSATIONS}/{conversation}/messages/{uuid4()}/redact", redaction
    yield "open", "PUT", f"{CONVERSATIONS}/{conversation}/hold", held
    yield "open", "DELETE", f"{CONVERSATIONS}/{conversation}", {}
    yield "open", "DELETE", f"{CONVERSATIONS}/{conversation}/hold", {}
    await connection.execute("CREATE TABLE kept (id UUID REFERENCES conversations(id))")
    await connection.execute("INSERT INTO kept VALUES ($1)", conversation)
    yield "guarded", "DELETE", f"{CONVERSATIONS}/{conversation}", {"headers": OWNER}
    erased = await _opened(client)
    await client.delete(f"{CONVERSATIONS}/{erased}", headers=OWNER)
    yield "guarded", "POST", MESSAGES, {"json": spoken(erased), "headers": OWNER}
    await connection.execute("ALTER TABLE conversations ADD CHECK (context_type <> 'goal')")
    yield "guarded", "POST", CONVERSATIONS, {"json": {"context_type": "goal"}, "headers": OWNER}
    # PostgreSQL quotes the whole row in what it says of a broken rule.
    await connection.execute("ALTER TABLE messages ADD CHECK (content NOT LIKE '%canary%') NOT VALID")
    yield "guarded", "POST", MESSAGES, said


async def _opened(client: httpx.AsyncClient) -> UUID:
    opened = await client.post(CONVERSATIONS, json={"context_type": "voice"}, headers=OWNER)
    return UUID(opened.json()["id"])


def _ascii(value: object) -> bytes:
    return json.dumps(value).encode()
