"""A recorder whose service answers anything but what it should: nothing is lost, doubled, reordered or refused."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.clients.python.bad_service import BadService, Fault, standing_before
from tests.clients.python.conftest import sent
from tests.clients.python.test_outages import Speaker
from tests.clients.python.test_recorder import left_in
from tests.waiting import PATIENCE
from verbatim_record import HttpSink, Limits, Recorder

Read = Callable[[], Awaitable[list[dict[str, Any]]]]
Bad = tuple[BadService, str]

SECONDS = float(os.environ.get("OUTAGE", "0.5"))  # of each fault; a minute by hand
LIMITS = Limits(patience=0.3, closing=PATIENCE)


@pytest.fixture
async def bad(service: httpx.AsyncClient) -> AsyncIterator[Bad]:
    async with standing_before(service) as standing:
        yield standing


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)
async def test_whatever_is_answered_for_a_while_no_message_is_lost_doubled_reordered_or_refused(
    bad: Bad, fault: Fault, conversation: UUID, spool: Path, record_of: Read
) -> None:
    stand_in, address = bad
    async with Recorder(HttpSink(address), conversation_id=conversation, spool=spool, limits=LIMITS) as recorder:
        speaker = Speaker(recorder)
        await speaker.speak(0.1)
        stand_in.fault = fault
        await speaker.speak(SECONDS)
        assert stand_in.spoilt
        assert recorder.stats.refused == 0
        stand_in.fault = None
        await speaker.speak(0.1)
        await sent(recorder)
    rows = await record_of()
    assert [int(row["content"]) for row in rows] == list(range(speaker.said))
    assert [row["client_sequence"] for row in rows] == list(range(1, speaker.said + 1))
    assert (recorder.stats.sent, recorder.stats.lost, recorder.stats.refused) == (speaker.said, 0, 0)
    assert left_in(spool) == []


async def test_a_message_that_the_service_fails_for_alone_and_for_ever_stops_no_later_one(
    bad: Bad, conversation: UUID, spool: Path, record_of: Read, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("monkeypatch").setattr("verbatim_record.recorder.writer.ISOLATED_FAILURE_TIMEOUT", 0.5)
    connection: asyncpg.Connection = request.getfixturevalue("connection")
    await connection.execute("ALTER TABLE messages ADD CONSTRAINT theirs CHECK (content <> 'Never.')")
    _, address = bad
    async with Recorder(HttpSink(address), conversation_id=conversation, spool=spool, limits=LIMITS) as recorder:
        for words in ("Before.", "Never.", "After."):
            recorder.record("user", words)
            await asyncio.sleep(0)
        await sent(recorder)
        assert (recorder.stats.sent, recorder.stats.refused, recorder.stats.lost) == (2, 1, 0)
    assert [row["content"] for row in await record_of()] == ["Before.", "After."]
    assert left_in(spool) == [("Never.", "500 /problems/internal-error")]
