"""Adoption while the host writes: no write is lost, and no writer waits for longer than half a second.

How long a writer waits depends on the machine, so that is a measurement: `make bench-adoption`, with a million rows.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from backend.migrations import runner

if TYPE_CHECKING:
    from tests.migrations.conftest import Sandbox

MEASURED = "ADOPTION_ROWS" in os.environ
ROWS = int(os.environ.get("ADOPTION_ROWS", "10000"))
PACE = 0.005  # seconds between two writes


class Writer:
    """Writes every five milliseconds, and remembers its longest wait."""

    def __init__(self, sandbox: Sandbox, statement: str, targets: list[UUID]) -> None:
        self.worst = 0.0
        self.count = 0
        self._sandbox, self._statement, self._targets = sandbox, statement, targets

    async def run(self, stop: asyncio.Event) -> None:
        async with self._sandbox.connect("writer") as connection:
            while not stop.is_set():
                target = self._targets[self.count % len(self._targets)]
                started = time.perf_counter()
                await connection.execute(self._statement, target)
                self.worst = max(self.worst, time.perf_counter() - started)
                self.count += 1
                await _pause(stop, PACE)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass


async def _read_for_a_second(sandbox: Sandbox, stop: asyncio.Event) -> None:
    """Be the report that holds its snapshot and its locks for a second, twice in three."""
    async with sandbox.connect("report") as connection:
        while not stop.is_set():
            async with connection.transaction():
                await connection.fetchval("SELECT 1 FROM conversations LIMIT 1")
                await connection.fetchval("SELECT pg_sleep(1)")
            await _pause(stop, 0.5)


@pytest.mark.parametrize("applied_by_hand", [False, True], ids=["without messages", "with messages"])
async def test_adoption_under_load_loses_no_write(sandbox: Sandbox, applied_by_hand: bool) -> None:
    await sandbox.make_host(rows=ROWS, seed=applied_by_hand)
    conversations = [row[0] for row in await sandbox.rows("SELECT id FROM conversations LIMIT 1000")]
    writers = [
        Writer(sandbox, "UPDATE conversations SET updated_at = now() WHERE id = $1", conversations),
        Writer(
            sandbox,
            "INSERT INTO conversations (user_id, context_type, mood) VALUES ('u', 'goal', $1::uuid::text)",
            conversations,
        ),
    ]
    if applied_by_hand:
        await sandbox.run(
            "INSERT INTO messages (conversation_id, role, content, created_at) "
            f"SELECT id, 'user', 'hi', created_at + n FROM (SELECT * FROM conversations LIMIT {ROWS // 10}) AS c, "
            "(SELECT n * interval '1 second' FROM generate_series(1, 10) AS n) AS n (n)"
        )
        say = "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', 'live')"
        writers.append(Writer(sandbox, say, conversations))
    await sandbox.run("ANALYZE")

    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(writer.run(stop))
        group.create_task(_read_for_a_second(sandbox, stop))
        await _pause(stop, 0.2)
        started = time.perf_counter()
        try:
            await sandbox.upgrade()
        finally:
            took = time.perf_counter() - started
            stop.set()

    print(  # noqa: T201 -- for whoever measures, with -s
        f"\n{ROWS:,} conversations, {'with' if applied_by_hand else 'without'} messages: adopted in {took:.1f} s; "
        + ", ".join(f"{writer.count} writes, worst {writer.worst * 1000:.0f} ms" for writer in writers)
    )
    assert not MEASURED or max(writer.worst for writer in writers) < 0.5
    assert min(writer.count for writer in writers) > 10
    assert await sandbox.faults() == []
    assert await sandbox.value("SELECT count(*) FROM messages WHERE content = 'live'") == (
        writers[2].count if applied_by_hand else 0
    )
    assert (
        await sandbox.value("""
        SELECT count(*) FROM messages AS live JOIN messages AS old USING (conversation_id)
        WHERE live.content = 'live' AND old.content = 'hi' AND live.sequence < old.sequence
    """)
        == 0
    )
    assert await asyncio.to_thread(runner.drift, sandbox.url) == []
