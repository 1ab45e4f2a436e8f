"""When a client sends a request again: as the four rules for senders say, and with the same bytes."""

from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from fastapi import FastAPI

from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.services.service_tokens import create as create_token
from backend.vocabulary import Scope
from tests import callers
from tests.clients.python.clients import KINDS, SOON, AnyClient, opened
from tests.clients.python.unreliable import Answer, Fate, Unreliable, problem, unreliable
from tests.conftest import settings_for
from tests.proxy_stand_in import ENVIRONMENT, proxy
from tests.streams import listening
from verbatim_record.errors import Problem, TransportError, UnexpectedResponse
from verbatim_record.problems import (
    DatabaseUnavailable,
    ProviderRefused,
    ProviderUnavailable,
    SearchTooSlow,
    TokenInvalid,
    TooManyRequests,
)
from verbatim_record.retries import Retries

HTML = {"content-type": "text/html"}
SOME = UUID(int=1)


@pytest.fixture
async def way(app: FastAPI) -> AsyncIterator[Unreliable]:
    async with listening(app) as service, unreliable(service) as way:
        yield way


@pytest.fixture
async def alone() -> AsyncIterator[Unreliable]:
    """A way that leads nowhere."""
    async with unreliable() as way:
        yield way


@pytest.fixture(params=KINDS)
async def client(request: pytest.FixtureRequest, way: Unreliable) -> AsyncIterator[AnyClient]:
    async with opened(request.param, way.address) as client:
        yield client


async def say(client: AnyClient, conversation: UUID, **more: Any) -> Any:
    return await client.call(lambda client: client.messages.record(conversation, "user", "Hello.", **more))


async def recorded(client: AnyClient, conversation: UUID) -> list[UUID]:
    return [message.id for message in await client.take(lambda client: client.messages.list(conversation))]


@pytest.mark.parametrize(
    "fates",
    [
        [problem(503)],
        [problem(429, retry_after="0")],
        [problem(500), problem(503, "busy")],
        [Answer(502, b"<h1>Sorry</h1>", HTML), Answer(504, b"", HTML)],
        ["reset"],
        ["lose"],
        ["lose", "reset", problem(503), "lose"],
    ],
    ids=["unavailable", "limited", "twice", "proxy", "reset", "lost", "many"],
)
async def test_a_message_whose_answer_is_lost_or_says_later_is_sent_again_and_recorded_once(
    client: AnyClient, way: Unreliable, conversation: UUID, fates: list[Fate]
) -> None:
    way.meet(*fates)
    message = await say(client, conversation)
    assert await recorded(client, conversation) == [message.id]
    sent = [request for request in way.requests if request.line.startswith("POST")]
    assert len(sent) == len(fates) + 1
    assert len({request.body for request in sent}) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fate", "error"),
    [
        (problem(409, "message-id-reused"), Problem),
        (problem(502, "provider-refused"), ProviderRefused),
        (problem(418, "of-a-newer-service"), Problem),
        (problem(503, "search-too-slow"), SearchTooSlow),
        (Answer(404, b"<h1>Sorry</h1>", HTML), UnexpectedResponse),
        (Answer(302, b"", {"location": "http://elsewhere.example/"}), UnexpectedResponse),
        (Answer(200, b"<h1>Welcome to our network</h1>", HTML), UnexpectedResponse),
        (Answer(200, b"[]", {"content-type": "application/json"}), UnexpectedResponse),
        (problem(401), TokenInvalid),
    ],
)
async def test_any_other_answer_is_final(kind: str, alone: Unreliable, fate: Answer, error: type[Exception]) -> None:
    alone.meet(fate)
    async with opened(kind, alone.address) as client:
        with pytest.raises(error) as refused:
            await say(client, SOME)
    assert getattr(refused.value, "status", None) == fate.status
    assert len(alone.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_the_attempts_are_bounded_in_number(kind: str, alone: Unreliable) -> None:
    alone.meet(*[problem(503)] * 100)
    async with opened(kind, alone.address) as client:
        with pytest.raises(DatabaseUnavailable):
            await say(client, SOME)
    assert len(alone.requests) == SOON.attempts


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wait_beyond_the_time_that_a_call_may_take_is_left_to_the_caller(kind: str, alone: Unreliable) -> None:
    alone.meet(problem(429, retry_after="3600"))
    async with opened(kind, alone.address, retries=Retries(within=60)) as client:
        with pytest.raises(TooManyRequests) as later:
            await say(client, SOME)
    assert later.value.retry_after == 3600
    assert len(alone.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_session_that_has_begun_without_a_token_is_given_to_the_caller(kind: str, alone: Unreliable) -> None:
    session = {
        "id": "vs_1",
        "conversation_id": str(SOME),
        "started_at": "2026-01-31T09:30:00Z",
        "next_client_sequence": 1,
        "deepgram": None,
    }
    alone.meet(problem(503, "provider-unavailable", session=session))
    async with opened(kind, alone.address) as client:
        with pytest.raises(ProviderUnavailable) as unavailable:
            await client.call(lambda client: client.sessions.begin())
    assert unavailable.value.session
    assert unavailable.value.session.id == "vs_1"
    assert len(alone.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_without_a_service_the_error_says_that_nothing_was_sent(kind: str) -> None:
    async with opened(kind, "http://127.0.0.1:9") as client:
        with pytest.raises(TransportError) as failed:
            await say(client, SOME)
    assert not failed.value.sent
    assert isinstance(failed.value.__cause__, httpx.ConnectError)


async def test_what_the_service_would_do_twice_is_not_repeated_after_a_lost_answer(
    client: AnyClient, way: Unreliable, conversation: UUID
) -> None:
    etag = (await client.call(lambda client: client.conversations.get(conversation))).etag
    for use in (
        lambda client: client.deliveries.retry_all(),
        lambda client: client.conversations.link(conversation, linked_task_id=None, if_match=etag),
    ):
        way.requests.clear()
        way.meet("lose")
        with pytest.raises(TransportError):
            await client.call(use)
        assert len(way.requests) == 1
    way.requests.clear()
    way.meet(problem(503, "busy"))
    await client.call(lambda client: client.deliveries.retry_all())
    assert len(way.requests) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("expired", [1, 2])
async def test_each_attempt_asks_for_the_token_and_after_401_once_more(
    kind: str, expired: int, database_url: str, database: Database, tmp_path: Path
) -> None:
    good, _ = await create_token(database, "pipeline", [Scope.CONVERSATIONS_WRITE], timedelta(days=1))
    app = create_app(settings_for(database_url, auth_issuers=callers.issuers(tmp_path)))
    tokens = iter(["vbt_expired"] * expired + [good])
    async with (
        listening(app) as service,
        opened(kind, str(service.base_url), token=lambda: next(tokens)) as client,
    ):
        with nullcontext() if expired == 1 else pytest.raises(TokenInvalid):
            await client.call(lambda client: client.conversations.create("voice"))
    assert list(tokens) == ([] if expired == 1 else [good])


async def test_the_asynchronous_client_awaits_a_token(way: Unreliable) -> None:
    tokens = iter(["vbt_first", "vbt_second"])

    async def token() -> str:
        return next(tokens)

    async with opened("async", way.address, token=token) as client:
        with pytest.raises(TokenInvalid):
            await client.call(lambda client: client.conversations.create("voice"))
    assert [request.headers["authorization"] for request in way.requests] == ["Bearer vbt_first", "Bearer vbt_second"]


@pytest.mark.parametrize("kind", KINDS)
async def test_no_proxy_of_the_environment_is_used(kind: str, way: Unreliable, monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy() as environment:
        for name in ENVIRONMENT:
            monkeypatch.setenv(name, environment.url)
        async with opened(kind, way.address) as client:
            await client.call(lambda client: client.conversations.create("voice"))
        assert environment.heads == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_proxy_is_used_if_the_caller_names_it(kind: str) -> None:
    async with proxy() as between:
        between.forged = '{"failed": 2, "held": 1}'
        async with opened(kind, "http://verbatim.example", proxy=between.url) as client:
            retried = await client.call(lambda client: client.deliveries.retry_all())
    assert (retried.failed, retried.held) == (2, 1)
    assert between.heads[0].startswith("POST http://verbatim.example/api/v1/deliveries/retry")


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_newer_service_adds_is_left_out_or_kept_as_text(kind: str) -> None:
    """Fields are ignored, words of an enumeration stay."""
    message = {
        "id": str(UUID(int=1)), "conversation_id": str(UUID(int=2)), "sequence": 1, "role": "director",
        "content": "Cut!", "input_modality": "gesture", "metadata": {}, "timestamp": "2026-01-31T09:30:00Z",
        "created_at": "2026-01-31T09:30:00.5Z", "voice_session_id": None, "client_sequence": None, "mood": "calm",
    }  # fmt: skip
    async with proxy() as newer:
        newer.forged = orjson.dumps({"data": [message], "next_cursor": "7", "has_more": False, "total": 1}).decode()
        async with opened(kind, "http://verbatim.example", proxy=newer.url) as client:
            [found] = await client.take(lambda client: client.messages.list(UUID(int=2)))
    assert (found.role, found.input_modality) == ("director", "gesture")
