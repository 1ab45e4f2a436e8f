"""What do the figures of a day cost, and the summaries of a page of calls?

    python -m tests.benchmarks.figures [--calls N] [--days N] [--rounds N]

Calls of 40 messages and 100 other events each, a day of 2,500 calls after the other, on a PostgreSQL with full
durability. Rows lie in the order in which they came, as in a record that has grown, and no search worker indexes what
was filled in. The figures of one day are asked for in another period each time, so that they are counted. A page of
100 calls is asked for with and without summaries: those of calls that the worker has summarised before (*again*), and
of others (*first*). Figures are medians.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner
from tests import clusters
from tests.conftest import connect, serving

PAGE: Final = 100
BARS: Final = {"stats of a day": 0.3, "page, summaries again": 1.5}  # seconds; times the page without
KINDS: Final = ("stats of a day", "page", "page, summaries again", "page, summaries first")
_FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
_MESSAGES: Final = 40  # of a call
_FILL: Final = f"""
    INSERT INTO conversations (id, user_id, context_type, created_at, updated_at, ended_at, duration_seconds,
        extracted_intent, voice_session_id)
    SELECT id, 'user-' || n % 500, 'voice', at, at, at + interval '4 min', 240,
        CASE n % 3 WHEN 0 THEN 'GOAL' WHEN 1 THEN 'NEW_TASK' END, 'vs_' || id
    FROM generate_series(1, $1::int * $2::int) AS n, LATERAL (
        SELECT gen_random_uuid() AS id, timestamptz '{_FIRST.isoformat()}' + (n - 1) * interval '1 day' / $1::int AS at
    ) AS call;
    INSERT INTO voice_sessions (id, conversation_id, started_at, ended_at, end_reason, duration_seconds,
        last_client_sequence, provider, seen_at, salt)
    SELECT voice_session_id, id, created_at, ended_at, CASE WHEN random() < 0.05 THEN 'abandoned' ELSE 'hangup' END,
        240, 140, 'deepgram', ended_at, gen_random_uuid()
    FROM conversations;
    INSERT INTO messages (conversation_id, role, content, input_modality, metadata, sequence, "timestamp", created_at,
        voice_session_id, client_sequence)
    SELECT id, CASE WHEN n % 2 = 1 THEN 'user' WHEN n % 20 = 0 THEN 'function' ELSE 'assistant' END,
        'Utterance ' || n || ': could you move the dentist to Thursday at nine and tell Minh about it?', 'voice',
        jsonb_build_object('provider', 'deepgram', 'provider_session_id', id, 'languages', ARRAY['en'])
            || CASE WHEN n % 2 = 0 AND n % 20 > 0 THEN jsonb_build_object(
                'interrupted', n % 8 = 0,
                'latency', jsonb_build_object('total_ms', (400 + 900 * random())::int, 'stt_ms', (200 * random())::int,
                    'llm_ms', (300 + 500 * random())::int, 'tts_ms', (300 * random())::int)
            ) ELSE '{{}}' END,
        n, created_at + n * interval '6 s', created_at + n * interval '6 s', voice_session_id, n * 3
    FROM conversations CROSS JOIN generate_series(1, {_MESSAGES}) AS n ORDER BY created_at + n * interval '6 s';
    INSERT INTO voice_events (
        voice_session_id, conversation_id, id, type, client_sequence, after_sequence, received_at
    )
    SELECT id, conversation_id, gen_random_uuid(), CASE WHEN n = 97 THEN 'Warning' ELSE 'AgentAudioDone' END, n, n / 3,
        started_at + n * interval '1.8 s'
    FROM voice_sessions CROSS JOIN generate_series(1, 140) AS n WHERE n % 3 > 0 OR n > 120
    ORDER BY started_at + n * interval '1.8 s'
"""

Costs = dict[str, float]  # seconds by kind


def measure(*, calls: int, days: int, rounds: int) -> Costs:
    """Return what each kind costs with ``calls`` a day; at least ``rounds`` pages of calls are needed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(clusters.prepare(Path(folder)), durable=True) as postgres,
    ):
        runner.upgrade(postgres.url)
        asyncio.run(_fill(postgres.url, calls, days))
        unlimited = {f"VERBATIM_RATE_LIMIT_{name}": "1000000/minute" for name in ("ADDRESS", "SUBJECT")}
        with (
            serving(postgres.url, VERBATIM_SEARCH="false", **unlimited) as address,
            httpx.Client(base_url=f"{address}/api/v1") as client,
        ):
            taken: defaultdict[str, list[float]] = defaultdict(list)
            cursor: str | None = None
            for number in range(rounds):
                _take(client, taken["stats of a day"], "/stats", _day(days, number))
            for number in range(rounds):
                query = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
                # In turns, so that neither always comes first.
                for kind in (
                    "page, summaries first",
                    *sorted(("page, summaries again", "page"), reverse=number % 2 > 0),
                ):
                    more = {"include": "summary"} if "summaries" in kind else {}
                    cursor_after = _take(client, taken[kind], "/conversations", query | more)["next_cursor"]
                cursor = cursor_after
            return {kind: median(taken[kind]) for kind in KINDS}


async def _fill(url: str, calls: int, days: int) -> None:
    database = await connect(url)
    await database.execute("SET session_replication_role = replica")  # the triggers would lock each call in turn
    for statement in _FILL.split(";"):
        await database.execute(statement.replace("$1", str(calls)).replace("$2", str(days)), timeout=3600)
    await database.execute("UPDATE conversations SET last_sequence = $1::bigint", _MESSAGES)
    await database.execute("VACUUM ANALYZE", timeout=3600)
    await database.close()


def _day(days: int, number: int) -> dict[str, Any]:
    until = _FIRST + timedelta(days=days, microseconds=-number)
    return {"since": (until - timedelta(days=1)).isoformat(), "until": until.isoformat()}


def _take(client: httpx.Client, taken: list[float], path: str, query: dict[str, Any]) -> dict[str, Any]:
    started = time.perf_counter()
    answer = client.get(path, params=query, timeout=60)
    taken.append(time.perf_counter() - started)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def main() -> int:
    """Measure, show, and return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2_500, help="a day")
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    costs = measure(calls=options.calls, days=options.days, rounds=options.rounds)
    shown = Table("what", "takes", "times the page")
    for kind, cost in costs.items():
        shown.add_row(kind, f"{cost * 1000:.1f} ms", f"{cost / costs['page']:.2f}")
    Console().print(shown)
    ratio = costs["page, summaries again"] / costs["page"]
    return int(costs["stats of a day"] > BARS["stats of a day"] or ratio > BARS["page, summaries again"])


if __name__ == "__main__":
    sys.exit(main())
