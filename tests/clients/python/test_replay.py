"""`verbatim replay` of a spool."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.conftest import serving
from verbatim_record import HttpSink, Limits, Recorder

NOBODY = "http://127.0.0.1:9"

Read = Callable[[], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
def fill(spool: Path) -> Callable[..., Awaitable[None]]:
    """Leave something in the spool, for want of a service."""

    async def fill(conversation: UUID, *said: str) -> None:
        limits = Limits(closing=0.0)
        async with Recorder(HttpSink(NOBODY), conversation_id=conversation, spool=spool, limits=limits) as recorder:
            for words in said:
                recorder.record("user", words)

    return fill


def replay(spool: Path, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backend", "replay", str(spool), "--url", url, "--patience", "1"]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


async def test_what_a_spool_holds_is_put_on_record_once(
    fill: Callable[..., Awaitable[None]], conversation: UUID, database_url: str, spool: Path, record_of: Read
) -> None:
    await fill(conversation, "One.", "Two.", "Three.")
    with serving(database_url) as address:
        first, again = replay(spool, address), replay(spool, address)
    assert (first.returncode, again.returncode) == (0, 0)
    assert "3 messages on record" in first.stdout
    assert "0 messages on record" in again.stdout
    assert [row["content"] for row in await record_of()] == ["One.", "Two.", "Three."]


async def test_what_is_refused_again_stays_and_what_was_mended_goes_through(
    fill: Callable[..., Awaitable[None]], connection: Any, database_url: str, spool: Path, record_of: Read
) -> None:
    later = uuid4()
    await fill(later, "Before its time.")
    with serving(database_url) as address:
        refused = replay(spool, address)
        assert refused.returncode == 1
        assert "1 of 404 /problems/conversation-not-found" in refused.stdout
        with sqlite3.connect(spool) as file:
            assert file.execute("SELECT reason FROM spool").fetchall() == [("404 /problems/conversation-not-found",)]
        file.close()
        await connection.execute("INSERT INTO conversations (id, context_type) VALUES ($1, 'voice')", later)
        assert replay(spool, address).returncode == 0
    assert await connection.fetchval("SELECT content FROM messages WHERE conversation_id = $1", later)
    assert await record_of() == []


async def test_without_a_service_it_says_so_and_everything_stays(
    fill: Callable[..., Awaitable[None]], conversation: UUID, spool: Path
) -> None:
    await fill(conversation, "One.")
    gave_up = replay(spool, NOBODY)
    assert gave_up.returncode == 1
    assert "accepted nothing for 1 seconds (no answer from the service (ConnectError))" in gave_up.stderr
    assert "One." not in gave_up.stdout + gave_up.stderr
    with sqlite3.connect(spool) as file:
        assert file.execute("SELECT count(*) FROM spool WHERE reason IS NULL").fetchone() == (1,)
    file.close()


async def test_what_belongs_to_a_recorder_that_runs_is_left_to_it(conversation: UUID, spool: Path) -> None:
    limits = Limits(closing=0.0)
    async with Recorder(HttpSink(NOBODY), conversation_id=conversation, spool=spool, limits=limits) as recorder:
        recorder.record("user", "Mine.")
        recorder._spool.flush().result(10)
        done = replay(spool, NOBODY)
    assert done.returncode == 0
    assert "1 belong to running recorders" in done.stdout


async def test_a_damaged_spool_is_sent_as_far_as_it_can_be_read_and_how_to_recover_the_rest_is_told(
    fill: Callable[..., Awaitable[None]], conversation: UUID, spool: Path, database_url: str, record_of: Read
) -> None:
    await fill(conversation, *(f"{number} {'x' * 500}" for number in range(50)))
    size = os.path.getsize(spool)  # noqa: ASYNC240, PTH202
    assert size > 6 * 4096
    os.truncate(spool, size - 4096)
    with serving(database_url) as address:
        replayed = replay(spool, address)
        again = replay(spool, address)
        os.unlink(damaged := f"{spool}.damaged-1")  # noqa: PTH108
        last = replay(spool, address)
    assert 20 < len(await record_of()) < 50
    assert (replayed.returncode, again.returncode, last.returncode) == (0, 0, 0)
    command = f"sqlite3 {damaged} .recover | sqlite3 {damaged}.recovered; verbatim replay {damaged}.recovered"
    assert [command in done.stderr for done in (replayed, again, last)] == [True, True, False]
