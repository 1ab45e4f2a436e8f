"""What recording costs a voice pipeline, beside a task for each message, in the same run.

    python -m tests.benchmarks.recorder [--seconds N] [--messages N]

A PostgreSQL with full durability is brought up; "slow" puts half a second on each commit, "down" takes its socket
away and cuts every connection. The literal version is what one writes first: `create_task(save())`, an ORM session and
a commit for each message. A pause is how much later than asked for the event loop comes back to whoever asked for a
millisecond; on a machine shared with strangers it is to be read beside the one of a loop that records nothing.
"""

import argparse
import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.table import Table

from backend.dao_service.connection.database import Database
from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner
from backend.observability import logs
from backend.principal import LOCAL
from backend.services.appender import Appender
from backend.services.appender_sink import AppenderSink
from tests import clusters
from tests.benchmarks.literal_pipeline import Literal
from tests.conftest import connect, open_conversation
from verbatim_record import Answer, Limits, Recorder

SAID: Final = "Could you move the dentist to Thursday at nine and tell Minh about it?"
SLOW: Final = 0.5  # seconds for a commit
PACE: Final = 1 / 50
CLOSING: Final = 10.0

Record = Callable[[str], object]


@dataclass
class Measured:
    """Seconds that each call took, and by which the loop came back too late; and what is on record afterwards."""

    calls: list[float] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    computing: float = 0.0  # the longest that one callback of the loop kept the processor
    took: float = 0.0
    said: int = 0
    stored: list[int] = field(default_factory=list)

    def call(self, share: float) -> float:
        """Microseconds that ``share`` of the calls took at most."""
        return sorted(self.calls)[min(int(len(self.calls) * share), len(self.calls) - 1)] * 1e6

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.said / self.took

    @property
    def longest(self) -> float:
        """Milliseconds."""
        return max(self.pauses, default=0.0) * 1e3

    @property
    def lost(self) -> int:
        return self.said - len(set(self.stored))

    @property
    def inversions(self) -> int:
        """How many messages stand before one that was said before them."""
        return sum(later < earlier for earlier, later in pairwise(self.stored))


class Slow:
    """A sink whose commits take their time."""

    def __init__(self, behind: AppenderSink) -> None:
        self._behind = behind

    async def open(self) -> None:
        await self._behind.open()

    async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
        await asyncio.sleep(SLOW)
        return await self._behind.send(messages)

    async def aclose(self) -> None:
        """Nothing was opened."""


@dataclass
class Stage:
    """The database, whose door can be shut, and a spool."""

    database: Database
    appender: Appender
    url: str
    socket: Path
    folder: Path
    master: asyncpg.Connection

    async def shut(self) -> None:
        self.socket.rename(self.socket.with_suffix(".away"))
        await self.master.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )

    def open(self) -> None:
        self.socket.with_suffix(".away").rename(self.socket)

    @asynccontextmanager
    async def recorder(self, *, slow: bool = False) -> Any:
        conversation = await open_conversation(self.master)
        sink = AppenderSink(self.appender, LOCAL)
        spool = self.folder / f"{conversation}.spool"
        limits = Limits(closing=CLOSING)
        async with Recorder(
            Slow(sink) if slow else sink, conversation_id=conversation, spool=spool, limits=limits
        ) as it:
            yield it, conversation

    async def stored(self, conversation: UUID) -> list[int]:
        query = "SELECT content FROM messages WHERE conversation_id = $1 ORDER BY sequence"
        return [int(row["content"].split()[0]) for row in await self.master.fetch(query, conversation)]


async def speak(record: Record, messages: int, pace: float, measured: Measured) -> None:
    """Record, and note what each call took; with no pace the loop is handed on and at once taken up again."""
    for _ in range(messages):
        words = f"{measured.said} {SAID}"
        measured.said += 1
        began = time.perf_counter()
        record(words)
        measured.calls.append(time.perf_counter() - began)
        await asyncio.sleep(pace)


@asynccontextmanager
async def watched(measured: Measured) -> Any:
    """Measure the pauses of the loop meanwhile, and the longest callback."""
    original = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        original(handle)
        measured.computing = max(measured.computing, time.thread_time() - began)

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            measured.pauses.append(time.perf_counter() - began - 0.001)

    with patch.object(asyncio.Handle, "_run", timed):
        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()


async def cost(stage: Stage, messages: int) -> dict[str, Measured]:
    """What one call costs in a loop that is busy, with the database up, slow and down."""
    found: dict[str, Measured] = {}
    for name in ("up", "slow", "down"):
        async with stage.recorder(slow=name == "slow") as (recorder, _):
            if name == "down":
                await stage.shut()
            found[f"record, {name}"] = measured = Measured()
            await speak(lambda words, it=recorder: it.record("user", words), messages, 0, measured)  # type: ignore[misc]
            if name == "down":
                stage.open()
    async with Literal(stage.url, await open_conversation(stage.master)) as literal:
        found["create_task(save()), up"] = measured = Measured()
        await speak(literal.record, messages, 0, measured)
    return found


async def cold(stage: Stage, calls: int) -> dict[str, Measured]:
    """What one call costs after 20 ms in which nothing ran, when all of it has left the processor's caches."""
    found = {"record": Measured(), "asyncio.create_task": Measured(), "create_task(save())": Measured()}

    async def nothing() -> None:
        """Save nothing."""

    async with stage.recorder() as (recorder, conversation), Literal(stage.url, conversation) as literal:
        for _ in range(calls):
            await speak(lambda words: recorder.record("user", words), 1, PACE, found["record"])
            await speak(lambda _: asyncio.create_task(nothing()), 1, PACE, found["asyncio.create_task"])
            await speak(literal.record, 1, PACE, found["create_task(save())"])
    return found


async def pauses(stage: Stage, seconds: float) -> dict[str, Measured]:
    """How long the loop stands still at fifty messages a second, with the database down."""
    messages = int(seconds / PACE)
    found = {name: Measured() for name in ("nothing", "record", "create_task(save())")}
    async with watched(found["nothing"]):
        await speak(lambda _: None, messages, PACE, found["nothing"])
    async with stage.recorder() as (recorder, conversation), Literal(stage.url, conversation) as literal:
        await stage.shut()
        async with watched(found["record"]):
            await speak(lambda words: recorder.record("user", words), messages, PACE, found["record"])
        async with watched(found["create_task(save())"]):
            await speak(literal.record, messages, PACE, found["create_task(save())"])
        stage.open()
    return found


async def races(stage: Stage, messages: int) -> dict[str, Measured]:
    """How fast both get a crowd of messages on record, and in which order."""
    found = {"record": Measured(), "create_task(save())": Measured()}
    began = time.perf_counter()
    async with stage.recorder() as (recorder, conversation):
        await speak(lambda words: recorder.record("user", words), messages, 0, found["record"])
        await recorder._writer.drained()
        found["record"].took = time.perf_counter() - began
    found["record"].stored = await stage.stored(conversation)
    conversation = await open_conversation(stage.master)
    began = time.perf_counter()
    async with Literal(stage.url, conversation) as literal:
        await speak(literal.record, messages, 0, found["create_task(save())"])
        await literal.drain()
        found["create_task(save())"].took = time.perf_counter() - began
    found["create_task(save())"].stored = await stage.stored(conversation)
    return found


async def outage(stage: Stage, seconds: float) -> dict[str, Measured]:
    """What is on record of fifty messages a second when the database is away for the middle third."""
    third = int(seconds / PACE / 3)
    found = {"record": Measured(), "create_task(save())": Measured()}

    async def through(record: Record, measured: Measured) -> None:
        await speak(record, third, PACE, measured)
        await stage.shut()
        await speak(record, third, PACE, measured)
        stage.open()
        await speak(record, third, PACE, measured)

    async with stage.recorder() as (recorder, conversation):
        await through(lambda words: recorder.record("user", words), found["record"])
    found["record"].stored = await stage.stored(conversation)
    conversation = await open_conversation(stage.master)
    async with Literal(stage.url, conversation) as literal:
        await through(literal.record, found["create_task(save())"])
        await literal.drain()
    found["create_task(save())"].stored = await stage.stored(conversation)
    return found


@dataclass(frozen=True)
class Results:
    """All that was measured, by name."""

    cost: dict[str, Measured]
    cold: dict[str, Measured]
    pauses: dict[str, Measured]
    races: dict[str, Measured]
    outage: dict[str, Measured]


def measure(*, seconds: float, messages: int) -> Results:
    """Measure everything once."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        EmbeddedPostgres(clusters.prepare(Path(folder) / "postgres"), durable=True) as postgres,
    ):
        runner.upgrade(postgres.url)
        gc.collect()
        gc.freeze()
        return asyncio.run(_measure(postgres.url, Path(folder), seconds, messages))


async def _measure(url: str, folder: Path, seconds: float, messages: int) -> Results:
    database = Database(url)
    appender = Appender(database)
    appender.start()
    master = await connect(url)
    [directory] = (await master.fetchval("SHOW unix_socket_directories")).split(",")
    socket = Path(directory) / f".s.PGSQL.{await master.fetchval('SHOW port')}"
    stage = Stage(database, appender, url, socket, folder, master)
    try:
        return Results(
            await cost(stage, messages),
            await cold(stage, int(seconds / PACE / 3)),
            await pauses(stage, seconds),
            await races(stage, messages),
            await outage(stage, seconds),
        )
    finally:
        await appender.close()
        await database.close()
        await master.close()


def tables(results: Results) -> list[Table]:
    """Show what was measured."""
    calls = Table("a call, the loop busy", "median µs", "p99 µs", "longest µs")
    for name, each in results.cost.items():
        calls.add_row(name, f"{each.call(0.5):.1f}", f"{each.call(0.99):.1f}", f"{each.call(1):.0f}")
    alone = Table("a call after 20 ms of silence", "median µs", "p90 µs", "longest µs")
    for name, each in results.cold.items():
        alone.add_row(name, f"{each.call(0.5):.1f}", f"{each.call(0.9):.1f}", f"{each.call(1):.0f}")
    pause = Table("50 messages/s, database down", "longest pause ms", "p99.9 ms", "longest callback ms", "a call, µs")
    for name, each in results.pauses.items():
        late = statistics.quantiles(each.pauses, n=1000)[-1] * 1e3
        row = (f"{each.longest:.1f}", f"{late:.1f}", f"{each.computing * 1e3:.1f}", f"{each.call(0.5):.1f}")
        pause.add_row(name, *row)
    race = Table("as fast as it goes", "messages/s", "inversions", "lost")
    for name, each in results.races.items():
        race.add_row(name, f"{each.rate:,.0f}", str(each.inversions), str(each.lost))
    away = Table("away for the middle third", "said", "lost", "inversions")
    for name, each in results.outage.items():
        away.add_row(name, str(each.said), str(each.lost), str(each.inversions))
    return [calls, alone, pause, race, away]


Claim = tuple[str, bool]


def claims(results: Results) -> list[Claim]:
    """Say what must hold."""
    ours = [each for name, each in results.cost.items() if name.startswith("record")]
    on_record = (results.races["record"], results.outage["record"])
    return [
        ("record: median under 5 µs", all(each.call(0.5) < 5 for each in ours)),
        ("record: p99 under 100 µs", all(each.call(0.99) < 100 for each in ours)),
        (
            "record: a cold call costs no more than asyncio.create_task",
            results.cold["record"].call(0.5) <= results.cold["asyncio.create_task"].call(0.5),
        ),
        ("no callback of the loop computes for 5 ms", results.pauses["record"].computing < 0.005),
        ("faster than create_task(save())", results.races["record"].rate > results.races["create_task(save())"].rate),
        ("nothing lost", all(each.lost == 0 for each in on_record)),
        ("nothing doubled or reordered", all(each.stored == list(range(each.said)) for each in on_record)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--messages", type=int, default=5_000)
    options = parser.parse_args()
    logs.configure("CRITICAL")
    results = measure(seconds=options.seconds, messages=options.messages)
    console = Console()
    for table in tables(results):
        console.print(table)
    held = claims(results)
    for sentence, holds in held:
        console.print(f"{'✓' if holds else '✗'} {sentence}")
    sys.exit(not all(holds for _, holds in held))


if __name__ == "__main__":
    main()
