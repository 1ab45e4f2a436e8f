"""The figures of a period, held against those that plain Python computes of the same calls."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import httpx
import pytest
import pytest_asyncio

from backend.dao_service.connection.database import Database, PoolLimits
from backend.errors import Busy
from backend.principal import LOCAL, caller
from backend.schemas.stats import StatsQuery
from backend.services import figures
from backend.services.figures import PeriodFigures
from backend.vocabulary import Scope
from tests import call_world, callers
from tests.call_world import WIDTHS
from tests.conftest import connect, settings_for, utterance
from tests.deepgram.examples import EXAMPLES
from tests.phones import begin, numbered, said

STATS: Final = "/api/v1/stats"
HOUR: Final = timedelta(hours=1)
Headers = dict[str | None, dict[str, str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def headers(shared_database_url: str) -> Headers:
    """The headers of each owner and, as None, of a service that reads every owner's."""
    settings = settings_for(shared_database_url)
    database = Database(settings.database_url or "", direct=settings.pooler_bypass_url)
    everywhere = await callers.service(database, "everywhere", Scope.CONVERSATIONS_READ_ANY)
    await database.close()
    return {None: everywhere, **{owner: callers.person(owner) for owner in call_world.OWNERS if owner}}


def moments(document: dict[str, Any]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(document["since"]), datetime.fromisoformat(document["until"])


def asked(chance: random.Random, calls: list[call_world.Call]) -> dict[str, str]:
    """Return the parameters of a period that begins and ends at moments at which something happened, or near them."""
    moments = sorted({moment for call in calls for moment in call.moments})
    width = chance.choice([*WIDTHS])
    since = chance.choice(moments)
    since -= chance.choice([timedelta(), timedelta(), (since - call_world.MONDAY) % WIDTHS[width]])
    most = since + WIDTHS[width] * (call_world.MOST_BUCKETS - 1)
    until = chance.choice([*(moment for moment in moments if since < moment < most), most])
    zones = [datetime.fromisoformat(f"2026-01-01T00:00{zone}").tzinfo for zone in ("Z", "+07:00", "-03:30")]
    found = {
        name: moment.astimezone(chance.choice(zones)).isoformat()
        for name, moment in (("since", since), ("until", until))
    }
    for name, words in (("context_type", ["voice", "task"]), ("source", ["deepgram", "pipecat", "livekit", "posts"])):
        if chance.random() < 0.4:
            found[name] = chance.choice(words)
    return found | {"bucket": width}


@pytest.mark.pooled
@pytest.mark.parametrize("seed", range(6))
async def test_the_figures_are_those_of_the_calls(
    shared_guarded: httpx.AsyncClient, headers: Headers, shared_connection: asyncpg.Connection, seed: int
) -> None:
    chance = random.Random(seed)
    first, days = datetime(2030 + seed, 3, 1, tzinfo=UTC), 9  # each world has a year of its own
    calls = call_world.make_up(chance, first, days, 25)
    late = [each for call in calls for each in call.said if each.role == "assistant" and chance.random() < 0.3]
    kept = {each.id: each.metadata for each in late}
    for each in late:
        each.metadata = {name: value for name, value in each.metadata.items() if name not in {"latency", "metrics"}}
    await call_world.put_on_record(shared_connection, calls)
    queries = [{"since": first.isoformat(), "until": (first + timedelta(days=days)).isoformat(), "bucket": "PT1H"}]
    queries += [asked(chance, calls) for _ in range(9)]
    for query in queries:
        # What is counted here is remembered for a minute, so the period ends at another moment.
        later = datetime.fromisoformat(query["until"]) + timedelta(microseconds=1)
        await shared_guarded.get(STATS, params=query | {"until": later.isoformat()}, headers=headers[None])
    await shared_connection.executemany("UPDATE messages SET metadata = $2 WHERE id = $1", kept.items())
    for each in late:
        each.metadata = kept[each.id]
    for query in queries:
        for owner, bearer in headers.items():
            answer = await shared_guarded.get(STATS, params=query, headers=bearer)
            assert answer.status_code == 200, answer.text
            compare(answer.json(), calls, owner, query)


def compare(found: dict[str, Any], calls: list[call_world.Call], owner: str | None, query: dict[str, str]) -> None:
    since, until = moments(found)
    filters = {name: query.get(name) for name in ("context_type", "source")}
    expected = call_world.stats(calls, since, until, query["bucket"], owner=owner, **filters)
    assert found["bucket"] == query["bucket"]
    assert found["total"] == expected["total"]
    assert [each | {"start": datetime.fromisoformat(each["start"])} for each in found["buckets"]] == expected["buckets"]
    slowest = [
        (
            *(each["conversation_id"], each["message_id"], datetime.fromisoformat(each["at"]), each["ms"]),
            *each["stages"].values(),
        )
        for each in found["slowest"]
    ]
    assert slowest == expected["slowest"]
    parts = [(each["from_ms"], each["to_ms"] or 1e9, each["count"]) for each in found["histogram"]]
    assert [
        (low, high, sum(low <= latency < high for latency in expected["latencies"])) for low, high, _ in parts
    ] == parts
    assert sum(count for _, _, count in parts) == len(expected["latencies"])


async def test_a_latency_that_is_written_later_is_counted(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    await phone.send(*numbered([said("user", "Hello."), said("assistant", "Hello!")]))
    period = {"since": "2026-01-31T00:00:00Z", "bucket": "P1D"}
    before = await service.get(STATS, params=period | {"until": "2026-02-01T00:00:00Z"})
    await phone.send(*numbered([EXAMPLES["AgentStartedSpeaking"]], 3))
    after = await service.get(STATS, params=period | {"until": "2026-02-01T00:00:00.000001Z"})
    latency = [answer.json()["total"]["latency_ms"] for answer in (before, after)]
    assert [each["total"]["count"] for each in latency] == [0, 1]
    assert [latency[1][stage]["p95"] for stage in call_world.STAGES] == [1250, None, 1000, 250]
    [slow] = after.json()["slowest"]
    assert (slow["ms"], slow["stages"]) == (1250, {"stt": None, "llm": 1000, "tts": 250})


async def test_without_a_period_the_last_day_is_counted(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    await service.post("/api/v1/voice/messages", json=utterance(phone.conversation_id))
    found = (await service.get(STATS)).json()
    since, until = moments(found)
    assert (until - since, found["bucket"]) == (timedelta(days=1), "PT15M")
    assert timedelta() <= datetime.now(UTC) - until < HOUR
    assert (found["total"]["calls"], found["total"]["turns"]) == (1, 1)
    assert len(found["buckets"]) in {96, 97}
    assert found["histogram"] == found["slowest"] == []


@pytest.mark.parametrize(
    ("length", "width"),
    [
        (timedelta(minutes=1), "PT1M"),
        (timedelta(minutes=100), "PT1M"),
        (timedelta(minutes=101), "PT5M"),
        (timedelta(days=1), "PT15M"),
        (timedelta(days=4), "PT1H"),
        (timedelta(days=25), "PT6H"),
        (timedelta(days=100), "P1D"),
        (timedelta(days=101), "P7D"),
        (timedelta(weeks=400), "P7D"),
    ],
)
async def test_the_width_fits_the_period(shared_service: httpx.AsyncClient, length: timedelta, width: str) -> None:
    since = datetime(2001, 1, 1, tzinfo=UTC)
    answer = await shared_service.get(STATS, params={"since": since.isoformat(), "until": (since + length).isoformat()})
    assert answer.json()["bucket"] == width


async def test_400_buckets_are_counted_and_401_are_not(shared_service: httpx.AsyncClient) -> None:
    since = datetime(2001, 1, 1, 0, 0, 30, tzinfo=UTC)  # in the middle of a bucket
    period = {"since": since.isoformat(), "bucket": "PT1M"}
    until = since.replace(second=0) + timedelta(minutes=400)
    most = await shared_service.get(STATS, params=period | {"until": until.isoformat()})
    assert len(most.json()["buckets"]) == 400
    assert {each["calls"] for each in most.json()["buckets"]} == {0}
    assert most.json()["total"]["latency_ms"]["total"] == {
        "count": 0,
        **dict.fromkeys(("p50", "p90", "p95", "p99")),
    }
    beyond = await shared_service.get(STATS, params=period | {"until": (until + timedelta(seconds=1)).isoformat()})
    assert beyond.status_code == 422
    [fault] = beyond.json()["errors"]
    assert fault["pointer"] == "/query/bucket"
    assert "the smallest that fits is PT5M" in fault["detail"]


@pytest.mark.parametrize(
    "query",
    [
        {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T07:00:00+07:00"},
        {"since": "2998-01-01T00:00:00Z"},
        {"since": "0002-01-01T00:00:00Z", "until": "9998-01-01T00:00:00Z"},
        {"since": "0002-01-01T00:00:00Z", "until": "9998-01-01T00:00:00Z", "bucket": "P7D"},
        {"since": "0001-01-01T00:00:00Z"},
        {"since": "2026-01-01T00:00:00"},
        {"since": "yesterday"},
        {"until": "1767225600"},
        {"bucket": "PT2H"},
        {"bucket": "1 day'; DROP TABLE messages; --"},
        {"context_type": "opera"},
        {"source": "posts' OR true"},
        {"source": "\0"},
        {"owner": "lan"},
        {"user_id": "lan"},
    ],
    ids=json.dumps,
)
async def test_what_cannot_be_counted_is_refused(shared_service: httpx.AsyncClient, query: dict[str, str]) -> None:
    answer = await shared_service.get(STATS, params=query)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")


@pytest.mark.parametrize(
    "period",
    [
        ("0002-01-01T00:00:00Z", "0002-01-01T00:00:00.000001Z"),
        ("0002-01-01T00:00:00+23:59", "0003-01-01T00:00:00-23:59"),
        ("9997-12-31T00:00:00Z", "9998-12-31T23:59:59.999999-23:59"),
    ],
)
async def test_the_edges_of_time_are_counted(shared_service: httpx.AsyncClient, period: tuple[str, str]) -> None:
    since, until = period
    answer = await shared_service.get(STATS, params={"since": since, "until": until})
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"]["calls"] == 0


async def test_an_answer_is_remembered_for_its_caller_alone(
    shared_guarded: httpx.AsyncClient, headers: Headers, shared_connection: asyncpg.Connection
) -> None:
    period = {"since": "2021-01-01T00:00:00Z", "until": "2021-01-02T00:00:00Z"}

    async def calls(owner: str | None) -> int:
        answer = await shared_guarded.get(STATS, params=period, headers=headers[owner])
        return int(answer.json()["total"]["calls"])

    async def open_one(owner: str | None) -> None:
        await shared_connection.execute(
            "INSERT INTO conversations (context_type, user_id, created_at) VALUES ('voice', $1, '2021-01-01 12:00Z')",
            owner,
        )

    await open_one("minh")
    assert [await calls(owner) for owner in ("minh", "lan", None)] == [1, 0, 1]
    await open_one("minh")
    await open_one("lan")
    await open_one(None)
    assert [await calls(owner) for owner in ("minh", "lan", None)] == [1, 0, 1]
    period["until"] = "2021-01-02T00:00:01Z"
    assert [await calls(owner) for owner in ("minh", "lan", None)] == [2, 1, 4]


@pytest.fixture
async def locked(database_url: str) -> AsyncIterator[None]:
    """Let no statement read the messages until the test has ended."""
    holder = await connect(database_url)
    async with holder.transaction():
        await holder.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        yield
    await holder.close()


@pytest.mark.usefixtures("locked")
@pytest.mark.pooled
async def test_what_takes_too_long_says_how_to_ask_for_less(
    service: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "_TIMEOUT", timedelta(milliseconds=20))
    answer = await service.get(STATS)
    assert (answer.status_code, answer.json()["type"]) == (504, "/problems/too-slow")
    assert "a shorter period" in answer.json()["detail"]


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("size", [1, 3, 5, 20])
async def test_one_caller_is_counted_for_at_a_time_and_leaves_connections(
    database_url: str, connection: asyncpg.Connection, size: int
) -> None:
    settings = settings_for(database_url)
    limits = PoolLimits(pool_size=size, pool_wait=0.05, lock=60, statement=60)
    database = Database(settings.database_url or "", limits, direct=settings.pooler_bypass_url)
    counted = PeriodFigures(database)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    first = asyncio.create_task(counted.stats(LOCAL, StatsQuery()))
    while await connection.fetchval(waiting) < max(min(size - 2, 2), 1):
        await asyncio.sleep(0)
    for name in ("service", "another"):
        caller.set(name)
        with pytest.raises(Busy):
            await counted.stats(LOCAL, StatsQuery.model_validate({"source": "posts"}))
    if size > 1:
        async with database.reading():
            pass
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    await database.close()


async def test_a_conversation_that_was_erased_counts_no_more(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    await phone.send(*numbered([said("user", "Hello."), EXAMPLES["Error"]]))
    period = {"since": "2026-01-31T00:00:00Z", "bucket": "P1D"}
    before = await service.get(STATS, params=period | {"until": "2026-02-01T00:00:00Z"})
    assert (before.json()["total"]["turns"], before.json()["total"]["incidents"]) == (1, {"Error": 1})
    assert (await service.delete(f"/api/v1/conversations/{phone.conversation_id}")).status_code == 204
    after = await service.get(STATS, params=period | {"until": "2026-02-01T00:00:01Z"})
    assert (after.json()["total"]["turns"], after.json()["total"]["incidents"]) == (0, {})
