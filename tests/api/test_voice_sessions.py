"""A phone begins a call, hangs up, and learns what of it is on record."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.schemas import fields
from backend.services import session_timeout
from backend.services.session_timeout import end_abandoned
from tests import callers
from tests.conftest import running, settings_for, utterance
from tests.phones import CONVERSATIONS, SESSIONS, Phone, begin, fall_silent, numbered, said
from tests.waiting import PATIENCE

LONG = timedelta(hours=1)
TALK = numbered([said("user", "Hello?"), said("assistant", "Hello."), said("user", "Bye."), {"type": "KeepAlive"}])


async def test_a_call_without_a_conversation_opens_one(service: httpx.AsyncClient) -> None:
    answer = await service.post(SESSIONS, json={})
    session = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{SESSIONS}/{session['id']}"
    assert session["id"].startswith("vs_")
    assert (session["next_client_sequence"], session["deepgram"]) == (1, None)
    conversation = (await service.get(f"{CONVERSATIONS}/{session['conversation_id']}")).json()
    assert (conversation["context_type"], conversation["voice_session_id"]) == ("voice", session["id"])


async def test_a_call_goes_on_with_a_conversation_that_had_ended(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    first = await begin(service, conversation)
    await first.end()
    path = f"{CONVERSATIONS}/{conversation}"
    assert (await service.get(path)).json()["ended_at"] is not None
    second = await begin(service, conversation)
    found = (await service.get(path)).json()
    assert (found["ended_at"], found["voice_session_id"]) == (None, second.session_id)


async def test_a_call_begun_again_under_the_same_id_is_the_same_call(service: httpx.AsyncClient) -> None:
    wanted = {"id": "vs_0123456789abcdef"}
    first = await service.post(SESSIONS, json=wanted)
    phone = Phone(service, wanted["id"], UUID(first.json()["conversation_id"]))
    await phone.send(*TALK)
    again = await service.post(SESSIONS, json=wanted)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert again.json() == first.json() | {"next_client_sequence": 5}
    named = wanted | {"conversation_id": str(phone.conversation_id)}
    assert (await service.post(SESSIONS, json=named)).json() == again.json()
    other = wanted | {"conversation_id": str((await begin(service)).conversation_id)}
    refused = await service.post(SESSIONS, json=other)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/voice-session-id-reused")


async def test_a_call_begun_in_a_conversation_is_found_again_by_its_id_alone(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    named = {"id": "vs_0123456789abcdef", "conversation_id": str(conversation)}
    first = await service.post(SESSIONS, json=named)
    again = await service.post(SESSIONS, json={"id": named["id"]})
    assert (again.status_code, again.json()) == (200, first.json())
    assert len((await service.get(CONVERSATIONS)).json()["data"]) == 1


async def test_ten_attempts_at_once_begin_one_call(service: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    wanted = {"id": "vs_0123456789abcdef"}
    answers = await asyncio.gather(*(service.post(SESSIONS, json=wanted) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert len({answer.json()["conversation_id"] for answer in answers}) == 1
    assert await connection.fetchval("SELECT count(*) FROM conversations") == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"conversation_id": 7}, "/conversation_id"),
        ({"id": "mine"}, "/id"),
        ({"id": "vs_" + "é" * 20}, "/id"),
        ({"unknown": 1}, "/unknown"),
        ([], ""),
    ],
)
async def test_a_call_that_is_asked_for_wrongly_is_refused(
    shared_service: httpx.AsyncClient, body: object, pointer: str
) -> None:
    answer = await shared_service.post(SESSIONS, json=body)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_a_call_in_an_erased_conversation_is_told_so(service: httpx.AsyncClient) -> None:
    wanted = {"id": "vs_0123456789abcdef"}
    phone = Phone(service, wanted["id"], UUID((await service.post(SESSIONS, json=wanted)).json()["conversation_id"]))
    await phone.send(*TALK)
    assert (await service.delete(f"{CONVERSATIONS}/{phone.conversation_id}")).status_code == 204
    late = await service.post(f"{SESSIONS}/{phone.session_id}/events", json={"events": TALK})
    assert (late.status_code, late.json()["type"]) == (404, "/problems/voice-session-not-found")
    for body in (wanted, {"conversation_id": str(phone.conversation_id)}):
        anew = await service.post(SESSIONS, json=body)
        assert (anew.status_code, anew.json()["type"]) == (410, "/problems/conversation-erased")


async def test_the_receipt_names_exactly_what_did_not_arrive(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    talk = numbered([said("user", f"Number {number}.") for number in range(1, 11)])
    await phone.send(talk[0], talk[3], talk[4], talk[8])
    found = await phone.receipt()
    assert found == {
        "complete": False,
        "received": 4,
        "expected": 9,
        "missing": [[2, 3], [6, 8]],
        "duplicates": 0,
        "last_sequence": 4,
        "more_missing": 0,
        "client_lost": 0,
    }
    ended = await phone.end(last_client_sequence=10)
    assert ended == found | {"expected": 10, "missing": [[2, 3], [6, 8], [10, 10]]}
    await phone.send(talk[1], talk[2], *talk[5:8], talk[9], talk[0])
    assert await phone.receipt() == {
        "complete": True,
        "received": 10,
        "expected": 10,
        "missing": [],
        "duplicates": 1,
        "last_sequence": 10,
        "more_missing": 0,
        "client_lost": 0,
    }


async def test_a_receipt_names_a_thousand_ranges_and_says_how_many_more_there_are(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    phone = await begin(service)
    await connection.execute(
        "INSERT INTO messages (conversation_id, role, content, voice_session_id, client_sequence) "
        "SELECT $1, 'user', 'x', $2, number FROM generate_series(2, 3000, 2) AS number",
        phone.conversation_id,
        phone.session_id,
    )
    found = await phone.end(last_client_sequence=4000)
    assert found["missing"] == [[number, number] for number in range(1, 2000, 2)]
    assert (found["more_missing"], found["complete"]) == (501, False)


async def test_what_a_phone_can_make_of_a_sessions_state_is_bounded(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    for batch in range(3):
        places = range(batch * 500, batch * 500 + 500)
        await phone.send(*numbered([{"type": f"Strange{place}"} for place in places], first=batch * 1000 + 1))
        await phone.send(
            *numbered([{"type": "Welcome", "request_id": f"r{place}"} for place in places], first=batch * 1000 + 501)
        )
    state = await phone.state()
    assert (len(state["provider_session_ids"]), len(state["event_counts"])) == (1000, 100)
    assert state["event_counts"]["Welcome"] == 1500


async def test_nothing_is_complete_before_the_phone_says_that_it_is_done(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    nothing = {"complete": False, "received": 0, "expected": 0, "missing": [], "duplicates": 0, "last_sequence": 0}
    assert await phone.receipt() == nothing | {"more_missing": 0, "client_lost": 0}
    await phone.send(*TALK)
    assert (await phone.receipt())["complete"] is False
    assert (await phone.end(last_client_sequence=4))["complete"] is True


async def test_a_call_in_which_nothing_was_sent_is_complete(service: httpx.AsyncClient) -> None:
    ended = await (await begin(service)).end(last_client_sequence=0)
    assert (ended["complete"], ended["expected"]) == (True, 0)


async def test_what_is_posted_as_a_message_of_the_session_counts_as_well(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    await phone.send(TALK[0], TALK[2])
    for number, session in ((2, phone.session_id), (5, phone.session_id), (4, "vs_somebody else's")):
        body = utterance(phone.conversation_id, voice_session_id=session, client_sequence=number)
        assert (await service.post("/api/v1/voice/messages", json=body)).status_code == 201
    found = await phone.receipt()
    assert (found["received"], found["missing"]) == (4, [[4, 4]])


async def test_ending_twice_in_the_same_way_is_answered_the_same(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    await phone.send(*TALK)
    facts = {"reason": "hangup", "last_client_sequence": 4, "ended_at": datetime.now(UTC).isoformat()}
    path = f"{SESSIONS}/{phone.session_id}/end"
    first, again = [await service.post(path, json=facts) for _ in range(2)]
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await phone.end() == first.json()


@pytest.mark.parametrize(
    ("fact", "value"),
    [("reason", "battery"), ("last_client_sequence", 5), ("ended_at", "2026-01-01T00:00:00Z")],
)
async def test_ending_twice_in_different_ways_is_refused(service: httpx.AsyncClient, fact: str, value: object) -> None:
    phone = await begin(service)
    await phone.end(reason="hangup", last_client_sequence=4)
    refused = await service.post(f"{SESSIONS}/{phone.session_id}/end", json={fact: value})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/voice-session-ended")
    assert f"another {fact}," in refused.json()["detail"]
    assert (await phone.state())["end_reason"] == "hangup"


async def test_a_receipt_is_never_complete_while_the_phone_has_given_up_events(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    await phone.send(*TALK)
    ended = await phone.end(last_client_sequence=4, client_lost=2)
    assert (ended["complete"], ended["missing"], ended["client_lost"]) == (False, [], 2)
    assert await phone.receipt() == ended


async def test_what_a_phone_gives_up_after_the_end_is_added_and_never_taken_back(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    path = f"{SESSIONS}/{phone.session_id}/end"
    answers = [await service.post(path, json={"reason": "hangup", "client_lost": lost}) for lost in (0, 3, 3, 1)]
    assert [answer.json()["client_lost"] for answer in answers] == [0, 3, 3, 3]
    assert [answer.json()["complete"] for answer in answers] == [True, False, False, False]
    assert ["idempotency-replayed" in answer.headers for answer in answers] == [False, False, True, True]
    refused = await service.post(path, json={"reason": "battery", "client_lost": 9})
    assert refused.status_code == 409
    assert (await phone.receipt())["client_lost"] == 3


@pytest.mark.parametrize("lost", [-1, 2**31, "1", 1.5, None, True])
async def test_what_counts_no_events_is_refused(shared_service: httpx.AsyncClient, lost: object) -> None:
    phone = await begin(shared_service)
    answer = await shared_service.post(f"{SESSIONS}/{phone.session_id}/end", json={"client_lost": lost})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/client_lost")


async def test_a_conversation_lasts_as_long_as_its_calls_and_ends_with_the_last(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    first = await begin(service)
    second = await begin(service, first.conversation_id)
    await connection.execute("UPDATE voice_sessions SET started_at = '2026-01-31 12:00Z'")
    path = f"{CONVERSATIONS}/{first.conversation_id}"
    await first.end(ended_at="2026-01-31T12:01:00Z")
    under_way = (await service.get(path)).json()
    assert (under_way["ended_at"], under_way["duration_seconds"]) == (None, 60)
    await second.end(ended_at="2026-01-31T12:00:30.4Z")
    ended = (await service.get(path)).json()
    assert (ended["ended_at"], ended["duration_seconds"]) == ("2026-01-31T12:01:00Z", 90)
    assert (await first.state())["duration_seconds"] == 60


async def test_a_call_that_ended_before_it_began_took_no_time(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    await phone.end(ended_at="2020-01-01T00:00:00Z")
    assert (await phone.state())["duration_seconds"] == 0


@pytest.mark.pooled
async def test_a_silent_call_is_ended_when_it_was_last_heard_of(
    service: httpx.AsyncClient, connection: asyncpg.Connection, database: Database
) -> None:
    phone, busy = await begin(service), await begin(service)
    await phone.send(*TALK)
    body = utterance(busy.conversation_id, voice_session_id=busy.session_id)
    await service.post("/api/v1/voice/messages", json=body)
    heard = datetime.now(UTC) - timedelta(hours=2)
    began = heard - timedelta(minutes=1)
    await connection.execute("UPDATE voice_sessions SET seen_at = $1, started_at = $2", heard, began)
    await connection.execute("UPDATE messages SET created_at = $1 WHERE client_sequence IS NOT NULL", heard)

    assert await end_abandoned(database, LONG) == 1
    state = await phone.state()
    assert (state["end_reason"], state["duration_seconds"]) == ("abandoned", 60)
    assert datetime.fromisoformat(state["ended_at"]) == heard
    assert (await phone.receipt())["complete"] is False
    assert (await busy.state())["ended_at"] is None


async def test_of_several_processes_one_ends_an_abandoned_call(
    service: httpx.AsyncClient, connection: asyncpg.Connection, database_url: str
) -> None:
    for _ in range(5):
        await begin(service)
    await connection.execute("UPDATE voice_sessions SET seen_at = now() - interval '2 hours'")
    processes = [Database(database_url) for _ in range(3)]
    ended = await asyncio.gather(*(end_abandoned(process, LONG) for process in processes))
    for process in processes:
        await process.close()
    assert sum(ended) == 5


@pytest.mark.pooled
@pytest.mark.parametrize("sign", ["begin", "token", "events", "message", "batch"])
async def test_the_end_of_a_silent_call_is_taken_back_when_its_phone_sends_anything(
    service: httpx.AsyncClient, connection: asyncpg.Connection, database: Database, sign: str
) -> None:
    wanted = {"id": "vs_0123456789abcdef"}
    begun = (await service.post(SESSIONS, json=wanted)).json()
    phone = Phone(service, begun["id"], UUID(begun["conversation_id"]))
    await phone.send(*TALK[:2])
    message = utterance(phone.conversation_id, voice_session_id=phone.session_id)
    await fall_silent(connection, database)
    path = f"{CONVERSATIONS}/{phone.conversation_id}"
    assert (await service.get(path)).json()["ended_at"] is not None
    if sign == "begin":
        assert (await service.post(SESSIONS, json=wanted)).json()["next_client_sequence"] == 3
    elif sign == "token":
        assert (await service.post(f"{SESSIONS}/{phone.session_id}/token")).status_code == 409  # there is no key
    elif sign == "batch":
        await service.post("/api/v1/voice/messages/batch", json={"messages": [message]})
    elif sign == "message":
        await service.post("/api/v1/voice/messages", json=message)
    else:
        await phone.send(TALK[3])
    state = await phone.state()
    assert (state["ended_at"], state["end_reason"], state["duration_seconds"]) == (None, None, None)
    found = (await service.get(path)).json()
    assert (found["ended_at"], found["duration_seconds"]) == (None, None)
    await end_abandoned(database, LONG)
    assert (await phone.state())["ended_at"] is None


async def test_a_message_that_only_names_a_silent_call_of_another_conversation_takes_nothing_back(
    service: httpx.AsyncClient, connection: asyncpg.Connection, database: Database, conversation: UUID
) -> None:
    phone = await begin(service)
    await fall_silent(connection, database)
    body = utterance(conversation, voice_session_id=phone.session_id)
    assert (await service.post("/api/v1/voice/messages", json=body)).status_code == 201
    assert (await phone.state())["end_reason"] == "abandoned"


async def test_no_phone_gives_the_reason_of_a_presumed_end(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    refused = await service.post(f"{SESSIONS}/{phone.session_id}/end", json={"reason": "abandoned"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/reason")
    assert (await phone.state())["ended_at"] is None


async def test_a_call_that_its_phone_has_ended_stays_ended_whatever_it_sends(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    await phone.send(*TALK[:2])
    await phone.end(reason="hangup", last_client_sequence=4)
    await phone.send(*TALK[2:])
    await service.post(f"{SESSIONS}/{phone.session_id}/token")
    assert (await phone.state())["end_reason"] == "hangup"
    assert (await service.get(f"{CONVERSATIONS}/{phone.conversation_id}")).json()["ended_at"] is not None


async def test_a_call_that_cannot_be_ended_stops_no_other(
    service: httpx.AsyncClient,
    connection: asyncpg.Connection,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_timeout, "_MAX_ROWS", 2)
    phones = [await begin(service) for _ in range(5)]
    await connection.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$
    """)
    refused = {phone.conversation_id for phone in phones[:3]}  # the longest silent: more than are looked up at once
    for identity in refused:
        await connection.execute(f"""
            CREATE TRIGGER "{identity}" BEFORE UPDATE ON conversations FOR EACH ROW
            WHEN (OLD.id = '{identity}') EXECUTE FUNCTION refuse()
        """)
    await connection.execute("UPDATE voice_sessions SET seen_at = started_at - interval '2 hours'")
    assert await end_abandoned(database, LONG) == 2
    ended = [(await phone.state())["end_reason"] for phone in phones]
    assert ended == [None] * 3 + ["abandoned"] * 2


@pytest.mark.pooled
async def test_a_phone_that_comes_back_has_the_last_word(
    service: httpx.AsyncClient, connection: asyncpg.Connection, database: Database
) -> None:
    phone = await begin(service)
    await phone.send(*TALK[:2])
    await connection.execute("UPDATE voice_sessions SET seen_at = now() - interval '2 hours'")
    await connection.execute("UPDATE messages SET created_at = now() - interval '2 hours'")
    assert await end_abandoned(database, LONG) == 1
    await phone.send(*TALK[2:])
    assert (await phone.end(reason="hangup", last_client_sequence=4))["complete"] is True
    assert (await phone.state())["end_reason"] == "hangup"
    refused = await service.post(f"{SESSIONS}/{phone.session_id}/end", json={"reason": "battery"})
    assert refused.status_code == 409


@pytest.mark.pooled
async def test_the_service_ends_abandoned_calls_by_itself(database_url: str, connection: asyncpg.Connection) -> None:
    async with running(create_app(settings_for(database_url, session_timeout=1))) as client:
        phone = await begin(client)
        async with asyncio.timeout(PATIENCE):
            while (await phone.state())["end_reason"] != "abandoned":
                await asyncio.sleep(0.05)
    assert await connection.fetchval("SELECT ended_at FROM conversations") is not None


async def test_a_call_belongs_to_whom_its_conversation_belongs(database_url: str, tmp_path: Path) -> None:
    app = create_app(settings_for(database_url, auth_issuers=callers.issuers(tmp_path)))
    async with running(app) as client:
        wanted = {"id": "vs_0123456789abcdef"}
        mine, theirs = callers.person("minh"), callers.person("lan")
        begun = await client.post(SESSIONS, json=wanted, headers=mine)
        conversation = (await client.get(f"{CONVERSATIONS}/{begun.json()['conversation_id']}", headers=mine)).json()
        assert conversation["user_id"] == "minh"
        taken = await client.post(SESSIONS, json=wanted, headers=theirs)
        assert taken.status_code == 409
        assert (await client.post(SESSIONS, json=wanted, headers=mine)).status_code == 200


@pytest.mark.parametrize("name", ["vs_%00", "%00", "x" * 256])
async def test_what_can_be_no_session_is_refused(shared_service: httpx.AsyncClient, name: str) -> None:
    for method, path in (("GET", ""), ("GET", "/receipt"), ("POST", "/token"), ("POST", "/end"), ("POST", "/events")):
        body = {"end": {}, "events": {"events": TALK}}.get(path[1:])
        answer = await shared_service.request(method, f"{SESSIONS}/{name}{path}", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/path/session_id")


async def test_a_call_that_nobody_began_is_not_found(service: httpx.AsyncClient) -> None:
    for method, path in (("GET", ""), ("GET", "/receipt"), ("POST", "/token"), ("POST", "/end"), ("POST", "/events")):
        body = {"end": {}, "events": {"events": TALK}}.get(path[1:])
        answer = await service.request(method, f"{SESSIONS}/vs_{uuid4().hex}{path}", json=body)
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/voice-session-not-found")


@pytest.mark.pooled
@pytest.mark.parametrize("told", ["1970-01-01T00:00:07Z", "2569-01-31T09:30:00Z", "9999-12-31T23:59:59Z"])
async def test_a_phone_whose_clock_is_wrong_ends_its_call_now(shared_service: httpx.AsyncClient, told: str) -> None:
    phone = await begin(shared_service)
    await phone.send(*numbered([said("user", "Hello?")]))
    first, again = [await phone.end(last_client_sequence=1, ended_at=told) for _ in range(2)]
    assert first["complete"] is True
    assert again == first
    ended = datetime.fromisoformat((await phone.state())["ended_at"])
    assert abs(datetime.now(UTC) - ended) < timedelta(minutes=1)


async def test_an_end_is_repeated_although_its_time_has_become_plausible_since(
    service: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await begin(service)
    ahead = datetime.now(UTC) + fields.CLOCK_SKEW + timedelta(seconds=30)
    first = await phone.end(reason="hangup", ended_at=ahead.isoformat())
    monkeypatch.setattr(fields, "CLOCK_SKEW", fields.CLOCK_SKEW + timedelta(minutes=1))  # as half a minute later
    assert await phone.end(reason="hangup", ended_at=ahead.isoformat()) == first
