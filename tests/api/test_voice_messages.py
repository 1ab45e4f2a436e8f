import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from tests.conftest import open_conversation, utterance

MESSAGES = "/api/v1/voice/messages"


@pytest.mark.pooled
async def test_a_message_that_was_acknowledged_is_read_back(service: httpx.AsyncClient, conversation: UUID) -> None:
    said = utterance(
        conversation,
        metadata={"languages": ["vi"], "confidence": 0.93},
        timestamp="2026-01-31T16:30:00.25+07:00",
        voice_session_id="vs_1",
        client_sequence=4,
    )
    answer = await service.post(MESSAGES, json=said)

    assert answer.status_code == 201
    recorded = answer.json()
    assert {key: recorded[key] for key in said if key != "timestamp"} == {
        k: v for k, v in said.items() if k != "timestamp"
    }
    assert recorded["timestamp"] == "2026-01-31T09:30:00.25Z"
    assert recorded["sequence"] == 1
    found = (await service.get(answer.headers["location"])).json()
    assert found["data"] == [recorded]


async def test_a_message_without_id_or_time_gets_both(service: httpx.AsyncClient, conversation: UUID) -> None:
    answer = await service.post(
        MESSAGES, json={"conversation_id": str(conversation), "role": "assistant", "content": ""}
    )
    recorded = answer.json()
    assert UUID(recorded["id"]).version == 7
    assert recorded["timestamp"] == recorded["created_at"]
    assert recorded["input_modality"] == "voice"
    assert recorded["metadata"] == {}


async def test_sending_twice_records_once(service: httpx.AsyncClient, conversation: UUID) -> None:
    said = utterance(conversation)
    first, again = [await service.post(MESSAGES, json=said) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert first.content == again.content


@pytest.mark.pooled
@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("role", "assistant"),
        ("content", "Remind me to call the doctor."),
        ("input_modality", "text"),
        ("metadata", {"a": True}),
        ("timestamp", "2026-01-01T00:00:01Z"),
        ("voice_session_id", "vs_2"),
        ("client_sequence", 2),
    ],
)
async def test_the_same_id_with_other_content_is_refused_by_the_name_of_the_field(
    shared_service: httpx.AsyncClient, shared_conversation: UUID, field: str, other: object
) -> None:
    said = utterance(shared_conversation, metadata={"a": 1}, timestamp="2026-01-01T00:00:00Z", client_sequence=1)
    await shared_service.post(MESSAGES, json=said)
    refused = await shared_service.post(MESSAGES, json=said | {field: other})
    assert refused.status_code == 409
    assert refused.json()["type"] == "/problems/message-id-reused"
    assert f"another {field};" in refused.json()["detail"]
    assert "dentist" not in refused.text
    assert "doctor" not in refused.text


async def test_the_same_id_in_another_conversation_is_refused(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    said = utterance(conversation)
    await service.post(MESSAGES, json=said)
    other = await open_conversation(connection)
    refused = await service.post(MESSAGES, json=said | {"conversation_id": str(other)})
    assert refused.status_code == 409
    assert "conversation_id" in refused.json()["detail"]


@pytest.mark.parametrize("metadata", [{"n": 1.0}, {"n": 1e15}, {"n": 5e-324}, {"n": -0.0}, {"b": 2, "a": [None, {}]}])
async def test_metadata_is_the_same_however_json_writes_it(
    shared_service: httpx.AsyncClient, shared_conversation: UUID, metadata: dict[str, object]
) -> None:
    said = utterance(shared_conversation, metadata=metadata)
    first, again = [await shared_service.post(MESSAGES, json=said) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["metadata"] == again.json()["metadata"] == metadata


async def test_an_unknown_conversation_is_not_found(service: httpx.AsyncClient) -> None:
    refused = await service.post(MESSAGES, json=utterance(uuid4()))
    assert refused.status_code == 404
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "/problems/conversation-not-found"


async def test_an_ended_conversation_still_takes_a_late_message(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute("UPDATE conversations SET ended_at = now() WHERE id = $1", conversation)
    assert (await service.post(MESSAGES, json=utterance(conversation))).status_code == 201


async def test_sixty_ids_with_ten_senders_each_are_sixty_rows_and_six_hundred_equal_answers(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    said = [utterance(conversation, f"Utterance {number}.") for number in range(60)]
    answers = await asyncio.gather(*(service.post(MESSAGES, json=body) for body in said for _ in range(10)))

    assert {answer.status_code for answer in answers} <= {200, 201}
    assert sum(answer.status_code == 201 for answer in answers) == 60
    for place in range(60):
        assert len({answer.content for answer in answers[place * 10 : place * 10 + 10]}) == 1
    rows = await connection.fetch("SELECT sequence FROM messages ORDER BY sequence")
    assert [row["sequence"] for row in rows] == list(range(1, 61))


@pytest.mark.pooled
async def test_every_acknowledged_message_is_visible_to_others_at_the_moment_of_the_answer(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    looking = asyncio.Lock()

    async def send_and_look(number: int) -> bool:
        said = utterance(conversation, f"Utterance {number}.")
        assert (await service.post(MESSAGES, json=said)).status_code == 201
        async with looking:
            return bool(await connection.fetchval("SELECT true FROM messages WHERE id = $1", UUID(said["id"])))

    found = [await asyncio.gather(*(send_and_look(number) for number in range(20))) for _ in range(50)]
    assert sum(map(len, found)) == 1000
    assert all(map(all, found))


@pytest.mark.pooled
async def test_a_batch_answers_for_each_in_order_and_a_bad_one_blocks_nobody(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    known = utterance(conversation, "Known.")
    await service.post(MESSAGES, json=known)
    batch = [
        utterance(conversation, "First."),
        utterance(conversation, "a\0b"),
        known,
        utterance(uuid4()),
        known | {"content": "Changed."},
        utterance(conversation, "Lone \ud800 surrogate."),
        "not a message",
        utterance(conversation, "Last."),
    ]
    answer = await service.post(f"{MESSAGES}/batch", content=_ascii({"messages": batch}), headers=_JSON)

    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [201, 422, 200, 404, 409, 422, 422, 201]
    assert results[1]["problem"]["errors"][0]["pointer"] == "/messages/1/content"
    assert results[5]["problem"]["errors"][0]["pointer"] == "/messages/5/content"
    assert [results[0]["message"]["sequence"], results[7]["message"]["sequence"]] == [2, 3]
    assert await connection.fetchval("SELECT count(DISTINCT xmin::text) FROM messages WHERE sequence > 1") == 1


async def test_the_same_message_twice_in_a_batch_is_recorded_once(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    said = utterance(conversation)
    answer = await service.post(f"{MESSAGES}/batch", json={"messages": [said, said, said | {"role": "system"}]})
    first, second, changed = answer.json()["results"]
    assert [first["status"], second["status"], changed["status"]] == [201, 200, 409]
    assert first["message"] == second["message"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"messages": []}, "/messages"),
        ({"messages": [{}] * 501}, "/messages"),
        ({"messages": {}}, "/messages"),
        ({"messages": [{}], "more": 1}, "/more"),
        ({"messages": [{}], "much more": 1}, ""),
        ([], ""),
    ],
)
async def test_a_batch_of_the_wrong_form_is_refused_whole(
    shared_service: httpx.AsyncClient, body: object, pointer: str
) -> None:
    answer = await shared_service.post(f"{MESSAGES}/batch", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


POISON: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "U+0000": (lambda m: m | {"content": "a\0b"}, "/content"),
    "lone surrogate": (lambda m: m | {"content": "a\ud83d"}, "/content"),
    "U+0000 in metadata": (lambda m: m | {"metadata": {"k": ["\0"]}}, "/metadata"),
    "U+0000 in a key": (lambda m: m | {"metadata": {"\0": 1}}, "/metadata"),
    "lone surrogate in metadata": (lambda m: m | {"metadata": {"k": "\udc00"}}, "/metadata"),
    "NaN": (lambda m: m | {"metadata": {"k": float("nan")}}, "/metadata"),
    "Infinity": (lambda m: m | {"metadata": {"k": float("-inf")}}, "/metadata"),
    "deep": (lambda m: m | {"metadata": {"k": _nested(500)}}, "/metadata"),
    "a little too deep": (lambda m: m | {"metadata": _nested(32, {})}, "/metadata"),
    "huge numbers": (lambda m: m | {"metadata": {"k": [10**300] * 10}}, "/metadata"),
    "numbers beyond 2^53": (lambda m: m | {"metadata": {"k": 2**53}}, "/metadata"),
    "numbers that grow": (lambda m: m | {"metadata": {"k": [5e-324] * 100}}, "/metadata"),
    "metadata too large": (lambda m: m | {"metadata": {"k": "x" * 16_384}}, "/metadata"),
    "metadata null": (lambda m: m | {"metadata": None}, "/metadata"),
    "metadata an array": (lambda m: m | {"metadata": []}, "/metadata"),
    "year 10000": (lambda m: m | {"timestamp": "10000-01-01T00:00:00Z"}, "/timestamp"),
    "no zone": (lambda m: m | {"timestamp": "2026-01-01T00:00:00"}, "/timestamp"),
    "seconds since 1970": (lambda m: m | {"timestamp": 1_767_225_600}, "/timestamp"),
    "content too large": (lambda m: m | {"content": "x" * (2**20 + 1)}, "/content"),
    "content missing": (lambda m: {k: v for k, v in m.items() if k != "content"}, "/content"),
    "content a number": (lambda m: m | {"content": 7}, "/content"),
    "an unknown role": (lambda m: m | {"role": "bot"}, "/role"),
    "an unknown field": (lambda m: m | {"sequence": 1}, "/sequence"),
    "an unknown field that may be speech": (lambda m: m | {"call the dentist": 1}, ""),
    "an id that is none": (lambda m: m | {"id": "1"}, "/id"),
    "a count too large": (lambda m: m | {"client_sequence": 2**31}, "/client_sequence"),
    "a session with U+0000": (lambda m: m | {"voice_session_id": "a\0"}, "/voice_session_id"),
    "not an object": (lambda _: 7, ""),
}


@pytest.mark.parametrize("poison", POISON)
async def test_poison_is_refused_with_its_place_and_the_conversation_still_reads(
    shared_service: httpx.AsyncClient, shared_conversation: UUID, poison: str
) -> None:
    spoil, pointer = POISON[poison]
    bad = spoil(utterance(shared_conversation, "Canary."))
    alone = await shared_service.post(MESSAGES, content=_ascii(bad), headers=_JSON)
    batch = {"messages": [bad, utterance(shared_conversation, "A good one.")]}
    beside = await shared_service.post(f"{MESSAGES}/batch", content=_ascii(batch), headers=_JSON)

    assert alone.status_code == 422
    assert [fault["pointer"] for fault in alone.json()["errors"]] == [pointer]
    refused, good = beside.json()["results"]
    assert (refused["status"], good["status"]) == (422, 201)
    assert [fault["pointer"] for fault in refused["problem"]["errors"]] == [f"/messages/0{pointer}"]
    assert "Canary" not in alone.text + str(refused)
    read = await shared_service.get(f"/api/v1/conversations/{shared_conversation}/messages")
    assert [message["content"] for message in read.json()["data"]] == ["A good one."]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"a":1}garbage', b"[" * 40_000], ids=["empty", "cut", "bytes", "more", "deep"]
)
async def test_what_is_no_json_is_refused(shared_service: httpx.AsyncClient, body: bytes) -> None:
    for path in (MESSAGES, f"{MESSAGES}/batch"):
        answer = await shared_service.post(path, content=body, headers=_JSON)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == ""


async def test_a_number_however_long_is_refused_in_its_place_and_blocks_no_neighbour(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    good = json.dumps(utterance(conversation))
    bad = good[:-1] + ', "metadata": {"k": ' + "1" * 5000 + "}}"
    alone = await service.post(MESSAGES, content=bad.encode(), headers=_JSON)
    assert [fault["pointer"] for fault in alone.json()["errors"]] == ["/metadata"]
    beside = f'{{"messages": [{bad}, {good}]}}'.encode()
    answer = await service.post(f"{MESSAGES}/batch", content=beside, headers=_JSON)
    assert [result["status"] for result in answer.json()["results"]] == [422, 201]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
async def test_only_utf_8_is_read(service: httpx.AsyncClient, conversation: UUID, encoding: str) -> None:
    said = json.dumps(utterance(conversation, "Xin chào, é."), ensure_ascii=False)
    for path, body in ((MESSAGES, said), (f"{MESSAGES}/batch", f'{{"messages": [{said}]}}')):
        answer = await service.post(path, content=body.encode(encoding), headers=_JSON)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"pointer": "", "detail": "must be JSON in UTF-8"}]


async def test_a_message_with_the_deepest_metadata_is_recorded(service: httpx.AsyncClient, conversation: UUID) -> None:
    said = utterance(conversation, metadata=_nested(31, {"k": 2**53 - 1}))
    answer = await service.post(MESSAGES, json=said)
    assert (answer.status_code, answer.json()["metadata"]) == (201, said["metadata"])


@pytest.mark.parametrize(
    "told",
    [
        "1970-01-01T00:00:07Z",
        "1999-12-31T23:59:59Z",
        "2569-01-31T09:30:00+07:00",
        "9999-12-31T23:59:59Z",
        "0000-01-31T09:30:00Z",
        pytest.param(timedelta(minutes=20), id="in 20 minutes"),
    ],
)
async def test_a_clock_that_is_wrong_loses_no_word(
    shared_service: httpx.AsyncClient, shared_conversation: UUID, told: str | timedelta
) -> None:
    timestamp = told if isinstance(told, str) else (datetime.now(UTC) + told).isoformat()
    said = utterance(shared_conversation, id=str(uuid4()), timestamp=timestamp, metadata={"mood": "calm"})
    new, alone = [await shared_service.post(MESSAGES, json=said) for _ in range(2)]
    beside = (await shared_service.post(f"{MESSAGES}/batch", json={"messages": [said]})).json()["results"][0]
    assert (new.status_code, alone.status_code, beside["status"]) == (201, 200, 200)
    assert new.json() == alone.json() == beside["message"]
    assert new.json()["timestamp"] == new.json()["created_at"]
    assert new.json()["metadata"] == {"mood": "calm", "repaired": ["/timestamp"]}


async def test_the_same_message_with_a_time_that_is_right_by_now_is_the_same(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    said = utterance(conversation, id=str(uuid4()))
    ahead, past = [(datetime.now(UTC) + timedelta(minutes=minutes)).isoformat() for minutes in (20, -20)]
    new = await service.post(MESSAGES, json=said | {"timestamp": ahead})
    again = await service.post(MESSAGES, json=said | {"timestamp": past})
    assert (new.status_code, again.status_code) == (201, 200)
    assert again.json() == new.json()
    changed = await service.post(MESSAGES, json=said | {"timestamp": past, "content": "Something else."})
    assert changed.status_code == 409


@pytest.mark.pooled
async def test_a_message_of_a_mebibyte_is_recorded_and_read_everywhere(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    said = [utterance(conversation, letter * 2**20) for letter in "abc"]
    for each in said:
        assert (await service.post(MESSAGES, json=each)).status_code == 201
    path = f"/api/v1/conversations/{conversation}"
    pages: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await service.get(f"{path}/messages?limit=500{cursor and f'&cursor={cursor}'}")).json()
        pages += page["data"]
        cursor = page["next_cursor"] if page["has_more"] else None
    transcript = (await service.get(f"{path}/transcript")).json()["messages"]
    for found in (pages, transcript):
        assert [message["content"] for message in found] == [each["content"] for each in said]
    found = await service.get("/api/v1/messages/feed?limit=500")
    assert found.json()["data"][0]["content"] == said[0]["content"]


async def test_a_body_beyond_its_limit_is_refused(service: httpx.AsyncClient, conversation: UUID) -> None:
    too_large = utterance(conversation, "x" * 2 * 2**20)
    answer = await service.post(MESSAGES, json=too_large)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/body-too-large")
    in_a_batch = await service.post(f"{MESSAGES}/batch", json={"messages": [too_large]})
    assert in_a_batch.json()["results"][0]["status"] == 422
    whole = await service.post(f"{MESSAGES}/batch", json={"messages": [too_large] * 2})
    assert whole.status_code == 413


async def test_a_body_that_is_not_declared_as_json_is_refused(service: httpx.AsyncClient) -> None:
    answer = await service.post(MESSAGES, content=b"{}", headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "x"])
async def test_a_compressed_body_is_refused_as_one(service: httpx.AsyncClient, conversation: UUID, coding: str) -> None:
    body = gzip.compress(json.dumps(utterance(conversation)).encode())
    headers = {"content-type": "application/json", "content-encoding": coding}
    for path in (MESSAGES, f"{MESSAGES}/batch"):
        refused = await service.post(path, content=body, headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (415, "/problems/unsupported-media-type")
        assert refused.headers["accept-encoding"] == "identity"


async def test_a_body_that_says_it_is_not_compressed_is_taken(service: httpx.AsyncClient, conversation: UUID) -> None:
    headers = {"content-encoding": "Identity"}
    assert (await service.post(MESSAGES, json=utterance(conversation), headers=headers)).status_code == 201


_JSON = {"content-type": "application/json"}


def _ascii(value: object) -> bytes:
    return json.dumps(value).encode()


def _nested(depth: int, innermost: object = 1) -> object:
    value = innermost
    for _ in range(depth):
        value = {"k": value}
    return value
