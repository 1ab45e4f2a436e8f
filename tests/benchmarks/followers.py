"""Many follow one conversation while it goes on: does each hear everything, once, in order, and how soon?

    python -m tests.benchmarks.followers [--followers N] [--seconds N]

Two workers on a PostgreSQL with full durability. A message's delay is counted from its `created_at`, which PostgreSQL
reads before the commit, so that the commit itself is in it. A third and two thirds of the way through, every connection
that listens for notifications is killed.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import httpx
import uvloop
from rich.console import Console
from rich.table import Table

from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner
from tests import clusters
from tests.conftest import connect, open_conversation, serving, utterance

RATE: Final = 20  # messages a second
WORKERS: Final = 2
_POOL: Final = 5  # connections of each worker's
_PATIENCE: Final = 20.0  # seconds for what is still under way at the end
_EVENT: Final = re.compile(rb"id: (\d+)\n")
_RECORDED: Final = re.compile(rb'"created_at":"([^"]+)"')
_IN_USE: Final = re.compile(r"^verbatim_pool_connections_in_use (\S+)", re.MULTILINE)
_KILL: Final = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ 'pg_notify|LISTEN|^SELECT$'
"""


@dataclass
class Heard:
    """What one follower heard; delays are in seconds."""

    sequences: list[int] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)


@dataclass
class Results:
    """What became of it all. ``busiest`` is the most connections that were in use at once, of ``connections``."""

    said: int
    heard: list[Heard]
    busiest: int
    connections: int
    killed: int

    @property
    def whole(self) -> int:
        """How many followers heard everything, once and in order."""
        return sum(each.sequences == list(range(1, self.said + 1)) for each in self.heard)

    @property
    def delays(self) -> list[float]:
        """All delays, the shortest first."""
        return sorted(delay for each in self.heard for delay in each.delays)


def measure(*, followers: int, seconds: float) -> Results:
    """Bring everything up, let ``followers`` listen for ``seconds``, and take it down."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(clusters.prepare(Path(folder)), durable=True) as postgres,
    ):
        runner.upgrade(postgres.url)
        limits = {f"VERBATIM_RATE_LIMIT_{name}": "1000000/minute" for name in ("ADDRESS", "SUBJECT")}
        with (
            serving(postgres.url, "--workers", str(WORKERS), VERBATIM_POOL_SIZE=str(_POOL), **limits) as address,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop_runner,
        ):
            return loop_runner.run(_measure(postgres.url, address, followers, round(seconds * RATE)))


async def _measure(url: str, address: str, followers: int, said: int) -> Results:
    database = await connect(url)
    conversation = await open_conversation(database)
    heard = [Heard() for _ in range(followers)]
    ready = asyncio.Barrier(followers + 1)
    following = [asyncio.create_task(_follow(address, conversation, each, said, ready)) for each in heard]
    await ready.wait()
    async with httpx.AsyncClient(base_url=address) as client, asyncio.timeout(said / RATE + _PATIENCE):
        watching = asyncio.create_task(_watch(client))
        killed = await _speak(client, database, conversation, said)
        await asyncio.wait(following)
        watching.cancel()
        busiest = await watching
    await database.close()
    return Results(said, heard, busiest, WORKERS * _POOL, killed)


async def _speak(client: httpx.AsyncClient, database: asyncpg.Connection, conversation: UUID, said: int) -> int:
    killed = 0
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(said):
        if number in (said // 3, 2 * said // 3):
            killed += await database.fetchval(_KILL)
        answer = await client.post("/api/v1/voice/messages", json=utterance(conversation, f"Utterance {number}."))
        assert answer.status_code == 201, answer.text
        await asyncio.sleep(started + (number + 1) / RATE - loop.time())
    return killed


async def _follow(address: str, conversation: UUID, heard: Heard, said: int, ready: asyncio.Barrier) -> None:
    url = urlsplit(address)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(f"GET /api/v1/conversations/{conversation}/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
    await reader.readuntil(b"retry: 1000\n")
    await ready.wait()
    while len(heard.sequences) < said:
        line = await reader.readline()
        now = time.time()
        if found := _RECORDED.search(line):
            heard.delays.append(now - datetime.fromisoformat(found[1].decode()).timestamp())
        elif found := _EVENT.match(line):
            heard.sequences.append(int(found[1]))
        elif not line:
            break
    writer.transport.abort()


async def _watch(client: httpx.AsyncClient) -> int:
    busiest = 0
    try:
        while True:
            metrics = (await client.get("/metrics")).text
            busiest = max(busiest, *(round(float(value)) for value in _IN_USE.findall(metrics)))
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        return busiest


def table(results: Results) -> Table:
    """Return the figures for a person."""
    shown = Table("", "")
    delays = results.delays
    shown.add_row("heard everything, once and in order", f"{results.whole} of {len(results.heard)}")
    shown.add_row("messages", f"{results.said:,}")
    shown.add_row("delay, median", f"{median(delays) * 1000:.1f} ms")
    shown.add_row("delay, p99", f"{delays[int(len(delays) * 0.99)] * 1000:.1f} ms")
    shown.add_row("delay, longest", f"{delays[-1] * 1000:.0f} ms")
    shown.add_row("connections of the pools in use, at most", f"{results.busiest} of {results.connections}")
    shown.add_row("listening connections killed", str(results.killed))
    return shown


def main() -> int:
    """Measure, show, and return 1 if somebody did not hear everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--followers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    results = measure(followers=options.followers, seconds=options.seconds)
    Console().print(table(results))
    return int(results.whole != len(results.heard))


if __name__ == "__main__":
    sys.exit(main())
