"""Demo data is the same each time, agrees with itself, shows each kind of call, and leaves nothing behind."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg
import httpx
import pytest
import pytest_asyncio

from backend.dao_service.connection.database import Database
from backend.dao_service.models import Base
from backend.demo_data.call import Call, Sender, Wish
from backend.demo_data.calls import plan_call, random_of
from backend.demo_data.live import play_live
from backend.demo_data.phrasebook import LANGUAGES, phrasebook
from backend.demo_data.playing import fill
from backend.demo_data.week import plan
from backend.errors import SettingsError
from backend.principal import LOCAL
from backend.schemas.conversation import ConversationQuery
from backend.services import demo_data, subjects
from backend.vocabulary import SegmentKind, Source
from tests.conftest import open_conversation, settings_for

DAYS = 7
CALLS = 50
UNTIL = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=DAYS)
SILENCE = timedelta(hours=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_database(shared_database_url: str) -> AsyncIterator[Database]:
    settings = settings_for(shared_database_url)
    database = Database(settings.database_url or "", direct=settings.pooler_bypass_url)
    yield database
    await database.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_calls(shared_database: Database) -> Sequence[Call]:
    """A week, recorded in the module's database."""
    calls = plan(1, UNTIL, DAYS, CALLS)
    await fill(shared_database, calls, SILENCE, lambda: None)
    return calls


async def exported(database: Database, until: datetime) -> str:
    digest = hashlib.sha256()
    query = ConversationQuery.model_validate({"until": until.isoformat()})
    async for piece in await subjects.export(database, LOCAL, query):
        digest.update(piece)
    return digest.hexdigest()


def test_the_same_seed_and_end_give_the_same_plan_and_others_give_another() -> None:
    one = plan(1, UNTIL, DAYS, CALLS)
    assert plan(1, UNTIL, DAYS, CALLS) == one
    assert len(one) == CALLS
    assert {call.id for call in plan(2, UNTIL, DAYS, CALLS)}.isdisjoint(call.id for call in one)
    assert plan(1, UNTIL + timedelta(minutes=1), DAYS, CALLS) != one


def test_calls_do_not_overlap_and_lie_in_their_period() -> None:
    calls = plan(3, UNTIL, 3, 60, with_long_call=True)
    assert len(calls) == 61
    assert calls[0].opened_at >= UNTIL - timedelta(days=3)
    assert calls[-1].over_at < UNTIL
    assert all(one.over_at < other.opened_at for one, other in pairwise(calls))


def test_more_calls_than_there_is_time_for_are_refused() -> None:
    with pytest.raises(SettingsError, match="not enough time"):
        plan(1, UNTIL, 3, 751)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_dialogue_has_all_its_slots(language: str) -> None:
    book = phrasebook(language)
    said = book.dialogue(random_of(language), len(book.topics), with_intent=True)
    assert said.intent
    assert said.payload
    assert not [line for line in said.lines if "$" in line.text]


async def test_two_databases_hold_the_same_bytes(
    shared_calls: Sequence[Call], shared_database: Database, database: Database
) -> None:
    some, until = shared_calls[:12], shared_calls[12].opened_at
    assert {Sender.PHONE, Sender.CHAT} <= {call.wish.sender for call in some}
    await fill(database, some, SILENCE, lambda: None)
    assert await exported(database, until) == await exported(shared_database, until)


KINDS = {
    "a call of one message": "SELECT 1 FROM conversations WHERE last_sequence = 1",
    "a very long call": "SELECT 1 FROM conversations WHERE last_sequence >= 500",
    "the slowest answer, of yesterday": """
        SELECT 1 FROM (
            SELECT timestamp, (metadata -> 'latency' ->> 'total_ms')::float AS ms FROM messages
            WHERE metadata -> 'latency' ? 'total_ms' ORDER BY ms DESC LIMIT 1
        ) AS slowest WHERE timestamp::date = '2026-01-30' AND ms > 14000
    """,
    "a slow hour": """
        SELECT 1 FROM messages WHERE timestamp >= '2026-01-29 12:00Z' AND timestamp < '2026-01-29 13:30Z'
        HAVING percentile_cont(0.5) WITHIN GROUP (ORDER BY (metadata -> 'latency' ->> 'total_ms')::float) > 1800
    """,
    "each stage of an answer": """
        SELECT 1 FROM messages WHERE metadata -> 'latency' ?& ARRAY['total_ms', 'stt_ms', 'llm_ms', 'tts_ms']
    """,
    "an interruption": "SELECT 1 FROM messages WHERE metadata -> 'interrupted' = 'true'",
    "what was meant beside what was heard": """
        SELECT 1 FROM messages WHERE metadata ->> 'generated_text' LIKE content || '%'
    """,
    "a backchannel": "SELECT 1 FROM messages WHERE metadata ->> 'behavior' = 'backchannel'",
    "a function call with its result": """
        SELECT 1 FROM messages AS asked JOIN messages AS answer USING (conversation_id)
        WHERE answer.metadata -> 'call_id' = asked.metadata -> 'call_id'
            AND asked.metadata ->> 'state' = 'requested' AND answer.metadata ->> 'state' = 'completed'
    """,
    "a function that failed": "SELECT 1 FROM messages WHERE role = 'function' AND content LIKE '%no answer%'",
    "a function call that was cancelled": "SELECT 1 FROM messages WHERE metadata ->> 'state' = 'cancelled'",
    "an abandoned call": "SELECT 1 FROM voice_sessions WHERE end_reason = 'abandoned'",
    "a call that failed": "SELECT 1 FROM voice_sessions WHERE end_reason = 'error'",
    "events that the phone gave up": "SELECT 1 FROM voice_sessions WHERE client_lost > 0",
    "events that came twice": "SELECT 1 FROM voice_sessions WHERE duplicates > 0",
    "a call of two sessions": "SELECT 1 FROM voice_sessions GROUP BY conversation_id HAVING count(*) = 2",
    "a session of two connections": "SELECT 1 FROM voice_sessions WHERE cardinality(provider_session_ids) = 2",
    "a message that came late": "SELECT 1 FROM messages WHERE created_at > timestamp + interval '1 minute'",
    "a repaired time": "SELECT 1 FROM messages WHERE metadata -> 'repaired' ? '/timestamp'",
    "a repaired function call": "SELECT 1 FROM messages WHERE metadata -> 'repaired' ? '/content'",
    "a typed message in a call": """
        SELECT 1 FROM messages WHERE input_modality = 'text' AND voice_session_id IS NOT NULL
    """,
    "a chat": "SELECT 1 FROM messages GROUP BY conversation_id HAVING bool_and(input_modality = 'text')",
    "messages of Pipecat": "SELECT 1 FROM messages WHERE metadata ->> 'provider' = 'pipecat'",
    "messages of LiveKit": "SELECT 1 FROM messages WHERE metadata ->> 'provider' = 'livekit'",
    "a silence": """
        SELECT 1 FROM (
            SELECT timestamp - lag(timestamp) OVER (PARTITION BY conversation_id ORDER BY timestamp) AS pause
            FROM messages
        ) AS said WHERE pause > interval '9 seconds'
    """,
    "each kind of incident": """
        SELECT 1 FROM voice_events WHERE type IN ('Error', 'Warning', 'InjectionRefused', 'FrustrationDetected')
        HAVING count(DISTINCT type) = 4
    """,
    "each type of conversation but onboarding": "SELECT 1 FROM conversations HAVING count(DISTINCT context_type) = 4",
    "each intent": "SELECT 1 FROM conversations HAVING count(DISTINCT extracted_intent) = 3",
    "each state of deliveries": "SELECT 1 FROM deliveries HAVING count(DISTINCT state) = 4",
    "a delivery that waits for another attempt": """
        SELECT 1 FROM deliveries WHERE state = 'pending' AND due_at > '2026-01-31 09:30Z' AND last_error IS NOT NULL
    """,
    "a delivery that failed for good": "SELECT 1 FROM deliveries WHERE state = 'failed' AND attempts = 10",
    "a delivery that was answered 410": "SELECT 1 FROM deliveries WHERE state = 'held' AND last_status = 410",
    "a delivery behind that": "SELECT 1 FROM deliveries WHERE state = 'held' AND attempts = 0",
    "a delivery that took several attempts": "SELECT 1 FROM deliveries WHERE state = 'delivered' AND attempts > 1",
    "eight languages": """
        SELECT 1 FROM messages, jsonb_array_elements_text(metadata -> 'languages') AS language
        HAVING count(DISTINCT language) = 8
    """,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_is_there(
    shared_calls: Sequence[Call], shared_connection: asyncpg.Connection, kind: str
) -> None:
    assert shared_calls
    assert await shared_connection.fetchval(KINDS[kind])


WRONG = {
    "a sequence against the time of recording": """
        SELECT 1 FROM messages AS one JOIN messages AS next USING (conversation_id)
        WHERE next.sequence = one.sequence + 1 AND next.created_at <= one.created_at
    """,
    "a place in the feed against the time of recording": """
        SELECT 1 FROM (
            SELECT created_at, lag(created_at) OVER (ORDER BY feed_position) AS before FROM messages
        ) AS feed WHERE created_at < before
    """,
    "a message recorded before it was said": "SELECT 1 FROM messages WHERE created_at < timestamp",
    "a message outside its conversation": """
        SELECT 1 FROM messages AS m JOIN conversations AS c ON c.id = conversation_id
        WHERE timestamp < c.created_at OR m.created_at > c.updated_at
    """,
    "a conversation without an end or a length": """
        SELECT 1 FROM conversations WHERE ended_at IS NULL OR duration_seconds IS NULL OR ended_at > updated_at
    """,
    "a length that is not the sessions'": """
        SELECT 1 FROM conversations AS c WHERE duration_seconds <> (
            SELECT sum(round(extract(epoch FROM ended_at - started_at))) FROM voice_sessions
            WHERE conversation_id = c.id
        )
    """,
    "an event outside its session": """
        SELECT 1 FROM voice_events JOIN voice_sessions AS s ON s.id = voice_session_id
        WHERE received_at < started_at OR received_at > coalesce(ended_at, seen_at)
    """,
    "a delivery before its conversation": """
        SELECT 1 FROM deliveries AS d JOIN conversations AS c ON c.id = conversation_id
        WHERE d.created_at < c.ended_at OR last_attempt_at < d.created_at OR due_at < last_attempt_at
            OR (body::jsonb ->> 'timestamp')::timestamptz <> d.created_at
    """,
}


@pytest.mark.parametrize("fault", WRONG)
async def test_nothing_contradicts_itself(
    shared_calls: Sequence[Call], shared_connection: asyncpg.Connection, fault: str
) -> None:
    assert shared_calls
    assert await shared_connection.fetchval(WRONG[fault]) is None


async def test_all_times_lie_in_the_week(shared_calls: Sequence[Call], shared_connection: asyncpg.Connection) -> None:
    assert shared_calls
    for table, column in await shared_connection.fetch("""
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type = 'timestamp with time zone'
            AND table_name IN ('conversations', 'messages', 'voice_sessions', 'voice_events', 'deliveries')
    """):
        first = await shared_connection.fetchval(f"SELECT min({column}) FROM {table}")
        last = await shared_connection.fetchval(f"SELECT max({column}) FROM {table}")
        assert first is None or first >= SINCE, (table, column)
        assert last is None or last < UNTIL or column == "due_at", (table, column)


async def test_the_receipts_agree_with_what_phones_say(
    shared_calls: Sequence[Call], shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection
) -> None:
    incomplete = {"missing", "lost", "abandoned"}
    for call in shared_calls:
        for session in await shared_connection.fetch(
            "SELECT id, last_client_sequence FROM voice_sessions WHERE conversation_id = $1", call.id
        ):
            receipt = (await shared_service.get(f"/api/v1/voice/sessions/{session['id']}/receipt")).json()
            missing = sum(last - first + 1 for first, last in receipt["missing"])
            assert receipt["received"] + missing == receipt["expected"]
            assert receipt["expected"] == (session["last_client_sequence"] or receipt["received"])
            assert receipt["complete"] is not any(trouble in incomplete for trouble in call.wish.troubles)


async def test_the_timelines_show_each_kind_of_segment(
    shared_calls: Sequence[Call], shared_service: httpx.AsyncClient
) -> None:
    shown = set()
    for call in shared_calls:
        timeline = (await shared_service.get(f"/api/v1/conversations/{call.id}/timeline?limit=500")).json()
        shown |= {segment["kind"] for segment in timeline["segments"]}
    assert shown == {*SegmentKind}


@pytest.mark.parametrize("source", Source)
async def test_the_figures_of_each_source_have_something_to_show(
    shared_calls: Sequence[Call], shared_service: httpx.AsyncClient, source: Source
) -> None:
    assert shared_calls
    period = {"since": SINCE.isoformat(), "until": UNTIL.isoformat(), "bucket": "P1D", "source": source.value}
    figures = (await shared_service.get("/api/v1/stats", params=period)).json()
    assert sum(bucket["calls"] for bucket in figures["buckets"]) > 0
    assert sum(bucket["turns"] for bucket in figures["buckets"]) > 0


async def test_what_is_removed_leaves_nothing_but_its_audit_and_can_be_recorded_again(
    database: Database, connection: asyncpg.Connection
) -> None:
    theirs = await open_conversation(connection)
    calls = plan(1, UNTIL, DAYS, CALLS)[-5:]
    for _ in range(2):
        await fill(database, calls, SILENCE, lambda: None)
        held = await demo_data.holdings(database)
        assert (len(held.demo), held.has_others) == (5, True)
        for conversation_id in held.demo:
            await demo_data.remove(database, conversation_id)
        for table in Base.metadata.sorted_tables:
            if table.name not in {"conversations", "audit_entries"} and not table.name.startswith("search"):
                assert await connection.fetchval(f"SELECT count(*) FROM {table.name}") == 0, table.name
        assert await connection.fetchval("SELECT array_agg(id) FROM conversations") == [theirs]


async def test_a_conversation_that_only_looks_alike_is_not_demo_data(
    database: Database, connection: asyncpg.Connection
) -> None:
    insert = "INSERT INTO conversations (id, context_type, user_id) VALUES ($1, 'voice', $2)"
    await connection.execute(insert, "de30da7a-0000-8000-8000-000000000001", "anna")
    await connection.execute(insert, "de30da7a-0000-8000-8000-000000000002", None)
    await connection.execute(insert, "ee30da7a-0000-8000-8000-000000000003", "demo-anna")
    assert await demo_data.holdings(database) == ([], True)


async def test_a_live_call_is_recorded_event_by_event_and_its_receipt_is_complete(
    database: Database, connection: asyncpg.Connection
) -> None:
    opened_at = datetime.now(UTC) - timedelta(hours=1)
    call = plan_call(Wish("live", "vi", messages=6), 1, opened_at, opened_at)
    receipt = await play_live(database, call, asyncio.Event())
    assert receipt.complete
    assert receipt.last_sequence == 6
    assert await connection.fetchval("SELECT count(DISTINCT created_at) FROM messages") == 6


async def test_a_live_call_waits_for_its_next_event_and_ends_when_it_is_told_to(database: Database) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().call_soon(ended.set)
    opened_at = datetime.now(UTC) + timedelta(days=1)
    receipt = await play_live(database, plan_call(Wish("live", "vi", messages=6), 1, opened_at, opened_at), ended)
    assert (receipt.received, receipt.complete) == (0, True)
