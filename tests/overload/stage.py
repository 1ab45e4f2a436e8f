"""The service under attack: one worker, with an issuer, without rate limits, on a PostgreSQL with full durability."""

import asyncio
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from uuid import UUID

import asyncpg
import psutil

from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner
from tests import clusters
from tests.benchmarks.guarded import token
from tests.benchmarks.stage import Database, Service, service
from tests.conftest import connect
from tests.overload.wire import Caller, Target
from tests.ports import free_ports

MIB: Final = 2**20
POSTERS: Final = 5_000
FOLLOWED: Final = 500
MOST_MEMORY: Final = 2_048 * MIB  # bytes, at which a worker is killed to spare the machine
_OPEN_FILES: Final = 1_024  # the soft limit that shells and systemd give a service
_SEGMENTS: Final = 32  # of the database's log, 16 MiB each; more than all attacks write
_SAMPLE_EVERY: Final = 0.05  # seconds
_LARGE: Final = 32_000  # characters of a large message, all of them ASCII but for one emoji
_LARGE_MESSAGES: Final = 500

_OPEN: Final = """
    INSERT INTO conversations (id, context_type, user_id)
    SELECT id, 'voice', owner FROM unnest($1::uuid[], $2::text[]) AS given (id, owner)
"""
_FILL: Final = """
    INSERT INTO messages (conversation_id, role, content, input_modality)
    SELECT $1, 'user', repeat('a', $2) || '😀', 'voice' FROM generate_series(1, $3)
"""
_ABSENT: Final = """
    SELECT count(*) FROM unnest($1::uuid[]) AS given (id) WHERE NOT EXISTS (SELECT FROM messages WHERE id = given.id)
"""
_NOT_DENSE: Final = """
    SELECT count(*) FROM (
        SELECT last_sequence, count(sequence) AS stored, coalesce(max(sequence), 0) AS last
        FROM conversations LEFT JOIN messages ON conversation_id = conversations.id GROUP BY conversations.id
    ) AS found WHERE stored <> last OR last <> last_sequence
"""


@dataclass(frozen=True)
class Stage:
    """The database, and the subjects with their conversations in it."""

    folder: Path
    url: str
    port: int
    target: Target

    @contextmanager
    def serve(self) -> Iterator["Worker"]:
        """Run the service for one attack, and end it, with SIGKILL if it does not hear SIGTERM."""
        log = self.folder / f"{self.port}.log"
        with (
            _few_open_files(),
            service(log, self.port, Database(self.url), ["tests.benchmarks.guarded", "serve"]) as started,
        ):
            started.await_answer()
            with Worker(started) as worker:
                yield worker
            worker.end()

    def absent(self, stored: list[str]) -> int:
        """Return how many of the acknowledged ids are not on record."""
        return asyncio.run(_fetch(self.url, _ABSENT, stored))

    def not_dense(self) -> int:
        """Return in how many conversations the sequences are not 1, 2, 3 … up to the last."""
        return asyncio.run(_fetch(self.url, _NOT_DENSE))


class Worker:
    """The service's process, and how much memory the largest of its processes had."""

    def __init__(self, service: Service) -> None:
        self._process = service.process
        self._stop = threading.Event()
        self._sampling = threading.Thread(target=self._sample, daemon=True)
        self.peak = 0  # bytes
        self.killed = False

    def __enter__(self) -> Self:
        self._sampling.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._sampling.join()

    @property
    def alive(self) -> bool:
        """Whether the process that was started still runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """Ask the service to stop, and kill it where it does not within five seconds."""
        self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 5
        while self.alive and time.monotonic() < deadline:
            time.sleep(_SAMPLE_EVERY)
        self._kill()

    def _sample(self) -> None:
        with suppress(psutil.NoSuchProcess):
            while not self._stop.wait(_SAMPLE_EVERY):
                tree = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
                self.peak = max(self.peak, *(each.memory_info().rss for each in tree))
                if self.peak > MOST_MEMORY:
                    self.killed = True
                    self._kill()
                    return

    def _kill(self) -> None:
        with suppress(psutil.NoSuchProcess):
            worker = psutil.Process(self._process.pid)
            for each in (*worker.children(recursive=True), worker):
                each.kill()


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Bring the database up in ``folder``, with the subjects' conversations, and take it down."""
    with EmbeddedPostgres(clusters.prepare(folder / "postgres"), durable=True) as postgres:
        runner.upgrade(postgres.url)
        [port] = free_ports(1)
        posters = [_caller(f"poster-{number}", 1 << 32 | number) for number in range(POSTERS)]
        followed = [_caller(f"followed-{number}", 2 << 32 | number) for number in range(FOLLOWED)]
        others = [_caller(name, 3 << 32 | number) for number, name in enumerate(("greedy", "reader", "innocent"))]
        asyncio.run(_fill(postgres.url, [*posters, *followed, *others]))
        subjects = [[caller for _, caller in group] for group in (posters, followed, others)]
        yield Stage(folder, postgres.url, port, Target(port, subjects[0], subjects[1], *subjects[2]))


@contextmanager
def _few_open_files() -> Iterator[None]:
    """Let what is started in the block have the usual soft limit, whatever this process has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _caller(subject: str, number: int) -> tuple[str, Caller]:
    return subject, Caller(token(subject), str(UUID(int=(0x4000_8000 << 64) + number)))


async def _fill(url: str, callers: list[tuple[str, Caller]]) -> None:
    connection = await connect(url)
    try:
        await connection.execute(_OPEN, [caller.conversation for _, caller in callers], [owner for owner, _ in callers])
        [large] = [caller for owner, caller in callers if owner == "reader"]
        await connection.execute(_FILL, large.conversation, _LARGE, _LARGE_MESSAGES)
        await connection.execute("VACUUM ANALYZE")
        await _age(connection)
    finally:
        await connection.close()


async def _fetch(url: str, sql: str, *values: object) -> int:
    connection: asyncpg.Connection = await connect(url)
    try:
        return int(await connection.fetchval(sql, *values, timeout=60))
    finally:
        await connection.close()


if sys.platform != "linux":
    raise SystemExit("The overload page is made on Linux: every 127.0.0.0/8 address is needed as a source.")


async def _age(connection: asyncpg.Connection) -> None:
    """Give the database what one that was in use for a while has: segments of its log to use again.

    A new one makes each segment, 16 MiB of zeros, while all commits wait for it.
    """
    await connection.execute("ALTER SYSTEM SET min_wal_size = '1GB'")
    await connection.execute("SELECT pg_reload_conf()")
    for _ in range(_SEGMENTS):
        await connection.execute("SELECT pg_logical_emit_message(false, 'overload', ''), pg_switch_wal()")
    await connection.execute("CHECKPOINT")
