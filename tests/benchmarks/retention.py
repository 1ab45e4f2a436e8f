"""What goes of many conversations of mixed age with holds, how fast, and what writers notice of it.

    python -m tests.benchmarks.retention [--conversations N] [--seconds N] [--folder FOLDER]

A PostgreSQL with full durability is filled; FOLDER keeps it for another run. Writers post to a service, first alone,
then while another process erases at the pace of the service, then while it erases without a pause, to the end. At the
end, what is left is compared with what each conversation was made for.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Final
from uuid import UUID

import httpx

from backend.dao_service.connection.database import Database
from backend.principal import LOCAL
from backend.services.retention import RATE, Run, erase_some, plan
from backend.vocabulary import ContextType
from tests.benchmarks.stage import kept_postgres
from tests.conftest import connect, serving, utterance

PERIODS: Final = {ContextType.VOICE: timedelta(days=365), ContextType.TASK: timedelta(days=30)}
PACE: Final = 60 / RATE  # seconds after each erasure, as the service has it
_WRITERS: Final = 8
_THINK: Final = 0.02  # seconds between two messages of a writer
# Of each hundred conversations: one goes, one is due but held, one has a late message, one a late end; the others are
# too young, or of a type without a period.
_FILL: Final = """
    SET session_replication_role = replica;
    CREATE TABLE made AS
    SELECT gen_random_uuid() AS id, n, CASE n % 100
            WHEN 0 THEN 'goes' WHEN 25 THEN 'held' WHEN 50 THEN 'message' WHEN 75 THEN 'end' ELSE 'young'
        END AS fate,
        CASE WHEN n % 4 = 3 THEN 'goal' WHEN n % 800 = 400 THEN 'task' ELSE 'voice' END AS context_type
    FROM generate_series(1, {count}) AS n;
    UPDATE made SET context_type = 'voice' WHERE fate IN ('held', 'message', 'end');
    INSERT INTO conversations (id, user_id, context_type, created_at, updated_at, ended_at, last_sequence)
    SELECT id, 'subject ' || n % 1000, context_type, begun, begun, CASE fate WHEN 'end' THEN now() - interval '9 days'
            ELSE begun + interval '5 minutes' END, 2
    FROM made, LATERAL (SELECT now() - CASE WHEN fate <> 'young' OR context_type = 'goal'
        THEN interval '366 days' + n % 1000 * interval '1 day' ELSE n % 360 * interval '1 day' END AS begun) AS at;
    INSERT INTO messages (conversation_id, role, content, sequence, timestamp, created_at)
    SELECT id, 'user', 'Could you move the dentist to Thursday at nine?', place, said, said
    FROM made JOIN conversations USING (id), generate_series(1, 2) AS place, LATERAL (SELECT CASE
        WHEN fate = 'message' AND place = 2 THEN now() - interval '9 days' ELSE created_at END AS said) AS at;
    INSERT INTO conversation_holds (id, conversation_id, reason, held_by)
    SELECT id, id, 'Case', 'local' FROM made WHERE fate = 'held';
    INSERT INTO conversation_holds (id, conversation_id, reason, held_by, released_at, released_by)
    SELECT gen_random_uuid(), id, 'Case', 'local', now(), 'local' FROM made WHERE fate = 'goes' AND n % 500 = 0;
    RESET session_replication_role;
"""
_WRONG: Final = """
    SELECT count(*) FROM made LEFT JOIN conversations AS c USING (id)
    WHERE (fate = 'goes') <> (c.id IS NULL)
"""
_MESSAGES: Final = "SELECT count(*) FROM messages JOIN made ON made.id = conversation_id"
_ERASURES: Final = "SELECT count(*) FROM erasures JOIN made ON made.id = conversation_id AND fate = 'goes'"


@dataclass
class Phase:
    """What writers did in some seconds: how long each post took, in seconds, and what was erased meanwhile."""

    posts: list[float] = field(default_factory=list)
    seconds: float = 0.0
    erased: int = 0

    @property
    def p99(self) -> float:
        """Return in milliseconds how long 99 of 100 posts took at most."""
        return 1_000 * quantiles(self.posts, n=100)[-1]


@dataclass
class Results:
    """The phases; what the plan counted and what the run did; and how many conversations did not go as they should."""

    alone: Phase
    paced: Phase
    fast: Phase
    planned: Mapping[str, int]
    outcomes: Counter[str]
    conversations: int
    wrong: int
    messages: int
    erasures: int


def measure(*, conversations: int, seconds: float, folder: Path | None = None) -> Results:
    """Return what happened to so many ``conversations``, with phases of so many ``seconds``."""
    unlimited = {f"VERBATIM_RATE_LIMIT_{name}": "1000000/minute" for name in ("ADDRESS", "SUBJECT")}
    with (
        tempfile.TemporaryDirectory() as temporary,
        kept_postgres(folder or Path(temporary) / "postgres", partial(fill, count=conversations)) as url,
        serving(url, VERBATIM_SEARCH="false", **unlimited) as address,
    ):
        return asyncio.run(_measure(url, address, seconds))


async def fill(url: str, *, count: int) -> None:
    """Make the conversations, and tables with statistics."""
    database = await connect(url)
    await database.execute(_FILL.format(count=count))
    await database.execute("VACUUM ANALYZE")
    await database.execute("CHECKPOINT")
    await database.close()


async def _measure(url: str, address: str, seconds: float) -> Results:
    database, look = Database(url), await connect(url)
    found = await plan(database, LOCAL, PERIODS, None)
    async with _writing(address) as alone:
        await asyncio.sleep(seconds)
    async with _writing(address) as paced:
        before = await look.fetchval(_ERASURES)
        words = (sys.executable, "-m", "tests.benchmarks.retention", "--erase", url)
        eraser = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
        assert eraser.stdout
        await eraser.stdout.readline()
        await asyncio.sleep(seconds)
        eraser.terminate()
        await eraser.communicate()
        paced.erased = await look.fetchval(_ERASURES) - before
    run = Run()
    async with _writing(address) as fast:
        while run.place:
            await erase_some(database, PERIODS, run, 0)
        fast.erased = run.outcomes["erased"]
    results = Results(
        alone,
        paced,
        fast,
        {"erased": sum(found.due.values()), "held": found.held},
        run.outcomes,
        *[await look.fetchval(question) for question in ("SELECT count(*) FROM made", _WRONG, _MESSAGES, _ERASURES)],
    )
    await database.close()
    await look.close()
    return results


@asynccontextmanager
async def _writing(address: str) -> AsyncIterator[Phase]:
    """Post in several conversations at once until the block ends, and note how long each post took."""
    phase, started = Phase(), time.perf_counter()
    async with httpx.AsyncClient(base_url=f"{address}/api/v1", timeout=60) as client, asyncio.TaskGroup() as group:
        writers = [group.create_task(_write(client, phase)) for _ in range(_WRITERS)]
        yield phase
        phase.seconds = time.perf_counter() - started
        for writer in writers:
            writer.cancel()


async def _write(client: httpx.AsyncClient, phase: Phase) -> None:
    opened = (await client.post("/conversations", json={"context_type": "voice"})).json()["id"]
    while True:
        began = time.perf_counter()
        answer = await client.post("/voice/messages", json=utterance(UUID(opened)))
        assert answer.status_code == 201, answer.text
        phase.posts.append(time.perf_counter() - began)
        await asyncio.sleep(_THINK)


async def _erase(url: str) -> None:
    database = Database(url)
    print("ready", flush=True)  # noqa: T201
    while True:
        await erase_some(database, PERIODS, Run(), PACE)


def main() -> int:
    """Measure, print, and return 1 if anything went that should stay, or stayed that should go."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--erase", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.erase:
        asyncio.run(_erase(given.erase))
    found = measure(conversations=given.conversations, seconds=given.seconds, folder=given.folder)
    for name, phase in (("alone", found.alone), ("paced", found.paced), ("fast", found.fast)):
        print(  # noqa: T201
            f"{name:>6}: {len(phase.posts) / phase.seconds:6.0f} posts/s, p99 {phase.p99:6.1f} ms "
            f"({phase.p99 / found.alone.p99:.2f} x), erased {phase.erased:,} in {phase.seconds:.0f} s"
        )
    print(  # noqa: T201
        f"of {found.conversations:,}: planned {dict(found.planned)}, fast run {dict(found.outcomes)}, "
        f"erased in all {found.erasures:,}, wrong {found.wrong}, messages left {found.messages:,}"
    )
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
