"""What hangs on the words never costs the words: every field of every event, wrong in every way that is wrong.

The table is generated from the examples. Where role and text can still be used the event is a message, whole, with the
name of what was repaired; where they cannot, it is refused alone, with a pointer. All others are counted.
"""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from backend.deepgram.to_messages import drafts
from tests.deepgram.examples import EXAMPLES
from tests.phones import NOON, SESSIONS, Phone, begin, numbered, said
from verbatim_record.message_limits import CONTENT_BYTES, METADATA_BYTES

JSON = {"content-type": "application/json"}
TIMINGS = [{"word": "xin", "start": 0.25 * place, "end": 0.25 * place + 0.2} for place in range(220)]
WRONG: dict[str, Any] = {
    "of another type": {"of": "another type"},
    "a number": 7,
    "empty": "",
    "an empty list": [],
    "huge": "x" * 30_000,
    "many": TIMINGS * 3,
    "deep": json.loads("[" * 60 + "]" * 60),
    "a big integer": 2**60,
    "text that cannot be stored": "one\0two \ud800",
}


class Mutant(NamedTuple):
    """An event with one value in a place where another belongs, and whether its words can be used all the same."""

    name: str
    event: dict[str, Any]
    value: Any
    is_usable: bool


def mutants() -> Iterator[Mutant]:
    for name, event in EXAMPLES.items():
        for path in [*_paths(event), ("new",)]:
            for how, value in WRONG.items():
                mutant = copy.deepcopy(event)
                _set(mutant, path, value)
                field = f"{event['type']}.{path[-1]}"
                yield Mutant(f"{name} {field} {how}", mutant, value, _is_usable(field, value))


def _paths(event: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    for name, value in event.items():
        if name != "type":
            yield (name,)
        if name in {"functions", "function_calls"}:
            yield from ((name, 0, key) for key in value[0])


def _set(event: dict[str, Any], path: tuple[Any, ...], wrong: object) -> None:
    holder: Any = event
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = wrong


def _is_usable(field: str, value: object) -> bool:
    match field:
        case "ConversationText.role":
            return False
        case "ConversationText.content" | "InjectUserMessage.content":
            return isinstance(value, str)
        case "FunctionCallRequest.functions":
            return value == []
        case "FunctionCallCancelled.functions":
            return value == [] or isinstance(value, dict) or value is WRONG["many"]
    return True


MUTANTS = list(mutants())


async def send(phone: Phone, *events: dict[str, Any]) -> list[dict[str, Any]]:
    content = json.dumps({"events": events}, ensure_ascii=False).encode(errors="surrogatepass")
    answer = await phone.client.post(f"{SESSIONS}/{phone.session_id}/events", content=content, headers=JSON)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


@pytest_asyncio.fixture(loop_scope="module")
async def phone(shared_service: httpx.AsyncClient) -> Phone:
    return await begin(shared_service)


def test_the_table_is_as_large_as_it_says() -> None:
    assert len(MUTANTS) > 60
    assert {mutant.event["type"] for mutant in MUTANTS} == {event["type"] for event in EXAMPLES.values()}


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_event_whose_words_can_be_used_is_recorded_whatever_else_is_wrong_with_it(
    phone: Phone, name: str
) -> None:
    table = [mutant for mutant in MUTANTS if mutant.name.startswith(f"{name} ")]
    events = numbered([said("user", "Before."), *(mutant.event for mutant in table), said("user", "Behind.")])
    before, *results, behind = await send(phone, *events)
    assert (before["status"], behind["status"]) == (201, 201)
    for place, (mutant, result) in enumerate(zip(table, results, strict=True), 1):
        if mutant.is_usable:
            assert result["status"] == 201, (mutant.name, result)
            assert len(result["messages"]) == len(drafts(mutant.event))
            for message in result["messages"]:
                _check(mutant, message)
        else:
            assert result["status"] == 422, mutant.name
            pointers = [fault["pointer"] for fault in result["problem"]["errors"]]
            assert all(pointer.startswith(f"/events/{place}/event/") for pointer in pointers), mutant.name
    receipt = await phone.receipt()
    refused = [place for place, mutant in enumerate(table, 2) if not mutant.is_usable]
    assert [number for first, last in receipt["missing"] for number in range(first, last + 1)] == refused
    again = await send(phone, *events)
    assert [each.get("messages") for each in again[1:-1]] == [each.get("messages") for each in results]
    assert {each["status"] for each in again} <= {200, 422}


def _check(mutant: Mutant, message: dict[str, Any]) -> None:
    """A message is marked if, and only if, it does not hold the value as it was sent."""
    metadata = message["metadata"]
    assert len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()) <= METADATA_BYTES
    extra = metadata.get("extra", {})
    words = [message["content"]] if any(f".{name} " in mutant.name for name in ("content", "arguments")) else []
    is_kept = mutant.value in [*words, *metadata.values(), *extra.values()]
    if ".functions " in mutant.name:
        is_kept = isinstance(mutant.value, list)
    assert (metadata.get("repaired", []) == []) == is_kept, (mutant.name, metadata)


async def test_what_is_nested_beyond_the_parser_costs_neither_its_message_nor_its_neighbours(phone: Phone) -> None:
    for depth in (40, 300, 2_000):
        deep = '{"type": "ConversationText", "role": "user", "content": "?", "new": %s}' % ("[" * depth + "]" * depth)
        texts = [
            f'{{"event": {each}}}' for each in (json.dumps(said("user", "a")), deep, json.dumps(said("user", "b")))
        ]
        body = f'{{"events": [{", ".join(texts)}]}}'.encode()
        answer = await phone.client.post(f"{SESSIONS}/{phone.session_id}/events", content=body, headers=JSON)
        assert [result["status"] for result in answer.json()["results"]] == [201, 201, 201]
        names = answer.json()["results"][1]["messages"][0]["metadata"]["repaired"]
        assert [name.startswith("/metadata/extra/new") for name in names] == [True]


@pytest.mark.parametrize(
    ("name", "missing"), [("Error", "code"), ("Warning", "description"), ("InjectionRefused", "message")]
)
async def test_an_incident_that_lacks_a_part_is_counted_and_completes_the_receipt(
    phone: Phone, name: str, missing: str
) -> None:
    event = {key: value for key, value in EXAMPLES[name].items() if key != missing}
    [result] = await send(phone, *numbered([event]))
    assert result == {"kind": "recorded", "status": 201, "messages": []}
    assert (await phone.end(last_client_sequence=1))["complete"] is True
    [incident] = (await phone.state())["incidents"]
    assert incident["type"] == name


async def test_an_incident_that_is_too_large_is_cut_and_says_so(phone: Phone) -> None:
    await send(phone, *numbered([EXAMPLES["Error"] | {"description": "x" * 30_000}]))
    [incident] = (await phone.state())["incidents"]
    assert incident["detail"]["code"] == EXAMPLES["Error"]["code"]
    assert incident["detail"]["repaired"] == ["/description"]
    assert 10_000 < len(incident["detail"]["description"]) < METADATA_BYTES


async def test_a_text_of_a_mebibyte_is_one_message_and_a_longer_one_goes_on_in_the_next(phone: Phone) -> None:
    whole, long = "x" * CONTENT_BYTES, "ỏ" * CONTENT_BYTES
    for number, text in ((1, whole), (2, long)):
        event = {"type": "FunctionCallResponse", "id": "call-1", "name": "clock", "content": text}
        first, second = [await send(phone, *numbered([event], number)) for _ in range(2)]
        assert [first[0]["status"], second[0]["status"]] == [201, 200]
        assert first[0]["messages"] == second[0]["messages"]
    await send(phone, *numbered([said("assistant", "Behind.")], 3))
    messages = await phone.messages()
    assert [message["client_sequence"] for message in messages] == [1, 2, 2, 2, 2, 3]
    assert messages[0]["content"] == whole
    assert messages[0]["metadata"].keys() == {"call_id", "name", "state"}
    assert "".join(message["content"] for message in messages[1:5]) == long
    assert [message["metadata"]["part"]["number"] for message in messages[1:5]] == [1, 2, 3, 4]
    assert all(message["metadata"]["repaired"] == ["/content"] for message in messages[1:5])
    receipt = await phone.end(last_client_sequence=3)
    assert (receipt["complete"], receipt["received"], receipt["last_sequence"]) == (True, 3, 6)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"received_at": "1970-01-01T00:00:07Z"}, "/timestamp"),
        ({"received_at": "2569-01-31T09:30:00Z"}, "/timestamp"),
        ({"received_at": "0000-01-31T09:30:00Z"}, "/timestamp"),
        ({"received_at": timedelta(minutes=20)}, "/timestamp"),
        ({"received_at": "2026-01-31T09:30:00"}, "/timestamp"),
        ({"received_at": "yesterday"}, "/timestamp"),
        ({"received_at": 1769850600}, "/timestamp"),
        ({"client_sequence": 0}, "/client_sequence"),
        ({"client_sequence": "2"}, "/client_sequence"),
        ({"client_sequence": 2**60}, "/client_sequence"),
        ({"client_sequence": ["2"]}, "/client_sequence"),
        ({"id": "mine"}, "/id"),
        ({"id": 7}, "/id"),
        ({"unknown": 1}, "/unknown"),
    ],
)
async def test_what_a_phone_says_wrongly_of_an_event_costs_no_word_and_a_retry_adds_none(
    phone: Phone, given: dict[str, Any], name: str
) -> None:
    event = {"event": said("user", "Hello?"), "client_sequence": 2, "received_at": NOON.isoformat()} | given
    if isinstance(ahead := event["received_at"], timedelta):
        event["received_at"] = (datetime.now(UTC) + ahead).isoformat()
    first, again = [await send(phone, event) for _ in range(2)]
    assert [first[0]["status"], again[0]["status"]] == [201, 200]
    assert first[0]["messages"] == again[0]["messages"]
    [message] = await phone.messages()
    assert message["metadata"]["repaired"] == [name]
    if name == "/timestamp":
        assert message["timestamp"] == message["created_at"]


async def test_a_clock_that_is_ahead_and_right_when_the_event_comes_again_is_the_same_event(
    phone: Phone,
) -> None:
    ahead = {"event": said("user", "Hello?"), "client_sequence": 1}
    ahead["received_at"] = (datetime.now(UTC) + timedelta(minutes=20)).isoformat()
    assert (await send(phone, ahead))[0]["status"] == 201
    right = ahead | {"received_at": (datetime.now(UTC) - timedelta(minutes=1)).isoformat()}
    assert (await send(phone, right))[0]["status"] == 200


@pytest.mark.parametrize("event", [7, "text", None, [], {}, {"type": 7}, {"type": ""}, {"type": "x" * 101}])
async def test_what_is_no_event_is_refused_alone(phone: Phone, event: object) -> None:
    results = await send(phone, {"event": said("user", "a")}, {"event": event}, {"event": said("user", "b")})
    assert [result["status"] for result in results] == [201, 422, 201]
    assert results[1]["problem"]["errors"][0]["pointer"].startswith("/events/1/event")
