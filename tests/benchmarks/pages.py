"""Does a page of a long conversation cost more than one of a short?

    python -m tests.benchmarks.pages [--messages N] [--rounds N]

The first and the last page of 100, in both orders, asked of a service on a PostgreSQL with full durability: of a
conversation of half a million messages and of one of a hundred, in turns. Figures are medians.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from itertools import product
from pathlib import Path
from statistics import median
from typing import Final
from uuid import UUID

import httpx
from rich.console import Console
from rich.table import Table

from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner
from tests import clusters
from tests.conftest import connect, open_conversation, serving

SHORT: Final = 100
KINDS: Final = [f"{order}, {end}" for order, end in product(("spoken", "recorded"), ("first", "last"))]
_FILL: Final = """
    INSERT INTO messages (conversation_id, role, content, sequence, timestamp)
    SELECT $1::uuid, 'user', 'Utterance ' || n || ': could you move the dentist to Thursday?', n,
        now() - interval '1 year' + n * interval '1 second'
    FROM generate_series(1, $2::int) AS n
"""

Costs = dict[str, float]  # seconds by kind of page


def measure(*, messages: int, rounds: int) -> tuple[Costs, Costs]:
    """Return what the pages of the long conversation cost, and those of the short."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(clusters.prepare(Path(folder)), durable=True) as postgres,
    ):
        runner.upgrade(postgres.url)
        long, short = asyncio.run(_fill(postgres.url, messages))
        unlimited = {f"VERBATIM_RATE_LIMIT_{name}": "1000000/minute" for name in ("ADDRESS", "SUBJECT")}
        with serving(postgres.url, **unlimited) as address, httpx.Client(base_url=address) as client:
            taken: dict[tuple[UUID, str], list[float]] = defaultdict(list)
            for _ in range(rounds + 5):
                for kind, conversation in product(KINDS, (long, short)):
                    taken[conversation, kind].append(_ask(client, conversation, kind))
            of_long, of_short = ({kind: median(taken[each, kind][5:]) for kind in KINDS} for each in (long, short))
            return of_long, of_short


async def _fill(url: str, messages: int) -> tuple[UUID, UUID]:
    database = await connect(url)
    long, short = await open_conversation(database), await open_conversation(database)
    await database.execute(_FILL, long, messages)
    await database.execute(_FILL, short, SHORT)
    await database.execute("VACUUM ANALYZE")
    await database.close()
    return long, short


def _ask(client: httpx.Client, conversation: UUID, kind: str) -> float:
    order, end = kind.split(", ")
    query = {"order": order, "direction": "forward" if end == "first" else "backward", "limit": str(SHORT)}
    started = time.perf_counter()
    answer = client.get(f"/api/v1/conversations/{conversation}/messages", params=query)
    taken = time.perf_counter() - started
    assert len(answer.json()["data"]) == SHORT
    return taken


def main() -> int:
    """Measure, show, and return 1 if a page of the long conversation costs more than twice as much."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    of_long, of_short = measure(messages=options.messages, rounds=options.rounds)
    shown = Table("a page of 100", f"of {options.messages:,}", f"of {SHORT}", "ratio")
    for kind in KINDS:
        ratio = of_long[kind] / of_short[kind]
        shown.add_row(kind, f"{of_long[kind] * 1000:.2f} ms", f"{of_short[kind] * 1000:.2f} ms", f"{ratio:.2f}")
    Console().print(shown)
    return int(any(of_long[kind] > 2 * of_short[kind] for kind in KINDS))


if __name__ == "__main__":
    sys.exit(main())
