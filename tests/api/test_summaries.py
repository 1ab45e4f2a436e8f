"""Summaries of conversations, held against those that plain Python computes of the same calls."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx
import pytest

from backend.dao_service.connection.database import Database
from backend.principal import LOCAL
from backend.schemas.conversation import ConversationQuery
from backend.services import conversations
from backend.services.summaries import Summaries
from tests import call_world
from tests.conftest import connect, utterance
from tests.deepgram.examples import EXAMPLES
from tests.phones import CONVERSATIONS, begin, fall_silent, numbered, said

MESSAGES: Final = "/api/v1/voice/messages"
WITH: Final = {"include": "summary"}


async def summary(service: httpx.AsyncClient, conversation: UUID) -> dict[str, Any]:
    answer = await service.get(f"{CONVERSATIONS}/{conversation}", params=WITH)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["summary"])


@pytest.mark.pooled
@pytest.mark.parametrize("seed", range(6))
async def test_a_summary_is_that_of_the_call(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection, seed: int
) -> None:
    first = datetime(2030 + seed, 3, 1, tzinfo=UTC)
    calls = call_world.make_up(random.Random(100 + seed), first, 9, 25)
    await call_world.put_on_record(shared_connection, calls)
    query = {**WITH, "since": first.isoformat(), "until": (first + timedelta(days=10)).isoformat(), "limit": "500"}
    for _ in range(2):  # counted, and remembered
        page = (await shared_service.get(CONVERSATIONS, params=query)).json()
        found = {each["id"]: each["summary"] for each in page["data"]}
        assert found == {str(call.id): call_world.summary(call) for call in calls}
    for call in calls[:5]:
        assert await summary(shared_service, call.id) == call_world.summary(call)


async def test_nothing_is_summarised_unless_it_is_asked_for(shared_service: httpx.AsyncClient) -> None:
    phone = await begin(shared_service)
    for place in (f"{CONVERSATIONS}/{phone.conversation_id}", CONVERSATIONS):
        assert "summary" not in (await shared_service.get(place)).text
        refused = await shared_service.get(place, params={"include": "everything"})
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid")


async def test_the_tag_changes_with_what_the_summary_shows(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    await phone.send(*numbered([said("user", "Hello."), said("assistant", "Hello!")]))
    place = f"{CONVERSATIONS}/{phone.conversation_id}"

    async def read(**headers: str) -> httpx.Response:
        return await service.get(place, params=WITH, headers=headers)

    first, plain = await read(), await service.get(place)
    tag = first.headers["etag"]
    assert tag != plain.headers["etag"]
    assert (await read(**{"if-none-match": tag})).status_code == 304
    await phone.send(*numbered([EXAMPLES["AgentStartedSpeaking"]], 3))  # changes the metadata of a message alone
    assert (await service.get(place)).headers["etag"] == plain.headers["etag"]
    changed = await read(**{"if-none-match": tag})
    assert changed.json()["summary"]["latency_ms"] == {"p50": 1250, "p95": 1250, "max": 1250, "count": 1}
    assert (await read(**{"if-match": tag})).status_code == 412


async def test_whatever_is_recorded_or_ended_shows_in_the_next_summary(
    service: httpx.AsyncClient, database: Database, connection: asyncpg.Connection
) -> None:
    phone = await begin(service)
    found = [await summary(service, phone.conversation_id)]

    async def next_summary() -> None:
        found.append(await summary(service, phone.conversation_id))
        anew = await conversations.get(database, LOCAL, phone.conversation_id, Summaries(database))
        assert anew.summary
        assert anew.summary.model_dump(mode="json") == found[-1]

    await phone.send(*numbered([said("user", "Hello."), said("assistant", "Hello!")]))
    await next_summary()
    await phone.send(*numbered([EXAMPLES["LatencyReport"], EXAMPLES["UserStartedSpeaking"], EXAMPLES["Error"]], 4))
    await next_summary()
    await service.post(MESSAGES, json=utterance(phone.conversation_id, "Bye.", metadata={"behavior": "default"}))
    await next_summary()
    await fall_silent(connection, database)
    await next_summary()
    await phone.send(*numbered([EXAMPLES["AgentThinking"]], 3))
    await next_summary()
    await phone.end(last_client_sequence=7)
    await next_summary()
    await phone.end(client_lost=2)
    await next_summary()
    await phone.send(*numbered([EXAMPLES["AgentThinking"]], 7))
    await next_summary()
    shown = [
        (
            each["state"],
            each["turns"],
            each["interruptions"],
            each["incidents"],
            each["latency_ms"]["p50"],
            each["receipts"],
        )
        for each in found
    ]
    assert shown == [
        ("live", 0, 0, 0, None, {"complete": False, "missing": 0}),
        ("live", 2, 0, 0, None, {"complete": False, "missing": 0}),
        ("live", 2, 1, 1, 700, {"complete": False, "missing": 1}),
        ("live", 3, 1, 1, 700, {"complete": False, "missing": 1}),
        ("abandoned", 3, 1, 1, 700, {"complete": False, "missing": 1}),
        ("live", 3, 1, 1, 700, {"complete": False, "missing": 0}),
        ("ended", 3, 1, 1, 700, {"complete": False, "missing": 1}),
        ("ended", 3, 1, 1, 700, {"complete": False, "missing": 3}),
        ("ended", 3, 1, 1, 700, {"complete": False, "missing": 2}),
    ]


async def test_the_first_words_are_those_of_the_user(service: httpx.AsyncClient, conversation: UUID) -> None:
    assert (await summary(service, conversation))["first_words"] is None
    for number in range(3):
        await service.post(MESSAGES, json=utterance(conversation, f"{number}", role="assistant"))
    await service.post(MESSAGES, json=utterance(conversation, "é" * 150))
    await service.post(MESSAGES, json=utterance(conversation, "Later."))
    assert (await summary(service, conversation))["first_words"] == "é" * 100
    early = utterance(conversation, "Before.", timestamp="2026-01-31T09:30:00Z")
    await service.post(MESSAGES, json=early)
    assert (await summary(service, conversation))["first_words"] == "Before."


@pytest.mark.usefixtures("conversation")
async def test_a_page_is_read_with_its_summaries_in_one_statement(database: Database) -> None:
    query, summaries = ConversationQuery.model_validate(WITH), Summaries(database)
    await conversations.newest(database, LOCAL, query, summaries)
    sent: list[str] = []
    async with database.driver_connection() as driver:  # the next reader gets the same one
        driver.add_query_logger(lambda record: sent.append(record.query))
    page = await conversations.newest(database, LOCAL, query, summaries)
    await asyncio.sleep(0)  # the driver calls its loggers in the next turn of the loop
    assert [each.summary is not None for each in page.data] == [True]
    assert len(sent) == 1


async def test_the_list_comes_without_the_summaries_that_take_too_long(
    service: httpx.AsyncClient, connection: asyncpg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "_PATIENCE", timedelta(milliseconds=20))
    known, unknown = await begin(service), await begin(service)
    await summary(service, known.conversation_id)
    holder = await connect(database_url)
    async with holder.transaction():
        await holder.execute("LOCK TABLE voice_events IN ACCESS EXCLUSIVE MODE")
        page = (await service.get(CONVERSATIONS, params=WITH)).json()["data"]
    await holder.close()
    assert {each["id"]: "summary" in each for each in page} == {
        str(known.conversation_id): True,
        str(unknown.conversation_id): False,
    }
    page = (await service.get(CONVERSATIONS, params=WITH)).json()["data"]
    assert all("summary" in each for each in page)
    assert await connection.fetchval("SELECT count(*) FROM conversations") == len(page)
