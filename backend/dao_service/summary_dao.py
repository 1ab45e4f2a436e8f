"""SQL that summarises whole conversations, many in one statement.

A summary is a function of a conversation's messages and of its voice sessions with their events. Every transaction of
the service that writes one of these raises `conversations.last_sequence` or changes a row of `voice_sessions`: one that
stores events or writes latencies into messages sets `seen_at`. So while the `Basis` of a conversation stays, its
figures do.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.call_facts import CALLED, INTERRUPTED, IS_INCIDENT, IS_PRESUMED, MEASURED, RECEIPTS, SPEAKS
from backend.dao_service.latency import latency_sql
from backend.vocabulary import CallState

_FIRST_WORDS: Final = 100  # characters
_EARLY: Final = 20  # messages, the first ones in spoken order, among which the first words are looked for

# A row for each row ``c`` of `conversations` that a statement reads, so that a page is still one statement.
CURRENT: Final = f"""
    SELECT sha256(convert_to(string_agg(
            concat_ws(' ', s.id, s.seen_at, s.ended_at, s.end_reason, s.last_client_sequence, s.client_lost),
            ',' ORDER BY s.id
        ), 'UTF8')) AS sessions,
        CASE WHEN c.ended_at IS NULL THEN '{CallState.LIVE}' WHEN {IS_PRESUMED} THEN '{CallState.ABANDONED}'
            ELSE '{CallState.ENDED}' END AS state, (
            SELECT left(content, {_FIRST_WORDS}) FROM (
                SELECT role, content, timestamp, sequence FROM messages
                WHERE conversation_id = c.id ORDER BY timestamp, sequence LIMIT {_EARLY}
            ) AS early WHERE role = 'user' ORDER BY timestamp, sequence LIMIT 1
        ) AS first_words
    FROM voice_sessions AS s WHERE s.conversation_id = c.id
"""  # noqa: S608 -- made of constants
_FIGURES: Final = text(f"""
    SELECT c.id, said.turns, said.interruptions, said.functions, (
        SELECT count(*) FROM voice_sessions AS s
        JOIN voice_events AS e ON e.voice_session_id = s.id AND e.conversation_id = s.conversation_id
        WHERE s.conversation_id = c.id AND {IS_INCIDENT}
    ) AS incidents, said.answers, said.percentiles[1] AS p50, said.percentiles[2] AS p95, said.slowest,
        receipt.sessions, receipt.complete, receipt.missing
    FROM conversations AS c CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE speaks AND role IS DISTINCT FROM before) AS turns,
            count(*) FILTER (WHERE interrupted) AS interruptions, count(DISTINCT call) AS functions,
            count(total_ms) AS answers, max(total_ms) AS slowest,
            percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY total_ms) AS percentiles
        FROM (
            SELECT *, lag(role) OVER (PARTITION BY speaks ORDER BY timestamp, sequence) AS before,
                {latency_sql("measured")["total_ms"]} AS total_ms
            FROM (
                SELECT m.role, m.timestamp, m.sequence, {SPEAKS} AS speaks, {INTERRUPTED} AS interrupted,
                    {CALLED} AS call, {MEASURED} AS measured
                FROM messages AS m WHERE m.conversation_id = c.id
            ) AS message
        ) AS message
    ) AS said CROSS JOIN LATERAL ({RECEIPTS}) AS receipt
    WHERE c.id = ANY(:ids)
""").bindparams(bindparam("ids", type_=ARRAY(SQL_UUID)))  # noqa: S608 -- made of constants


class Basis(NamedTuple):
    """What a conversation's figures depend on; ``sessions`` is a digest of its voice sessions, None without any."""

    last_sequence: int
    sessions: bytes | None


class Current(NamedTuple):
    """What is read anew each time, with the conversation itself."""

    basis: Basis
    state: str
    first_words: str | None


@dataclass(frozen=True, slots=True)
class CallFigures:
    """The figures of one conversation; latencies are in milliseconds, and None without an answer that has one.

    ``missing`` counts the events that its ``sessions`` lack.
    """

    turns: int
    interruptions: int
    functions: int
    incidents: int
    answers: int
    p50: float | None
    p95: float | None
    slowest: float | None
    sessions: int
    complete: bool
    missing: int


class SummaryDAO:
    """The statements on summaries, in the transaction of ``session``. The caller has found the ids by the owner."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def limit(self, longest: timedelta) -> None:
        """End each later statement of the transaction that takes longer than ``longest``."""
        milliseconds = str(longest // timedelta(milliseconds=1))
        await self._session.execute(
            text("SELECT set_config('statement_timeout', :value, true)"), {"value": milliseconds}
        )

    async def figures(self, ids: Collection[UUID]) -> Mapping[UUID, CallFigures]:
        """Return the figures of each of the conversations, by id."""
        rows = await self._session.execute(_FIGURES, {"ids": [*ids]})
        return {row[0]: CallFigures(*row[1:]) for row in rows}
