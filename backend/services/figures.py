"""The figures of a period: calls, turns, incidents and latencies over time, for one owner's conversations or for all.

They are counted from the messages themselves, which reads every message of the period. So a worker counts for one
caller at a time, with at most two connections and two left to other requests; a count may take only some seconds; and
its answer is remembered for a minute, for the same owner and the same question; what may come from a replica, for
those alone that allow one.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from cachetools import TTLCache

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.fair_semaphore import FairSemaphore
from backend.dao_service.connection.replica import may_be_old
from backend.dao_service.figures_dao import STAGES, AnswerRows, CallRows, FiguresDAO, Period, Rows
from backend.errors import Busy, TooSlow
from backend.principal import Principal, caller
from backend.schemas.stats import (
    Bucket,
    Figures,
    HistogramPart,
    LatencyFigures,
    Percentiles,
    SlowAnswer,
    Stats,
    StatsQuery,
)
from backend.vocabulary import Scope

_TIMEOUT: Final = timedelta(seconds=4)
_AGE: Final = 60.0  # seconds for which an answer is remembered
_MEMORY: Final = 8 * 2**20  # bytes of answers that a worker remembers; one of 400 buckets has 250,000
_AT_ONCE: Final = 2  # statements of a count
_LEFT: Final = 2  # connections that a count leaves to other requests, if the pool has more than that
_PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
# The preferred numbers R10 (ISO 3), from 10 ms to 100 s.
_BOUNDS: Final = (
    *(step * 10**power for power in range(1, 5) for step in (1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8)),
    1e5,
)
_NARROW: Final = "ask for a shorter period, or for the figures of one context_type"

_Key = tuple[str | None, StatsQuery, bool]
ResultT = TypeVar("ResultT")


class PeriodFigures:
    """Counts the figures of ``database``, and remembers them for a minute."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._permits = FairSemaphore(1, share=1)
        self._known: TTLCache[_Key, bytes] = TTLCache(_MEMORY, _AGE, getsizeof=len)

    async def stats(self, principal: Principal, query: StatsQuery) -> bytes:
        """Return `Stats` of the conversations that the caller may read, as JSON.

        Raises ScopeMissing, Invalid for a period that is empty or has too many buckets, TooSlow, and Busy if other
        counts hold the connections.
        """
        owner = principal.owner(Scope.CONVERSATIONS_READ)
        key = owner, query, may_be_old()
        if known := self._known.get(key):
            return known
        query.period(datetime.now(UTC))  # refuses before it waits
        try:
            async with asyncio.timeout(self._database.limits.pool_wait):
                await self._permits.acquire(caller.get())
        except TimeoutError as error:
            raise Busy("Other figures are being counted") from error
        try:
            if known := self._known.get(key):  # counted for another request meanwhile
                return known
            found = (await count(self._database, owner, query)).model_dump_json().encode()
        finally:
            self._permits.release(caller.get())
        if len(found) <= self._known.maxsize:
            self._known[key] = found
        return found


async def count(database: Database, owner: str | None, query: StatsQuery) -> Stats:
    """Return the figures of the conversations of ``owner``, None for every owner; raises Invalid and TooSlow."""
    now = datetime.now(UTC)
    since, until, width = query.period(now)
    period = Period(since, until, width.duration, owner, query.context_type, query.source)
    calls, turns, answers = await _rows(database, period)
    found = _tallies(calls, turns, answers)
    starts = (width.begin(since) + number * width.duration for number in range(width.buckets(since, until)))
    return Stats(
        since=since,
        until=until,
        bucket=width,
        computed_at=now,
        total=Figures(**_sum(found).figures()),
        buckets=[Bucket(start=start, **found.get(int(start.timestamp()), _Tally()).figures()) for start in starts],
        histogram=_histogram(dict(map(tuple, answers.histogram))),
        slowest=[_slow_answer(*row) for row in answers.slowest],
    )


async def _rows(database: Database, period: Period) -> tuple[CallRows, Rows, AnswerRows]:
    """Return what is on record of ``period``, read on as many connections as a count may have; raises TooSlow."""
    longest = min(_TIMEOUT, timedelta(seconds=database.limits.statement))
    lanes = asyncio.Semaphore(max(min(_AT_ONCE, database.limits.pool_size - _LEFT), 1))

    async def read(statement: Callable[[FiguresDAO], Awaitable[ResultT]]) -> ResultT:
        async with lanes, database.reading() as session:
            figures = FiguresDAO(session)
            await figures.limit(longest)
            return await statement(figures)

    shares = [*_PERCENTILES.values()]
    answers = asyncio.create_task(read(lambda figures: figures.answers(period, shares, _BOUNDS)))
    calls = asyncio.create_task(read(lambda figures: figures.calls(period)))
    turns = asyncio.create_task(read(lambda figures: figures.turns(period)))
    await asyncio.gather(answers, calls, turns, return_exceptions=True)  # so that none goes on after the count
    try:
        return calls.result(), turns.result(), answers.result()
    except TooSlow as error:
        raise TooSlow(_NARROW) from error


@dataclass(slots=True)
class _Tally:
    """What was counted in one bucket, or in the whole period."""

    calls: int = 0
    seconds: int = 0
    abandoned: int = 0
    incomplete: int = 0
    turns: int = 0
    interruptions: int = 0
    intents: Counter[str] = field(default_factory=Counter)
    incidents: Counter[str] = field(default_factory=Counter)
    latencies: Sequence[Any] = (0, None) * len(STAGES)

    def add(self, other: "_Tally") -> None:
        """Add what is counted in ``other``; percentiles cannot be added."""
        for name in ("calls", "seconds", "abandoned", "incomplete", "turns"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.intents += other.intents
        self.incidents += other.incidents

    def figures(self) -> dict[str, Any]:
        """Return the fields of `Figures`."""
        return {
            "calls": self.calls,
            "minutes": round(self.seconds / 60, 2),
            "abandoned": self.abandoned,
            "incomplete": self.incomplete,
            "intents": dict(sorted(self.intents.items())),
            "turns": self.turns,
            "interruptions": self.interruptions,
            "incidents": dict(sorted(self.incidents.items())),
            "latency_ms": LatencyFigures(
                **{
                    stage: Percentiles(count=count, **dict(zip(_PERCENTILES, values or (), strict=False)))
                    for stage, count, values in zip(STAGES, self.latencies[::2], self.latencies[1::2], strict=True)
                }
            ),
        }


def _tallies(of_calls: CallRows, of_turns: Rows, of_answers: AnswerRows) -> dict[int | None, _Tally]:
    """Return what was counted by bucket, and under None the answers of the whole period."""
    found: defaultdict[int | None, _Tally] = defaultdict(_Tally)
    for bucket, calls, seconds, abandoned, incomplete in of_calls.calls:
        found[bucket] = _Tally(calls, seconds, abandoned, incomplete)
    for bucket, turns in of_turns:
        found[bucket].turns = turns
    for bucket, interruptions, *latencies in of_answers.answers:
        found[bucket].interruptions, found[bucket].latencies = interruptions, latencies
    for bucket, word, number in of_calls.intents:
        found[bucket].intents[word] = number
    for bucket, word, number in of_calls.incidents:
        found[bucket].incidents[word] = number
    return dict(found)


def _sum(found: Mapping[int | None, _Tally]) -> _Tally:
    total = found.get(None, _Tally())
    for bucket, tally in found.items():
        if bucket is not None:
            total.add(tally)
    return total


def _histogram(answers: Mapping[int, int]) -> list[HistogramPart]:
    if not answers:
        return []
    edges = (0.0, *_BOUNDS, None)
    return [
        HistogramPart(from_ms=edges[part], to_ms=edges[part + 1], count=answers.get(part, 0))
        for part in range(min(answers), max(answers) + 1)
    ]


def _slow_answer(call: str, message: str, at: str, total: float, *stages: float | None) -> SlowAnswer:
    return SlowAnswer.model_validate(
        {
            "conversation_id": call,
            "message_id": message,
            "at": at,
            "ms": total,
            "stages": dict(zip(STAGES[1:], stages, strict=True)),
        }
    )
