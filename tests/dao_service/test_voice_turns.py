"""What is read of a session's turns is bounded, however long its turns are and however it counts."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from backend.dao_service import voice_turn_dao
from backend.dao_service.connection.database import Database
from backend.dao_service.voice_arrival_dao import Enriched, KnownSession, VoiceArrivalDAO
from backend.dao_service.voice_turn_dao import TurnWindow, turns
from backend.migrations import runner
from tests.conftest import open_conversation
from tests.rows_read import rows_read

SESSION = "vs_0123456789abcdef"


@pytest.fixture
async def session(connection: asyncpg.Connection) -> KnownSession:
    conversation = await open_conversation(connection)
    await connection.execute(
        "INSERT INTO voice_sessions (id, conversation_id, provider) VALUES ($1, $2, 'deepgram')", SESSION, conversation
    )
    return KnownSession(SESSION, conversation, "deepgram", None)


async def speak(connection: asyncpg.Connection, session: KnownSession, roles: str, *, counted: bool = True) -> None:
    """Put messages on record, by the first letters of their roles."""
    await connection.execute(
        """
        INSERT INTO messages (conversation_id, role, content, voice_session_id, client_sequence)
        SELECT $1, CASE role WHEN 'u' THEN 'user' ELSE 'assistant' END, 'x', $2, CASE WHEN $4 THEN place END
        FROM unnest($3::text[]) WITH ORDINALITY AS said (role, place)
        """,
        session.conversation_id,
        session.id,
        [*roles],
        counted,
    )


async def look(database: Database, session: KnownSession, first: int, last: int) -> TurnWindow:
    async with database.driver_connection() as reading:
        return await turns(reading, session, first, last)


def kinds(found: TurnWindow) -> str:
    return "".join(kind[0] for kind, _, _ in found.entries)


async def test_the_turns_around_are_whole_where_they_are_short(
    database: Database, connection: asyncpg.Connection, session: KnownSession
) -> None:
    await speak(connection, session, "uaauaaauaa")
    found = await look(database, session, 6, 6)
    assert kinds(found) == "uaaau"
    assert not found.first_is_cut
    assert not found.last_is_cut


@pytest.mark.parametrize(("counted", "base"), [(True, 0), (False, 2**31)])
async def test_of_a_session_whose_user_never_speaks_only_what_is_near_is_read(
    database: Database, connection: asyncpg.Connection, session: KnownSession, counted: bool, base: int
) -> None:
    await speak(connection, session, "a" * 4_000, counted=counted)
    found = await look(database, session, base + 3_000, base + 3_000)
    assert len(found.entries) == 499 + 1_001
    assert found.first_is_cut
    assert not found.last_is_cut
    found = await look(database, session, base + 1, base + 4_000)
    assert len(found.entries) == 1_999
    assert not found.first_is_cut
    assert found.last_is_cut


async def test_a_cut_hides_no_turn_that_is_whole_behind_it(
    database: Database, connection: asyncpg.Connection, session: KnownSession
) -> None:
    await speak(connection, session, "a" * 900 + "uaaa")
    found = await look(database, session, 903, 904)
    assert kinds(found) == "uaaa"
    assert not found.first_is_cut


async def test_messages_are_enriched_without_reading_the_whole_of_their_long_conversation(
    database: Database, connection: asyncpg.Connection, session: KnownSession
) -> None:
    await connection.execute(
        """
        WITH begun AS (
            INSERT INTO conversations (context_type) SELECT 'voice' FROM generate_series(1, 500) RETURNING id
        )
        INSERT INTO messages (conversation_id, role, content) SELECT id, 'user', 'x' FROM begun
        """
    )
    await connection.execute("ANALYZE messages")  # PostgreSQL plans for short conversations
    await speak(connection, session, "ua" * 2_000)
    await connection.execute('UPDATE messages SET metadata = \'{"provider": "deepgram"}\'')
    rows = await connection.fetch("SELECT id, sequence FROM messages WHERE voice_session_id = $1", session.id)
    ids = {row["sequence"]: row["id"] for row in rows}
    wanted = [ids[3_000], ids[3_002]]
    async with database.driver_transaction() as writing:
        arriving = VoiceArrivalDAO(writing, session)
        await arriving.lock()
        before = await rows_read(writing)
        await arriving.touch(
            duplicates=0,
            connections=[],
            enriched=Enriched({key: {"interrupted": True} for key in wanted}, [3_000, 3_002]),
        )
        read = await rows_read(writing) - before
    assert read < 20
    enriched = await connection.fetch("SELECT id FROM messages WHERE metadata ? 'interrupted'")
    assert {row["id"] for row in enriched} == {*wanted}


def the_nearest_turns(conversation: UUID) -> str:
    return with_values(voice_turn_dao._WINDOWS[0], conversation)


def the_turns(conversation: UUID) -> str:
    return with_values(voice_turn_dao._WINDOWS[-1], conversation)


def with_values(statement: str, conversation: UUID) -> str:
    for number, value in enumerate((f"'{SESSION}'", f"'{conversation}'", "2", "2"), 1):
        statement = statement.replace(f"${number}", value)
    return statement


def the_time_between_neighbours(conversation: UUID) -> str:
    append = runner.scripts().get_revision("0114").module
    sent = f"SELECT '{SESSION}' AS session_id, '{conversation}'::uuid AS conversation_id, 2 AS number"
    return f"SELECT ({append._BETWEEN}) FROM ({sent}) AS sent"


@pytest.mark.parametrize("statement", [the_nearest_turns, the_turns, the_time_between_neighbours])
async def test_strangers_that_name_the_session_cost_nothing(
    connection: asyncpg.Connection, session: KnownSession, statement: Callable[[UUID], str]
) -> None:
    """Every statement that looks for a session's messages begins with its conversation."""
    decoy = KnownSession(SESSION, await open_conversation(connection), "deepgram", None)
    await speak(connection, decoy, "a" * 20_000)
    await speak(connection, session, "uaa")
    await connection.execute("ANALYZE messages")
    plan = json.loads(await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement(session.conversation_id)}"))
    assert max(visited(plan[0]["Plan"])) < 100


def visited(node: dict[str, Any]) -> Iterator[float]:
    """Yield how many rows each node of a plan has looked at."""
    removed = sum(value for key, value in node.items() if key.startswith("Rows Removed"))
    yield (node["Actual Rows"] + removed) * node["Actual Loops"]
    for child in node.get("Plans", []):
        yield from visited(child)
