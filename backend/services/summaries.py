"""Summaries of conversations: counted from the messages, and remembered while nothing changes.

Counting reads every message and every event of a call, which takes ten times as long as reading the page of the list.
So each worker remembers the figures of the latest calls by their `Basis`, which changes with whatever they depend on.
What was said is not remembered: the first words are read anew each time.
"""

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from cachetools import LRUCache

from backend.dao_service.connection.database import Database
from backend.dao_service.summary_dao import Basis, CallFigures, Current, SummaryDAO
from backend.errors import TooSlow
from backend.schemas.summary import CallLatency, ReceiptSummary, Summary
from backend.vocabulary import CallState

_MOST: Final = 10_000  # conversations that a worker remembers, about 5 MB

_Counted = dict[str, Any]  # the fields of a summary that are remembered; the others are read anew


class Summaries:
    """Summarises conversations of ``database`` that the caller has found by their owner."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: LRUCache[UUID, tuple[Basis, _Counted]] = LRUCache(_MOST)

    async def of(self, current: Mapping[UUID, Current], longest: timedelta | None = None) -> Mapping[UUID, Summary]:
        """Return the summaries of conversations by id, each by its ``current`` state; the caller holds no connection.

        Those that are not remembered are counted. With ``longest``, they are left out if that takes longer; without,
        it raises TooSlow.
        """
        remembered = {each: self._remembered[each] for each in current if each in self._remembered}
        found = {each: counted for each, (basis, counted) in remembered.items() if basis == current[each].basis}
        if unknown := current.keys() - found.keys():
            with suppress(TooSlow) if longest else nullcontext():
                found |= await self._count({each: current[each].basis for each in unknown}, longest)
        return {
            each: Summary(**counted, state=CallState(current[each].state), first_words=current[each].first_words)
            for each, counted in found.items()
        }

    async def _count(self, bases: Mapping[UUID, Basis], longest: timedelta | None) -> Mapping[UUID, _Counted]:
        # The bases were read before. So figures that are newer than their basis are counted again, and older ones never
        # have a newer basis: a request that has read from the primary never turns to a replica, which may be behind.
        async with self._database.reading() as session:
            summaries = SummaryDAO(session)
            if longest:
                await summaries.limit(longest)
            found = {each: _counted(figures) for each, figures in (await summaries.figures(bases.keys())).items()}
        self._remembered.update({each: (bases[each], counted) for each, counted in found.items()})
        return found


def _counted(figures: CallFigures) -> _Counted:
    return {
        "turns": figures.turns,
        "interruptions": figures.interruptions,
        "functions": figures.functions,
        "incidents": figures.incidents,
        "latency_ms": CallLatency(p50=figures.p50, p95=figures.p95, max=figures.slowest, count=figures.answers),
        "receipts": ReceiptSummary(complete=figures.complete, missing=figures.missing) if figures.sessions else None,
    }
