"""A service that goes away in the middle of a call, and comes back: nothing is lost, doubled or reordered."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from tests.clients.python.conftest import sent
from tests.conftest import serving
from tests.waiting import PATIENCE
from verbatim_record import HttpSink, Limits, Recorder

Read = Callable[[], Awaitable[list[dict[str, Any]]]]

SECONDS = float(os.environ.get("OUTAGE", "3"))  # a minute by hand
PACE = 1 / 20
MEMORY = 8_000  # bytes, which is less than a second of it: the rest is on disk alone


class Speaker:
    """Speaks on, whatever happens, and looks how much is in memory."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.said = 0
        self.most_held = 0

    async def speak(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._recorder.record("assistant" if self.said % 2 else "user", str(self.said))
            self.said += 1
            self.most_held = max(self.most_held, self._recorder._writer._memory_used + self._recorder._spool.unsaved)
            await asyncio.sleep(PACE)


async def test_an_outage_costs_nothing_but_time(
    database_url: str, conversation: UUID, spool: Path, record_of: Read
) -> None:
    with serving(database_url) as address:
        port = str(httpx.URL(address).port)
        recorder = Recorder(
            HttpSink(address), conversation_id=conversation, spool=spool, limits=Limits(memory=MEMORY, closing=PATIENCE)
        )
        await recorder.__aenter__()
        speaker = Speaker(recorder)
        await speaker.speak(0.5)
        await sent(recorder)
    before = speaker.said
    await speaker.speak(SECONDS)
    assert recorder.stats.queued == speaker.said - before
    assert recorder.stats.oldest_unsent_seconds > SECONDS / 2
    with serving(database_url, "--port", port):
        await speaker.speak(0.5)
        await sent(recorder)
        await recorder.aclose()
    rows = await record_of()
    assert [int(row["content"]) for row in rows] == list(range(speaker.said))
    assert [row["client_sequence"] for row in rows] == list(range(1, speaker.said + 1))
    assert (recorder.stats.sent, recorder.stats.lost, recorder.stats.refused) == (speaker.said, 0, 0)
    assert speaker.most_held < 2 * MEMORY
