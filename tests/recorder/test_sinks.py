"""What a sink makes of an answer: only a sentence about one message is final."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest

from backend.errors import SetupError
from backend.principal import Principal
from backend.recorder import AppenderSink, HttpSink, Unsent
from backend.recorder.sinks import ERASED, LATER, ON_RECORD
from backend.services.appender import Appender

MESSAGES = [b'{"content": "one"}', b'{"content": "two"}', b'{"content": "three"}']


def answering(answer: Callable[[httpx.Request], httpx.Response], token: str | None = None) -> HttpSink:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return HttpSink("http://127.0.0.1:8000/", token, client=client)


def results(*statuses: int) -> httpx.Response:
    problem = {"type": "/problems/conversation-not-found", "detail": "my neighbour's canary"}
    return httpx.Response(200, json={"results": [{"status": status, "problem": problem} for status in statuses]})


async def test_each_message_gets_its_own_answer() -> None:
    answers = await answering(lambda _: results(201, 200, 404)).send(MESSAGES)
    assert answers[:2] == [ON_RECORD, ON_RECORD]
    assert (answers[2].final, answers[2].reason) == (True, "404 /problems/conversation-not-found")
    assert await answering(lambda _: results(503, 410, 429)).send(MESSAGES) == [LATER, ERASED, LATER]


async def test_the_request_carries_the_token_and_the_bytes_as_they_are() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return results(201, 201, 201)

    await answering(answer, "secret").send(MESSAGES)
    [request] = asked
    assert request.url == "http://127.0.0.1:8000/api/v1/voice/messages/batch"
    assert request.headers["authorization"] == "Bearer secret"
    assert orjson.loads(request.content) == {"messages": [orjson.loads(each) for each in MESSAGES]}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(401, json={"type": "/problems/token-invalid"}),
        httpx.Response(404, text="a proxy that knows no such address"),
        httpx.Response(413),
        httpx.Response(200, text="<html>Welcome</html>"),
        httpx.Response(200, json={"results": []}),
        httpx.Response(200, json={"results": [{"status": 201}, {"status": 201}, {"status": 404, "problem": "none"}]}),
    ],
    ids=lambda answer: str(answer.status_code),
)
async def test_what_is_said_of_the_whole_request_refuses_no_message(answer: httpx.Response) -> None:
    with pytest.raises(Unsent) as raised:
        await answering(lambda _: answer).send(MESSAGES)
    assert "one" not in str(raised.value).split()


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("3600", 30), ("tomorrow", None), (None, None)])
async def test_who_asks_for_time_gets_it_within_reason(header: str | None, seconds: float | None) -> None:
    headers = {"retry-after": header} if header else {}
    with pytest.raises(Unsent) as raised:
        await answering(lambda _: httpx.Response(503, headers=headers)).send(MESSAGES)
    assert raised.value.retry_after == seconds


async def test_a_service_that_is_away_is_no_refusal() -> None:
    sink = HttpSink("http://127.0.0.1:9")
    with pytest.raises(Unsent, match="ConnectError"):
        await sink.send(MESSAGES)
    await sink.aclose()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://:8000", ""])
def test_an_address_that_is_none_is_a_sentence_at_the_start(url: str) -> None:
    with pytest.raises(SetupError, match="address"):
        HttpSink(url)


async def test_a_principal_that_may_not_write_is_no_fault_of_the_message(appender: Appender) -> None:
    with pytest.raises(Unsent, match="messages:write"):
        await AppenderSink(appender, Principal("minh", frozenset())).send([message()])


async def test_an_appender_that_is_closed_is_asked_again(appender: Appender) -> None:
    await appender.close()
    with pytest.raises(Unsent, match="stopping"):
        await AppenderSink(appender, Principal("minh", frozenset({"messages:write"}))).send([message()])  # type: ignore[arg-type]


def message(**more: Any) -> bytes:
    return orjson.dumps({"conversation_id": uuid4(), "role": "user", "content": "Hello."} | more)
