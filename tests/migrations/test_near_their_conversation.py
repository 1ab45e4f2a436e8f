"""Migration 0115: voice events and sessions are found by their conversation, and numbers are times."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest

from backend.migrations.append_function import append_function
from tests.waiting import until_found

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
NUMBERED = "SELECT voice_session_id, number FROM voice_events ORDER BY number, id"
WAITING = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%voice_session_ids%'
"""
FROZEN = "6f466644e452888161b16087635e9781ae1b4d39fc6959c41f0a8fa6bfb5e160"  # of what 0115 installs


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


async def test_going_back_changes_the_numbers_alone_that_are_there_twice(sandbox: Sandbox) -> None:
    await sandbox.upgrade("0115")
    one, other = await _call(sandbox, "vs_a"), await _call(sandbox, "vs_b")
    numbered = [(5, UUID(int=1)), (7, UUID(int=2)), (7, UUID(int=3)), (8, UUID(int=4)), (20, UUID(int=5))]
    async with sandbox.connect() as connection:
        for place, (number, identity) in enumerate(numbered):
            await connection.execute(DELIVERY, identity, (one, other)[place % 2])
            await connection.execute("UPDATE deliveries SET number = $1 WHERE id = $2", number, identity)
        events = await connection.fetch(NUMBERED)
        await sandbox.downgrade("0114")
        await connection.execute(DELIVERY, UUID(int=6), one)
        await connection.execute(EVENT, "vs_a", uuid4())
        numbers = await connection.fetch("SELECT number FROM deliveries ORDER BY id")
        assert [number for (number,) in numbers] == [5, 7, 8, 9, 20, 21]
        assert (await connection.fetch(NUMBERED))[:-1] == events


async def test_an_erasure_and_the_migration_do_not_wait_for_each_other(sandbox: Sandbox) -> None:
    await sandbox.upgrade("0114")
    conversation = await _call(sandbox, "vs_a")
    async with sandbox.connect() as watch, sandbox.connect() as erasure, asyncio.TaskGroup() as tasks:
        async with erasure.transaction():
            await erasure.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", conversation)
            migration = tasks.create_task(sandbox.upgrade("0115"))
            await until_found(watch, WAITING)
            await erasure.execute("DELETE FROM conversations WHERE id = $1", conversation)
        await migration
    assert await sandbox.rows(LISTED) == []
    assert await sandbox.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0


def test_the_text_of_the_append_function_is_that_of_the_revision() -> None:
    text = append_function("%3$s.verbatim_append")
    assert hashlib.sha256(text.encode()).hexdigest() == FROZEN, "a changed text is another function of a new revision"


async def test_a_session_id_is_taken_wherever_its_session_is(sandbox: Sandbox) -> None:
    await sandbox.upgrade()
    await _call(sandbox, "vs_a")
    async with sandbox.connect() as connection:
        other = await connection.fetchval("INSERT INTO conversations (context_type) VALUES ('voice') RETURNING id")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(SESSION, "vs_a", other)
