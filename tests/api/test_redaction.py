"""Words that were taken out of a message are found nowhere, and the message stays where it is."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
import pytest
from prometheus_client import REGISTRY

from backend.app import create_app
from backend.dao_service.message_dao import MessageDAO, MessageRows, Selection
from backend.errors import DatabaseUnavailable
from backend.formats.transcript import TranscriptFormat
from backend.services import audit
from backend.services.redaction import MARK, reduced
from backend.vocabulary import Announcement
from tests.conftest import settings_for, utterance
from tests.deepgram.examples import EXAMPLES
from tests.orchestrator_stand_in import settings as orchestrated
from tests.phones import CONVERSATIONS, Phone, begin, numbered, said
from tests.searching import INDEXED
from tests.streams import following, listening
from tests.waiting import PATIENCE, until_found
from verbatim_record.message_limits import CONTENT_BYTES

MESSAGES = "/api/v1/voice/messages"
CANARY = "4111 1111 1111 1111"
WORDS = f"My card is {CANARY}, thanks."
RANGE = [WORDS.index(CANARY), WORDS.index(CANARY) + len(CANARY)]
WITHOUT = WORDS.replace(CANARY, MARK)
WHY = {"reason": "Card number", "ranges": [RANGE]}
QUOTES = EXAMPLES["InjectionRefused"] | {"message": f"Not while {CANARY} is said."}
BLOCKED = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0)"


def place(conversation: object, message: object) -> str:
    return f"{CONVERSATIONS}/{conversation}/messages/{message}/redact"


async def everywhere(connection: asyncpg.Connection) -> str:
    """All rows of all tables, as text."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = [await connection.fetchval(f"SELECT string_agg(t::text, ' ') FROM {row[0]} AS t") for row in tables]
    return " ".join(filter(None, found))


async def post(client: httpx.AsyncClient, conversation: UUID, content: str = WORDS, **more: Any) -> dict[str, Any]:
    message = utterance(conversation, content, **more)
    answer = await client.post(MESSAGES, json=message)
    assert answer.status_code == 201, answer.text
    return message


async def test_the_words_are_gone_and_the_message_stays(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection, shared_conversation: UUID
) -> None:
    await post(shared_service, shared_conversation, "Hello.")
    message = await post(shared_service, shared_conversation, metadata={"heard": CANARY, "provider": "pipecat"})
    await post(shared_service, shared_conversation, "Bye.")
    pages = [f"{CONVERSATIONS}/{shared_conversation}/{each}" for each in ("messages", "transcript")]
    before = [await shared_service.get(page) for page in pages]
    assert await until_found(shared_connection, INDEXED)

    answer = await shared_service.post(place(shared_conversation, message["id"]), json=WHY)
    assert answer.status_code == 200
    redacted = answer.json()
    assert (redacted["id"], redacted["sequence"], redacted["content"]) == (message["id"], 2, WITHOUT)
    assert redacted["metadata"].keys() == {"provider", "redacted"}
    assert redacted["metadata"]["redacted"]["reason"] == WHY["reason"]

    after = [await shared_service.get(page) for page in pages]
    assert [each["sequence"] for each in after[0].json()["data"]] == [1, 2, 3]
    assert after[0].json()["data"][1] == redacted
    for old, new in zip(before, after, strict=True):
        assert new.headers["etag"] != old.headers["etag"]
        kept = await shared_service.get(new.url.path, headers={"if-none-match": old.headers["etag"]})
        assert kept.status_code == 200
    for form in TranscriptFormat:
        assert CANARY not in (await shared_service.get(pages[1], params={"format": form})).text
    found = await shared_service.get("/api/v1/search", params={"q": f'"{CANARY}"'})
    assert found.json()["data"] == []
    assert CANARY not in await everywhere(shared_connection)


async def test_a_phone_that_sends_the_original_again_gets_the_redacted_message(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection, shared_conversation: UUID
) -> None:
    message = await post(shared_service, shared_conversation, metadata={"note": CANARY})
    redacted = (await shared_service.post(place(shared_conversation, message["id"]), json=WHY)).json()
    again = await shared_service.post(MESSAGES, json=message)
    assert (again.status_code, again.json()) == (200, redacted)
    assert again.headers["idempotency-replayed"] == "true"
    batch = await shared_service.post(f"{MESSAGES}/batch", json={"messages": [message]})
    assert batch.json()["results"][0]["message"] == redacted
    other = await shared_service.post(MESSAGES, json=message | {"role": "assistant"})
    assert (other.status_code, other.json()["type"]) == (409, "/problems/message-id-reused")
    assert CANARY not in await everywhere(shared_connection)


async def test_a_sender_s_own_key_of_that_name_is_no_redaction(
    shared_service: httpx.AsyncClient, shared_conversation: UUID
) -> None:
    own = {"redacted": {"at": "2026-01-31T09:30:00Z", "reason": "x"}}
    message = await post(shared_service, shared_conversation, "First words.", metadata=own)
    other = await shared_service.post(MESSAGES, json=message | {"content": "Second words."})
    assert (other.status_code, other.json()["type"]) == (409, "/problems/message-id-reused")
    assert (await shared_service.post(MESSAGES, json=message)).json()["metadata"] == own
    await shared_service.post(place(shared_conversation, message["id"]), json={"reason": "All of it"})
    again = await shared_service.post(MESSAGES, json=message)
    assert (again.status_code, again.json()["content"]) == (200, MARK)


async def test_a_redaction_whose_answer_was_lost_is_repeated_without_harm_and_another_takes_out_more(
    shared_service: httpx.AsyncClient, shared_conversation: UUID
) -> None:
    message = await post(shared_service, shared_conversation, "one two three four")
    where = place(shared_conversation, message["id"])
    first = {"reason": "a", "ranges": [[4, 7]]}
    counted = REGISTRY.get_sample_value("verbatim_redactions_total") or 0
    answers = [await shared_service.post(where, json=first) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert REGISTRY.get_sample_value("verbatim_redactions_total") == counted + 1
    assert ["idempotency-replayed" in answer.headers for answer in answers] == [False, True]
    assert answers[0].json()["content"] == "one [redacted] three four"
    more = await shared_service.post(where, json={"reason": "b", "ranges": [[0, 3], [15, 20], [18, 22]]})
    assert more.json()["content"] == "[redacted] [redacted] [redacted]our"
    whole = await shared_service.post(where, json={"reason": "c"})
    assert (whole.json()["content"], whole.json()["metadata"]["redacted"]["reason"]) == (MARK, "c")


async def test_a_message_that_was_inserted_anew_under_its_id_is_redacted_anew(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection, shared_conversation: UUID
) -> None:
    message = await post(shared_service, shared_conversation)
    redact = place(shared_conversation, message["id"])
    await shared_service.post(redact, json=WHY)
    await shared_service.delete(f"{CONVERSATIONS}/{shared_conversation}")
    ids = shared_conversation, UUID(message["id"])
    await shared_connection.execute("INSERT INTO conversations (id, context_type) VALUES ($1, 'voice')", ids[0])
    insert = "INSERT INTO messages (conversation_id, id, role, content) VALUES ($1, $2, 'user', $3)"
    await shared_connection.execute(insert, *ids, WORDS)
    again = await shared_service.post(redact, json=WHY)
    assert (again.json()["content"], "idempotency-replayed" in again.headers) == (WITHOUT, False)


async def test_what_is_taken_out_of_the_longest_message_has_a_mark_that_fits(
    shared_service: httpx.AsyncClient, shared_conversation: UUID
) -> None:
    message = await post(shared_service, shared_conversation, "x" * CONTENT_BYTES)
    where = place(shared_conversation, message["id"])
    short = await shared_service.post(where, json={"reason": "Short", "ranges": [[0, 1], [5, 6]]})
    assert short.json()["content"] == "*xxxx*" + "x" * (CONTENT_BYTES - 6)
    longer = await shared_service.post(where, json={"reason": "Longer", "ranges": [[0, 20]]})
    assert longer.json()["content"] == MARK + "x" * (CONTENT_BYTES - 20)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/reason"),
        ({"reason": "x", "ranges": []}, "/ranges"),
        ({"reason": "x", "ranges": [[0, 1], [2, 2]]}, "/ranges/1"),
        ({"reason": "x", "ranges": [[0, 29]]}, "/ranges/0"),
        ({"reason": "x", "ranges": [[-1, 2]]}, "/ranges/0"),
        ({"reason": "x", "ranges": [[1]]}, "/ranges/0"),
        ({"reason": "x", "ranges": [["1", 2]]}, "/ranges/0/0"),
    ],
)
async def test_a_range_that_is_not_in_the_content_is_refused(
    shared_service: httpx.AsyncClient, shared_conversation: UUID, body: dict[str, Any], pointer: str
) -> None:
    message = await post(shared_service, shared_conversation, "A text of 28 characters, 😀.")
    refused = await shared_service.post(place(shared_conversation, message["id"]), json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert "characters, " not in refused.text


async def test_what_is_missing_on_hold_or_erased_is_not_redacted(
    shared_service: httpx.AsyncClient, shared_conversation: UUID
) -> None:
    message = await post(shared_service, shared_conversation)
    elsewhere = (await shared_service.post(CONVERSATIONS, json={"context_type": "voice"})).json()["id"]
    here = f"{CONVERSATIONS}/{shared_conversation}"

    async def refused(conversation: object, message: object) -> tuple[int, str]:
        answer = await shared_service.post(place(conversation, message), json=WHY)
        return answer.status_code, answer.json()["type"].rpartition("/")[2]

    assert await refused(uuid4(), message["id"]) == (404, "conversation-not-found")
    assert await refused(elsewhere, message["id"]) == (404, "message-not-found")
    await shared_service.put(f"{here}/hold", json={"reason": "Case"})
    assert await refused(shared_conversation, message["id"]) == (409, "on-hold")
    await shared_service.delete(f"{here}/hold")
    await shared_service.delete(here)
    assert await refused(shared_conversation, message["id"]) == (410, "conversation-erased")


async def test_the_receipt_and_the_session_stay_as_they_were_and_incidents_lose_their_text(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection
) -> None:
    phone = await begin(shared_service)
    history = {"type": "History", "role": "user", "content": WORDS}
    talk = numbered([said("user", WORDS), history, QUOTES, EXAMPLES["Error"], said("assistant", "Noted.")])
    await phone.send(*talk)
    await phone.end(reason="hangup", last_client_sequence=6)
    receipt, state = await phone.receipt(), await phone.state()
    [message, *_] = await phone.messages()
    redacted = (await shared_service.post(place(phone.conversation_id, message["id"]), json=WHY)).json()
    assert await phone.receipt() == receipt
    changed = await phone.state()
    assert changed["unverified_count"] == state["unverified_count"] == 0
    assert [each["type"] for each in changed["incidents"]] == [each["type"] for each in state["incidents"]]
    assert [each["detail"] for each in changed["incidents"]] == [{"redacted": True}] * 2

    again = await phone.send(*talk)
    assert {result["status"] for result in again} == {200}
    assert again[0]["messages"] == [redacted]
    assert (await phone.messages())[0] == redacted
    assert CANARY not in await everywhere(shared_connection)


async def test_an_incident_that_quotes_a_part_of_what_was_taken_out_loses_its_text(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection
) -> None:
    phone = await begin(shared_service)
    await phone.send(*numbered([said("user", WORDS), QUOTES]))
    [before] = (await phone.state())["incidents"]
    [message] = await phone.messages()
    await shared_service.post(place(phone.conversation_id, message["id"]), json={"reason": "All of it"})
    assert (await phone.state())["incidents"] == [before | {"detail": {"redacted": True}}]
    assert CANARY not in await everywhere(shared_connection)


async def test_what_arrives_after_the_redaction_is_stored_without_words_and_without_their_hash(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection
) -> None:
    phone = await begin(shared_service)
    history = {"type": "History", "role": "user", "content": CANARY}
    talk = numbered([said("user", WORDS), QUOTES, history])
    await phone.send(talk[0])
    [message] = await phone.messages()
    await shared_service.post(place(phone.conversation_id, message["id"]), json=WHY)
    assert [result["status"] for result in await phone.send(*talk)] == [200, 201, 201]
    assert [result["status"] for result in await phone.send(*talk)] == [200, 200, 200]
    assert [each["detail"] for each in (await phone.state())["incidents"]] == [{"redacted": True}]
    found = await everywhere(shared_connection)
    assert CANARY not in found
    assert hashlib.sha256(CANARY.encode()).hexdigest() not in found


async def test_an_incident_of_another_text_under_the_same_number_is_refused_though_its_sender_calls_it_redacted(
    shared_service: httpx.AsyncClient,
) -> None:
    phone = await begin(shared_service)
    first, second = ({**QUOTES, "redacted": True, "message": text} for text in ("One.", "Another."))
    await phone.send(*numbered([first]))
    [again] = await phone.send(*numbered([second]))
    assert (again["status"], again["problem"]["type"]) == (409, "/problems/event-id-reused")


async def test_events_that_arrive_while_it_is_redacted_bring_nothing_back(
    client: httpx.AsyncClient, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await begin(client)
    events = said("user", "Hi."), EXAMPLES["AgentStartedSpeaking"], EXAMPLES["LatencyReport"], said("assistant", WORDS)
    talk = numbered([*events, QUOTES])
    await phone.send(talk[0], talk[3])
    answer = (await phone.messages())[1]
    note, rewritten, going_on = audit.note, asyncio.Event(), asyncio.Event()

    async def slow(*values: Any, **names: Any) -> None:
        rewritten.set()
        await going_on.wait()
        await note(*values, **names)

    monkeypatch.setattr(audit, "note", slow)
    redacting = asyncio.create_task(client.post(place(phone.conversation_id, answer["id"]), json=WHY))
    await rewritten.wait()
    arriving = asyncio.create_task(phone.send(talk[1], talk[2], talk[4]))
    assert await until_found(connection, BLOCKED)
    going_on.set()
    redacted = (await redacting).json()
    assert [result["status"] for result in await arriving] == [201] * 3
    assert (await phone.messages())[1] == redacted
    assert [result["status"] for result in await phone.send(*talk)] == [200] * 5
    assert CANARY not in await everywhere(connection)


async def test_enrichment_leaves_a_redacted_message_alone(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection
) -> None:
    phone = await begin(shared_service)
    report = EXAMPLES["LatencyReport"]
    talk = numbered([said("user", "Hi."), EXAMPLES["AgentStartedSpeaking"], report, said("assistant", WORDS)])
    await phone.send(talk[0], talk[3])
    answer = (await phone.messages())[1]
    redacted = await shared_service.post(place(phone.conversation_id, answer["id"]), json=WHY)
    await phone.send(*talk)
    assert (await phone.messages())[1] == redacted.json()
    assert CANARY not in await everywhere(shared_connection)


async def test_enrichment_that_waits_for_a_redaction_brings_nothing_back(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection
) -> None:
    phone = await begin(shared_service)
    events = (
        said("user", "Hi."),
        EXAMPLES["AgentStartedSpeaking"],
        EXAMPLES["LatencyReport"],
        said("assistant", WORDS),
    )
    talk = numbered([*events])
    await phone.send(talk[0], talk[3])
    answer = (await phone.messages())[1]
    mark = {"provider": "deepgram", "redacted": {"at": "2026-01-31T09:31:00Z", "reason": "Card number"}}
    change = "UPDATE messages SET metadata = $2::text::jsonb WHERE id = $1"
    waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
    async with shared_connection.transaction():
        await shared_connection.execute(change, UUID(answer["id"]), orjson.dumps(mark).decode())
        enriching = asyncio.create_task(phone.send(*talk))
        assert await until_found(shared_connection, waiting)
    await enriching
    assert (await phone.messages())[1]["metadata"] == mark


def test_of_the_metadata_only_what_cannot_have_been_said_is_left() -> None:
    kept = {
        "provider": "deepgram",
        "behavior": "backchannel",
        "state": "completed",
        "call_id": "call_17-b",
        "interrupted": True,
        "started_at": "2026-01-31T09:30:00Z",
        "latency": {"total_ms": 412},
        "repaired": ["/timestamp"],
    }
    spoken = {
        "provider": CANARY,
        "behavior": CANARY,
        "state": CANARY,
        "call_id": CANARY,
        "interrupted": CANARY,
        "started_at": CANARY,
        "ended_at": f"2026-01-31T09:30:00.{CANARY.replace(' ', '')}",
        "arguments": {"card": CANARY},
        CANARY: 1,
    }
    assert reduced(kept) == kept
    assert reduced(spoken) == {}
    assert reduced({"latency": {"total_ms": CANARY, CANARY: 1}, "repaired": [CANARY]}) == {
        "latency": {},
        "repaired": [],
    }


async def test_a_function_call_without_its_words_is_read_in_every_format(
    shared_service: httpx.AsyncClient, shared_conversation: UUID
) -> None:
    metadata = {"call_id": "c1", "name": "pay", "state": "requested", "arguments": {"card": CANARY}}
    content = orjson.dumps({"card": CANARY}).decode()
    asked = await post(shared_service, shared_conversation, content, role="function", metadata=metadata)
    done = metadata | {"state": "completed"}
    await post(shared_service, shared_conversation, "paid", role="function", metadata=done | {"arguments": {}})
    await shared_service.post(place(shared_conversation, asked["id"]), json={"reason": "Card"})
    here = f"{CONVERSATIONS}/{shared_conversation}"
    for form in TranscriptFormat:
        answer = await shared_service.get(f"{here}/transcript", params={"format": form})
        assert (answer.status_code, CANARY in answer.text) == (200, False)
    timeline = await shared_service.get(f"{here}/timeline")
    assert (timeline.status_code, CANARY in timeline.text) == (200, False)


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(create_app(settings_for(database_url))) as client:
        yield client


async def test_followers_are_told_and_the_feed_s_cache_forgets(
    client: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    live = f"/conversations/{conversation}/live"
    async with (
        following(client, live) as follower,
        following(client, "/messages/feed") as reader,
    ):
        first = await post(client, conversation, "Hello.")
        message = await post(client, conversation)
        assert [event.data["content"] for event in await follower.take(2)] == ["Hello.", WORDS]
        await reader.take(2)
        redacted = (await client.post(place(conversation, message["id"]), json=WHY)).json()
        event = await follower.next()
        assert (event.kind, event.id, event.data) == ("redacted", None, redacted)
        await post(client, conversation, "Bye.")
        assert (await follower.next()).data["content"] == "Bye."
        # What has read the first message alone is sent the second without the words, and what has read both is told.
        async with following(client, live, after_sequence=1) as late:
            assert [each.data["content"] for each in await late.take(2)] == [WITHOUT, "Bye."]
        async with following(client, live, after_sequence=3) as back:
            assert (await back.next()).data == redacted
        feed = await client.get("/api/v1/messages/feed", params={"start": "beginning"})
        assert [each["content"] for each in feed.json()["data"]] == ["Hello.", WITHOUT, "Bye."]
    assert first["content"] == "Hello."
    assert CANARY not in await everywhere(connection)


async def test_a_follower_is_told_although_the_database_was_away_when_it_was_to_be_read(
    client: httpx.AsyncClient, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, refusals = MessageDAO.recorded, [DatabaseUnavailable()]

    async def away_once(self: MessageDAO, wanted: Selection, after: int | None = None) -> MessageRows | None:
        if wanted.redacted_since is not None and refusals:
            raise refusals.pop()
        return await recorded(self, wanted, after)

    monkeypatch.setattr(MessageDAO, "recorded", away_once)
    message = await post(client, conversation)
    async with following(client, f"/conversations/{conversation}/live") as follower:
        await follower.take(1)
        redacted = (await client.post(place(conversation, message["id"]), json=WHY)).json()
        event = await follower.next()
        assert (event.kind, event.data, refusals) == ("redacted", redacted, [])


@pytest.fixture
async def told_client(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that queues deliveries of every kind."""
    told = orchestrated("http://127.0.0.1:9/hook", deliver=False, orchestrator_events=tuple(Announcement))
    async with listening(create_app(settings_for(database_url, **told))) as client:
        yield client


TALK = numbered([said("user", WORDS), EXAMPLES["AgentStartedSpeaking"], EXAMPLES["LatencyReport"]])
READ = ("/export?user_id=minh", "/messages/feed?start=beginning&limit=500", "/search?q=card")


async def resend(phones: Sequence[Phone], stop: asyncio.Event) -> None:
    while not stop.is_set():
        for phone in phones:
            assert {result["status"] for result in await phone.send(*TALK)} <= {200, 201}


async def read(client: httpx.AsyncClient, stop: asyncio.Event) -> None:
    while not stop.is_set():
        for path in READ:
            assert (await client.get(f"/api/v1{path}")).status_code == 200


async def redact(client: httpx.AsyncClient, phone: Phone) -> None:
    """Redact the message of a call that is followed, and see that the follower is told."""
    async with following(client, f"/conversations/{phone.conversation_id}/live") as follower:
        message = (await follower.next()).data
        while (answer := await client.post(place(phone.conversation_id, message["id"]), json=WHY)).status_code == 503:
            await asyncio.sleep(0)
        assert answer.status_code == 200
        while (event := await follower.next()).kind != "redacted":
            pass
        assert event.data["content"] == WITHOUT


async def test_under_fire_the_words_do_not_come_back(
    told_client: httpx.AsyncClient, connection: asyncpg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    """Phones send again, events enrich, search indexes, exports run and followers listen, while it is redacted.

    REDACTIONS is the number of messages, each in a call of its own.
    """
    client, stop = told_client, asyncio.Event()
    phones = [await begin(client) for _ in range(int(os.environ.get("REDACTIONS", "4")))]
    await connection.execute("UPDATE conversations SET user_id = 'minh'")
    await asyncio.gather(*(phone.send(*TALK) for phone in phones))
    numbers = [(await phone.receipt())["received"] for phone in phones]
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for each in (*(resend(phones[first::4], stop) for first in range(4)), read(client, stop)):
            group.create_task(each)
        for first in range(0, len(phones), 20):
            await asyncio.gather(*(redact(client, phone) for phone in phones[first : first + 20]))
        stop.set()
    for phone, received in zip(phones, numbers, strict=True):
        await phone.send(*TALK)
        [message] = await phone.messages()
        assert (message["sequence"], message["content"]) == (1, WITHOUT)
        receipt = await phone.receipt()
        assert (receipt["received"], receipt["missing"]) == (received, [])
    assert await until_found(connection, INDEXED)
    kinds = await connection.fetch("SELECT type, count(*) FROM deliveries GROUP BY 1")
    assert [tuple(row) for row in kinds] == [("message.redacted", len(phones))]
    paths = (*READ, "/audit?limit=500", "/deliveries?limit=500")
    answers = [(await client.get(f"/api/v1{path}")).text for path in paths]
    assert answers[0].count(MARK) == len(phones)
    found = [*answers, await everywhere(connection), *capfd.readouterr(), (await client.get("/metrics")).text]
    assert CANARY not in "".join(found)
    assert (await client.get("/api/v1/search", params={"q": "4111"})).json()["data"] == []


async def test_a_repetition_after_another_redaction_takes_no_more_words(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    words = f"My card is {CANARY}, and my pin is 99; thank you very much for your help today."
    message = await post(service, conversation, words)

    async def redact(text: str, within: str) -> str:
        start = within.index(text)
        wanted = {"reason": "x", "ranges": [[start, start + len(text)]]}
        answer = await service.post(place(conversation, message["id"]), json=wanted)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["content"])

    once = await redact("99", words)
    twice = await redact(CANARY, once)
    assert await redact("99", words) == twice  # the answer to the first was lost


async def test_the_last_redaction_has_the_highest_number_although_the_clock_was_set_back(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute(
        "INSERT INTO audit_entries (id, number, action, actor, conversation_id, message_id, details) "
        "SELECT one, 4102444800000000000, 'message.redacted', 'x', one, one, '{}' FROM gen_random_uuid() AS one"
    )
    message = await post(service, conversation)
    assert (await service.post(place(conversation, message["id"]), json=WHY)).status_code == 200
    last = "SELECT message_id::text FROM audit_entries WHERE action = 'message.redacted' ORDER BY number DESC LIMIT 1"
    assert await connection.fetchval(last) == message["id"]
