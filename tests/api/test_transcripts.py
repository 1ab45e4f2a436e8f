import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import psutil
import pytest

from backend.formats.transcript import TranscriptFormat
from tests.conftest import open_conversation, serving, utterance

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


async def record(service: httpx.AsyncClient, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await service.post("/api/v1/voice/messages/batch", json={"messages": list(messages)})
    return [result["message"] for result in answer.json()["results"]]


def at(second: int) -> dict[str, str]:
    return {"timestamp": (NOON + timedelta(seconds=second)).isoformat()}


async def test_a_page_has_the_bytes_that_the_sender_of_each_message_got(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    text, name = 'Xin chào 👋 "\\\n\t\x01\x7f\u2028 %s', 'a "call" \\ %'
    for more in ({}, {"role": "assistant", "input_modality": "text", "voice_session_id": name, "client_sequence": 0}):
        sent = utterance(conversation, text, metadata={"a": [1.50, None, text]}, **at(1), **more)
        recorded = await service.post("/api/v1/voice/messages", json=sent)
        page = await service.get(f"/api/v1/conversations/{conversation}/messages?direction=backward&limit=1")
        assert page.content.startswith(b'{"data":[' + recorded.content + b"]")


async def read_all(service: httpx.AsyncClient, conversation: UUID, **query: object) -> list[int]:
    """Page to the end and return the sequences in the order they came."""
    seen: list[int] = []
    more: Any = True
    while more:
        page = (await service.get(f"/api/v1/conversations/{conversation}/messages", params=query)).json()  # type: ignore[arg-type]
        seen += [message["sequence"] for message in page["data"]]
        query["cursor"], more = page["next_cursor"], page["has_more"]
    return seen


async def test_spoken_order_is_by_time_and_recorded_order_by_arrival(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    seconds = [5, 1, 3, 3, 2]
    await record(service, *(utterance(conversation, f"At {second}.", **at(second)) for second in seconds))
    for limit in (1, 2, 3, 100):
        assert await read_all(service, conversation, limit=limit) == [2, 5, 3, 4, 1]
        assert await read_all(service, conversation, limit=limit, order="recorded") == [1, 2, 3, 4, 5]


@pytest.mark.pooled
@pytest.mark.parametrize("order", ["spoken", "recorded"])
async def test_reading_from_both_ends_meets_in_the_middle(
    service: httpx.AsyncClient, conversation: UUID, order: str
) -> None:
    shuffled = random.Random(7).choices(range(20), k=50)
    await record(service, *(utterance(conversation, **at(second)) for second in shuffled))
    place = f"/api/v1/conversations/{conversation}/messages"
    front: list[int] = []
    back: list[int] = []
    queries: list[dict[str, Any]] = [{"order": order, "direction": way} for way in ("forward", "backward")]
    while len(front) + len(back) < 50:
        for query, seen in zip(queries, (front, back), strict=True):
            page = (await service.get(place, params=query | {"limit": 5})).json()
            seen += [message["sequence"] for message in page["data"]]
            query["cursor"] = page["next_cursor"]
    assert front + back[::-1] == await read_all(service, conversation, order=order)


@pytest.mark.pooled
async def test_a_page_can_be_narrowed_to_when_it_was_said(service: httpx.AsyncClient, conversation: UUID) -> None:
    messages = [utterance(conversation, f"{number}", **at(number)) for number in (3, 1, 4, 2, 5)]
    await record(service, *messages)
    place = f"/api/v1/conversations/{conversation}/messages"
    for order, expected in (("spoken", ["2", "3"]), ("recorded", ["3", "2"])):
        query = {"since": at(2)["timestamp"], "until": at(4)["timestamp"], "order": order, "limit": "1"}
        first = (await service.get(place, params=query)).json()
        second = (await service.get(place, params=query | {"cursor": first["next_cursor"]})).json()
        assert [message["content"] for message in first["data"] + second["data"]] == expected
        assert (first["has_more"], second["has_more"]) == (True, False)


async def test_a_cursor_goes_on_after_the_end(service: httpx.AsyncClient, conversation: UUID) -> None:
    place = f"/api/v1/conversations/{conversation}/messages"
    empty = (await service.get(place, params={"order": "recorded"})).json()
    assert empty == {"data": [], "next_cursor": None, "has_more": False}
    await record(service, utterance(conversation))
    first = (await service.get(place, params={"order": "recorded"})).json()
    assert first["has_more"] is False
    nothing = (await service.get(place, params={"order": "recorded", "cursor": first["next_cursor"]})).json()
    assert nothing == {"data": [], "next_cursor": first["next_cursor"], "has_more": False}
    await record(service, utterance(conversation, "More."))
    more = (await service.get(place, params={"order": "recorded", "cursor": nothing["next_cursor"]})).json()
    assert [message["content"] for message in more["data"]] == ["More."]


@pytest.mark.pooled
async def test_a_page_can_be_narrowed_to_a_role_and_to_what_came_after(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    await record(service, *(utterance(conversation, role=role) for role in ("user", "assistant") * 3))
    assert await read_all(service, conversation, role="assistant", limit=1) == [2, 4, 6]
    assert await read_all(service, conversation, after_sequence=3, limit=2) == [4, 5, 6]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"limit": 0}, "/query/limit"),
        ({"limit": 501}, "/query/limit"),
        ({"limit": "x"}, "/query/limit"),
        ({"order": "random"}, "/query/order"),
        ({"after_sequence": -1}, "/query/after_sequence"),
        ({"after_sequence": 2**63}, "/query/after_sequence"),
        ({"cursor": "!!"}, "/query/cursor"),
        ({"cursor": "WzFd"}, "/query/cursor"),
        ({"cursor": "WyJzcG9rZW4iLCJmb3J3YXJkIiw5MjIzMzcyMDM2ODU0Nzc1ODA3LDFd"}, "/query/cursor"),
        ({"cursor": "WyJzcG9rZW4iLCJmb3J3YXJkIiwxLDkyMjMzNzIwMzY4NTQ3NzU4MDhd"}, "/query/cursor"),
        ({"role": "bot"}, "/query/role"),
        ({"before": 1}, "/query/before"),
    ],
)
async def test_a_question_of_another_form_is_refused(
    shared_service: httpx.AsyncClient, shared_conversation: UUID, query: dict[str, Any], pointer: str
) -> None:
    answer = await shared_service.get(f"/api/v1/conversations/{shared_conversation}/messages", params=query)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_a_cursor_of_one_order_is_refused_in_another(service: httpx.AsyncClient, conversation: UUID) -> None:
    await record(service, utterance(conversation))
    place = f"/api/v1/conversations/{conversation}/messages"
    cursor = (await service.get(place)).json()["next_cursor"]
    for query in ({"order": "recorded"}, {"direction": "backward"}):
        assert (await service.get(place, params=query | {"cursor": cursor})).status_code == 422


async def test_readers_miss_nothing_and_see_nothing_twice_while_five_write(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    writing = 5

    async def write(writer: int) -> None:
        nonlocal writing
        chance = random.Random(writer)
        for number in range(40):
            said = utterance(conversation, f"{writer}: {number}", **at(chance.randrange(1000)))
            assert (await service.post("/api/v1/voice/messages", json=said)).status_code == 201
        writing -= 1

    async def follow(order: str) -> list[int]:
        seen: list[int] = []
        query: dict[str, Any] = {"order": order, "limit": 7}
        while True:
            finished = not writing  # asked before the read, so that the last read sees the last write
            page = (await service.get(f"/api/v1/conversations/{conversation}/messages", params=query)).json()
            seen += [message["sequence"] for message in page["data"]]
            if page["next_cursor"]:
                query["cursor"] = page["next_cursor"]
            if finished and not page["has_more"]:
                return seen

    orders = ["recorded", "recorded", "spoken", "spoken"]
    results = await asyncio.gather(*map(follow, orders), *(write(number) for number in range(5)))
    everything = list(range(1, 201))
    assert results[0] == results[1] == everything
    for seen in (results[2], results[3]):
        assert seen is not None
        assert len(seen) == len(set(seen))

    after = (await service.get(f"/api/v1/conversations/{conversation}/transcript")).json()["messages"]
    assert sorted(message["sequence"] for message in after) == everything
    places = [(message["timestamp"], message["sequence"]) for message in after]
    assert places == sorted(places)


async def test_a_transcript_is_whole_in_every_format(service: httpx.AsyncClient, conversation: UUID) -> None:
    recorded = await record(
        service,
        utterance(conversation, "Hello.", **at(1)),
        utterance(conversation, "Two\nlines, *not* bold.", role="assistant", **at(2)),
    )
    place = f"/api/v1/conversations/{conversation}/transcript"
    as_json = await service.get(place)
    assert as_json.json() == {"conversation_id": str(conversation), "messages": recorded}
    lines = await service.get(place, params={"format": "jsonl"})
    assert lines.headers["content-type"].startswith("application/jsonl")
    assert [httpx.Response(200, text=line).json() for line in lines.text.splitlines()] == recorded
    assert (await service.get(place, params={"format": "text"})).text == (
        "[2026-01-31 12:00:01] user: Hello.\n[2026-01-31 12:00:02] assistant: Two\n    lines, *not* bold.\n"
    )
    assert (await service.get(place, params={"format": "markdown"})).text == (
        f"# Conversation {conversation}\n"
        "\n**user** · 2026-01-31 12:00:01\n\n> Hello\\.\n"
        "\n**assistant** · 2026-01-31 12:00:02\n\n> Two  \n> lines\\, \\*not\\* bold\\.\n"
    )
    assert (await service.get(place, params={"format": "pdf"})).status_code == 422


async def test_an_empty_transcript_is_empty_in_every_format(service: httpx.AsyncClient, conversation: UUID) -> None:
    place = f"/api/v1/conversations/{conversation}/transcript"
    assert (await service.get(place)).json()["messages"] == []
    contents = {
        name: (await service.get(place, params={"format": name})).text.replace(str(conversation), "…")
        for name in TranscriptFormat
    }
    assert contents == {
        "json": '{"conversation_id":"…","messages":[]}',
        "jsonl": "",
        "text": "",
        "markdown": "# Conversation …\n",
        "openai": '{"messages":[]}',
        "deepgram": '{"agent":{"context":{"messages":[]}}}',
        "vtt": "WEBVTT\n\nNOTE Conversation …\n",
        "srt": "",
    }


async def test_for_deepgram_a_call_and_its_result_are_one_and_what_has_no_result_is_left_out(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    def called(state: str, content: str, **more: object) -> dict[str, Any]:
        return utterance(conversation, content, role="function", metadata={"state": state, **more})

    asked = {"name": "clock", "client_side": False}
    await record(
        service,
        utterance(conversation, "What time is it?"),
        called("requested", "{}", call_id="one", **asked, thought_signature="a thought"),
        called("requested", '{"zone": "UTC"}', call_id="two", **asked),
        called("requested", "{}", call_id="cancelled", **asked),
        called("requested", "{}", call_id="unanswered", **asked),
        called("cancelled", "", call_id="cancelled", name="clock"),
        called("completed", "nine", call_id="two", name="clock"),
        called("completed", "ten", name="clock"),  # a server may leave the id out
        called("completed", "nobody asked", call_id="three", name="clock"),
        utterance(conversation, "A note.", role="system"),
        utterance(conversation, "Ten.", role="assistant"),
    )
    answer = await service.get(f"/api/v1/conversations/{conversation}/transcript", params={"format": "deepgram"})
    assert answer.headers["content-type"] == "application/json"
    call = {"name": "clock", "client_side": False}
    assert answer.json()["agent"] == {
        "context": {
            "messages": [
                {"type": "History", "role": "user", "content": "What time is it?"},
                {
                    "type": "History",
                    "function_calls": [{"id": "two", "arguments": '{"zone": "UTC"}', "response": "nine", **call}],
                },
                {
                    "type": "History",
                    "function_calls": [
                        {"id": "one", "arguments": "{}", "response": "ten", "thought_signature": "a thought", **call}
                    ],
                },
                {"type": "History", "role": "assistant", "content": "Ten."},
            ]
        },
        "greeting": None,
    }


@pytest.mark.pooled
async def test_a_long_transcript_comes_in_parts_and_without_what_arrives_meanwhile(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    conversation = await open_conversation(connection)
    await connection.execute(
        "INSERT INTO messages (conversation_id, role, content)"
        " SELECT $1, 'user', n::text FROM generate_series(1, 1250) n",
        conversation,
    )
    seen: list[str] = []
    async with service.stream("GET", f"/api/v1/conversations/{conversation}/transcript?format=jsonl") as answer:
        async for line in answer.aiter_lines():
            if not seen:
                await record(service, utterance(conversation, "Late, and early.", **at(0)))
            seen.append(httpx.Response(200, text=line).json()["content"])
    assert seen == [str(number) for number in range(1, 1251)]


@pytest.mark.pooled
async def test_rows_of_other_programs_read_like_ours(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute(
        "INSERT INTO messages (conversation_id, role, content, metadata) VALUES ($1, 'user', 'Plain.', NULL)",
        conversation,
    )
    await record(service, utterance(conversation))
    page = (await service.get(f"/api/v1/conversations/{conversation}/messages")).json()["data"]
    assert [message["sequence"] for message in page] == [1, 2]
    assert page[0]["metadata"] == {}
    assert page[0]["timestamp"] == page[0]["created_at"]


async def test_a_transcript_of_100_000_messages_takes_no_more_memory_than_a_short_one(
    database_url: str, connection: asyncpg.Connection
) -> None:
    conversation = await open_conversation(connection)
    await connection.execute(
        "INSERT INTO messages (conversation_id, role, content, sequence)"
        " SELECT $1, 'user', repeat('word ', 40) || n, n FROM generate_series(1, 100000) n",
        conversation,
    )

    def read(address: str, limit: int) -> int:
        """Read the first ``limit`` bytes, or all, and return how many came."""
        size = 0
        with httpx.stream("GET", f"{address}/api/v1/conversations/{conversation}/transcript") as answer:
            for chunk in answer.iter_bytes():
                size += len(chunk)
                if size > limit:
                    break
        return size

    def measure() -> int:
        with serving(database_url) as address:
            worker = next(
                process for process in psutil.process_iter() if _listens(process, int(address.rpartition(":")[2]))
            )
            read(address, 1_000_000)
            before = worker.memory_info().rss
            assert read(address, 2**40) > 20_000_000
            return int(worker.memory_info().rss) - before

    assert await asyncio.to_thread(measure) < 12_000_000


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        return any(found.laddr and found.laddr.port == port for found in process.net_connections())
    except psutil.Error:
        return False
