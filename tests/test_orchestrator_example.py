"""The example orchestrator follows a call, whatever is said in it and whatever the connection does."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from fastapi import FastAPI

from examples.orchestrator import Orchestrator
from tests.conftest import utterance
from tests.phones import begin
from tests.streams import listening

SECRET = "whsec_" + "A" * 32


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(app) as client:
        yield client


def event(sequence: int, content: str) -> bytes:
    data = orjson.dumps({"sequence": sequence, "role": "user", "content": content})
    return b"event: message\ndata: %b\nid: %d\n\n" % (data, sequence)


def orchestrator(record: httpx.AsyncClient) -> Orchestrator:
    database: Any = None  # which following does not need
    return Orchestrator(record, database, SECRET, wait=0.001)


def heard(told: str) -> list[str]:
    return re.findall(r"^orchestrator  hears +\d+ user: (.*?)$", told, re.MULTILINE | re.DOTALL)


async def test_line_terminators_in_what_is_said_break_no_event(capsys: pytest.CaptureFixture[str]) -> None:
    words = "one\u2028two\x85three"
    end = b'event: end\ndata: {"reason": "ended"}\n\n'
    whole = b"retry: 1\n" + event(1, words) + b": keep-alive\n" + event(2, "four") + end

    async def pieces() -> AsyncIterator[bytes]:
        for place in range(0, len(whole), 7):  # which cut characters in two
            yield whole[place : place + 7]

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=pieces()))
    async with httpx.AsyncClient(transport=transport, base_url="http://record") as record:
        await orchestrator(record).follow(uuid4())
    assert heard(capsys.readouterr().out) == [words, "four"]


async def test_it_goes_on_where_it_was_after_a_cut_a_refusal_and_a_request_to_come_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield event(1, "one")
        raise httpx.ReadError("cut")

    answers = iter(
        [
            httpx.Response(200, content=cut()),
            httpx.Response(503),
            httpx.Response(
                200, content=event(2, "two") + b'event: resume\ndata: {"reason": "abandoned"}\nretry: 1\n\n'
            ),
            httpx.Response(204),
        ]
    )
    places = []

    def answer(request: httpx.Request) -> httpx.Response:
        places.append(request.headers["last-event-id"])
        return next(answers)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://record") as record:
        await orchestrator(record).follow(uuid4())
    told = capsys.readouterr().out
    assert (heard(told), places) == (["one", "two"], ["0", "1", "1", "2"])
    assert told.endswith("the conversation has ended\n")


async def test_it_hears_a_call_of_the_service_to_its_end(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    phone = await begin(client)
    words = ["one\u2028two", "three"]
    for content in words:
        answer = await client.post("/api/v1/voice/messages", json=utterance(phone.conversation_id, content))
        assert answer.status_code == 201
    await phone.end()
    async with httpx.AsyncClient(base_url=f"{client.base_url}/api/v1/") as record:
        await orchestrator(record).follow(phone.conversation_id)
    assert heard(capsys.readouterr().out) == words
