"""What a body costs: no body stops the event loop, and no refusal grows with what it refuses."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import Request

from backend import deepgram
from backend.api import voice_messages
from backend.api.parse_thread import MAX_MARKS, parsed, without_strings
from backend.errors import MAX_FAULTS, Busy, Fault, Invalid
from backend.principal import Principal
from backend.schemas.items import parse_each
from backend.schemas.message import MessageCreate
from backend.schemas.parsing import parse
from tests.conftest import utterance
from tests.phones import begin

MESSAGES = "/api/v1/voice/messages"
BATCH = f"{MESSAGES}/batch"
JSON = {"content-type": "application/json"}
MOST = 4 * 2**20 - 1024  # bytes
LOOP_SECONDS = 0.1  # of processor time; the slowest of these bodies held the event loop for 4 s

Read = Callable[[bytes], Any]


@pytest.fixture
def service(shared_service: httpx.AsyncClient) -> httpx.AsyncClient:
    return shared_service


@pytest.fixture
def conversation(shared_conversation: UUID) -> UUID:
    return shared_conversation


def seconds(read: Read, body: bytes) -> float:
    """Return the processor time that ``read`` needs for ``body``, whatever it makes of it."""
    started = time.thread_time()
    with suppress(Invalid):
        read(body)
    return time.thread_time() - started


events = partial(parse_each, deepgram.read, name="events", most=500)
READERS: dict[str, Read] = {
    "message": partial(parse, MessageCreate),
    "messages": voice_messages._items,
    "events": events,
    "marks": lambda body: [*without_strings(body)],
}
# Unterminated, escaped, nested: each is as long as it is told to be.
HOSTILE: dict[str, Callable[[int], bytes]] = {
    "brackets, then escaped quotes": lambda n: b'{"messages":[' + b"[" * 2000 + b'"' + rb"\"" * n,
    "brackets, then quotes": lambda n: b'{"messages":[' + b"[" * 2000 + b'"' * (2 * n),
    "brackets, then backslashes": lambda n: b'{"messages":[' + b"[" * 2000 + b'"' + b"\\" * (2 * n),
    "brackets": lambda n: b'{"messages":[' + b"[" * n,
    "brackets in pairs": lambda n: b'{"messages":[' + b"[]," * n,
    "quotes": lambda n: b'"' * n,
    "escaped quotes": lambda n: b'"' + rb"\"" * n,
    "backslashes": lambda n: b"\\" * n,
    "blanks": lambda n: b'{"messages":' + b" " * n,
    "digits": lambda n: b'{"messages":[' + b"1" * n + b"]}",
    "fractions": lambda n: b'{"messages":[0.' + b"1" * n + b"]}",
    "exponents": lambda n: b'{"messages":[1e' + b"1" * n + b"]}",
    "surrogates": lambda n: b'{"messages":["' + rb"\ud800" * n + b'"]}',
    "fields": lambda n: b'{"messages":[{' + b",".join(b'"%x":1' % i for i in range(n // 8)) + b"}]}",
    "not UTF-8": lambda n: b'{"messages":["' + b"\xff" * n + b'"]}',
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_body_four_times_as_long_costs_no_more_than_about_four_times_as_much(hostile: str) -> None:
    """With the quadratic scan it was sixteen times."""
    short, long = HOSTILE[hostile](5_000), HOSTILE[hostile](20_000)
    for name, read in READERS.items():
        before, after = [min(seconds(read, body) for _ in range(3)) for body in (short, long)]
        assert after < 8 * max(before, 0.005), name


async def test_an_item_that_is_nested_beyond_the_parser_is_refused_alone(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    good = json.dumps(utterance(conversation))
    deep = good[:-1] + f', "metadata": {{"k": {"[" * 20_000}{"]" * 20_000}}}}}'
    answer = await service.post(BATCH, content=f'{{"messages": [{good}, {deep}, {good}]}}', headers=JSON)
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [201, 422, 200]
    assert results[1]["problem"]["errors"] == [
        {"pointer": "/messages/1/metadata", "detail": "must not be nested deeper than 32"}
    ]


# At most 20 faults, then a count


def test_a_refusal_lists_each_different_fault_once_and_at_most_twenty() -> None:
    many = Invalid([Fault(f"/{number}", "is wrong") for number in range(190_000)])
    assert (len(many.faults), many.more) == (MAX_FAULTS, 190_000 - MAX_FAULTS)
    same = Invalid([Fault("/a", "is wrong"), *[Fault("", "is unknown")] * 1_000])
    assert (same.faults, same.more) == ((Fault("/a", "is wrong"), Fault("", "is unknown")), 999)
    assert same.below("/b").faults[0].pointer == "/b/a"
    assert same.below("/b").more == 999
    assert Invalid([Fault("", "is wrong")]).more == 0


async def test_the_answer_to_twenty_thousand_unknown_fields_is_short_and_counts_them(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    good = utterance(conversation)
    for count, pointers in ((900, ["/id", *(f"/u{number}" for number in range(5)), ""]), (20_000, [""])):
        bad = good | {"id": "none"} | {f"u{number}": 1 for number in range(count)}
        alone = await service.post(MESSAGES, json=bad)
        assert alone.status_code == 422
        assert [fault["pointer"] for fault in alone.json()["errors"]] == pointers
        assert alone.json()["more_errors"] == count + 1 - len(pointers)
        assert len(alone.content) < 1_000
        beside = await service.post(BATCH, json={"messages": [bad, good]})
        assert [result["status"] for result in beside.json()["results"]] in ([422, 201], [422, 200])
        assert beside.json()["results"][0]["problem"]["more_errors"] == count + 1 - len(pointers)
        assert len(beside.content) < 2_000


async def test_five_hundred_bad_items_get_an_answer_shorter_than_what_was_sent(service: httpx.AsyncClient) -> None:
    bad = {f"unknown{number}": 1 for number in range(90)}
    sent = json.dumps({"messages": [bad] * 500}).encode()
    answer = await service.post(BATCH, content=sent, headers=JSON)
    results = answer.json()["results"]
    assert {result["status"] for result in results} == {422}
    assert {result["problem"]["more_errors"] for result in results} == {84}
    assert len(answer.content) < len(sent)


async def test_a_query_of_many_unknown_names_gets_a_short_answer(service: httpx.AsyncClient) -> None:
    query = "&".join(f"u{number}=1" for number in range(2_000))
    answer = await service.get(f"/api/v1/conversations?{query}")
    assert (answer.status_code, len(answer.json()["errors"]), answer.json()["more_errors"]) == (422, 20, 1_980)


# Costly bodies leave the event loop


def request_of(subject: str | None = None) -> Request:
    return Request({"type": "http", "state": {"principal": Principal(subject, frozenset())}})


async def test_a_costly_body_is_parsed_while_the_event_loop_goes_on() -> None:
    """The parsing ends only when the event loop has let it."""
    released = Event()
    asyncio.get_running_loop().call_later(0.01, released.set)
    assert await parsed(request_of(), lambda _: released.wait(10), b"[" * 3_000)


async def test_a_cheap_body_is_parsed_at_once() -> None:
    work = parsed(request_of(), len, b"[" * 300 + b"x" * 100_000)
    with pytest.raises(StopIteration) as returned:
        work.send(None)
    assert returned.value.value == 100_300


async def test_a_subject_whose_costly_bodies_wait_is_refused_more_of_them_and_other_subjects_are_not() -> None:
    body = b"," * MAX_MARKS  # a quarter of a second, as far as is known before
    released = Event()
    hold = partial(parsed, request_of("greedy"), lambda _: released.wait(10), body)
    waiting = [asyncio.create_task(hold()) for _ in range(8)]
    await asyncio.sleep(0)  # each has begun to wait
    other = asyncio.create_task(parsed(request_of("other"), len, body))
    released.set()
    assert await other == MAX_MARKS
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Busy)]
    assert outcomes == [True] * (8 - len(refused)) + refused
    assert 3 <= len(refused) <= 5
    assert await hold()  # nothing waits any more


async def test_what_waits_is_bounded_over_all_subjects() -> None:
    body = b"," * MAX_MARKS
    released = Event()
    waiting = [
        asyncio.create_task(parsed(request_of(f"{number}"), lambda _: released.wait(10), body)) for number in range(30)
    ]
    await asyncio.sleep(0)
    released.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert 10 <= sum(isinstance(outcome, Busy) for outcome in outcomes) <= 20


def spoiled(values: str) -> str:
    """A message, as text, with ``values`` in its metadata."""
    return json.dumps(utterance(uuid4(), metadata={"k": [0]})).replace("[0]", f"[{values}]")


COSTLY: dict[str, Callable[[], str]] = {
    "lists": lambda: spoiled(",".join(["[]"] * 24_000)),
    "objects": lambda: spoiled(",".join(['{"a":1}'] * 24_000)),
    "floats": lambda: spoiled(",".join(["0." + "1" * 38] * 49_000)),
    "smallest floats": lambda: spoiled(",".join(["5e-324"] * 49_000)),
    "unknown fields": lambda: json.dumps(utterance(uuid4()) | {f"u{number}": 1 for number in range(49_000)}),
    "far too many lists": lambda: spoiled(",".join(["[]"] * (MOST // 3 - 200))),
    "far too many fields": lambda: json.dumps({f"{number}": 1 for number in range(150_000)}),
}


@pytest.mark.parametrize("costly", COSTLY)
async def test_no_body_costs_the_event_loop_more_than_a_moment(service: httpx.AsyncClient, costly: str) -> None:
    body = f'{{"messages": [{COSTLY[costly]()}]}}'.encode()
    started = time.thread_time()
    answer = await service.post(BATCH, content=body, headers=JSON)
    assert time.thread_time() - started < LOOP_SECONDS
    assert answer.status_code == (413 if costly.startswith("far") else 200)


async def test_events_are_parsed_beside_the_event_loop_too(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    event = '{"event": {"type": "Settings", "audio": {}, "agent": {"k": [%s]}}}'
    body = f'{{"events": [{event % ",".join(["{}"] * 24_000)}]}}'
    started = time.thread_time()
    answer = await service.post(f"/api/v1/voice/sessions/{phone.session_id}/events", content=body, headers=JSON)
    assert answer.status_code == 200
    assert time.thread_time() - started < LOOP_SECONDS / 2


# How many values


async def test_a_body_of_more_values_than_the_service_parses_is_refused_and_the_answer_names_the_limit(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    for path, body in ((MESSAGES, [0] * (MAX_MARKS + 1)), (BATCH, {"messages": [0] * (MAX_MARKS + 1)})):
        answer = await service.post(path, json=body)
        assert (answer.status_code, answer.json()["type"]) == (413, "/problems/body-too-large")
        assert "50,000" in answer.json()["detail"]
    largest = utterance(conversation, metadata={"k": [0] * 8_188})
    assert (await service.post(MESSAGES, json=largest)).status_code == 201


@pytest.mark.parametrize("text", ["," * 65_000, '\\"' * 20_000 + "," * 20_000, '[{"a": "\\\\"},' * 4_000])
async def test_what_looks_like_json_inside_a_text_counts_for_nothing(
    service: httpx.AsyncClient, conversation: UUID, text: str
) -> None:
    said = [utterance(conversation, text) for _ in range(4)]
    answer = await service.post(BATCH, json={"messages": said})
    assert [result["status"] for result in answer.json()["results"]] == [201] * 4


@pytest.mark.parametrize(
    ("body", "outside"),
    [
        (b'{"a,": [1, "[{,"]}', b"{: [1, ]}"),
        (rb'["\"", "\\", "\\\",[", 1]', b"[, , , 1]"),
        (rb'["\\\\\\"],["\\\\\\\"]"]', b"[],[]"),
        (b'["unterminated, [', b"["),
        (b"", b""),
    ],
)
def test_only_what_is_outside_strings_is_left(body: bytes, outside: bytes) -> None:
    assert b"".join(without_strings(body)) == outside


@pytest.mark.parametrize("before", range(2**16 - 8, 2**16 + 2))
def test_strings_are_found_in_pieces_as_in_the_whole(before: int) -> None:
    body = b'["' + b"x" * before + rb'\\\" [,\\", "[{", 1]'
    assert b"".join(without_strings(body)) == b"[, , 1]"
