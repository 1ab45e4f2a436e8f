"""The timeline of a conversation says who spoke when, and what happened."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio

from tests.conftest import utterance
from tests.phones import CONVERSATIONS, NOON, SESSIONS, Phone, begin, said

Shown = tuple[str, str, float | None, float | None, bool, str]

USER_STARTS = {"type": "UserStartedSpeaking"}
ASSISTANT_STARTS = {"type": "AgentStartedSpeaking", "total_latency": 1.2}
AUDIO_DONE = {"type": "AgentAudioDone"}
ASKED = said("user", "What time is it?")
ANSWERED = said("assistant", "Half past nine.")
CALLED = {"type": "FunctionCallRequest", "functions": [{"id": "call-1", "name": "clock", "arguments": "{}"}]}
RETURNED = {"type": "FunctionCallResponse", "id": "call-1", "name": "clock", "content": "half past nine"}
TURN = [(0, USER_STARTS), (1, ASKED), (2, ASSISTANT_STARTS), (2.1, ANSWERED), (5, AUDIO_DONE)]


@pytest_asyncio.fixture(loop_scope="module")
async def phone(shared_service: httpx.AsyncClient) -> Phone:
    return await begin(shared_service)


def heard(events: Sequence[tuple[float, dict[str, Any]]], first: int = 1) -> list[dict[str, Any]]:
    """Return ``events`` as a phone forwards them that hears each so many seconds after noon."""
    return [
        {"event": event, "client_sequence": number, "received_at": after_noon(seconds)}
        for number, (seconds, event) in enumerate(events, first)
    ]


def after_noon(seconds: float) -> str:
    return (NOON + timedelta(seconds=seconds)).isoformat()


async def part(client: httpx.AsyncClient, conversation: UUID, **query: Any) -> dict[str, Any]:
    answer = await client.get(f"{CONVERSATIONS}/{conversation}/timeline", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def whole(client: httpx.AsyncClient, conversation: UUID, limit: int) -> list[dict[str, Any]]:
    """Return the segments of all parts of at most ``limit`` messages and sessions."""
    segments: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        read = await part(client, conversation, **query)
        segments += read["segments"]
        if not read["has_more"]:
            return segments
        query["cursor"] = read["next_cursor"]


def shown(segments: Sequence[dict[str, Any]], *lanes: str) -> list[Shown]:
    """Return the segments of ``lanes``, with times in seconds after noon; the tests' messages are all late."""
    return [
        (
            each["lane"],
            each["kind"],
            seconds(each["started_at"]),
            seconds(each["ended_at"]),
            each["estimated"],
            each["label"],
        )
        for each in segments
        if each["lane"] in lanes and each["kind"] != "late"
    ]


def seconds(at: str | None) -> float | None:
    return None if at is None else (datetime.fromisoformat(at) - NOON).total_seconds()


async def timeline(phone: Phone, *lanes: str) -> list[Shown]:
    read = await part(phone.client, phone.conversation_id)
    assert not read["has_more"]
    return shown(read["segments"], *(lanes or ("user", "assistant")))


async def test_speech_lasts_from_its_beginning_to_its_text_or_to_the_end_of_its_audio(phone: Phone) -> None:
    await phone.send(*heard(TURN))
    assert await timeline(phone) == [
        ("user", "speech", 0, 1, False, "What time is it?"),
        ("assistant", "speech", 2, 5, False, "Half past nine."),
    ]


async def test_the_audio_may_begin_after_its_text_and_several_texts_are_one_speech(phone: Phone) -> None:
    more = said("assistant", "Time for a break.")
    await phone.send(
        *heard([(0, USER_STARTS), (1, ASKED), (2, ANSWERED), (2.5, ASSISTANT_STARTS), (3, more), (6, AUDIO_DONE)])
    )
    assert await timeline(phone, "assistant") == [("assistant", "speech", 2.5, 6, False, "Half past nine.")]


async def test_a_user_who_speaks_while_the_assistant_does_ends_its_speech_and_interrupts_it(phone: Phone) -> None:
    await phone.send(*heard([*TURN[:4], (3, USER_STARTS), (4, said("user", "Thank you.")), (4.5, AUDIO_DONE)]))
    assert await timeline(phone) == [
        ("user", "speech", 0, 1, False, "What time is it?"),
        ("assistant", "speech", 2, 3, False, "Half past nine."),
        ("user", "speech", 3, 4, False, "Thank you."),
        ("assistant", "interruption", 3, 3, False, "Interrupted by the user"),
    ]
    [interrupted] = [message for message in await phone.messages() if message["role"] == "assistant"]
    read = await part(phone.client, phone.conversation_id)
    assert {each["message_id"] for each in read["segments"] if each["lane"] == "assistant"} == {interrupted["id"]}


@pytest.mark.parametrize(("pause", "silent"), [(2, False), (2.001, True)])
async def test_a_silence_of_more_than_two_seconds_is_shown_in_the_lane_of_the_side_that_ends_it(
    phone: Phone, pause: float, silent: bool
) -> None:
    begins = 1 + pause
    turn = [(0, USER_STARTS), (1, ASKED), (begins, ASSISTANT_STARTS), (begins, ANSWERED), (begins + 1, AUDIO_DONE)]
    await phone.send(*heard(turn))
    gaps = [each for each in await timeline(phone) if each[1] == "silence"]
    assert gaps == ([("assistant", "silence", 1, begins, False, "2.0 s of silence")] if silent else [])


async def test_a_call_lasts_from_its_request_to_its_result(phone: Phone) -> None:
    failed = {"call_id": "call-2", "name": "weather"}
    await phone.send(*heard([(0, CALLED), (1.5, RETURNED), (1.6, RETURNED)]))
    for state, at in (("requested", 2), ("in_progress", 3), ("failed", 4)):
        message = utterance(
            phone.conversation_id, role="function", timestamp=after_noon(at), metadata=failed | {"state": state}
        )
        assert (await phone.client.post("/api/v1/voice/messages", json=message)).status_code == 201
    await phone.send(*heard([(5, {**CALLED, "functions": [{"id": "call-3", "name": "mail", "arguments": "{}"}]})], 4))
    assert await timeline(phone, "function") == [
        ("function", "call", 0, 1.5, False, "clock"),
        ("function", "failed_call", 2, 4, False, "weather"),
        ("function", "call", 5, None, False, "mail"),
    ]


@pytest.mark.pooled
async def test_a_result_far_from_its_request_is_found_from_either_side(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection, shared_conversation: UUID
) -> None:
    await shared_connection.execute(
        """
        INSERT INTO messages (conversation_id, role, content, timestamp, metadata)
        SELECT $1, CASE WHEN n IN (1, 400) THEN 'function' ELSE 'user' END, 'x', $2::timestamptz + n * interval '1 s',
            CASE n WHEN 1 THEN '{"call_id": "a", "name": "mail", "state": "requested"}'::jsonb
            WHEN 400 THEN '{"call_id": "a", "name": "mail", "state": "completed"}' ELSE '{}' END
        FROM generate_series(1, 400) AS n
        """,
        shared_conversation,
        NOON,
    )
    segments = await whole(shared_service, shared_conversation, 10)
    assert shown(segments, "function") == [("function", "call", 1, 400, False, "mail")]


async def test_a_new_connection_in_a_session_and_a_new_session_are_reconnects(
    phone: Phone, shared_connection: asyncpg.Connection
) -> None:
    welcome = {"type": "Welcome", "request_id": "a"}
    again = {"type": "Welcome", "request_id": "b"}
    await phone.send(*heard([(0, welcome), *TURN[1:], (12, again), (20, USER_STARTS), (21, said("user", "Hello?"))]))
    await phone.end(reason="hangup", ended_at=after_noon(30))
    second = await begin(phone.client, phone.conversation_id)
    await second.send(*heard([(70, said("user", "Me again."))]))
    times = "UPDATE voice_sessions SET started_at = $2 WHERE id = $1"
    await shared_connection.execute(times, phone.session_id, NOON)
    await shared_connection.execute(times, second.session_id, NOON + timedelta(seconds=60))
    assert await timeline(phone, "connection") == [
        ("connection", "session", 0, 30, False, "Voice session, ended: hangup"),
        ("connection", "reconnect", 5, 12, True, "Reconnected after 7.0 s"),
        ("connection", "reconnect", 30, 60, False, "Reconnected after 30.0 s"),
        ("connection", "session", 60, None, False, "Voice session"),
    ]
    # Nobody could speak meanwhile, so there is no silence.
    assert not [each for each in await timeline(phone) if each[1] == "silence"]


async def test_what_went_wrong_is_shown(phone: Phone) -> None:
    trouble: list[dict[str, Any]] = [
        {"type": "Error", "description": "Nothing was heard for a while.", "code": "CLIENT_MESSAGE_TIMEOUT"},
        {"type": "Warning", "description": "The prompt is too long.", "code": "PROMPT_TOO_LONG"},
        {"type": "InjectionRefused", "message": "The user is speaking."},
        {"type": "FrustrationDetected", "count": 2, "escalated": False},
    ]
    events: list[tuple[float, dict[str, Any]]] = [(float(number), event) for number, event in enumerate(trouble)]
    await phone.send(*heard([*events, (5, said("user", "one\0two"))]))
    await phone.end(client_lost=3, ended_at=after_noon(6))
    assert await timeline(phone, "incident") == [
        ("incident", "error", 0, 0, False, "Error: CLIENT_MESSAGE_TIMEOUT"),
        ("incident", "warning", 1, 1, False, "Warning: PROMPT_TOO_LONG"),
        ("incident", "refused_injection", 2, 2, False, "Injection refused: The user is speaking."),
        ("incident", "frustration", 3, 3, False, "The user sounds frustrated"),
        ("incident", "repaired", 5, 5, False, "Repaired: /content"),
        ("incident", "client_lost", 6, 6, False, "The client gave up 3 events"),
    ]
    read = await part(phone.client, phone.conversation_id)
    assert [each["started_at"] for each in read["segments"] if each["kind"] == "late"] == ["2026-01-31T12:00:05Z"]


async def test_posts_are_estimated_beside_what_was_measured(phone: Phone) -> None:
    await phone.send(*heard(TURN))
    post = {"role": "user", "content": "a" * 45, "timestamp": after_noon(6)}
    assert (await phone.client.post("/api/v1/voice/messages", json=utterance(phone.conversation_id, **post))).is_success
    post = {"role": "assistant", "content": "b" * 150, "timestamp": after_noon(8)}
    assert (await phone.client.post("/api/v1/voice/messages", json=utterance(phone.conversation_id, **post))).is_success
    typed = {"content": "c", "input_modality": "text", "timestamp": after_noon(9)}
    assert (
        await phone.client.post("/api/v1/voice/messages", json=utterance(phone.conversation_id, **typed))
    ).is_success
    assert (await timeline(phone))[1:] == [
        ("assistant", "speech", 2, 5, False, "Half past nine."),
        ("user", "speech", 6, 8, True, "a" * 45),  # three seconds at 15 characters a second, but the answer begins
        ("assistant", "speech", 8, 18, True, "b" * 79 + "…"),
        ("user", "text", 9, 9, False, "c"),
    ]


async def test_a_text_of_which_no_beginning_was_heard_has_an_estimated_one(phone: Phone) -> None:
    await phone.send(*heard([(10, said("user", "x" * 30)), (11, said("assistant", "y" * 30))]))
    await phone.end()
    assert await timeline(phone) == [
        ("user", "speech", 8, 10, True, "x" * 30),
        ("assistant", "speech", 11, 13, True, "y" * 30),
    ]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"started_at": after_noon(1), "ended_at": after_noon(3.5)}, (1, 3.5, False)),
        ({"started_at": after_noon(1)}, (1, 2, True)),
        ({"ended_at": after_noon(3.5)}, (2.5, 3.5, True)),
        ({"started_at": after_noon(3), "ended_at": after_noon(1)}, (3, 3, True)),
        ({"started_at": "yesterday", "ended_at": 7}, (2, 3, True)),
        ({"started_at": "9999-12-31T23:59:59+00:00", "ended_at": "0000-00-00T00:00:00Z"}, (2, 3, True)),
    ],
)
async def test_the_times_that_an_adapter_wrote_count(
    shared_service: httpx.AsyncClient,
    shared_conversation: UUID,
    metadata: dict[str, Any],
    expected: tuple[float, float, bool],
) -> None:
    message = utterance(shared_conversation, "x" * 15, timestamp=after_noon(2), metadata=metadata)
    assert (await shared_service.post("/api/v1/voice/messages", json=message)).status_code == 201
    [found] = shown((await part(shared_service, shared_conversation))["segments"], "user")
    assert found[2:5] == expected


@pytest.mark.parametrize("value", [None, True, 7, 0.5, "", "\u202e" * 500, [], ["/content", {}], {"a": [None]}])
async def test_metadata_of_any_form_breaks_no_timeline(
    shared_service: httpx.AsyncClient, shared_conversation: UUID, value: object
) -> None:
    names = ("provider", "behavior", "interrupted", "started_at", "ended_at", "name", "call_id", "state", "repaired")
    messages = [
        utterance(shared_conversation, role=role, timestamp=after_noon(at), metadata=dict.fromkeys(names, value))
        for at, role in enumerate(("user", "assistant", "function", "function"))
    ]
    answer = await shared_service.post("/api/v1/voice/messages/batch", json={"messages": messages})
    assert [result["status"] for result in answer.json()["results"]] == [201] * 4
    segments = (await part(shared_service, shared_conversation))["segments"]
    assert {"user", "assistant", "function"} <= {each["lane"] for each in segments}
    assert max(len(each["label"]) for each in segments) <= 80


@pytest.mark.parametrize("seed", range(3))
async def test_events_that_come_twice_and_in_any_order_make_the_same_timeline(
    shared_service: httpx.AsyncClient, seed: int
) -> None:
    straight, shuffled = await begin(shared_service), await begin(shared_service)
    events = [*TURN, (6, CALLED), (7, RETURNED), (8, ASSISTANT_STARTS), (8.1, ANSWERED), (9, USER_STARTS), (10, ASKED)]
    await straight.send(*heard(events))
    sent = heard(events) * 2
    random.Random(seed).shuffle(sent)
    for event in sent:
        await shuffled.send(event)
    expected = await timeline(straight, "user", "assistant", "function")
    assert await timeline(shuffled, "user", "assistant", "function") == expected
    assert (await shuffled.receipt())["complete"] == (await straight.receipt())["complete"]


async def test_a_clock_that_is_wrong_moves_times_between_those_of_the_neighbours_and_costs_nothing(
    phone: Phone,
) -> None:
    turn = heard([(0, ASKED), (3600, ASSISTANT_STARTS), (2, ANSWERED), (-7200, AUDIO_DONE), (9, said("user", "Hm."))])
    results = await phone.send(*turn)
    assert {result["status"] for result in results} == {201}
    assert (await phone.receipt())["received"] == 5
    assert await timeline(phone, "assistant") == [("assistant", "speech", 2, 2, True, "Half past nine.")]


async def test_an_event_without_a_time_counts_as_an_estimate(phone: Phone) -> None:
    events = heard(TURN)
    del events[0]["received_at"]
    await phone.send(*events)
    [question, _] = await timeline(phone)
    assert question[2:5] == (1, 1, True)  # it arrived after its text was heard


async def test_what_goes_on_has_no_end_until_it_ends(phone: Phone) -> None:
    events = heard([*TURN, (6, USER_STARTS)])
    await phone.send(*events[:4])
    assert (await timeline(phone))[-1] == ("assistant", "speech", 2, None, False, "Half past nine.")
    await phone.send(*events[4:])
    assert (await timeline(phone))[1:] == [
        ("assistant", "speech", 2, 5, False, "Half past nine."),
        ("user", "speech", 6, None, False, "Speaking"),
    ]
    assert (await part(phone.client, phone.conversation_id))["ended_at"] is None
    await phone.end()
    assert (await timeline(phone))[-1] == ("user", "wordless", 6, 6, False, "Speech of which no text came")
    assert (await part(phone.client, phone.conversation_id))["ended_at"] is not None


async def test_speech_of_which_no_text_came_is_shown(phone: Phone) -> None:
    await phone.send(*heard([(0, USER_STARTS), (2, ASSISTANT_STARTS), (4, AUDIO_DONE), (5, USER_STARTS), (6, ASKED)]))
    assert await timeline(phone) == [
        ("user", "wordless", 0, 0, False, "Speech of which no text came"),
        ("assistant", "wordless", 2, 4, False, "Speech of which no text came"),
        ("user", "speech", 5, 6, False, "What time is it?"),
    ]


async def test_where_the_assistant_speaks_without_a_text_there_is_no_silence(phone: Phone) -> None:
    await phone.send(*heard([*TURN, (6, ASSISTANT_STARTS), (9, AUDIO_DONE), (10, USER_STARTS), (11, ASKED)]))
    assert [each[1:4] for each in await timeline(phone)][2:] == [("wordless", 6, 9), ("speech", 10, 11)]


async def test_a_phone_that_counts_nothing_is_followed_in_the_order_of_recording(phone: Phone) -> None:
    for event in heard(TURN):
        await phone.send({**event, "client_sequence": None})
    assert [each[1:5] for each in await timeline(phone)] == [("speech", 0, 1, False), ("speech", 2, 5, False)]


async def test_a_message_that_names_a_foreign_session_shows_nothing_of_it(
    phone: Phone, shared_service: httpx.AsyncClient, shared_conversation: UUID
) -> None:
    await phone.send(*heard([*TURN, (6, {"type": "Error", "description": "No.", "code": "SECRET"})]))
    message = utterance(shared_conversation, voice_session_id=phone.session_id, client_sequence=1)
    assert (await shared_service.post("/api/v1/voice/messages", json=message)).status_code == 201
    read = await part(shared_service, shared_conversation)
    assert [each["lane"] for each in read["segments"]] == ["user"]


async def test_two_phones_in_one_conversation_are_in_one_timeline(phone: Phone) -> None:
    other = await begin(phone.client, phone.conversation_id)
    await phone.send(*heard(TURN))
    await other.send(*heard([(5.5, USER_STARTS), (7, said("user", "And I?"))]))
    found = await timeline(phone)
    assert [each[5] for each in found] == ["What time is it?", "Half past nine.", "And I?"]
    assert found[-1][2:5] == (5.5, 7, False)


@pytest.mark.pooled
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_the_parts_together_are_the_whole(phone: Phone, limit: int) -> None:
    events: list[tuple[float, dict[str, Any]]] = []
    for turn in range(6):
        start = turn * 20.0
        events += [(start + at, event) for at, event in TURN]
        events += [(start + 6, CALLED), (start + 7, RETURNED), (start + 8, {"type": "Error", "code": "E"})]
    await phone.send(*heard(events))
    other = await begin(phone.client, phone.conversation_id)
    await other.send(*heard([(200, USER_STARTS), (201, ASKED)]))
    read = await part(phone.client, phone.conversation_id)
    parts = await whole(phone.client, phone.conversation_id, limit)
    assert sorted(parts, key=str) == sorted(read["segments"], key=str)
    assert [each["label"] for each in parts if each["kind"] == "speech"] == [
        each["label"] for each in read["segments"] if each["kind"] == "speech"
    ]


async def test_a_cursor_at_the_end_stays_valid_and_others_are_refused(
    phone: Phone, shared_connection: asyncpg.Connection
) -> None:
    await phone.send(*heard(TURN))
    await shared_connection.execute("UPDATE voice_sessions SET started_at = $2 WHERE id = $1", phone.session_id, NOON)
    end = (await part(phone.client, phone.conversation_id))["next_cursor"]
    empty = await part(phone.client, phone.conversation_id, cursor=end)
    assert (empty["segments"], empty["has_more"], empty["next_cursor"]) == ([], False, end)
    await phone.send(*heard([(8, USER_STARTS), (9, said("user", "Thanks."))], 6))
    later = await part(phone.client, phone.conversation_id, cursor=end)
    assert [each[5] for each in shown(later["segments"], "user")] == ["3.0 s of silence", "Thanks."]
    path = f"{CONVERSATIONS}/{phone.conversation_id}/timeline"
    pages = await phone.client.get(f"{CONVERSATIONS}/{phone.conversation_id}/messages")
    for cursor in ("x", "W10", pages.json()["next_cursor"]):
        refused = await phone.client.get(path, params={"cursor": cursor})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/query/cursor"


async def test_the_tag_changes_when_the_timeline_does(phone: Phone) -> None:
    path = f"{CONVERSATIONS}/{phone.conversation_id}/timeline"
    await phone.send(*heard(TURN))
    tag = (await phone.client.get(path)).headers["etag"]
    assert (await phone.client.get(path, headers={"if-none-match": tag})).status_code == 304
    assert (await phone.client.get(path, headers={"if-match": '"another"'})).status_code == 412
    await phone.send(*heard([(6, {"type": "Error", "code": "E"})], 6))
    assert (await phone.client.get(path, headers={"if-none-match": tag})).status_code == 200


async def test_of_a_conversation_without_anything_the_timeline_is_empty_and_an_erased_one_has_none(
    shared_service: httpx.AsyncClient, shared_conversation: UUID
) -> None:
    read = await part(shared_service, shared_conversation)
    created = (await shared_service.get(f"{CONVERSATIONS}/{shared_conversation}")).json()["created_at"]
    assert read == {
        "conversation_id": str(shared_conversation),
        "started_at": created,
        "ended_at": None,
        "segments": [],
        "next_cursor": None,
        "has_more": False,
    }
    assert (await shared_service.delete(f"{CONVERSATIONS}/{shared_conversation}")).status_code == 204
    for missing in (shared_conversation, uuid4()):
        assert (await shared_service.get(f"{CONVERSATIONS}/{missing}/timeline")).status_code == 404


async def test_erasure_takes_the_events_along(phone: Phone, shared_connection: asyncpg.Connection) -> None:
    await phone.send(*heard(TURN))
    assert (await phone.client.delete(f"{CONVERSATIONS}/{phone.conversation_id}")).status_code == 204
    left = "SELECT count(*) FROM voice_events WHERE voice_session_id = $1"
    assert await shared_connection.fetchval(left, phone.session_id) == 0
    assert (await phone.client.get(f"{SESSIONS}/{phone.session_id}")).status_code == 404


async def test_a_conversation_of_100_000_messages_is_read_in_bounded_parts(
    phone: Phone, shared_connection: asyncpg.Connection
) -> None:
    await shared_connection.execute("SET session_replication_role = replica")  # no triggers, which take seconds
    await shared_connection.execute(
        """
        INSERT INTO messages (conversation_id, role, content, timestamp, voice_session_id, client_sequence, metadata,
            sequence, input_modality)
        SELECT $1, CASE n % 2 WHEN 0 THEN 'user' ELSE 'assistant' END, repeat('word ', 20),
            $3::timestamptz + n * interval '5 s', $2, n * 3, '{"provider": "deepgram"}', n, 'voice'
        FROM generate_series(1, 100000) AS n
        """,
        phone.conversation_id,
        phone.session_id,
        NOON - timedelta(days=30),
    )
    await shared_connection.execute(
        """
        INSERT INTO voice_events (
            voice_session_id, conversation_id, id, type, client_sequence, after_sequence, received_at
        )
        SELECT $1, $3, gen_random_uuid(), CASE n % 2 WHEN 0 THEN 'UserStartedSpeaking' ELSE 'AgentAudioDone' END,
            n * 3 + CASE n % 2 WHEN 0 THEN -1 ELSE 1 END, 0, $2::timestamptz + n * interval '5 s'
        FROM generate_series(1, 1000) AS n
        """,
        phone.session_id,
        NOON - timedelta(days=30),
        phone.conversation_id,
    )
    await shared_connection.execute("ANALYZE messages, voice_events")  # as autovacuum would, some time later
    await shared_connection.execute("RESET session_replication_role")
    cursor = None
    for _ in range(3):
        read = await part(phone.client, phone.conversation_id, **({"cursor": cursor} if cursor else {}))
        assert read["has_more"]
        assert len(read["segments"]) <= 2_000
        assert len(str(read)) < 1_000_000
        cursor = read["next_cursor"]
    speech = [each for each in read["segments"] if each["kind"] == "speech"]
    assert len(speech) == 200
    for before, after in pairwise(speech):
        assert before["started_at"] <= after["started_at"]


async def test_a_message_with_thousands_of_events_does_not_make_a_part_larger(
    phone: Phone, shared_connection: asyncpg.Connection
) -> None:
    await phone.send(*heard([(float(number), said("user", "word")) for number in range(130)]))
    await shared_connection.execute(
        """
        INSERT INTO voice_events (voice_session_id, conversation_id, id, type, client_sequence, after_sequence)
        SELECT $1, $2, gen_random_uuid(), type, n % 130 + 1, 0 FROM generate_series(1, 2600) AS n,
            unnest(ARRAY['UserStartedSpeaking', 'AgentStartedSpeaking', 'Error']) AS type
        """,
        phone.session_id,
        phone.conversation_id,
    )
    read = await part(phone.client, phone.conversation_id)
    assert read["has_more"]
    assert len(read["segments"]) <= 2_000
    segments = await whole(phone.client, phone.conversation_id, 500)
    assert len([each for each in segments if each["kind"] == "speech" and each["message_id"]]) == 130
