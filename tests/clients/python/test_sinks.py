"""What a sink makes of an answer: only a sentence about one message is final."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
import pytest

from backend.principal import LOCAL, Principal
from backend.services.appender import Appender
from backend.services.appender_sink import AppenderSink
from verbatim_record import Answer, BatchRefused, HttpSink, Unsent
from verbatim_record.recorder.sinks import ERASED, LATER, ON_RECORD
from verbatim_record.setup_error import SetupError

MESSAGES = [b'{"content": "one"}', b'{"content": "two"}', b'{"content": "three"}']


def answering(take: Callable[[httpx.Request], httpx.Response], token: str | None = None) -> HttpSink:
    client = httpx.AsyncClient(transport=httpx.MockTransport(take))
    return HttpSink("http://127.0.0.1:8000/", token, client=client)


PROBLEMS = {404: "conversation-not-found", 410: "conversation-erased", 403: "role-not-allowed", 500: "internal-error"}


def problem(status: int, slug: str | None = None) -> dict[str, Any]:
    slug = slug or PROBLEMS.get(status, "busy")
    return {"type": f"/problems/{slug}", "status": status, "detail": "my neighbour's canary"}


def answer(status: int, slug: str | None = None, **more: Any) -> httpx.Response:
    """An answer of the service to a whole request."""
    media = {"content-type": "application/problem+json"}
    return httpx.Response(status, json=problem(status, slug) | more, headers=media)


def results(*statuses: int) -> httpx.Response:
    return httpx.Response(
        200, json={"results": [{"status": status, "problem": problem(status)} for status in statuses]}
    )


async def test_each_message_gets_its_own_answer() -> None:
    answers = await answering(lambda _: results(201, 200, 404)).send(MESSAGES)
    assert answers[:2] == [ON_RECORD, ON_RECORD]
    assert (answers[2].final, answers[2].reason) == (True, "404 /problems/conversation-not-found")
    assert await answering(lambda _: results(503, 410, 429)).send(MESSAGES) == [LATER, ERASED, LATER]


async def test_a_failure_of_the_service_for_one_message_refuses_it_no_more_than_one_for_all() -> None:
    failed, unknown, done = await answering(lambda _: results(500, 502, 201)).send(MESSAGES)
    assert (failed.final, failed.reason) == (False, "500 /problems/internal-error")
    assert (unknown, done) == (LATER, ON_RECORD)


async def test_a_token_that_a_message_may_not_be_sent_with_is_no_refusal_but_a_role_is() -> None:
    role, forbidden = {"status": 403, "problem": problem(403)}, {"status": 403}
    unknown = {"status": 401, "problem": problem(401, "token-invalid")}
    body = {"results": [unknown, role, forbidden]}
    answers = await answering(lambda _: httpx.Response(200, json=body)).send(MESSAGES)
    assert answers == [LATER, Answer(final=True, reason="403 /problems/role-not-allowed"), LATER]


async def test_a_problem_that_contradicts_its_status_refuses_nothing() -> None:
    result = {"status": 404, "problem": problem(503)}
    with pytest.raises(Unsent):
        await answering(lambda _: httpx.Response(200, json={"results": [result]})).send(MESSAGES[:1])


async def test_a_token_may_be_renewed_between_two_requests() -> None:
    shown: list[str] = []

    def take(request: httpx.Request) -> httpx.Response:
        shown.append(request.headers["authorization"])
        return results(201)

    tokens = iter(["first", "second"])
    client = httpx.AsyncClient(transport=httpx.MockTransport(take))
    sink = HttpSink("http://127.0.0.1:8000", lambda: next(tokens), client=client)
    await sink.send(MESSAGES[:1])
    await sink.send(MESSAGES[:1])
    assert shown == ["Bearer first", "Bearer second"]


async def test_the_request_carries_the_token_and_the_bytes_as_they_are() -> None:
    asked: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return results(201, 201, 201)

    await answering(take, "secret").send(MESSAGES)
    [request] = asked
    assert request.url == "http://127.0.0.1:8000/api/v1/voice/messages/batch"
    assert request.headers["authorization"] == "Bearer secret"
    assert orjson.loads(request.content) == {"messages": [orjson.loads(each) for each in MESSAGES]}


@pytest.mark.parametrize(
    "given",
    [
        httpx.Response(500),
        answer(500),
        answer(503, "database-unavailable"),
        httpx.Response(502, text="<html>Bad gateway</html>"),
        answer(401, "token-invalid"),
        httpx.Response(401, text="<html>Who are you?</html>"),
        answer(403, "scope-missing"),
        httpx.Response(403, text="<html>Forbidden</html>"),
        answer(404, "not-found"),
        answer(408, "request-timeout"),
        httpx.Response(404, text="a proxy that knows no such address"),
        httpx.Response(404, json={"type": "https://gateway.example/problems/no-route", "status": 404}),
        answer(429, "too-many-requests"),
        httpx.Response(301, headers={"location": "/elsewhere"}),
        httpx.Response(200, text="<html>Welcome</html>"),
        httpx.Response(200, json={"results": []}),
        httpx.Response(200, json={"results": [{"status": 201}]}),
    ],
    ids=lambda given: str(given.status_code),
)
async def test_what_is_said_of_the_whole_request_refuses_no_message(given: httpx.Response) -> None:
    for messages in (MESSAGES, MESSAGES[:1]) if not given.is_success else (MESSAGES,):
        with pytest.raises(Unsent) as raised:
            await answering(lambda _: given).send(messages)
        assert not isinstance(raised.value, BatchRefused)
        assert "one" not in str(raised.value).split()


@pytest.mark.parametrize(
    "given",
    [
        httpx.Response(413, text="<html>Too large</html>"),
        httpx.Response(422, text="<html>A firewall</html>"),
        httpx.Response(422, json=problem(422, "invalid")),
        httpx.Response(413, json={"type": "https://gateway.example/problems/too-large", "status": 413}),
    ],
    ids=lambda given: str(given.status_code),
)
async def test_what_a_proxy_refuses_for_its_size_is_sent_in_parts_and_one_message_again(given: httpx.Response) -> None:
    with pytest.raises(BatchRefused):
        await answering(lambda _: given).send(MESSAGES)
    with pytest.raises(Unsent) as raised:
        await answering(lambda _: given).send(MESSAGES[:1])
    assert not isinstance(raised.value, BatchRefused)


@pytest.mark.parametrize(("status", "slug"), [(413, "body-too-large"), (422, "invalid")])
async def test_a_request_that_the_service_itself_refuses_is_refused(status: int, slug: str) -> None:
    for messages in (MESSAGES, MESSAGES[:1]):
        with pytest.raises(BatchRefused, match=f"{status} /problems/{slug}"):
            await answering(lambda _: answer(status, slug)).send(messages)


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


async def test_a_message_that_a_rule_of_the_hosts_stops_is_not_refused_for_good(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute("ALTER TABLE messages ADD CONSTRAINT theirs CHECK (content <> 'Hello.')")
    sink = AppenderSink(appender, LOCAL)
    said = [message(conversation_id=str(conversation), content=words) for words in ("Hello.", "Hi.")]
    stopped, done = await sink.send(said)
    assert (stopped.final, done) == (False, ON_RECORD)
    assert stopped.reason
    assert "Hello" not in stopped.reason
