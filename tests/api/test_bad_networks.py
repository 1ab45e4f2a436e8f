"""A hundred calls over a network that drops, repeats and reorders: the receipt is exact, and nothing is lost.

`--dialogues FILE` takes the calls from recorded dialogues, a line each, as `verbatim replay` does.
"""

import asyncio
import gzip
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from backend.deepgram import drafts
from tests.deepgram.examples import EXAMPLES
from tests.phones import begin, numbered, said

CALLS = 100
Events = list[dict[str, Any]]


@pytest.fixture
def dialogues(request: pytest.FixtureRequest) -> list[Events]:
    path: Path | None = request.config.getoption("dialogues")
    if path is None:
        return [_invented(random.Random(seed)) for seed in range(CALLS)]
    lines = gzip.decompress(path.read_bytes()).splitlines()
    return [orjson.loads(line)["events"] for line in random.Random(4).sample(lines, CALLS)]


def _invented(chance: random.Random) -> Events:
    """Return a call of eight turns at most, with functions and all that Deepgram says beside the words."""
    call: Events = [EXAMPLES["Welcome"], EXAMPLES["SettingsApplied"]]
    for turn in range(chance.randint(1, 8)):
        call += [EXAMPLES["UserStartedSpeaking"], said("user", chance.choice(["Yes.", f"Question {turn}?"]))]
        if chance.random() < 0.3:
            call += [EXAMPLES["FunctionCallRequest"], EXAMPLES["FunctionCallResponse"]]
        call += [EXAMPLES["AgentStartedSpeaking"], said("assistant", f"Answer {turn}."), EXAMPLES["AgentAudioDone"]]
    return call


def _broken_up(events: Events, chance: random.Random) -> tuple[list[Events], set[int]]:
    """Return what arrives of ``events`` and how, and the numbers of what does not."""
    dropped = {each["client_sequence"] for each in events if chance.random() < 0.2}
    left = [each for each in events if each["client_sequence"] not in dropped]
    batches = []
    while left:
        size = chance.randint(1, 8)
        batches.append(chance.sample(left[:size], k=len(left[:size])))
        left = left[size:]
    batches += [chance.choice(batches) for _ in batches if chance.random() < 0.3]
    chance.shuffle(batches)
    return batches, dropped


def _ranges(numbers: set[int]) -> Iterator[list[int]]:
    for number in sorted(numbers):
        if number - 1 not in numbers:
            first = number
        if number + 1 not in numbers:
            yield [first, number]


def _spoken(events: Events) -> list[tuple[str, str]]:
    return [(str(draft.role), str(draft.content)) for event in events for draft in drafts(event)]


async def _call(service: httpx.AsyncClient, source: Events, chance: random.Random, *, timed: bool) -> None:
    phone = await begin(service)
    events = numbered(source)
    if not timed:
        for event in events:
            del event["received_at"]
    batches, dropped = _broken_up(events, chance)
    if timed:
        await asyncio.gather(*(phone.send(*batch) for batch in batches))
    else:  # then only the order of arrival can be improved upon, and it must be one
        for batch in batches:
            await phone.send(*batch)
    receipt = await phone.end(last_client_sequence=len(events))
    assert receipt["missing"] == [*_ranges(dropped)]
    assert receipt["received"] == len(events) - len(dropped)
    assert receipt["duplicates"] == sum(map(len, batches)) - receipt["received"]
    assert receipt["complete"] is not bool(dropped)

    late = [event for event in events if event["client_sequence"] in dropped]
    if late:
        await phone.send(*late)
    assert (await phone.receipt())["complete"] is True
    messages = await phone.messages()
    assert [(message["role"], message["content"]) for message in messages] == _spoken(source)
    # And what the session says of them is what it would have said had all come in order.
    orderly = await begin(service)
    await orderly.send(*events)
    expected = [message["metadata"] for message in await orderly.messages()]
    assert [message["metadata"] for message in messages] == expected


@pytest.mark.parametrize("timed", [True, False])
async def test_every_receipt_is_exact_and_every_transcript_equals_its_source(
    service: httpx.AsyncClient, dialogues: list[Events], timed: bool
) -> None:
    chance = random.Random(2026)
    # Half of the calls are timed; the other half are not.
    calls = [(source, random.Random(chance.random())) for source in dialogues[timed::2]]
    for place in range(0, len(calls), 2):
        group = calls[place : place + 2]
        await asyncio.gather(*(_call(service, source, luck, timed=timed) for source, luck in group))
