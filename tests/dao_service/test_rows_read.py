"""How many rows a statement reads does not grow with what it does not return, whatever PostgreSQL expects."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.connection.database import Database
from backend.dao_service.delivery_dao import DeliveryDAO
from backend.dao_service.message_dao import MessageDAO, Selection
from backend.dao_service.models import VoiceSession
from backend.dao_service.portions import Bounds
from backend.dao_service.voice_arrival_dao import UNCOUNTED, KnownSession
from backend.dao_service.voice_event_dao import VoiceEventDAO
from backend.dao_service.voice_session_dao import VoiceSessionDAO
from backend.dao_service.voice_turn_dao import turns
from backend.vocabulary import AuditAction, DeliveryState
from tests.conftest import open_conversation
from tests.rows_read import ROWS_READ, rows_read

SESSION: Final = "vs_0123456789abcdef"


@pytest.fixture
async def long_call(connection: asyncpg.Connection) -> VoiceSession:
    """A call of 3,000 messages and as many events, among so many short ones that PostgreSQL expects a short one."""
    await connection.execute(
        """
        WITH begun AS (
            INSERT INTO conversations (context_type) SELECT 'voice' FROM generate_series(1, 500) RETURNING id
        ), sessions AS (
            INSERT INTO voice_sessions (id, conversation_id, provider) SELECT id::text, id, 'deepgram' FROM begun
            RETURNING id, conversation_id
        ), events AS (
            INSERT INTO voice_events (voice_session_id, conversation_id, id, type, client_sequence, after_sequence)
            SELECT id, conversation_id, gen_random_uuid(), 'AgentAudioDone', number, 0
            FROM sessions CROSS JOIN generate_series(1, 4) AS number
        )
        INSERT INTO messages (conversation_id, role, content, voice_session_id, client_sequence)
        SELECT conversation_id, 'user', 'x', id, number FROM sessions CROSS JOIN generate_series(5, 8) AS number
        """
    )
    await connection.execute("ANALYZE")
    conversation = await open_conversation(connection)
    await connection.execute(
        "INSERT INTO voice_sessions (id, conversation_id, provider, seen_at) "
        "VALUES ($1, $2, 'deepgram', now() - interval '1 hour')",
        SESSION,
        conversation,
    )
    await connection.execute(
        """
        INSERT INTO messages (conversation_id, role, content, voice_session_id, client_sequence)
        SELECT $1, CASE number % 2 WHEN 0 THEN 'user' ELSE 'assistant' END, 'x', $2,
            CASE WHEN number <= 1500 THEN number END
        FROM generate_series(1, 3000) AS number
        """,
        conversation,
        SESSION,
    )
    await connection.execute(
        """
        INSERT INTO voice_events (voice_session_id, conversation_id, id, type, client_sequence, after_sequence)
        SELECT $2, $1, gen_random_uuid(), CASE WHEN number = 7 THEN 'Error' ELSE 'AgentAudioDone' END,
            CASE WHEN number <= 1500 THEN 1500 + number END, number
        FROM generate_series(1, 3000) AS number
        """,
        conversation,
        SESSION,
    )
    return VoiceSession(id=SESSION, conversation_id=conversation)


@pytest.fixture
async def deliveries(connection: asyncpg.Connection) -> None:
    """Of 500 conversations one due delivery each; PostgreSQL expects that all are delivered."""
    await connection.execute(
        """
        INSERT INTO deliveries (id, conversation_id, type, version, body, state)
        SELECT gen_random_uuid(), gen_random_uuid(), 'x', '1', '{}', 'delivered' FROM generate_series(1, 2000)
        """
    )
    await connection.execute("ANALYZE deliveries")
    await connection.execute(
        """
        INSERT INTO deliveries (id, conversation_id, type, version, body, state)
        SELECT gen_random_uuid(), gen_random_uuid(), 'x', '1', '{}', 'pending' FROM generate_series(1, 500)
        """
    )


async def claim(session: AsyncSession) -> None:
    assert len(await DeliveryDAO(session).claim(10, timedelta(minutes=1))) == 10


async def backlog(session: AsyncSession) -> None:
    assert (await DeliveryDAO(session).backlog()).pending == 500


async def list_failed(session: AsyncSession) -> None:
    assert not await DeliveryDAO(session).newest(DeliveryState.FAILED, None, before=None, limit=10)


async def retry_failed(session: AsyncSession) -> None:
    assert await DeliveryDAO(session).retry_failed() == 0


@pytest.mark.usefixtures("deliveries")
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize(("work", "most"), [(claim, 600), (backlog, 510), (list_failed, 10), (retry_failed, 10)])
async def test_deliveries_that_are_not_wanted_are_not_read(
    database: Database, work: Callable[[AsyncSession], Awaitable[None]], most: int, mode: str
) -> None:
    assert await read_by_session(database, mode, work) <= most


async def highest_number(session: AsyncSession, call: VoiceSession) -> None:
    assert await VoiceSessionDAO(session).highest_number(call) == 3_000


async def idle_sessions(session: AsyncSession, _: VoiceSession) -> None:
    assert not await VoiceSessionDAO(session).idle(timedelta(minutes=1), 10, None)


async def incidents(session: AsyncSession, call: VoiceSession) -> None:
    assert len(await VoiceEventDAO(session, call).incidents(100)) == 1


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("work", [highest_number, idle_sessions, incidents])
async def test_a_long_call_is_not_read_for_one_fact(
    database: Database,
    long_call: VoiceSession,
    work: Callable[[AsyncSession, VoiceSession], Awaitable[None]],
    mode: str,
) -> None:
    assert await read_by_session(database, mode, lambda session: work(session, long_call)) < 100


@pytest.mark.parametrize("place", [1_000, UNCOUNTED + 2_500], ids=["numbered", "unnumbered"])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_of_a_long_call_only_the_turns_around_are_read(
    database: Database, long_call: VoiceSession, place: int, mode: str
) -> None:
    known = KnownSession(long_call.id, long_call.conversation_id, "deepgram", None)

    async def read(writing: asyncpg.Connection) -> None:
        await turns(writing, known, place, place)

    assert await read_by_driver(database, mode, read) < 1_000


async def test_a_new_follower_reads_the_call_once_at_the_most_for_what_was_redacted(
    database: Database, connection: asyncpg.Connection, long_call: VoiceSession
) -> None:
    conversation: UUID = long_call.conversation_id
    await redact_each_hundredth(connection, conversation)
    wanted = Selection(conversation, None, Bounds(100, 2**20), up_to_sequence=3_000, redacted_since=0)

    async def read(writing: asyncpg.Connection) -> None:
        found = await MessageDAO(writing).recorded(wanted, 0)
        assert found
        assert [row.sequence for row in found.rows] == [*range(100, 3_001, 100)]

    assert await read_by_driver(database, "force_generic_plan", read) < 3_100


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_what_an_etag_is_compared_with_takes_a_row_of_each_table(
    database: Database, connection: asyncpg.Connection, long_call: VoiceSession, mode: str
) -> None:
    conversation: UUID = long_call.conversation_id
    await redact_each_hundredth(connection, conversation)

    async def read(writing: asyncpg.Connection) -> None:
        assert await MessageDAO(writing).version(conversation, None)

    assert await read_by_driver(database, mode, read) <= 3


async def redact_each_hundredth(connection: asyncpg.Connection, conversation: UUID) -> None:
    await connection.execute(
        "INSERT INTO audit_entries (id, action, actor, conversation_id, message_id) "
        f"SELECT gen_random_uuid(), '{AuditAction.MESSAGE_REDACTED}', 'x', conversation_id, id "
        "FROM messages WHERE conversation_id = $1 AND sequence % 100 = 0",
        conversation,
    )


async def read_by_session(database: Database, mode: str, work: Callable[[AsyncSession], Awaitable[None]]) -> int:
    """Return how many rows ``work`` reads, with plans of one ``mode``."""
    async with database.rolled_back() as session:
        await session.execute(text(f"SET LOCAL plan_cache_mode = {mode}"))
        await session.execute(text("SET LOCAL enable_seqscan = off"))  # the best plan for tables as small as these
        before = await session.scalar(text(ROWS_READ))
        await work(session)
        return int(await session.scalar(text(ROWS_READ)) - before)


async def read_by_driver(database: Database, mode: str, work: Callable[[asyncpg.Connection], Awaitable[None]]) -> int:
    async with database.driver_transaction() as connection:
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        before = await rows_read(connection)
        await work(connection)
        return await rows_read(connection) - before
