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
from backend.vocabulary import CallState

_MOST: Final = 10_000  # conversations that a worker remembers, about 5 MB


class Known(NamedTuple):
    """Conversations as they are, by id, and the summaries of those whose basis has not changed."""

    current: Mapping[UUID, Current]
    summaries: Mapping[UUID, Summary]


class Summaries:
    """Summarises conversations of ``database`` whose ids the caller has found by their owner."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: LRUCache[UUID, tuple[Basis, Summary]] = LRUCache(_MOST)

    async def look_up(self, session: Session, ids: Sequence[UUID]) -> Known:
        """Return what is known of those of the conversations that exist."""
        current = await SummaryDAO(session).current(ids)
        remembered = {each: self._remembered[each] for each in current if each in self._remembered}
        return Known(
            current, {each: found for each, (basis, found) in remembered.items() if basis == current[each].basis}
        )

    async def complete(self, known: Known, longest: timedelta | None = None) -> Mapping[UUID, Summary]:
        """Return the summaries by id; the caller holds no connection.

        Those that are not remembered are counted. With ``longest``, they are left out if that takes longer; without,
        it raises TooSlow.
        """
        found = dict(known.summaries)
        if unknown := known.current.keys() - found.keys():
            with suppress(TooSlow) if longest else nullcontext():
                found |= await self._count({each: known.current[each].basis for each in unknown}, longest)
        return {each: summary.model_copy(update=known.current[each].shown) for each, summary in found.items()}

    async def _count(self, bases: Mapping[UUID, Basis], longest: timedelta | None) -> Mapping[UUID, Summary]:
        # The bases were read before. So figures that are newer than their basis are counted again, and older ones never
        # have a newer basis.
        async with self._database.reading() as session:
            summaries = SummaryDAO(session)
            if longest:
                await summaries.limit(longest)
            found = {each: _summary(figures) for each, figures in (await summaries.figures(bases.keys())).items()}
        self._remembered.update({each: (bases[each], summary) for each, summary in found.items()})
        return found


def _summary(figures: CallFigures) -> Summary:
    """Return what is remembered of a conversation: its summary without what is read anew."""
    return Summary(
        state=CallState.LIVE,
        turns=figures.turns,
        interruptions=figures.interruptions,
        functions=figures.functions,
        incidents=figures.incidents,
        latency_ms=CallLatency(p50=figures.p50, p95=figures.p95, max=figures.slowest, count=figures.answers),
        first_words=None,
        receipts=ReceiptSummary(complete=figures.complete, missing=figures.missing) if figures.sessions else None,
    )
