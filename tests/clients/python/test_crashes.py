"""Ending the pipeline's process: everything recorded in time is there after a replay, once and in order."""

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from tests.conftest import serving
from verbatim_record import HttpSink
from verbatim_record.recorder.replay import Replayed, replay

DEADLINE = 60.0
ROUNDS = int(os.environ.get("CRASHES", "6"))  # twenty by hand; half of them without a service
# Seconds after which a message is on disk. By hand; beside other tests the machine may be too busy for that.
WITHIN = 0.05 if "CRASHES" in os.environ else DEADLINE
NOBODY = "http://127.0.0.1:9"

Read = Callable[[], Awaitable[list[dict[str, Any]]]]


@dataclass
class Pipeline:
    process: asyncio.subprocess.Process
    said: dict[int, float]
    safe: int = 0  # messages that were on record or on disk before the end

    async def talk(self, lines: int) -> None:
        assert self.process.stdout
        for _ in range(lines):
            self._note(await self.process.stdout.readline())

    async def end(self, number: signal.Signals) -> float:
        """Send the signal, and return the moment before it."""
        assert self.process.stdout
        moment = time.monotonic()
        self.process.send_signal(number)
        for line in (await self.process.stdout.read()).splitlines():
            self._note(line)
        await self.process.wait()
        return moment

    def _note(self, line: bytes) -> None:
        number, moment, safe = line.split()
        self.said[int(number)] = float(moment)
        self.safe = int(safe)


@asynccontextmanager
async def pipeline(url: str, conversation: UUID, spool: Path, pause: float) -> AsyncIterator[Pipeline]:
    command = [sys.executable, "-m", "tests.clients.python.pipeline", url, str(conversation), str(spool), str(pause)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(DEADLINE):
            yield Pipeline(process, {})
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def send_the_rest(spool: Path, url: str) -> Replayed:
    return await replay(spool, HttpSink(url), patience=20, watch=lambda *_: None)


async def test_what_was_recorded_in_time_survives_kill_9_once_and_in_order(
    database_url: str, conversation: UUID, spool: Path, record_of: Read
) -> None:
    chance = random.Random(7)
    with serving(database_url) as address:
        for turn in range(ROUNDS):
            before = len(await record_of())
            service = address if turn % 2 else NOBODY
            async with pipeline(service, conversation, spool, 0.01) as talking:
                await talking.talk(chance.randrange(5, 120))
                killed = await talking.end(signal.SIGKILL)
            replayed = await send_the_rest(spool, address)
            assert (replayed.left, replayed.refusals) == (0, Counter())
            rows = (await record_of())[before:]
            found = [int(row["content"]) for row in rows]
            in_time = [number for number, moment in talking.said.items() if moment < killed - WITHIN]
            assert found == list(range(len(found)))  # once, in order, and a beginning: nothing is missing in between
            assert len(found) >= max(len(in_time), talking.safe)
    assert list(spool.parent.iterdir()) == [spool]


async def test_sigterm_leaves_nothing_behind_that_is_not_on_disk(
    database_url: str, conversation: UUID, spool: Path, record_of: Read
) -> None:
    async with pipeline(NOBODY, conversation, spool, 0.001) as talking:
        await talking.talk(50)
        await talking.end(signal.SIGTERM)
        assert talking.process.returncode == -signal.SIGTERM
    with serving(database_url) as address:
        await send_the_rest(spool, address)
    assert [int(row["content"]) for row in await record_of()][: len(talking.said)] == list(talking.said)


async def test_a_replay_is_a_repetition_that_changes_nothing(
    database_url: str, conversation: UUID, spool: Path, record_of: Read
) -> None:
    async with pipeline(NOBODY, conversation, spool, 0.001) as talking:
        await talking.talk(50)
        await talking.end(signal.SIGTERM)
    copy = spool.with_name("copy.spool")
    for suffix in ("", "-wal"):
        if (source := spool.with_name(spool.name + suffix)).exists():
            copy.with_name(copy.name + suffix).write_bytes(source.read_bytes())
    with serving(database_url) as address:
        first = await send_the_rest(spool, address)
        rows = await record_of()
        again = await send_the_rest(copy, address)
        assert (await send_the_rest(spool, address)).sent == 0
    assert first.sent == again.sent == len(rows)
    assert await record_of() == rows


async def test_a_replay_gives_up_and_leaves_everything_where_it_was(conversation: UUID, spool: Path) -> None:
    async with pipeline(NOBODY, conversation, spool, 0.001) as talking:
        await talking.talk(50)
        await talking.end(signal.SIGTERM)
    sink = HttpSink(NOBODY, client=httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(401))))
    replayed = await replay(spool, sink, patience=0.3, watch=lambda *_: None)
    assert replayed.sent == 0
    assert replayed.left >= len(talking.said)
    assert replayed.trouble == "the service answers 401"
