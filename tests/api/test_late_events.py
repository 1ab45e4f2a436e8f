"""Events that come late, in any order and with any clock, are read in the phone's count, and may be sent again."""

import random
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest

from tests.phones import NOON, Phone, begin, said

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
    phone = await begin(service)
    for each in (event(3, 0), event(8, 2), event(6, 2), event(5, 1)):
        assert [result["status"] for result in await phone.send(each)] == [201]
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
