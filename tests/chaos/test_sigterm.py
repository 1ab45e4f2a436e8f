"""SIGTERM under load: whoever has been heard is answered, whoever listens is told, and the service is gone in time."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.chaos.answers import results
from tests.chaos.fleet import SHUTDOWN
from tests.conftest import utterance

POSTERS: Final = 24
FOLLOWERS: Final = 6
IN_THE_MIDDLE: Final = 150  # messages acknowledged
DEADLINE: Final = 60.0

# A client whose server goes while it connects leaves the socket to the garbage collector, deep in its library.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@dataclass
class Load:
    """What clients do, and what they hear."""

    url: str
    conversation: UUID
    acknowledged: set[str] = field(default_factory=set)
    refused: int = 0
    odd: list[str] = field(default_factory=list)
    unheard: set[str] = field(default_factory=set)
    in_the_middle: asyncio.Event = field(default_factory=asyncio.Event)

    async def post(self, number: int) -> None:
        """Post until nobody listens any more."""
        async with httpx.AsyncClient(timeout=DEADLINE) as http:
            while True:
                message = utterance(self.conversation, f"This is poster {number}.")
                # Without a connection that is kept: a request that meets its closing was never heard.
                headers = {"connection": "close"}
                try:
                    answer = await http.post(f"{self.url}/voice/messages", json=message, headers=headers)
                except httpx.ConnectError:
                    return
                except httpx.TransportError:  # connected, but not accepted any more
                    self.unheard.add(message["id"])
                    continue
                [result] = results(answer, 1)
                if "odd" in result:
                    self.odd.append(answer.text)
                elif "message" in result:
                    self.acknowledged.add(message["id"])
                    if len(self.acknowledged) >= IN_THE_MIDDLE:
                        self.in_the_middle.set()
                else:
                    assert result["status"] == 503, answer.text
                    self.refused += 1

    async def follow(self, path: str) -> list[str]:
        """Listen to the end, and return what kinds of events there were."""
        headers = {"accept": "text/event-stream"}
        async with (
            httpx.AsyncClient(timeout=DEADLINE) as http,
            http.stream("GET", f"{self.url}/{path}", headers=headers) as answer,
        ):
            return [line.partition(": ")[2] async for line in answer.aiter_lines() if line.startswith("event: ")]


@asynccontextmanager
async def _service(url: str, workers: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    environment = {"DATABASE_URL": url, "VERBATIM_SHUTDOWN_TIMEOUT": str(SHUTDOWN), "VERBATIM_LOG_LEVEL": "ERROR"}
    command = [sys.executable, "-m", "backend", "serve", "--port", "0", "--workers", str(workers)]
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+:\d+", (await process.stdout.readline()).decode())
        assert found
        async with httpx.AsyncClient(base_url=found[0], timeout=DEADLINE) as http:
            (await http.get("/readyz")).raise_for_status()
        yield process, f"{found[0]}/api/v1"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _stop(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.wait(), DEADLINE)


@pytest.mark.parametrize("workers", [1, 2])
async def test_whoever_was_heard_is_answered(
    database_url: str, connection: asyncpg.Connection, conversation: UUID, workers: int
) -> None:
    async with _service(database_url, workers) as (process, url), asyncio.timeout(2 * DEADLINE):
        load = Load(url, conversation)
        paths = [f"conversations/{conversation}/live"] * FOLLOWERS + ["messages/feed"]
        following = [asyncio.create_task(load.follow(path)) for path in paths]
        posting = [asyncio.create_task(load.post(number)) for number in range(POSTERS)]
        await load.in_the_middle.wait()
        await _stop(process)
        await asyncio.gather(*posting)
        heard = await asyncio.gather(*following)
    assert process.returncode == 0
    assert load.odd == []
    assert [events[-1] for events in heard] == ["resume"] * len(paths)
    rows = await connection.fetch("SELECT id::text, sequence FROM messages ORDER BY sequence")
    recorded = {row["id"] for row in rows}
    assert load.acknowledged <= recorded
    assert not load.unheard & recorded
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("released", [True, False], ids=["in time", "too late"])
async def test_whoever_waits_for_a_lock_is_answered(
    database_url: str, connection: asyncpg.Connection, conversation: UUID, released: bool
) -> None:
    async with _service(database_url, 1) as (process, url), asyncio.timeout(2 * DEADLINE), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(httpx.AsyncClient(timeout=DEADLINE)) for _ in range(POSTERS)]
        for http in clients:  # a connection that is not accepted yet would be closed without an answer
            (await http.get(f"{url}/conversations")).raise_for_status()
        lock = connection.transaction()
        await lock.start()
        await connection.execute("LOCK TABLE messages")
        posting = [
            asyncio.create_task(http.post(f"{url}/voice/messages", json=utterance(conversation))) for http in clients
        ]
        while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.wait(posting, timeout=0.01)
        stopping = asyncio.create_task(_stop(process))
        if released:
            await lock.rollback()
        answers = await asyncio.gather(*posting)
        await stopping
        if not released:
            await lock.rollback()
    assert process.returncode == 0
    [status] = {each["status"] for answer in answers for each in results(answer, 1)}
    assert status == (201 if released else 503)
    assert await connection.fetchval("SELECT count(*) FROM messages") == (POSTERS if released else 0)
