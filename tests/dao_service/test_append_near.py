"""The append function of a cluster does what that of one server does; here both run on one server."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from backend.dao_service.append_dao import NewMessage
from backend.migrations.distribution import functions

Call = Sequence[NewMessage]
STORED = """
    SELECT id, sequence, role, content, metadata::text, voice_session_id, client_sequence,
        CASE WHEN client_sequence IS NOT NULL THEN timestamp END
    FROM messages ORDER BY conversation_id, sequence
"""
HEADS = "SELECT last_sequence FROM conversations ORDER BY id"


def said(conversation: UUID, number: int, **more: object) -> NewMessage:
    values = {
        "id": UUID(int=number),
        "conversation_id": conversation,
        "role": "user",
        "content": f"number {number}",
        "input_modality": "voice",
        "metadata": '{"provider": "deepgram"}',
        "timestamp": None,
        "voice_session_id": None,
        "client_sequence": None,
        "owner": None,
    }
    return NewMessage(**(values | more))  # type: ignore[arg-type]


def at(second: int) -> datetime:
    return datetime(2026, 1, 31, 9, 30, second, tzinfo=UTC)


A, B, MINE, MISSING = (UUID(int=number) for number in range(1001, 1005))
OPEN = "INSERT INTO conversations (id, context_type, user_id) VALUES ($1, 'voice', $2)"
CALLS: dict[str, Sequence[Call]] = {
    "new": [[said(A, 1), said(B, 2), said(A, 3)]],
    "repeated": [[said(A, 1)], [said(A, 1), said(A, 2), said(B, 3)]],
    "changed": [
        [said(A, 1), said(B, 2)],
        [said(A, 1, content="other", role="assistant"), said(A, 2), said(B, 2, metadata="{}")],
    ],
    "twice in a call": [[said(A, 1), said(A, 1), said(B, 1), said(A, 1, content="other")]],
    "of strangers": [
        [said(MINE, 1, owner="minh"), said(MINE, 2, owner="lan"), said(A, 3, owner="minh")],
        [said(MINE, 1, owner="lan"), said(MINE, 4, owner="minh")],
    ],
    "missing": [[said(MISSING, 1), said(A, 2)], [said(MISSING, 1)]],
    "late": [
        [
            said(A, 1, voice_session_id="s", client_sequence=1, timestamp=at(1)),
            said(A, 5, voice_session_id="s", client_sequence=5, timestamp=at(9)),
        ],
        [
            said(A, 2, voice_session_id="s", client_sequence=2),
            said(A, 4, voice_session_id="s", client_sequence=4),
        ],
    ],
}


@pytest.fixture
async def near(connection: asyncpg.Connection) -> asyncpg.Connection:
    for statement in (functions.APPEND, functions.ADVANCE_COUNTER.format(schema="public")):
        await connection.execute(statement)
    return connection


async def _run(connection: asyncpg.Connection, calls: Sequence[Call], *, is_near: bool) -> list[Any]:
    """Make ``calls`` on two conversations without an owner and one of minh's, and return all that can be seen."""
    transaction = connection.transaction()
    await transaction.start()
    await connection.executemany(OPEN, [(A, None), (B, None), (MINE, "minh")])
    seen: list[Any] = []
    for call in calls:
        arrays = [[*column] for column in zip(*call, strict=True)]
        name, values = ("verbatim_append_near", [A, *arrays]) if is_near else ("verbatim_append", arrays)
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        rows = await connection.fetch(f"SELECT place, id, sequence, differing, locked FROM {name}({places})", *values)
        seen.append(sorted(map(str, map(tuple, rows))))
    seen.append([str(tuple(row)) for row in await connection.fetch(STORED)])
    seen.append([row[0] for row in await connection.fetch(HEADS)])
    await transaction.rollback()
    return seen


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS.keys())
async def test_it_answers_and_stores_the_same(near: asyncpg.Connection, calls: Sequence[Call]) -> None:
    assert await _run(near, calls, is_near=True) == await _run(near, calls, is_near=False)
