"""What both clients do with a service that works: one suite, run with each of them."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from backend.app import create_app
from tests.clients.python.clients import KINDS, AnyClient, opened
from tests.conftest import settings_for
from tests.documentation import ROOT
from tests.orchestrator_stand_in import settings as orchestrator_settings
from tests.streams import listening
from tests.waiting import until_found
from verbatim_record.errors import NotModified
from verbatim_record.models import MessageCreate, MessageResponse, VoiceEventCreate
from verbatim_record.problems import (
    ConversationEnded,
    ConversationNotFound,
    IntentConflict,
    IntentNotFound,
    Invalid,
    PreconditionFailed,
    ProviderNotConfigured,
)
from verbatim_record.setup_error import SetupError


@pytest.fixture
def app(database_url: str) -> FastAPI:
    return create_app(settings_for(database_url, **orchestrator_settings("http://127.0.0.1:9/hook"), deliver=False))


@pytest.fixture(params=KINDS)
async def client(request: pytest.FixtureRequest, app: FastAPI) -> AsyncIterator[AnyClient]:
    async with listening(app) as service, opened(request.param, str(service.base_url)) as client:
        yield client


async def begin(client: AnyClient) -> UUID:
    conversation = await client.call(lambda client: client.conversations.create("voice"))
    return UUID(str(conversation.id))


async def say(client: AnyClient, conversation: UUID, content: str = "Hello.", **more: Any) -> MessageResponse:
    message = await client.call(lambda client: client.messages.record(conversation, "user", content, **more))
    assert isinstance(message, MessageResponse)
    return message


async def test_a_message_is_on_record_as_it_was_given(client: AnyClient) -> None:
    conversation, identity = await begin(client), uuid4()
    said = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    more = {
        "metadata": MappingProxyType({"languages": ["vi"]}),
        "client_sequence": 3,
        "input_modality": "text",
        "timestamp": said,
    }
    message = await say(client, conversation, "Chào anh.", id=identity, **more)
    assert (message.id, message.conversation_id, message.sequence) == (identity, conversation, 1)
    assert (message.role, message.content, message.input_modality) == ("user", "Chào anh.", "text")
    assert (message.metadata, message.client_sequence, message.timestamp) == ({"languages": ["vi"]}, 3, said)
    assert message.created_at.tzinfo
    assert await say(client, conversation, "Chào anh.", id=identity, **more) == message


async def test_calls_are_summarised_and_counted(client: AnyClient) -> None:
    conversation = await begin(client)
    await say(client, conversation)
    found = await client.call(lambda client: client.conversations.get(conversation, include="summary"))
    assert (found.summary.state, found.summary.turns, found.summary.first_words) == ("live", 1, "Hello.")
    assert (await client.call(lambda client: client.conversations.get(conversation))).summary is None
    assert [
        each.summary for each in await client.take(lambda client: client.conversations.list(include="summary"))
    ] == [found.summary]
    since = datetime.now(UTC) - timedelta(hours=1)
    stats = await client.call(lambda client: client.stats(since=since, bucket="PT15M", context_type="voice"))
    assert (stats.since, stats.bucket, stats.total.calls, stats.total.turns) == (since, "PT15M", 1, 1)
    assert sum(each.turns for each in stats.buckets) == 1
    assert stats.total.latency_ms.total.p95 is None


async def test_a_batch_has_a_result_for_each_message(client: AnyClient) -> None:
    conversation = await begin(client)
    missing = uuid4()
    messages = [
        MessageCreate(conversation_id=conversation, role="user", content="one"),
        MessageCreate(conversation_id=missing, role="user", content="two"),
    ]
    good, bad = (await client.call(lambda client: client.messages.record_batch(messages))).results
    assert (good.status, good.message.content) == (201, "one")
    assert (bad.status, bad.problem.type) == (404, "/problems/conversation-not-found")


async def test_a_list_goes_on_over_its_pages(client: AnyClient) -> None:
    created = [await begin(client) for _ in range(5)]
    found = await client.take(lambda client: client.conversations.list(limit=2))
    assert [conversation.id for conversation in found] == created[::-1]
    pages = await client.take(lambda client: client.conversations.list(limit=2).pages())
    assert [(len(page.data), page.has_more) for page in pages] == [(2, True), (2, True), (1, False)]
    rest = await client.take(lambda client: client.conversations.list(cursor=pages[0].next_cursor))
    assert [conversation.id for conversation in rest] == created[2::-1]


async def test_a_list_is_filtered(client: AnyClient) -> None:
    conversation = await begin(client)
    for content in ("one", "two"):
        await say(client, conversation, content)
    await client.call(lambda client: client.messages.record(conversation, "assistant", "three"))
    spoken = await client.take(lambda client: client.messages.list(conversation, role="user", order="recorded"))
    assert [message.content for message in spoken] == ["one", "two"]
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await client.take(lambda client: client.messages.list(conversation, since=later)) == []
    assert await client.take(lambda client: client.conversations.list(ended=True)) == []
    assert len(await client.take(lambda client: client.conversations.list(ended=False, until=later))) == 1


async def test_a_search_goes_on_over_its_pages(client: AnyClient, connection: asyncpg.Connection) -> None:
    conversation = await begin(client)
    for content in ("Gọi nha sĩ.", "Ai?", "Nha sĩ Lan."):
        await say(client, conversation, content)
    await until_found(connection, "SELECT count(*) = 3 FROM message_words")
    hits = await client.take(lambda client: client.search("nha si", role="user", limit=1))
    assert [(hit.message.content, hit.ranges) for hit in hits] == [
        ("Nha sĩ Lan.", ((0, 3), (4, 6))),
        ("Gọi nha sĩ.", ((4, 7), (8, 10))),
    ]
    assert (hits[0].conversation_id, hits[0].before.content, hits[0].after) == (conversation, "Ai?", None)
    [page] = await client.take(lambda client: client.search("nha", accents="exact").pages())
    assert page.indexed_up_to == hits[0].message.created_at


async def test_a_change_is_made_only_of_the_version_that_the_client_has_seen(client: AnyClient) -> None:
    conversation = await begin(client)
    seen = await client.call(lambda client: client.conversations.get(conversation))
    with pytest.raises(NotModified):
        await client.call(lambda client: client.conversations.get(conversation, if_none_match=seen.etag))
    await say(client, conversation)
    with pytest.raises(PreconditionFailed) as failed:
        await client.call(lambda client: client.conversations.end(conversation, if_match=seen.etag))
    ended = await client.call(lambda client: client.conversations.end(conversation, if_match=failed.value.etag))
    assert ended.ended_at
    with pytest.raises(ConversationEnded):
        await client.call(
            lambda client: client.conversations.end(conversation, ended_at=datetime(2026, 1, 1, tzinfo=UTC))
        )


async def test_a_link_that_is_not_given_stays(client: AnyClient) -> None:
    conversation = await begin(client)
    linked = await client.call(lambda client: client.conversations.link(conversation, linked_goal_id=None))
    assert (linked.linked_goal_id, linked.linked_task_id) == (None, None)
    unchanged = await client.call(lambda client: client.conversations.link(conversation))
    assert unchanged.id == conversation


async def test_a_transcript_comes_in_each_format(client: AnyClient) -> None:
    conversation = await begin(client)
    await say(client, conversation, "one\u2028two")
    whole = await client.call(lambda client: client.conversations.transcript(conversation))
    assert [message.content for message in whole.messages] == ["one\u2028two"]
    assert "user: " in await client.call(lambda client: client.conversations.transcript_text(conversation))
    vtt = await client.call(lambda client: client.conversations.transcript_text(conversation, "vtt"))
    assert vtt.startswith("WEBVTT")
    srt = await client.call(lambda client: client.conversations.transcript_text(conversation, "srt"))
    assert srt.startswith("1\n00:00:00,000 --> ")
    chat = await client.call(lambda client: client.conversations.openai_chat(conversation))
    assert chat["messages"][0]["role"] == "user"
    await say(client, conversation, "three")
    strict = await client.call(lambda client: client.conversations.openai_chat(conversation, strict=True))
    assert strict["messages"] == [{"role": "user", "content": "one\u2028two\n\nthree"}]
    settings = await client.call(lambda client: client.conversations.deepgram_settings(conversation))
    assert len(settings["agent"]["context"]["messages"]) == 2


async def test_an_operator_reads_the_state_of_the_service(client: AnyClient) -> None:
    found = await client.call(lambda client: client.service.get())
    assert (found.readiness.ready, found.readiness.schema, found.workers, found.unknown) == (True, "ok", 1, ())
    assert found.sizes
    assert found.sizes.tables[0].bytes > 0


async def test_a_timeline_is_read_part_by_part(client: AnyClient) -> None:
    conversation = await begin(client)
    for content in ("one", "two"):
        await say(client, conversation, content)
    first = await client.call(lambda client: client.conversations.timeline(conversation, limit=1))
    assert [(each.lane, each.kind, each.label) for each in first.segments] == [("user", "speech", "one")]
    assert first.has_more
    second = await client.call(lambda client: client.conversations.timeline(conversation, cursor=first.next_cursor))
    assert ([each.label for each in second.segments], second.has_more) == (["two"], False)
    with pytest.raises(NotModified):
        await client.call(lambda client: client.conversations.timeline(conversation, limit=1, if_none_match=first.etag))


async def test_a_voice_session_leads_to_its_receipt(client: AnyClient) -> None:
    session = await client.call(lambda client: client.sessions.begin())
    event: dict[str, Any] = {"type": "ConversationText", "role": "user", "content": "Hello."}
    events = [VoiceEventCreate(event=event, client_sequence=number) for number in (1, 3)]
    results = (await client.call(lambda client: client.sessions.record_events(session.id, events))).results
    assert [result.status for result in results] == [201, 201]
    unnumbered = [VoiceEventCreate(event=event | {"content": "Bye."})]
    [result] = (await client.call(lambda client: client.sessions.record_events(session.id, unnumbered))).results
    assert result.messages[0].content == "Bye."
    receipt = await client.call(lambda client: client.sessions.end(session.id, last_client_sequence=3))
    assert (receipt.complete, [[*each] for each in receipt.missing]) == (False, [[2, 2]])
    receipt = await client.call(lambda client: client.sessions.end(session.id, client_lost=2))
    assert receipt.client_lost == 2
    assert await client.call(lambda client: client.sessions.receipt(session.id)) == receipt
    state = await client.call(lambda client: client.sessions.get(session.id))
    assert (state.conversation_id, state.last_client_sequence) == (session.conversation_id, 3)
    with pytest.raises(ProviderNotConfigured):
        await client.call(lambda client: client.sessions.token(session.id))


async def test_an_intent_is_replaced_by_its_version_and_delivered(client: AnyClient) -> None:
    conversation = await begin(client)
    with pytest.raises(IntentNotFound):
        await client.call(lambda client: client.intents.get(conversation))
    first = await client.call(lambda client: client.intents.put(conversation, "GOAL", {"title": "Swim"}))
    with pytest.raises(IntentConflict) as conflict:
        await client.call(lambda client: client.intents.put(conversation, "NEW_TASK", {}))
    assert conflict.value.etag == first.etag
    second = await client.call(lambda client: client.intents.put(conversation, "NEW_TASK", {}, if_match=first.etag))
    assert await client.call(lambda client: client.intents.get(conversation)) == second

    waiting = await client.take(lambda client: client.deliveries.list(state="pending", limit=1))
    assert {delivery.conversation_id for delivery in waiting} == {conversation}
    one = await client.call(lambda client: client.deliveries.get(second.delivery_id))
    assert one in waiting
    assert (await client.call(lambda client: client.deliveries.retry(one.id))).id == one.id
    assert (await client.call(lambda client: client.deliveries.retry_all())).failed == 0


async def test_a_person_s_record_is_exported_and_erased(client: AnyClient) -> None:
    create = lambda client: client.conversations.create("voice", user_id="minh")  # noqa: E731
    conversations = [(await client.call(create)).id for _ in range(2)]
    await say(client, conversations[0], "Take me with you.\u2028Please.")
    lines = await client.take(lambda client: client.subjects.export("minh"))
    assert [line.conversation.id for line in lines] == conversations[::-1]
    assert [len(line.messages) for line in lines] == [0, 1]
    done = await client.call(lambda client: client.subjects.erase("minh"))
    assert (done.erased, done.messages, done.left) == (2, 1, 0)
    erased = await client.take(lambda client: client.subjects.erasures("minh", limit=1))
    assert {each.conversation_id: each.message_count for each in erased} == dict(
        zip(conversations, (1, 0), strict=True)
    )


async def test_an_erased_conversation_is_gone(client: AnyClient) -> None:
    conversation = await begin(client)
    assert await client.call(lambda client: client.conversations.erase(conversation)) is None
    with pytest.raises(ConversationNotFound) as gone:
        await client.call(lambda client: client.conversations.get(conversation))
    assert (gone.value.status, len(gone.value.request_id)) == (404, 32)
    assert gone.value.request_id in str(gone.value)


async def test_a_refusal_points_to_each_fault_and_quotes_nothing(client: AnyClient) -> None:
    conversation = await begin(client)
    with pytest.raises(Invalid) as refused:
        await say(client, conversation, "My secret \0")
    assert [fault.pointer for fault in refused.value.errors] == ["/content"]
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_address_that_is_none_is_refused_at_once(kind: str) -> None:
    with pytest.raises(SetupError):
        async with opened(kind, "localhost:8000"):
            pass


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_of_the_caller_s_own_stays_open(kind: str, app: FastAPI) -> None:
    async with listening(app) as service:
        http = httpx.Client(trust_env=False) if kind == "sync" else httpx.AsyncClient(trust_env=False)
        async with opened(kind, str(service.base_url), http=http) as client:
            await begin(client)
        assert not http.is_closed
        http.close() if isinstance(http, httpx.Client) else await http.aclose()


async def test_the_example_of_the_package_s_own_page_prints_what_it_has_recorded(
    app: FastAPI, capsys: pytest.CaptureFixture[str]
) -> None:
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "clients/python/README.md").read_text(), re.DOTALL)
    async with listening(app) as service:
        source = example.replace("http://127.0.0.1:8000", str(service.base_url))
        await asyncio.to_thread(exec, source, {})
    assert "1 user Remind me to call the dentist.\n" in capsys.readouterr().out
