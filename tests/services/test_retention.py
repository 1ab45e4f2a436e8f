"""What is older than its period is erased, no faster than it may be, and nothing that is held or unannounced."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.dao_service.retention_dao import sole_run
from backend.errors import SettingsError
from backend.principal import LOCAL
from backend.services import retention
from backend.services.retention import GRACE, Run, erase_some, may_begin, plan, prune
from backend.settings import Settings
from backend.vocabulary import ContextType
from tests.conftest import running, settings_for

DAYS = {ContextType.VOICE: timedelta(days=365), ContextType.TASK: timedelta(days=30)}


async def converse(
    connection: asyncpg.Connection,
    *,
    kind: str = "voice",
    begun: float,
    spoken: float | None = None,
    ended: float | None = None,
) -> UUID:
    """Insert a conversation that began, was last spoken in and ended so many days ago."""
    identity: UUID = await connection.fetchval(
        """
        INSERT INTO conversations (context_type, created_at, ended_at)
        VALUES ($1, now() - $2 * interval '1 day', now() - $3 * interval '1 day') RETURNING id
        """,
        kind,
        begun,
        ended,
    )
    if spoken is not None:
        said = """
            INSERT INTO messages (conversation_id, role, content, created_at)
            VALUES ($1, 'user', 'Hello.', now() - $2 * interval '1 day')
        """
        await connection.execute(said, identity, spoken)
    return identity


async def left(connection: asyncpg.Connection) -> set[UUID]:
    return {row["id"] for row in await connection.fetch("SELECT id FROM conversations")}


async def told(connection: asyncpg.Connection, action: str) -> list[dict[str, Any]]:
    rows = await connection.fetch("SELECT details FROM audit_entries WHERE action = $1 ORDER BY number", action)
    return [orjson.loads(row["details"]) for row in rows]


async def test_what_should_go_goes_and_the_plan_has_counted_it(
    database: Database, connection: asyncpg.Connection
) -> None:
    go = [
        await converse(connection, begun=400),
        await converse(connection, begun=800, spoken=366, ended=366),
        await converse(connection, kind="task", begun=31),
    ]
    stay = {
        await converse(connection, begun=364),
        await converse(connection, begun=800, spoken=364),
        await converse(connection, begun=800, spoken=700, ended=1),
        await converse(connection, kind="task", begun=29),
        await converse(connection, kind="goal", begun=3000),
    }
    held, kept = await converse(connection, begun=500), await converse(connection, begun=500)
    await connection.execute(
        "INSERT INTO conversation_holds (id, conversation_id, reason, held_by) VALUES ($1, $1, 'Case', 'local')", held
    )
    await connection.execute("CREATE TABLE invoices (id UUID REFERENCES conversations (id))")
    await connection.execute("INSERT INTO invoices VALUES ($1)", kept)

    counted = await plan(database, LOCAL, DAYS)
    assert (counted.due, counted.held, counted.complete) == ({"voice": 3, "task": 1}, 1, True)
    run = Run()
    await erase_some(database, DAYS, run, 0)
    assert run.place is None
    assert run.outcomes == {"erased": 3, "held": 1, "kept": 1}
    assert await left(connection) == stay | {held, kept}
    assert await told(connection, "retention.ran") == [dict(run.outcomes)]
    erased = await connection.fetch(
        "SELECT conversation_id, actor FROM audit_entries WHERE action = 'conversation.erased'"
    )
    assert {(row["conversation_id"], row["actor"]) for row in erased} == {(each, "retention") for each in go}


async def test_a_run_erases_no_more_than_a_minute_s_worth_and_goes_on_where_it_stopped(
    database: Database, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "RATE", 3)
    monkeypatch.setattr(retention, "_STRIDE", 2)
    for days in range(400, 407):
        await converse(connection, begun=days)
    run, found = Run(), []
    while run.place:
        await erase_some(database, DAYS, run, 0)
        found.append(len(await left(connection)))
    assert found == [4, 1, 0]
    assert await told(connection, "retention.ran") == [{"erased": 7}]


async def test_what_cannot_be_erased_counts_and_takes_its_pause_like_what_can(
    database: Database, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "RATE", 3)
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def sleeps(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleeps)
    for days in range(400, 405):
        await converse(connection, begun=days)
    await connection.execute("CREATE TABLE invoices (id UUID REFERENCES conversations (id))")
    await connection.execute("INSERT INTO invoices SELECT id FROM conversations")
    run = Run()
    await erase_some(database, DAYS, run, 0.125)
    assert (run.outcomes, pauses) == ({"kept": 3}, [0.125] * 3)
    await erase_some(database, DAYS, run, 0)
    assert (run.outcomes, run.place) == ({"kept": 5}, None)


async def test_a_message_that_comes_meanwhile_keeps_its_conversation(
    database: Database, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = await converse(connection, begun=400, spoken=400)
    look = retention._look

    async def looked(*asked: Any) -> Any:
        found = await look(*asked)
        said = "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', 'I am back.')"
        if found[0]:
            await connection.execute(said, conversation)
        return found

    monkeypatch.setattr(retention, "_look", looked)
    run = Run()
    await erase_some(database, DAYS, run, 0)
    assert run.outcomes == {"younger": 1}
    assert await left(connection) == {conversation}


async def test_no_conversation_is_erased_while_a_call_is_under_way_in_it(
    database: Database, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    calling, called = [await converse(connection, begun=days, spoken=days) for days in (401, 400)]
    begins = "INSERT INTO voice_sessions (id, conversation_id, provider, started_at) VALUES ($1, $2, 'deepgram', now())"
    await connection.execute(begins, "first", calling)
    assert (await plan(database, LOCAL, DAYS)).due == {"voice": 1, "task": 0}
    look = retention._look

    async def looked(*asked: Any) -> Any:
        found = await look(*asked)
        if found[0]:
            await connection.execute(begins, "second", called)
        return found

    monkeypatch.setattr(retention, "_look", looked)
    run = Run()
    await erase_some(database, DAYS, run, 0)
    assert run.outcomes == {"younger": 1}
    assert await left(connection) == {calling, called}


async def test_a_first_period_and_a_shorter_one_wait_a_day_and_say_first_what_they_would_take(
    database: Database, connection: asyncpg.Connection
) -> None:
    await converse(connection, begun=400)

    async def a_day_goes_by() -> None:
        await connection.execute("ALTER TABLE audit_entries DISABLE TRIGGER verbatim_keep_audit_entries")
        await connection.execute("""
            UPDATE audit_entries SET details = jsonb_set(
                details, '{begins_at}', to_jsonb((details ->> 'begins_at')::timestamptz - interval '1 day')
            )
        """)

    async def begins(days: int | None) -> bool:
        return await may_begin(database, {ContextType.VOICE: timedelta(days=days)} if days else {})

    assert not await begins(None)
    assert not await begins(365)
    [first] = await told(connection, "retention.announced")
    assert (first["periods"], first["due"], first["held"]) == ({"voice": 365}, {"voice": 1}, 0)
    assert abs(datetime.fromisoformat(first["begins_at"]) - GRACE - datetime.now(UTC)) < timedelta(hours=1)
    assert not await begins(365)
    assert not await begins(500)  # a longer one waits no longer than the shorter
    await a_day_goes_by()
    assert await begins(500)
    assert await begins(600)
    assert not await begins(500)
    await a_day_goes_by()
    assert await begins(500)
    assert await begins(None)  # and with nothing to erase
    assert not await begins(500)  # a first one again
    announced = [entry["periods"] for entry in await told(connection, "retention.announced")]
    assert announced == [{"voice": days} for days in (365, 500, 600, 500)] + [{}, {"voice": 500}]


async def test_one_process_of_all_runs(database: Database) -> None:
    async with sole_run(database) as first, sole_run(database) as second:
        assert (first, second) == (True, False)
    async with sole_run(database) as again:
        assert again


async def test_what_was_delivered_long_ago_is_removed_and_what_waits_stays(
    database: Database, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PRUNED", 2)
    conversation = await converse(connection, begun=1)
    states = ["delivered"] * 5 + ["pending", "failed", "held"]
    await connection.execute(
        """
        INSERT INTO deliveries (id, conversation_id, type, version, body, state, created_at, delivered_at)
        SELECT gen_random_uuid(), $1, 'intent.extracted', place, '{}', state, now() - interval '90 days',
            CASE WHEN state = 'delivered' THEN now() - interval '31 days' END
        FROM unnest($2::text[]) WITH ORDINALITY AS each (state, place)
        """,
        conversation,
        states,
    )
    await connection.execute("UPDATE deliveries SET delivered_at = now() WHERE version = '1'")
    await prune(database, timedelta(days=30))
    rows = await connection.fetch("SELECT state FROM deliveries ORDER BY version")
    assert [row["state"] for row in rows] == ["delivered", "pending", "failed", "held"]


async def test_the_service_tells_what_it_would_erase(database_url: str, connection: asyncpg.Connection) -> None:
    await converse(connection, begun=400)
    settings = settings_for(database_url, retention={"voice": "365d"})
    async with running(create_app(settings)) as client:
        answer = (await client.get("/api/v1/retention")).json()
    assert answer == {"periods": {"voice": 365}, "begins_at": None, "due": {"voice": 1}, "held": 0, "complete": True}


@pytest.mark.parametrize("wrong", ['{"voice": 365}', '{"voice": "0d"}', '{"call": "1d"}', '{"voice": "1y"}', "x", "[]"])
def test_a_period_that_is_none_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("VERBATIM_RETENTION", wrong)
    with pytest.raises(SettingsError, match="VERBATIM_RETENTION"):
        Settings.from_environment()
