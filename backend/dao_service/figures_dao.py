"""SQL that counts what happened in a period, by buckets of time.

What was said counts at the time at which it was said (`messages.timestamp`), a call at the time at which its
conversation was created, and an incident at the time at which it was received. Nothing is counted beforehand: a message
that arrives late, and a latency that is written into a message later, are in the next answer.

There are three statements: for calls, for turns, and for answers. Each reads every row of its kind in the period. A
service runs the one for answers at the same time as the others, on two connections, so that PostgreSQL uses two
processors; a third would save little, because the answers cost as much as the other two together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import ARRAY, DateTime, Float, Interval, TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import TypeEngine

from backend.dao_service.call_facts import INTERRUPTED, IS_INCIDENT, MEASURED, PROVIDER, RECEIPTS, SPEAKS, is_from
from backend.dao_service.latency import latency_sql
from backend.dao_service.ownership import OWNER_SQL, reaches_sql
from backend.vocabulary import Source

STAGES: Final = ("total", "stt", "llm", "tts")  # in the order of `latency_sql`
SLOWEST: Final = 20  # answers
# Every width of a bucket divides a week, so that buckets begin at full hours, at midnight, on Mondays (UTC).
ORIGIN: Final = "2001-01-01Z"
_BUCKET: Final = f"date_bin(:width, {{}}, timestamptz '{ORIGIN}')"
# As one setting: PostgreSQL plans for the period and the owner at hand, sorts in memory, and compiles nothing.
_SETTINGS: Final = text("""
    SELECT set_config('statement_timeout', :timeout, true), set_config('plan_cache_mode', 'force_custom_plan', true),
        set_config('enable_bitmapscan', 'on', true), set_config('work_mem', '32MB', true),
        set_config('jit', 'off', true)
""")
_TYPES: Final[Mapping[str, TypeEngine[Any]]] = {
    "since": DateTime(timezone=True),
    "until": DateTime(timezone=True),
    "width": Interval(),
    "percentiles": ARRAY(Float),
    "bounds": ARRAY(Float),
}

Rows = list[list[Any]]


@dataclass(frozen=True, slots=True)
class Period:
    """What to count: from ``since`` (inclusive) to ``until`` (exclusive), in buckets of ``width``; None is all.

    Only conversations of ``owner`` count, only those of ``context_type``, and only what ``source`` has recorded.
    """

    since: datetime
    until: datetime
    width: timedelta
    owner: str | None = None
    context_type: str | None = None
    source: Source | None = None

    @property
    def filters(self) -> "_Filters":
        """The conditions besides the time."""
        return _Filters(self.owner is not None, self.context_type is not None, self.source)

    @property
    def values(self) -> dict[str, Any]:
        """The values of the conditions, by the names of the parameters."""
        chosen = {"owner": self.owner, "context_type": self.context_type}
        named = {name: value for name, value in chosen.items() if value is not None}
        return {"since": self.since, "until": self.until, "width": self.width, **named}


class CallRows(NamedTuple):
    """Rows of calls. A bucket, the first column, is the second since 1970 at which it begins.

    - ``calls``: bucket, calls, seconds, abandoned, incomplete
    - ``intents``: bucket, intent, calls
    - ``incidents``: bucket, type, incidents
    """

    calls: Rows
    intents: Rows
    incidents: Rows


class AnswerRows(NamedTuple):
    """Rows of answers.

    - ``answers``: bucket (None for the whole period), interruptions, and of each stage the count and the percentiles
    - ``histogram``: number of the bound below (0 below all bounds), answers
    - ``slowest``: conversation, message, time, latencies
    """

    answers: Rows
    histogram: Rows
    slowest: Rows


class FiguresDAO:
    """The statements that count, in the transaction of ``session``. Buckets in which nothing happened have no row."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def limit(self, longest: timedelta) -> None:
        """Prepare the transaction for counting, and end each statement that takes longer than ``longest``."""
        await self._session.execute(_SETTINGS, {"timeout": str(longest // timedelta(milliseconds=1))})

    async def calls(self, period: Period) -> CallRows:
        """Return the rows of the calls that were created in ``period``, and of the incidents that were received."""
        return CallRows(*(await self._session.execute(_calls(period.filters), period.values)).one())

    async def turns(self, period: Period) -> Rows:
        """Return the turns in ``period``: bucket, turns."""
        rows: Rows = await self._session.scalar(_turns(period.filters), period.values)
        return rows

    async def answers(self, period: Period, percentiles: Sequence[float], bounds: Sequence[float]) -> AnswerRows:
        """Return the rows of the answers in ``period``.

        ``bounds`` divide the histogram, in rising order, each in milliseconds and the lowest of its part.
        """
        values = {**period.values, "percentiles": percentiles, "bounds": bounds}
        return AnswerRows(*(await self._session.execute(_answers(period.filters), values)).one())


class _Filters(NamedTuple):
    of_owner: bool
    of_context: bool
    source: Source | None

    @property
    def of_call(self) -> str:
        owner = reaches_sql("CAST(:owner AS text)", OWNER_SQL.format("c"))
        return f" AND {owner}" * self.of_owner + " AND c.context_type = :context_type" * self.of_context

    def conversation_of(self, table: str) -> str:
        """Return the join to a row's conversation, where a condition is about that."""
        return f"JOIN conversations AS c ON c.id = {table}.conversation_id" if self.of_call else ""

    def of_source(self, provider: str) -> str:
        return f" AND {is_from(self.source, provider)}" if self.source else ""


@lru_cache
def _calls(filters: _Filters) -> TextClause:
    session = (
        "JOIN voice_sessions AS s ON s.id = e.voice_session_id AND s.conversation_id = e.conversation_id"
        if any(filters)
        else ""
    )
    return _statement(f"""
        WITH called AS MATERIALIZED (
            SELECT {_BUCKET.format("c.created_at")} AS bucket, c.duration_seconds, c.extracted_intent, c.ended_at,
                receipt.is_presumed, receipt.complete
            FROM conversations AS c CROSS JOIN LATERAL ({RECEIPTS}) AS receipt
            WHERE c.created_at >= :since AND c.created_at < :until {filters.of_call} {filters.of_source(PROVIDER)}
        ), calls AS (
            SELECT bucket, count(*) AS calls, coalesce(sum(duration_seconds), 0) AS seconds,
                count(*) FILTER (WHERE is_presumed) AS abandoned,
                count(*) FILTER (WHERE ended_at IS NOT NULL AND NOT complete) AS incomplete
            FROM called GROUP BY bucket
        ), intents AS (
            SELECT bucket, extracted_intent, count(*) AS calls FROM called
            WHERE extracted_intent IS NOT NULL GROUP BY bucket, extracted_intent
        ), incidents AS (
            SELECT {_BUCKET.format("e.received_at")} AS bucket, e.type, count(*) AS incidents
            FROM voice_events AS e {session} {filters.conversation_of("s")}
            WHERE e.received_at >= :since AND e.received_at < :until AND {IS_INCIDENT}
                {filters.of_call} {filters.of_source("s.provider")}
            GROUP BY 1, 2
        )
        SELECT {_rows("calls", "calls", "seconds", "abandoned", "incomplete")},
            {_rows("intents", "extracted_intent", "calls")}, {_rows("incidents", "type", "incidents")}
    """)  # noqa: S608 -- made of constants


@lru_cache
def _turns(filters: _Filters) -> TextClause:
    return _statement(f"""
        WITH spoken AS (
            SELECT {_BUCKET.format("m.timestamp")} AS bucket, m.role, lag(m.role) OVER (
                PARTITION BY m.conversation_id ORDER BY m.timestamp, m.sequence
            ) AS before
            FROM messages AS m {filters.conversation_of("m")}
            WHERE {_said(filters)} AND {SPEAKS}
        ), turns AS (
            SELECT bucket, count(*) AS turns FROM spoken WHERE role IS DISTINCT FROM before GROUP BY bucket
        )
        SELECT {_rows("turns", "turns")}
    """)  # noqa: S608 -- made of constants


@lru_cache
def _answers(filters: _Filters) -> TextClause:
    latencies = ", ".join(
        f"{sql} AS {stage}" for stage, sql in zip(STAGES, latency_sql("measured").values(), strict=True)
    )
    percentiles = ", ".join(
        f"count({each}) AS {each}_count, "
        f"percentile_disc(CAST(:percentiles AS float8[])) WITHIN GROUP (ORDER BY {each}) AS {each}_at"
        for each in STAGES
    )
    return _statement(f"""
        WITH answer AS MATERIALIZED (
            SELECT bucket, at, conversation_id, id, interrupted, {latencies} FROM (
                SELECT {_BUCKET.format("m.timestamp")} AS bucket, m.timestamp AS at, m.conversation_id, m.id,
                    {INTERRUPTED} AS interrupted, {MEASURED} AS measured
                FROM messages AS m {filters.conversation_of("m")}
                WHERE {_said(filters)} AND m.role = 'assistant'
                OFFSET 0  -- so that `measured` is computed once for its four latencies
            ) AS answer
        ), answers AS (
            SELECT bucket, count(*) FILTER (WHERE interrupted) AS interruptions, {percentiles}
            FROM answer GROUP BY GROUPING SETS ((bucket), ())
        ), histogram AS (
            SELECT width_bucket(total, CAST(:bounds AS float8[])) AS part, count(*) AS answers
            FROM answer WHERE total IS NOT NULL GROUP BY part
        ), slowest AS (
            SELECT conversation_id, id, at, {", ".join(STAGES)} FROM answer WHERE total IS NOT NULL
            ORDER BY total DESC, at, id LIMIT {SLOWEST}
        )
        SELECT {_rows("answers", "interruptions", *(f"{each}_{what}" for each in STAGES for what in ("count", "at")))},
            (SELECT coalesce(json_agg(json_build_array(part, answers)), '[]') FROM histogram),
            (SELECT coalesce(json_agg(json_build_array(
                conversation_id, id, at, {", ".join(STAGES)}
            ) ORDER BY total DESC, at, id), '[]') FROM slowest)
    """)  # noqa: S608 -- made of constants


def _said(filters: _Filters) -> str:
    provider = filters.of_source("(m.metadata ->> 'provider')")
    return f"m.timestamp >= :since AND m.timestamp < :until {filters.of_call} {provider}"


def _rows(table: str, *columns: str) -> str:
    values = f"extract(epoch FROM bucket)::bigint, {', '.join(columns)}"
    return f"(SELECT coalesce(json_agg(json_build_array({values})), '[]') FROM {table})"  # noqa: S608 -- made of constants


def _statement(sql: str) -> TextClause:
    return text(sql).bindparams(*(bindparam(name, type_=type_) for name, type_ in _TYPES.items() if f":{name}" in sql))
