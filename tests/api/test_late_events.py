"""Events that come late, in any order and with any clock, are read in the phone's count, and may be sent again."""

import random
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest

from backend.errors import Busy
from backend.services.appender import Appender
from tests.phones import CONVERSATIONS, NOON, SESSIONS, Phone, begin, said

CALLS: Final = 40  # for each kind of clock
JUMPS: Final = {  # milliseconds between two events
    "stands still": (0, 0, 0, 1),
    "is set back": (0, 1, 5, 1_000, -3_000),
    "is years ahead": (1, 1_000, 400 * 86_400_000, -400 * 86_400_000),
}


def event(number: int, milliseconds: float | None) -> dict[str, Any]:
    """Return an event of the phone; None is for one without a time."""
    at = None if milliseconds is None else (NOON + timedelta(milliseconds=milliseconds)).isoformat()
    return {"client_sequence": number, "received_at": at, "event": said("user", f"line {number}")}


def batches(chance: random.Random, jumps: tuple[int, ...], timed: float) -> list[list[dict[str, Any]]]:
    """Return the events of a call in batches that come in any order; a share of them is ``timed``."""
    clock = 0
    events = []
    for number in sorted(chance.sample(range(1, 14), chance.randint(2, 9))):
        clock += chance.choice(jumps)
        events.append(event(number, clock if chance.random() < timed else None))
    chance.shuffle(events)
    parts = []
    while events:
        size = chance.randint(1, 4)
        parts.append(events[:size])
        del events[:size]
    return parts


async def lines(phone: Phone) -> list[int]:
    return [int(message["content"].removeprefix("line ")) for message in await phone.messages()]


@pytest.mark.parametrize("timed", [0.0, 0.6, 1.0], ids=["without times", "with some", "with times"])
@pytest.mark.parametrize("clock", JUMPS)
async def test_in_whatever_order_events_come_they_are_read_in_the_phones_count_and_repeated_without_effect(
    service: httpx.AsyncClient, clock: str, timed: float
) -> None:
    for seed in range(CALLS):
        phone = await begin(service)
        sent = batches(random.Random(seed), JUMPS[clock], timed)
        for batch in sent:
            assert {result["status"] for result in await phone.send(*batch)} == {201}
        expected = sorted(each["client_sequence"] for batch in sent for each in batch)
        assert await lines(phone) == expected, seed
        for batch in sent:
            assert {result["status"] for result in await phone.send(*batch)} == {200}, seed
        assert await lines(phone) == expected, seed


async def test_a_message_is_repeated_without_effect_although_a_neighbour_has_come_since(
    service: httpx.AsyncClient,
) -> None:
    phone = await moved(service)
    assert [result["status"] for result in await phone.send(event(6, 2))] == [200]
    [changed] = await phone.send(event(6, 2) | {"event": said("user", "line 7")})
    assert changed["status"] == 409


async def test_a_message_between_two_of_neighbouring_microseconds_is_read_between_them(
    service: httpx.AsyncClient,
) -> None:
    phone = await begin(service)
    await phone.send(event(1, 0), event(4, 0.001))
    await phone.send(event(3, 0))
    assert await lines(phone) == [1, 3, 4]


@pytest.mark.parametrize("same", ["", 0, False, {}, "null", 7], ids=repr)
@pytest.mark.parametrize("spoken", [True, False], ids=["spoken", "not spoken"])
async def test_an_unusable_id_that_is_the_same_in_each_event_refuses_none(
    service: httpx.AsyncClient, same: object, *, spoken: bool
) -> None:
    phone = await begin(service)
    events = [
        event(number, None) | {"id": same} | ({} if spoken else {"event": {"type": "UserStartedSpeaking"}})
        for number in (1, 2, 3)
    ]
    assert [result["status"] for result in await phone.send(*events)] == [201] * 3
    assert [result["status"] for result in await phone.send(*events)] == [200] * 3
    assert (await phone.receipt())["received"] == 3


@pytest.mark.parametrize("unusable", ["x", 0, None, 1.5], ids=repr)
@pytest.mark.parametrize("at", [None, NOON.isoformat()], ids=["without times", "in one millisecond"])
async def test_an_event_with_an_unusable_number_stays_where_it_was_sent(
    service: httpx.AsyncClient, unusable: object, at: str | None
) -> None:
    phone = await begin(service)
    sent = [
        {"client_sequence": number, "received_at": at, "event": said("user", f"line {place}")}
        for place, number in enumerate((1, 2, unusable, 4))
    ]
    assert {result["status"] for result in await phone.send(*sent)} == {201}
    messages = await phone.messages()
    recorded = [each["content"] for each in sorted(messages, key=lambda each: each["sequence"])]
    assert recorded == [f"line {place}" for place in range(4)]
    assert at or await lines(phone) == [*range(4)]


async def moved(service: httpx.AsyncClient) -> Phone:
    """Return a phone whose message 6 was moved between its neighbours, one of which came after it."""
    phone = await begin(service)
    for each in (event(3, 0), event(8, 2), event(6, 2), event(5, 1)):
        assert [result["status"] for result in await phone.send(each)] == [201]
    return phone


async def test_a_redacted_message_is_repeated_without_effect_although_a_neighbour_has_come_since(
    service: httpx.AsyncClient,
) -> None:
    phone = await moved(service)
    [message] = [each for each in await phone.messages() if each["client_sequence"] == 6]
    place = f"{CONVERSATIONS}/{phone.conversation_id}/messages/{message['id']}/redact"
    assert (await service.post(place, json={"reason": "x"})).status_code == 200
    assert [result["status"] for result in await phone.send(event(6, 2))] == [200]


async def test_if_the_repetition_finds_no_room_nobody_is_told_that_nothing_was_stored(
    service: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await moved(service)
    append = Appender.append
    calls: list[int] = []

    async def busy_at_last(self: Appender, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise Busy("Too many messages are waiting to be stored")
        return await append(self, *arguments)

    monkeypatch.setattr(Appender, "append", busy_at_last)
    answer = await service.post(f"{SESSIONS}/{phone.session_id}/events", json={"events": [event(6, 2), event(9, 5)]})
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/database-unavailable")
    monkeypatch.undo()
    assert await lines(phone) == [3, 5, 6, 8, 9]
