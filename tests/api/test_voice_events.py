"""A phone forwards Deepgram's events as they come, and each has its effect, once."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from backend.deepgram.parse import MOST_FUNCTIONS
from tests.conftest import utterance
from tests.deepgram.examples import EXAMPLES
from tests.phones import NOON, SESSIONS, Phone, begin, numbered, said

ASKED = said("user", "What time is it?")
ANSWERED = said("assistant", "Half past nine.")
STARTED = EXAMPLES["AgentStartedSpeaking"]
DONE = EXAMPLES["AgentAudioDone"]
LATENCY = {"total_ms": 1250, "tts_ms": 250, "llm_ms": 1000}
SAID = {
    "ConversationText": [("user", "Vâng, đúng rồi.", "voice")],
    "InjectUserMessage": [("user", "typed", "text")],
    "FunctionCallRequest": [("function", "{}", "voice")],
    "FunctionCallResponse": [("function", "half past nine", "voice")],
    "FunctionCallCancelled": [("function", "", "voice")],
}
JSON = {"content-type": "application/json"}


@pytest.fixture
async def phone(service: httpx.AsyncClient) -> Phone:
    return await begin(service)


def statuses(results: list[dict[str, Any]]) -> list[int]:
    return [result["status"] for result in results]


async def test_every_type_that_the_sdk_knows_is_taken_and_has_its_effect(
    phone: Phone, connection: asyncpg.Connection
) -> None:
    results = await phone.send(*numbered([*EXAMPLES.values()]))
    assert statuses(results) == [201] * len(EXAMPLES)
    for event, result in zip(EXAMPLES.values(), results, strict=True):
        found = [(each["role"], each["content"], each["input_modality"]) for each in result["messages"]]
        assert found == SAID.get(event["type"], [])
    state = await phone.state()
    assert state["provider_session_ids"] == ["a connection"]
    silent = [event["type"] for event in EXAMPLES.values() if event["type"] not in SAID]
    assert state["event_counts"] == {kind: silent.count(kind) for kind in silent}
    incidents = {each["type"]: each["detail"] for each in state["incidents"]}
    assert incidents == {
        "Error": {"description": "Nothing was heard for a while.", "code": "CLIENT_MESSAGE_TIMEOUT"},
        "Warning": {"description": "The prompt is too long.", "code": "PROMPT_TOO_LONG"},
        "InjectionRefused": {"message": "The user is speaking."},
        "FrustrationDetected": {"count": 2, "escalated": False},
    }
    assert state["unverified_count"] == 0
    # Prompts, keys and thoughts are nobody's words in the call, and are not kept.
    kept = await connection.fetch("SELECT detail::text FROM voice_events WHERE detail IS NOT NULL")
    assert not any(word in row["detail"] for row in kept for word in ("secret", "Be brief", "wants to know"))


async def test_a_type_of_tomorrow_is_taken_and_counted(phone: Phone) -> None:
    events = numbered([{"type": "MoodRing", "colour": ["blue"]}, {"type": "MoodRing"}, ASKED | {"mood": "calm"}])
    results = await phone.send(*events)
    assert statuses(results) == [201, 201, 201]
    assert results[2]["messages"][0]["metadata"]["extra"] == {"mood": "calm"}
    assert (await phone.state())["event_counts"] == {"MoodRing": 2}
    assert (await phone.receipt())["received"] == 3
    metrics = (await phone.client.get("/metrics")).text
    assert 'verbatim_voice_events_total{type="unknown"}' in metrics
    assert "MoodRing" not in metrics


@pytest.mark.parametrize(
    "body", [{}, {"events": []}, {"events": [{}] * 501}, {"events": {}}, {"events": [], "x": 1}, 7]
)
async def test_a_body_of_another_form_is_refused_whole(phone: Phone, body: object) -> None:
    answer = await phone.client.post(f"{SESSIONS}/{phone.session_id}/events", json=body)
    assert answer.status_code == 422


async def test_text_that_cannot_be_stored_is_mended_and_says_so(phone: Phone) -> None:
    events = numbered([said("user", "one\0two \ud800"), said("user", "whole \U0001f600", languages=["v\0i"])])
    body = json.dumps({"events": events}).encode()
    answer = await phone.client.post(f"{SESSIONS}/{phone.session_id}/events", content=body, headers=JSON)
    assert statuses(answer.json()["results"]) == [201, 201]
    first, second = await phone.messages()
    assert (first["content"], first["metadata"]["repaired"]) == ("one�two �", ["/content"])
    assert (second["content"], second["metadata"]["languages"]) == ("whole \U0001f600", ["v�i"])
    assert second["metadata"]["repaired"] == ["/metadata/languages/0"]
    again = await phone.client.post(f"{SESSIONS}/{phone.session_id}/events", content=body, headers=JSON)
    assert statuses(again.json()["results"]) == [200, 200]
    assert "repaired" not in (await phone.send(*numbered([ASKED], 3)))[0]["messages"][0]["metadata"]


async def test_a_blind_retry_of_everything_changes_nothing(phone: Phone) -> None:
    events = numbered([*EXAMPLES.values(), ANSWERED, STARTED, EXAMPLES["UserStartedSpeaking"]])
    await phone.send(*events)
    before = await phone.messages()
    counts = (await phone.state())["event_counts"]
    assert statuses(await phone.send(*events)) == [200] * len(events)
    assert await phone.messages() == before
    assert (await phone.state())["event_counts"] == counts
    assert (await phone.receipt())["duplicates"] == len(events)


async def test_ten_senders_of_the_same_at_once_record_it_once(phone: Phone) -> None:
    events = numbered([*EXAMPLES.values()])
    answers = await asyncio.gather(*(phone.send(*events) for _ in range(10)))
    for place in range(len(events)):
        assert sorted(answer[place]["status"] for answer in answers) == [200] * 9 + [201]
    assert (await phone.receipt())["duplicates"] == 9 * len(events)
    assert len(await phone.messages()) == len(SAID)


async def test_an_id_of_the_phones_own_is_the_events_identity(phone: Phone) -> None:
    identity = str(uuid4())
    for event in (ASKED, STARTED):
        mine = {"event": event, "id": identity}
        assert statuses(await phone.send(mine, mine)) == [201, 200]
    [message] = await phone.messages()
    assert (message["id"], message["client_sequence"]) == (identity, None)


@pytest.mark.parametrize("first", [ASKED, STARTED, DONE])
async def test_an_id_or_number_used_for_something_else_is_refused(phone: Phone, first: dict[str, Any]) -> None:
    other = {"type": first["type"], "total_latency": 9.0, "tts_latency": 1.0, "ttt_latency": 1.0}
    changed = other if first is STARTED else EXAMPLES["KeepAlive"] if first is DONE else first | {"content": "No."}
    await phone.send(*numbered([first]))
    [result] = await phone.send(*numbered([changed]))
    assert result["status"] == 409
    assert result["problem"]["type"] in {"/problems/message-id-reused", "/problems/event-id-reused"}


async def test_each_function_of_a_request_is_a_message_of_its_own(phone: Phone) -> None:
    call = EXAMPLES["FunctionCallRequest"]["functions"][0]
    functions = [call, call | {"id": "call-2", "arguments": '{"zone": "UTC"}'}]
    event = numbered([EXAMPLES["FunctionCallRequest"] | {"functions": functions}])
    [result] = await phone.send(*event)
    assert [message["metadata"]["call_id"] for message in result["messages"]] == ["call-1", "call-2"]
    assert {message["client_sequence"] for message in result["messages"]} == {1}
    [again] = await phone.send(*event)
    assert again == result | {"status": 200}
    assert statuses(await phone.send(*numbered([EXAMPLES["FunctionCallRequest"] | {"functions": []}], 2))) == [201]
    assert (await phone.receipt())["received"] == 2


async def test_messages_take_the_phones_order_within_what_is_sent_together(phone: Phone) -> None:
    talk = numbered([said("user", f"Number {number}.") for number in range(1, 6)])
    await phone.send(*reversed(talk))
    assert [message["sequence"] for message in await phone.messages()] == [1, 2, 3, 4, 5]


async def test_without_times_a_late_message_takes_its_place_by_the_phones_count(phone: Phone) -> None:
    talk = [{"event": said("user", str(number)), "client_sequence": number} for number in range(1, 11)]
    await phone.send(talk[0], talk[1], talk[3], talk[6], talk[9])
    late = [talk[4], talk[5], talk[2], talk[7], talk[8]]
    await phone.send(*late[:2])
    for event in late[2:]:
        await phone.send(event)
    assert [message["content"] for message in await phone.messages()] == [str(number) for number in range(1, 11)]
    assert statuses(await phone.send(*talk)) == [200] * 10


async def test_history_verifies_what_is_there_and_doubles_nothing(phone: Phone) -> None:
    past = [{"type": "History", "role": event["role"], "content": event["content"]} for event in (ASKED, ANSWERED)]
    await phone.send(*numbered([past[0], ASKED, past[1], past[0]]))
    assert (await phone.state())["unverified_count"] == 1
    await phone.send(*numbered([ANSWERED, EXAMPLES["History of calls"]], 5))
    assert (await phone.state())["unverified_count"] == 1
    await phone.send(*numbered([EXAMPLES["FunctionCallResponse"]], 7))
    assert (await phone.state())["unverified_count"] == 0
    assert [message["content"] for message in await phone.messages()] == [
        ASKED["content"],
        ANSWERED["content"],
        "half past nine",
    ]


async def test_each_connection_adds_the_providers_name_for_it(phone: Phone) -> None:
    welcomes = [{"type": "Welcome", "request_id": name} for name in ("one", "two", "one")]
    await phone.send(*numbered(welcomes))
    assert (await phone.state())["provider_session_ids"] == ["one", "two"]


TURN = [ASKED, STARTED, ANSWERED, EXAMPLES["UserStartedSpeaking"], DONE, said("user", "Thanks.")]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0), (2, 1, 3, 0, 5, 4), (3, 0, 1, 5, 2, 4)])
@pytest.mark.parametrize("together", [True, False])
async def test_latency_and_interruption_find_their_message_in_whatever_order_they_come(
    phone: Phone, order: tuple[int, ...], together: bool
) -> None:
    turn = numbered(TURN)
    events = [turn[place] for place in order]
    for batch in [events] if together else [[event] for event in events]:
        await phone.send(*batch)
    asked, answered, thanked = await phone.messages()
    assert answered["metadata"] == {"provider": "deepgram", "latency": LATENCY, "interrupted": True}
    assert asked["metadata"] == thanked["metadata"] == {"provider": "deepgram"}


async def test_without_numbers_events_count_in_the_order_they_come(phone: Phone) -> None:
    other = EXAMPLES["AgentStartedSpeaking"] | {"total_latency": 2.0}
    events = [*TURN[:3], DONE, EXAMPLES["UserStartedSpeaking"], TURN[5], other, ANSWERED, EXAMPLES["LatencyReport"]]
    await phone.send(*({"event": event} for event in events[:7]))
    for event in events[7:]:
        await phone.send({"event": event})
    _, first, _, second = await phone.messages()
    assert first["metadata"]["latency"] == LATENCY
    assert "interrupted" not in first["metadata"]
    assert second["metadata"]["latency"]["total_ms"] == 700
    assert second["metadata"]["latency"]["llm_ms"] == 300


async def test_an_enriched_message_is_still_the_same_when_it_is_sent_again(phone: Phone) -> None:
    turn = numbered(TURN)
    await phone.send(*turn)
    before = await phone.messages()
    assert statuses(await phone.send(turn[2])) == [200]
    assert await phone.messages() == before
    assert before[1]["sequence"] == 2


async def test_a_message_that_was_not_deepgrams_keeps_what_its_sender_said_of_it(phone: Phone) -> None:
    metadata = {"interrupted": False, "latency": {"mine": 1}}
    body = utterance(
        phone.conversation_id, role="assistant", metadata=metadata, voice_session_id=phone.session_id, client_sequence=1
    )
    assert (await phone.client.post("/api/v1/voice/messages", json=body)).status_code == 201
    await phone.send(*numbered([STARTED, EXAMPLES["UserStartedSpeaking"]], 2))
    [message] = await phone.messages()
    assert message["metadata"] == metadata
    assert (await phone.client.post("/api/v1/voice/messages", json=body)).status_code == 200
    changed = body | {"metadata": metadata | {"interrupted": True}}
    assert (await phone.client.post("/api/v1/voice/messages", json=changed)).status_code == 409


@pytest.mark.pooled
async def test_two_phones_in_one_conversation_share_its_sequence_and_have_a_receipt_each(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    first = await begin(service)
    phones = [first, await begin(service, first.conversation_id)]

    async def talk(phone: Phone, name: str) -> None:
        for number in range(1, 31):
            await phone.send(*numbered([said("user", f"{name} {number}")], number))
        assert (await phone.end(last_client_sequence=30))["complete"] is True

    await asyncio.gather(*(talk(phone, name) for phone, name in zip(phones, ("one", "two"), strict=True)))
    messages = await first.messages()
    assert sorted(message["sequence"] for message in messages) == [*range(1, 61)]
    for phone, name in zip(phones, ("one", "two"), strict=True):
        mine = [each["content"] for each in messages if each["voice_session_id"] == phone.session_id]
        assert mine == [f"{name} {number}" for number in range(1, 31)]
        assert (await phone.receipt())["complete"] is True
    latest = await connection.fetchval("SELECT voice_session_id FROM conversations")
    assert latest == phones[1].session_id


@pytest.mark.pooled
async def test_when_the_database_refuses_a_message_its_neighbours_are_recorded(
    phone: Phone, connection: asyncpg.Connection
) -> None:
    await connection.execute("ALTER TABLE messages ADD CHECK (content <> 'forbidden')")
    results = await phone.send(*numbered([ASKED, said("user", "forbidden"), STARTED, ANSWERED]))
    assert statuses(results) == [201, 500, 201, 201]
    assert (await phone.receipt())["missing"] == [[2, 2]]
    await connection.execute("ALTER TABLE messages DROP CONSTRAINT messages_content_check")
    assert statuses(await phone.send(*numbered([said("user", "forbidden")], 2))) == [201]


@pytest.mark.pooled
async def test_what_a_fault_left_half_done_is_completed_by_the_next_attempt(
    phone: Phone, connection: asyncpg.Connection
) -> None:
    turn = numbered(TURN)
    await connection.execute("ALTER TABLE voice_events ADD CONSTRAINT closed CHECK (false) NOT VALID")
    path = f"{SESSIONS}/{phone.session_id}/events"
    assert (await phone.client.post(path, json={"events": turn})).status_code == 500
    assert len(await phone.messages()) == 3
    await connection.execute("ALTER TABLE voice_events DROP CONSTRAINT closed")
    assert statuses(await phone.send(*turn)) == [200, 201, 200, 201, 201, 200]
    assert (await phone.messages())[1]["metadata"]["interrupted"] is True
    assert (await phone.end(last_client_sequence=6))["complete"] is True


@pytest.mark.pooled
async def test_a_conversation_takes_its_sessions_with_it_when_it_is_erased(
    phone: Phone, connection: asyncpg.Connection
) -> None:
    await phone.send(*numbered([*EXAMPLES.values()]))
    assert (await phone.client.delete(f"/api/v1/conversations/{phone.conversation_id}")).status_code == 204
    for table in ("messages", "voice_sessions", "voice_events"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0


@pytest.mark.pooled
async def test_who_erases_and_who_sends_at_once_do_not_wait_in_a_circle(service: httpx.AsyncClient) -> None:
    for _ in range(20):
        phone = await begin(service)
        await phone.send(*numbered(TURN))
        path = f"{SESSIONS}/{phone.session_id}/events"
        answers = await asyncio.gather(
            *(service.post(path, json={"events": numbered(TURN, first)}) for first in (1, 7, 13)),
            service.delete(f"/api/v1/conversations/{phone.conversation_id}"),
        )
        assert {answer.status_code for answer in answers} <= {200, 204, 404}


@pytest.mark.pooled
async def test_while_somebody_holds_the_session_nobody_knows_what_was_stored(
    phone: Phone, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        await connection.execute("SELECT FROM voice_sessions FOR UPDATE")
        answer = await phone.client.post(f"{SESSIONS}/{phone.session_id}/events", json={"events": numbered([ASKED])})
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/database-unavailable")
    assert statuses(await phone.send(*numbered([ASKED]))) == [200]


@pytest.mark.parametrize("name", ["FunctionCallRequest", "FunctionCallCancelled"])
async def test_an_event_has_at_most_a_thousand_functions(phone: Phone, name: str) -> None:
    [function] = EXAMPLES[name]["functions"]
    many, most = ({"type": name, "functions": [function] * count} for count in (MOST_FUNCTIONS + 1, MOST_FUNCTIONS))
    refused, taken, said_since = await phone.send(*numbered([many, most, ASKED]))
    assert refused["status"] == 422
    assert [fault["pointer"] for fault in refused["problem"]["errors"]] == ["/events/0/event/functions"]
    assert len(taken["messages"]) == MOST_FUNCTIONS
    assert said_since["status"] == 201


CLOCK = [0, 0, 0, -10_800, -10_799, -10_799, 5, None, 6, 1_000_000_000, 7]  # seconds from noon, as the phone tells them


@pytest.mark.parametrize(
    "batches",
    [
        [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]],
        [[number] for number in range(1, 12)],
        [[number] for number in range(11, 0, -1)],
        [[6, 1, 11], [4, 2], [3], [9, 5, 7], [10, 8]],
    ],
    ids=["together", "singly", "backwards", "mixed"],
)
async def test_equal_and_falling_times_are_read_in_the_phones_count(phone: Phone, batches: list[list[int]]) -> None:
    events = {
        number: {"event": said("user", str(number)), "client_sequence": number}
        | ({} if told is None else {"received_at": (NOON + timedelta(seconds=told)).isoformat()})
        for number, told in enumerate(CLOCK, 1)
    }
    for batch in batches:
        assert statuses(await phone.send(*(events[number] for number in batch))) == [201] * len(batch)
    messages = await phone.messages()
    assert [message["client_sequence"] for message in messages] == [*range(1, 12)]
    times = [datetime.fromisoformat(message["timestamp"]) for message in messages]
    assert times == sorted(set(times))
    for batch in [*batches, [*events]]:
        assert statuses(await phone.send(*(events[number] for number in batch))) == [200] * len(batch)
    assert await phone.messages() == messages


async def test_only_a_time_that_was_moved_by_more_than_a_clock_tells_is_marked(phone: Phone) -> None:
    times = [NOON, NOON, NOON - timedelta(hours=3), NOON + timedelta(seconds=1)]
    await phone.send(
        *(
            {"event": said("user", "Hello?"), "client_sequence": number, "received_at": at.isoformat()}
            for number, at in enumerate(times, 1)
        )
    )
    messages = await phone.messages()
    assert [message["metadata"].get("repaired") for message in messages] == [None, None, ["/timestamp"], None]
    told = [datetime.fromisoformat(message["timestamp"]) for message in messages]
    assert told == [NOON, NOON + timedelta(microseconds=1), NOON + timedelta(microseconds=2), times[3]]
