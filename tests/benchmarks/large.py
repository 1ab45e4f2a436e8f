"""Do ten million messages make anything slower than ten thousand?

    python -m tests.benchmarks.large [--rows N] [--rounds N]

Calls of 100 messages, a minute apart, of ten owners, in two databases on one PostgreSQL with full durability: one of
N messages and one of 10,000. A service on each is asked for pages, for the list with each of its filters and for the
newest part of the feed, and takes messages; in turns, so that a disturbance meets both. Figures are medians. Search is
off, which `search_corpus` measures. A million messages need 0.9 GB of disk.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import UUID

import httpx
from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url

from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner
from tests import clusters
from tests.conftest import connect, serving, utterance

FEW: Final = 10_000
BAR: Final = 2.0  # times what it costs among few
_CALL: Final = 100  # messages
_STRIDE: Final = 1_000_000  # messages that one statement makes
_BATCH: Final = 100
_LIST: Final = 10  # as many as there are of each kind among few
_FIRST: Final = "timestamptz '2026-01-01T00:00Z'"
_CALLS: Final = f"""
    INSERT INTO conversations (id, user_id, context_type, created_at, updated_at, ended_at, extracted_intent,
        voice_session_id, last_sequence)
    SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'owner-' || n % 10,
        CASE n % 10 WHEN 0 THEN 'onboarding' ELSE 'voice' END, at, at, CASE WHEN n % 10 > 0 THEN at END,
        CASE n % 3 WHEN 0 THEN 'GOAL' WHEN 1 THEN 'NEW_TASK' END, 'vs_' || n, {_CALL}
    FROM generate_series(0, $1::bigint - 1) AS n, LATERAL (SELECT {_FIRST} + n * interval '1 minute' AS at) AS begun
"""
_MESSAGES: Final = f"""
    INSERT INTO messages (conversation_id, role, content, input_modality, metadata, sequence, timestamp, created_at,
        feed_position)
    SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n / {_CALL}), 12, '0'))::uuid,
        CASE n % 2 WHEN 0 THEN 'user' ELSE 'assistant' END,
        'Utterance ' || n || ': could you move the dentist to Thursday at nine and tell Minh about it?', 'voice',
        '{{"languages": ["en"]}}', n % {_CALL} + 1, at, at, n + 1
    FROM generate_series($1::bigint, $2::bigint - 1) AS n,
        LATERAL (SELECT {_FIRST} + n / {_CALL} * interval '1 minute' + n % {_CALL} * interval '0.6 s' AS at) AS said
"""
_INDEXES: Final = """
    SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'messages' AND indexname LIKE 'idx\\_%'
"""

Costs = dict[str, float]  # seconds by kind


class _Questions:
    """What one of the services is asked, about a call in the middle of its record."""

    def __init__(self, address: str, rows: int) -> None:
        self._client = httpx.Client(base_url=f"{address}/api/v1", timeout=60)
        self._call = UUID(f"00000000-0000-7000-8000-{rows // _CALL // 2:012x}")
        self._messages = f"/conversations/{self._call}/messages"
        call = self._get(f"/conversations/{self._call}")
        self._filters = {
            "user_id": call["user_id"],
            "context_type": "onboarding",
            "intent": "GOAL",
            "ended": "false",
            "voice_session_id": call["voice_session_id"],
            "since": call["created_at"],
            "until": call["created_at"],
        }
        self._end = self._get("/messages/feed", {"start": "end"})["next_cursor"]

    def kinds(self) -> Iterator[tuple[str, Any]]:
        """Yield each kind with what asks for it."""
        yield "conversation", lambda: self._get(f"/conversations/{self._call}")
        yield "page of 100, first", lambda: self._get(self._messages, {"limit": _CALL})
        yield "page of 100, last", lambda: self._get(self._messages, {"limit": _CALL, "direction": "backward"})
        yield f"list of {_LIST}", lambda: self._get("/conversations", {"limit": _LIST})
        for name, value in self._filters.items():
            query = {"limit": _LIST, name: value}
            yield f"list of {_LIST}, {name}", lambda query=query: self._get("/conversations", query)
        yield "feed, newest", lambda: self._get("/messages/feed", {"cursor": self._end})
        yield "append", lambda: self._post("/voice/messages", utterance(self._call))
        messages = f"append {_BATCH} at once"
        yield (
            messages,
            lambda: self._post("/voice/messages/batch", {"messages": [utterance(self._call) for _ in range(_BATCH)]}),
        )

    def close(self) -> None:
        self._client.close()

    def _get(self, path: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def _post(self, path: str, body: dict[str, Any]) -> None:
        answer = self._client.post(path, json=body)
        assert answer.status_code in {200, 201}, answer.text


def measure(*, rows: int, rounds: int) -> tuple[Costs, Costs]:
    """Return what each kind costs among ``rows`` messages, and what it costs among `FEW`."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        postgres = stack.enter_context(EmbeddedPostgres(clusters.prepare(Path(folder)), durable=True))
        unlimited = {f"VERBATIM_RATE_LIMIT_{name}": "1000000/minute" for name in ("ADDRESS", "SUBJECT")}
        asked = []
        for name, count in (("many", rows), ("few", FEW)):
            url = asyncio.run(_fill(postgres.url, name, count))
            address = stack.enter_context(serving(url, VERBATIM_SEARCH="false", **unlimited))
            asked.append(_Questions(address, count))
            stack.callback(asked[-1].close)
        taken: tuple[defaultdict[str, list[float]], ...] = (defaultdict(list), defaultdict(list))
        for _ in range(rounds):
            for questions, found in zip(asked, taken, strict=True):
                for kind, ask in questions.kinds():
                    started = time.perf_counter()
                    ask()
                    found[kind].append(time.perf_counter() - started)
        of_many, of_few = ({kind: median(each) for kind, each in found.items()} for found in taken)
        return of_many, of_few


async def _fill(server: str, name: str, rows: int) -> str:
    connection = await connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    url = make_url(server).set(database=name).render_as_string(hide_password=False)
    await asyncio.to_thread(runner.upgrade, url)
    connection = await connect(url)
    await connection.execute("SET session_replication_role = replica")  # the triggers would lock each call in turn
    await connection.execute(_CALLS, rows // _CALL, timeout=3600)
    indexes = await connection.fetch(_INDEXES)
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['indexname']}")
    for start in range(0, rows, _STRIDE):
        await connection.execute(_MESSAGES, start, min(start + _STRIDE, rows), timeout=3600)
    for index in indexes:
        await connection.execute(index["indexdef"], timeout=3600)
    await connection.execute("SELECT setval('messages_feed_position_seq', $1)", rows)
    await connection.execute("VACUUM ANALYZE", timeout=3600)
    await connection.execute("CHECKPOINT", timeout=3600)
    await connection.close()
    return url


def main() -> int:
    """Measure, show, and return 1 if anything costs more than `BAR` times as much among many messages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    of_many, of_few = measure(rows=options.rows, rounds=options.rounds)
    shown = Table("", f"of {options.rows:,}", f"of {FEW:,}", "ratio")
    for kind, cost in of_many.items():
        shown.add_row(kind, f"{cost * 1000:.2f} ms", f"{of_few[kind] * 1000:.2f} ms", f"{cost / of_few[kind]:.2f}")
    Console().print(shown)
    return int(any(cost > BAR * of_few[kind] for kind, cost in of_many.items()))


if __name__ == "__main__":
    sys.exit(main())
