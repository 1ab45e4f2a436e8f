"""Migration 0115: voice events and sessions are found by their conversation, and numbers are times."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest

if TYPE_CHECKING:
    from tests.migrations.conftest import Sandbox

SESSION = "INSERT INTO voice_sessions (id, conversation_id, provider) VALUES ($1, $2, 'deepgram')"
# As the release before inserts them.
EVENT = "INSERT INTO voice_events (voice_session_id, id, type, after_sequence) VALUES ($1, $2, 'Welcome', 0)"
DELIVERY = """
    INSERT INTO deliveries (id, conversation_id, type, version, body, state)
    VALUES ($1, $2, 'intent.extracted', 'v', '{}', 'pending')
"""
NAMED = "SELECT voice_session_id, conversation_id FROM voice_events ORDER BY 1"
LISTED = "SELECT id, conversation_id FROM voice_session_ids ORDER BY 1"


async def _call(sandbox: Sandbox, session: str) -> UUID:
    """Make a conversation with a session and two events, as the release before does; return the conversation's id."""
    async with sandbox.connect() as connection:
        made = "INSERT INTO conversations (context_type) VALUES ('voice') RETURNING id"
        conversation: UUID = await connection.fetchval(made)
        await connection.execute(SESSION, session, conversation)
        for _ in range(2):
            await connection.execute(EVENT, session, uuid4())
    return conversation


async def test_events_and_sessions_from_before_and_of_the_release_before_name_their_conversation(
    sandbox: Sandbox,
) -> None:
    await sandbox.upgrade("0114")
    old = await _call(sandbox, "vs_a")
    await sandbox.upgrade("0115")
    new = await _call(sandbox, "vs_b")
    assert await sandbox.rows(NAMED) == [("vs_a", old)] * 2 + [("vs_b", new)] * 2
    assert await sandbox.rows(LISTED) == [("vs_a", old), ("vs_b", new)]
    await sandbox.run("DELETE FROM conversations")
    assert await sandbox.rows(LISTED) == []


async def test_numbers_rise_from_before_the_migration_to_after_it_and_back(sandbox: Sandbox) -> None:
    await sandbox.upgrade("0114")
    conversation = await _call(sandbox, "vs_a")
    ids = [uuid4() for _ in range(6)]
    async with sandbox.connect() as connection:
        for revision, some in (("0114", ids[:2]), ("0115", ids[2:4]), ("0114", ids[4:])):
            await (sandbox.upgrade if revision > "0114" else sandbox.downgrade)(revision)
            for each in some:
                await connection.execute(DELIVERY, each, conversation)
            await connection.execute(EVENT, "vs_a", uuid4())
    assert await sandbox.rows("SELECT id FROM deliveries ORDER BY number") == [(each,) for each in ids]
    assert await sandbox.rows("SELECT number FROM deliveries ORDER BY number") == [(n,) for n in range(1, 7)]
    assert await sandbox.rows("SELECT number FROM voice_events ORDER BY number") == [(n,) for n in range(1, 6)]


async def test_a_session_id_is_taken_wherever_its_session_is(sandbox: Sandbox) -> None:
    await sandbox.upgrade()
    await _call(sandbox, "vs_a")
    async with sandbox.connect() as connection:
        other = await connection.fetchval("INSERT INTO conversations (context_type) VALUES ('voice') RETURNING id")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(SESSION, "vs_a", other)
