"""What a backup, its restore, a move and an import of many messages take, and whether the copies are equal.

    python -m tests.benchmarks.copies [--messages N] [--rows N] [--folder FOLDER]

A PostgreSQL with full durability is filled; FOLDER keeps it for another run. Backup and restore are interrupted when
they are half done, and run again. A phone records before, during and after the move: it keeps what it could not send.
The copies are compared by the counts of all tables, the heads of all conversations, and a checksum of each.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy import make_url

from backend.migrations import runner
from tests.benchmarks.stage import kept_postgres
from tests.conftest import connect, open_conversation
from tests.ports import free_ports
from verbatim_record import HttpSink, Limits, Recorder

_OF_ONE: Final = 100  # messages of a conversation
_FILL: Final = f"""
    SET session_replication_role = replica;
    INSERT INTO conversations (id, user_id, context_type, last_sequence)
    SELECT gen_random_uuid(), 'subject ' || n % 1000, 'voice', {_OF_ONE}
    FROM generate_series(1, {{messages}} / {_OF_ONE}) AS n;
    INSERT INTO messages (conversation_id, role, content, sequence, timestamp, metadata)
    SELECT id, CASE place % 2 WHEN 0 THEN 'assistant' ELSE 'user' END,
        'Utterance ' || place || ': could you move the dentist to Thursday?', place, now() + place * interval '1 s',
        '{{{{"languages": ["en"], "confidence": 0.25}}}}'
    FROM conversations, generate_series(1, {_OF_ONE}) AS place;
    RESET session_replication_role;
"""
_HEADS: Final = "SELECT id::text, last_sequence::text FROM conversations"
_CHECKSUMS: Final = """
    SELECT conversation_id::text, count(*)::text || ' ' || sum(hashtextextended(m::text, 0))::text
    FROM messages AS m GROUP BY 1
"""
# As the other program declares it. Of each thousand rows some hold what this record cannot, or must repair.
_THEIRS: Final = r"""
    CREATE TYPE speaker AS ENUM ('user', 'assistant', 'system', 'robot');
    CREATE TABLE conversation_message (
        id uuid, conversation_id uuid, role speaker, content text, "timestamp" timestamp, metadata json
    );
    INSERT INTO conversation_message
    SELECT gen_random_uuid(), md5('conversation ' || n / 50)::uuid,
        CASE WHEN n % 1000 = 1 THEN 'robot' WHEN n % 2 = 0 THEN 'user' ELSE 'assistant' END::speaker,
        CASE n % 1000 WHEN 2 THEN NULL WHEN 3 THEN '' WHEN 4 THEN repeat('long ', 14000) ELSE 'Utterance ' || n END,
        timestamp '2025-03-30 00:00' + n * interval '1 s',
        (CASE n % 1000 WHEN 5 THEN 'null' WHEN 6 THEN '[1, "two"]' WHEN 7 THEN '3' WHEN 8 THEN '{"a": "b\u0000c"}'
            WHEN 9 THEN NULL ELSE '{"turn": ' || n || '}' END)::json
    FROM generate_series(0, <rows> - 1) AS n
"""
_ORDER: Final = """
    SELECT content FROM messages WHERE conversation_id = md5('conversation 1')::uuid ORDER BY sequence
"""


@dataclass
class Results:
    """Seconds by what was done; what an import printed; and the faults, as sentences."""

    seconds: dict[str, float] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def check(self, what: str, found: object, wanted: object) -> None:
        """Note a fault unless ``found`` is what was ``wanted``."""
        if found != wanted:
            self.faults.append(f"{what}: {str(found)[:200]} instead of {str(wanted)[:200]}")


class Bench:
    """One PostgreSQL at ``url``, and the command line."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.results = Results()

    async def create(self, name: str) -> str:
        """Create an empty database, and return its URL."""
        connection = await connect(self.url)
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        await connection.close()
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    async def run(self, what: str, url: str, *words: str) -> str:
        """Run a command, note how long it took, and return what it printed; note a fault if it failed."""
        started = time.perf_counter()
        process = await self._start(url, *words)
        said, _ = await process.communicate()
        self.results.seconds[what] = time.perf_counter() - started
        if process.returncode and words[0] != "import":
            self.results.faults.append(f"{what}: {said.decode()[-300:]}")
        return said.decode()

    async def interrupt(self, url: str, *words: str, after: float) -> bool:
        """Run a command, interrupt it after so many seconds, and return whether it had more to do."""
        process = await self._start(url, *words)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), after)
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        await process.communicate()
        self.results.printed.append(f"{words[0]} interrupted after {after:.1f} s: {process.returncode != 0}")
        return process.returncode != 0

    async def _start(self, url: str, *words: str) -> asyncio.subprocess.Process:
        environment = {**os.environ, "DATABASE_URL": url, "COLUMNS": "200"}
        command = (sys.executable, "-m", "backend", *words)
        return await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    async def compare(self, what: str, one: str, other: str) -> None:
        """Note a fault for each table, head or conversation that differs."""
        for name, question in (("heads", _HEADS), ("checksums of conversations", _CHECKSUMS)):
            found = [{row[0]: row[1] for row in await _ask(url, question)} for url in (one, other)]
            self.results.check(f"{what}, {name}", found[1], found[0])
        tables = [row[0] for row in await _ask(one, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        for table in tables:
            counts = [await _ask(url, f"SELECT count(*) FROM {table}") for url in (one, other)]
            self.results.check(f"{what}, rows of {table}", counts[1][0][0], counts[0][0][0])


async def _ask(url: str, question: str) -> Sequence[asyncpg.Record]:
    connection = await connect(url)
    try:
        await connection.execute("SET TimeZone = 'UTC'")
        return await connection.fetch(question)
    finally:
        await connection.close()


async def copy(bench: Bench) -> None:
    """Back up and restore, each interrupted once."""
    file, target = bench.folder / "backup.dump", await bench.create("restored")
    await bench.run("backup", bench.url, "backup", str(file))
    file.unlink()
    if await bench.interrupt(bench.url, "backup", str(file), after=0.6 * bench.results.seconds["backup"]):
        bench.results.check("what an interrupted backup left", file.exists(), wanted=False)
        await bench.run("backup, again", bench.url, "backup", str(file))
    await bench.run("restore", target, "restore", str(file))
    await bench.compare("restore", bench.url, target)
    target = await bench.create("restored")
    if await bench.interrupt(target, "restore", str(file), after=0.6 * bench.results.seconds["restore"]):
        await bench.run("restore, again", target, "restore", str(file))
    await bench.compare("restore, again", bench.url, target)
    await bench.create("restored")


async def move(bench: Bench, interrupted_after: float) -> None:
    """Move to another database, interrupted after so many seconds, while a phone goes on recording."""
    target = await bench.create("moved")
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    source = await connect(bench.url)
    conversation, said = await open_conversation(source), 0
    await source.close()

    async def say(recorder: Recorder) -> None:
        nonlocal said
        while True:
            said += 1
            recorder.record("user", str(said))
            await asyncio.sleep(0.05)

    serve = (sys.executable, "-m", "backend", "serve", "--port", str(port))
    spool = bench.folder / "spool.db"
    async with Recorder(
        HttpSink(address), conversation_id=conversation, spool=spool, limits=Limits(closing=60)
    ) as recorder:
        talking = asyncio.create_task(say(recorder))
        service = await _serve(serve, bench.url)
        await asyncio.sleep(1)
        await _end(service)
        stopped = time.perf_counter()
        if not await bench.interrupt(bench.url, "move", "--to", target, after=interrupted_after):
            await bench.create("moved")
        await bench.run("move", bench.url, "move", "--to", target)
        await bench.compare("move", bench.url, target)
        service = await _serve(serve, target)
        bench.results.seconds["move, without a service"] = time.perf_counter() - stopped
        await asyncio.sleep(1)
        talking.cancel()
    await _end(service)
    rows = await _ask(
        target, f"SELECT content FROM messages WHERE conversation_id = '{conversation}' ORDER BY sequence"
    )
    bench.results.check("what the phone said", [row[0] for row in rows], [str(each + 1) for each in range(said)])
    bench.results.printed.append(f"the phone said {said:,}")


async def _serve(command: Sequence[str], url: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "DATABASE_URL": url, "VERBATIM_SEARCH": "false"}
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout
    while b'"event":"started"' not in await process.stdout.readline():
        pass
    return process


async def _end(service: asyncio.subprocess.Process) -> None:
    service.terminate()
    await service.communicate()


async def bring(bench: Bench, rows: int) -> None:
    """Import another program's rows twice."""
    source, target = await bench.create("theirs"), await bench.create("ours")
    theirs = await connect(source)
    await theirs.execute(_THEIRS.replace("<rows>", str(rows)))
    await asyncio.to_thread(runner.upgrade, target)
    words = ("import", "--table", "conversation_message", "--url", source)
    for what in ("import", "import, again"):
        said = (await bench.run(what, target, *words)).splitlines()
        bench.results.printed.append(said[-1])
        refused = sorted(line.split()[1].strip(":") for line in said if line.startswith("✗"))
        wanted = await theirs.fetch(
            "SELECT id::text FROM conversation_message WHERE role = 'robot' OR content IS NULL ORDER BY 1"
        )
        bench.results.check(f"{what}, refused rows", refused, [row[0] for row in wanted])
    kept = await theirs.fetch("SELECT id FROM conversation_message WHERE role <> 'robot' AND content IS NOT NULL")
    found = {row[0] for row in await _ask(target, "SELECT id FROM messages")}
    bench.results.check("rows without a message", len({row[0] for row in kept} - found), 0)
    order = await theirs.fetch("""
        SELECT content FROM conversation_message WHERE conversation_id = md5('conversation 1')::uuid
            AND role <> 'robot' AND content IS NOT NULL ORDER BY "timestamp"
    """)
    bench.results.check("the order", [row[0] for row in await _ask(target, _ORDER)], [row[0] for row in order])
    await theirs.close()


def measure(
    *, messages: int, rows: int, folder: Path | None = None, parts: Sequence[str] = ("copy", "move", "import")
) -> Results:
    """Return what the ``parts`` took and what was wrong, with so many ``messages`` and foreign ``rows``."""
    with (
        tempfile.TemporaryDirectory() as temporary,
        kept_postgres(folder or Path(temporary) / "postgres", partial(_fill, messages=messages)) as url,
    ):
        return asyncio.run(_measure(Bench(url, Path(temporary)), rows, parts))


async def _fill(url: str, *, messages: int) -> None:
    connection = await connect(url)
    await connection.execute(_FILL.format(messages=messages))
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def _measure(bench: Bench, rows: int, parts: Sequence[str]) -> Results:
    for part in parts:
        match part:
            case "copy":
                await copy(bench)
            case "move":
                await move(bench, bench.results.seconds.get("backup", 20.0))
            case "import":
                await bring(bench, rows)
    return bench.results


def main() -> int:
    """Measure, print, and return 1 if a copy was not equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--part", action="append", choices=["copy", "move", "import"])
    given = parser.parse_args()
    chosen: dict[str, Any] = {"parts": given.part} if given.part else {}
    found = measure(messages=given.messages, rows=given.rows, folder=given.folder, **chosen)
    print(*(f"{what}: {seconds:.1f} s" for what, seconds in found.seconds.items()), sep="\n")  # noqa: T201
    print(*found.printed, *found.faults, sep="\n")  # noqa: T201
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
