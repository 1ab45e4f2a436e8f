"""SQL that counts what happened in a period, by buckets of time, in one statement.

What was said counts at the time at which it was said (`messages.timestamp`), a call at the time at which its
conversation was created, and an incident at the time at which it was received. Nothing is counted beforehand: a message
that arrives late, and a latency that is written into a message later, are in the next answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import ARRAY, DateTime, Float, Interval, TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.call_facts import (
    INTERRUPTED,
    IS_INCIDENT,
    MEASURED,
    PROVIDER,
    RECEIPTS,
    SPEAKS,
    STATE,
    is_from,
)
from backend.dao_service.latency import latency_sql
from backend.dao_service.ownership import OWNER_SQL, reaches_sql
from backend.vocabulary import CallState, Source

STAGES: Final = ("total", "stt", "llm", "tts")
SLOWEST: Final = 20  # answers
# Every width of a bucket divides a week, so that buckets begin at full hours, at midnight, on Mondays (UTC).
ORIGIN: Final = "2001-01-01Z"
_BUCKET: Final = f"date_bin(:width, {{}}, timestamptz '{ORIGIN}')"
# As one setting: PostgreSQL plans for the period and the owner at hand, in memory, and compiles nothing.
_SETTINGS: Final = text("""
    SELECT set_config('statement_timeout', :timeout, true), set_config('plan_cache_mode', 'force_custom_plan', true),
        set_config('work_mem', '32MB', true), set_config('jit', 'off', true)
""")


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


class FigureRows(NamedTuple):
    """The rows of each table of the answer, as JSON. A bucket is the second, since 1970, at which it begins.

    - ``calls``: bucket, calls, seconds, abandoned, incomplete
    - ``intents``: bucket, intent, calls
    - ``turns``: bucket, turns
    - ``incidents``: bucket, type, incidents
    - ``answers``: bucket (null for the whole period), interruptions, and for each stage the count of the latencies and
      their percentiles
    - ``histogram``: number of the bound below (0 below all bounds), answers
    - ``slowest``: conversation, message, time, and the latency of each stage
    """

    calls: list[list[Any]]
    intents: list[list[Any]]
    turns: list[list[Any]]
    incidents: list[list[Any]]
    answers: list[list[Any]]
    histogram: list[list[Any]]
    slowest: list[list[Any]]


class FiguresDAO:
    """The statement that counts, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def count(
        self, period: Period, *, percentiles: Sequence[float], bounds: Sequence[float], within: timedelta
    ) -> FigureRows:
        """Return the figures of ``period``, without the buckets in which nothing happened.

        ``bounds`` divide the histogram, in rising order, each in milliseconds and the lowest of its part. The statement
        may take ``within``.
        """
        milliseconds = str(within // timedelta(milliseconds=1))
        await self._session.execute(_SETTINGS, {"timeout": milliseconds})
        values = {
            "since": period.since,
            "until": period.until,
            "width": period.width,
            "percentiles": percentiles,
            "bounds": bounds,
        }
        chosen = {"owner": period.owner, "context_type": period.context_type}
        values |= {name: value for name, value in chosen.items() if value is not None}
        statement = _statement("owner" in values, "context_type" in values, period.source)
        return FigureRows(*(await self._session.execute(statement, values)).one())


@lru_cache
def _statement(of_owner: bool, of_context: bool, source: Source | None) -> TextClause:  # noqa: FBT001 -- kinds of one text
    of_call = [reaches_sql("CAST(:owner AS text)", OWNER_SQL.format("c"))] * of_owner + [
        "c.context_type = :context_type"
    ] * of_context
    call_of = "JOIN conversations AS c ON c.id = {}.conversation_id" if of_call else ""
    latencies = latency_sql("m.metadata")
    return text(f"""
        WITH said AS MATERIALIZED (
            SELECT {_BUCKET.format("m.timestamp")} AS bucket, m.timestamp AS at, m.conversation_id, m.sequence, m.id,
                m.role, {SPEAKS} AS speaks, {INTERRUPTED} AS interrupted,
                {", ".join(f"CASE WHEN {MEASURED} THEN {latencies[f'{each}_ms']} END AS {each}" for each in STAGES)}
            FROM messages AS m {call_of.format("m")}
            WHERE m.timestamp >= :since AND m.timestamp < :until AND m.role IN ('user', 'assistant')
                {_all(of_call, source and is_from(source, "(m.metadata ->> 'provider')"))}
        ), called AS MATERIALIZED (
            SELECT {_BUCKET.format("c.created_at")} AS bucket, c.duration_seconds, c.extracted_intent,
                {STATE} AS state, receipt.complete
            FROM conversations AS c CROSS JOIN LATERAL ({RECEIPTS}) AS receipt
            WHERE c.created_at >= :since AND c.created_at < :until
                {_all(of_call, source and is_from(source, PROVIDER))}
        ), calls AS (
            SELECT bucket, count(*) AS calls, coalesce(sum(duration_seconds), 0) AS seconds,
                count(*) FILTER (WHERE state = '{CallState.ABANDONED}') AS abandoned,
                count(*) FILTER (WHERE state <> '{CallState.LIVE}' AND NOT complete) AS incomplete
            FROM called GROUP BY bucket
        ), intents AS (
            SELECT bucket, extracted_intent, count(*) AS calls FROM called
            WHERE extracted_intent IS NOT NULL GROUP BY bucket, extracted_intent
        ), turns AS (
            SELECT bucket, count(*) AS turns FROM (
                SELECT bucket, role, lag(role) OVER (PARTITION BY conversation_id ORDER BY at, sequence) AS before
                FROM said WHERE speaks
            ) AS spoken WHERE role IS DISTINCT FROM before GROUP BY bucket
        ), incidents AS (
            SELECT {_BUCKET.format("e.received_at")} AS bucket, e.type, count(*) AS incidents
            FROM voice_events AS e JOIN voice_sessions AS s ON s.id = e.voice_session_id {call_of.format("s")}
            WHERE e.received_at >= :since AND e.received_at < :until AND {IS_INCIDENT}
                {_all(of_call, source and is_from(source, "s.provider"))}
            GROUP BY 1, 2
        ), answers AS (
            SELECT bucket, count(*) FILTER (WHERE interrupted) AS interruptions, {_percentiles()}
            FROM said WHERE role = 'assistant' GROUP BY GROUPING SETS ((bucket), ())
        ), histogram AS (
            SELECT width_bucket(total, CAST(:bounds AS float8[])) AS part, count(*) AS answers
            FROM said WHERE total IS NOT NULL GROUP BY part
        ), slowest AS (
            SELECT conversation_id, id, at, {", ".join(STAGES)} FROM said WHERE total IS NOT NULL
            ORDER BY total DESC, at, id LIMIT {SLOWEST}
        )
        SELECT {_rows("calls", "calls", "seconds", "abandoned", "incomplete")},
            {_rows("intents", "extracted_intent", "calls")},
            {_rows("turns", "turns")},
            {_rows("incidents", "type", "incidents")},
            {_rows("answers", "interruptions", *(f"{each}_{what}" for each in STAGES for what in ("count", "at")))},
            (SELECT coalesce(json_agg(json_build_array(part, answers) ORDER BY part), '[]') FROM histogram),
            (SELECT coalesce(json_agg(json_build_array(
                conversation_id, id, at, {", ".join(STAGES)}
            ) ORDER BY total DESC, at, id), '[]') FROM slowest)
    """).bindparams(  # noqa: S608 -- made of constants
        bindparam("since", type_=DateTime(timezone=True)),
        bindparam("until", type_=DateTime(timezone=True)),
        bindparam("width", type_=Interval),
        bindparam("percentiles", type_=ARRAY(Float)),
        bindparam("bounds", type_=ARRAY(Float)),
    )


def _all(of_call: Sequence[str], of_source: str | None) -> str:
    return "".join(f" AND {condition}" for condition in (*of_call, of_source) if condition)


def _percentiles() -> str:
    return ", ".join(
        f"count({each}) AS {each}_count, "
        f"percentile_disc(CAST(:percentiles AS float8[])) WITHIN GROUP (ORDER BY {each}) AS {each}_at"
        for each in STAGES
    )


def _rows(table: str, *columns: str) -> str:
    values = f"extract(epoch FROM bucket)::bigint, {', '.join(columns)}"
    return f"(SELECT coalesce(json_agg(json_build_array({values})), '[]') FROM {table})"  # noqa: S608 -- made of constants
