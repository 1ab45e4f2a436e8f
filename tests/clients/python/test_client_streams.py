"""A stream goes on where it was, whatever breaks it: each message comes once, with the cursor that is behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.services.service_tokens import create as create_token
from backend.vocabulary import Scope
from tests import callers
from tests.clients.python.clients import KINDS, AnyClient, opened
from tests.clients.python.unreliable import Answer, Fate, Unreliable, problem, unreliable
from tests.conftest import open_conversation, settings_for, utterance
from tests.phones import begin
from tests.streams import listening
from tests.waiting import until
from verbatim_record import AsyncClient
from verbatim_record.errors import TransportError, UnexpectedResponse
from verbatim_record.models import MessageResponse
from verbatim_record.problems import ConversationNotFound, Invalid


@pytest.fixture
async def service(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(app) as service:
        yield service


@pytest.fixture
async def way(service: httpx.AsyncClient) -> AsyncIterator[Unreliable]:
    async with unreliable(service) as way:
        yield way


@pytest.fixture(params=KINDS)
async def client(request: pytest.FixtureRequest, way: Unreliable) -> AsyncIterator[AnyClient]:
    async with opened(request.param, way.address) as client:
        yield client


async def say(service: httpx.AsyncClient, conversation: UUID, *contents: str) -> None:
    for content in contents:
        answer = await service.post("/api/v1/voice/messages", json=utterance(conversation, content))
        assert answer.status_code == 201


def streams(way: Unreliable) -> int:
    return sum(request.headers.get("accept") == "text/event-stream" for request in way.requests)


def more_streams(way: Unreliable, seen: int) -> bool:
    return streams(way) > seen


def contents(found: list[tuple[Any, Any]]) -> list[str]:
    return [message.content for _, message in found]


async def test_a_follower_hears_a_call_to_its_end(client: AnyClient, service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    await say(service, phone.conversation_id, "one\u2028two", "three")
    following = asyncio.create_task(client.take(lambda client: client.conversations.follow(phone.conversation_id)))
    await say(service, phone.conversation_id, "four")
    await phone.end()
    assert [(place, message.content) for place, message in await following] == [
        (1, "one\u2028two"),
        (2, "three"),
        (3, "four"),
    ]
    follow = await client.take(lambda client: client.conversations.follow(phone.conversation_id, after_sequence=2))
    assert contents(follow) == ["four"]
    assert await client.take(lambda client: client.conversations.follow(phone.conversation_id, after_sequence=3)) == []


async def test_a_follower_is_called_with_what_was_redacted(client: AnyClient, service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    await say(service, phone.conversation_id, "one", "two")
    [first, _] = await phone.messages()
    place = f"/api/v1/conversations/{phone.conversation_id}/messages/{first['id']}/redact"
    assert (await service.post(place, json={"reason": "Case"})).status_code == 200
    await phone.end()
    told: list[MessageResponse] = []
    taken = await client.take(
        lambda client: client.conversations.follow(phone.conversation_id, after_sequence=1, on_redacted=told.append)
    )
    assert (contents(taken), [each.content for each in told]) == (["two"], ["[redacted]"])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_follower_outlives_a_restart_of_the_service(kind: str, database_url: str, conversation: UUID) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(listening(create_app(settings_for(database_url))))
        async with unreliable(first) as way, opened(kind, way.address) as client:
            await say(first, conversation, "one", "two")
            found: list[Any] = []
            follow = client.take(lambda client: client.conversations.follow(conversation), 4, found)
            following = asyncio.create_task(follow)
            await until(lambda: len(found) == 2)  # a stream that was never open is given up after six attempts
            seen = streams(way)
            await stack.aclose()
            await until(partial(more_streams, way, seen + 1))  # the service is away
            async with listening(create_app(settings_for(database_url))) as second:
                assert second.base_url.port
                way.port = second.base_url.port
                await say(second, conversation, "three", "four")
                assert contents(await following) == ["one", "two", "three", "four"]


async def test_the_feed_holds_each_message_once_over_cuts_and_restarts_of_its_reader(
    client: AnyClient, way: Unreliable, service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    conversations = [await open_conversation(connection) for _ in range(3)]
    words = [str(number) for number in range(30)]
    reading = asyncio.create_task(client.take(lambda client: client.feed(), 30))
    for number, word in enumerate(words):
        await say(service, conversations[number % 3], word)
        if number in {9, 19}:
            seen = streams(way)
            way.cut()
            await until(partial(more_streams, way, seen))
    found = await reading
    assert contents(found) == words
    cursor = found[9][0]
    assert contents(await client.take(lambda client: client.feed(cursor), 20)) == words[10:]


async def test_a_feed_from_the_end_misses_nothing_if_its_first_stream_breaks(
    client: AnyClient, way: Unreliable, service: httpx.AsyncClient, conversation: UUID
) -> None:
    await say(service, conversation, "before")
    way.meet("pass", "reset", "reset", "reset")
    reading = asyncio.create_task(client.take(lambda client: client.feed(start="end"), 1))
    await until(lambda: streams(way))
    await say(service, conversation, "after")
    assert contents(await reading) == ["after"]


async def test_a_stream_that_was_open_is_tried_again_until_the_service_refuses(
    client: AnyClient, way: Unreliable, service: httpx.AsyncClient, conversation: UUID
) -> None:
    await say(service, conversation, "one")
    found: list[Any] = []
    follow = client.take(lambda client: client.conversations.follow(conversation), found=found)
    following = asyncio.create_task(follow)
    await until(lambda: found)
    many: list[Fate] = [problem(503), Answer(502), "reset"]
    many *= 4
    way.meet(*many, problem(404, "conversation-not-found"))
    way.cut()
    with pytest.raises(ConversationNotFound):
        await following
    assert streams(way) == 1 + len(many) + 1


async def test_a_stream_that_cannot_be_opened_at_first_is_given_up(
    client: AnyClient, way: Unreliable, conversation: UUID
) -> None:
    never: list[Fate] = ["reset"]
    way.meet(*never * 100)
    with pytest.raises(TransportError):
        await client.take(lambda client: client.conversations.follow(conversation))
    assert streams(way) == 6


async def test_a_stream_from_nowhere_is_refused(client: AnyClient) -> None:
    with pytest.raises(ConversationNotFound):
        await client.take(lambda client: client.conversations.follow(UUID(int=1)))
    with pytest.raises(Invalid):
        await client.take(lambda client: client.feed("of another list"))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_opens_again_with_a_new_token(
    kind: str, database_url: str, database: Database, conversation: UUID, tmp_path: Path
) -> None:
    scopes = (Scope.CONVERSATIONS_READ_ANY, Scope.MESSAGES_WRITE_ANY)
    old, new = [(await create_token(database, "reader", scopes, timedelta(days=1)))[0] for _ in range(2)]
    tokens = iter([old, "vbt_expired", new])
    app = create_app(settings_for(database_url, auth_issuers=callers.issuers(tmp_path)))
    async with (
        listening(app) as service,
        unreliable(service) as way,
        opened(kind, way.address, token=lambda: next(tokens)) as client,
    ):
        service.headers = httpx.Headers(callers.bearer(new))
        await say(service, conversation, "one")
        found: list[Any] = []
        follow = client.take(lambda client: client.conversations.follow(conversation), 2, found)
        following = asyncio.create_task(follow)
        await until(lambda: found)
        way.cut()
        await say(service, conversation, "two")
        assert contents(await following) == ["one", "two"]
    assert [*tokens] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_page_that_is_no_stream_is_refused(kind: str, way: Unreliable, conversation: UUID) -> None:
    way.meet(Answer(200, b"<h1>Welcome to our network</h1>", {"content-type": "text/html"}))
    async with opened(kind, way.address) as client:
        with pytest.raises(UnexpectedResponse):
            await client.take(lambda client: client.conversations.follow(conversation))


async def test_many_streams_leave_room_for_calls(service: httpx.AsyncClient, conversation: UUID) -> None:
    await say(service, conversation, "one")
    async with AsyncClient(str(service.base_url)) as client, AsyncExitStack() as stack:
        for _ in range(101):  # one more than httpx opens by default
            follow = await stack.enter_async_context(aclosing(client.conversations.follow(conversation)))
            await anext(follow)
        assert (await client.conversations.get(conversation)).message_count == 1
