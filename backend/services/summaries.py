"""Summaries of conversations: counted from the messages, and remembered while nothing changes.

Counting reads every message and every event of a call, which takes ten times as long as reading the page of the list.
So each worker remembers the figures of the latest calls by their `Basis`, which changes with whatever they depend on.
What was said is not remembered: the first words are read anew each time.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

from cachetools import LRUCache

from backend.dao_service.connection.database import Database, Session
from backend.dao_service.summary_dao import Basis, CallFigures, Current, SummaryDAO
from backend.errors import TooSlow
from backend.schemas.summary import CallLatency, ReceiptSummary, Summary

_MOST: Final = 10_000  # conversations that a worker remembers, about 5 MB


class Known(NamedTuple):
    """Conversations as they are, by id, and the figures of those whose basis has not changed."""

    current: Mapping[UUID, Current]
    figures: Mapping[UUID, CallFigures]


class Summaries:
    """Summarises conversations of ``database`` whose ids the caller has found by their owner."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: LRUCache[UUID, tuple[Basis, CallFigures]] = LRUCache(_MOST)

    async def look_up(self, session: Session, ids: Sequence[UUID]) -> Known:
        """Return what is known of those of the conversations that exist."""
        current = await SummaryDAO(session).current(ids)
        remembered = {each: self._remembered[each] for each in current if each in self._remembered}
        fresh = {each: figures for each, (basis, figures) in remembered.items() if basis == current[each].basis}
        return Known(current, fresh)

    async def complete(self, known: Known, longest: timedelta | None = None) -> Mapping[UUID, Summary]:
        """Return the summaries by id; the caller holds no connection.

        Those that are not remembered are counted. With ``longest``, they are left out if that takes longer; without,
        it raises TooSlow.
        """
        figures = dict(known.figures)
        if unknown := known.current.keys() - figures.keys():
            with suppress(TooSlow) if longest else nullcontext():
                figures |= await self._count({each: known.current[each].basis for each in unknown}, longest)
        return {each: _summary(known.current[each], figures[each]) for each in figures}

    async def _count(self, bases: Mapping[UUID, Basis], longest: timedelta | None) -> Mapping[UUID, CallFigures]:
        # The bases were read before. So figures that are newer than their basis are counted again, and older ones never
        # have a newer basis.
        async with self._database.reading() as session:
            summaries = SummaryDAO(session)
            if longest:
                await summaries.limit(longest)
            found = await summaries.figures(bases.keys())
        self._remembered.update({each: (bases[each], figures) for each, figures in found.items()})
        return found


def _summary(current: Current, figures: CallFigures) -> Summary:
    return Summary(
        state=current.state,
        turns=figures.turns,
        interruptions=figures.interruptions,
        functions=figures.functions,
        incidents=figures.incidents,
        latency_ms=CallLatency(p50=figures.p50, p95=figures.p95, max=figures.slowest, count=figures.answers),
        first_words=current.first_words,
        receipts=ReceiptSummary(complete=figures.complete, missing=figures.missing) if figures.sessions else None,
    )
