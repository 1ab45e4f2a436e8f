"""Summaries of conversations: counted from the messages, and remembered while nothing changes.

Counting reads every message and every event of a call, which takes ten times as long as reading the page of the list.
So each worker remembers the figures of the latest calls by their `Basis`, which changes with whatever they depend on.
What was said is not remembered: the first words are read anew each time.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final
from uuid import UUID

from cachetools import LRUCache

from backend.dao_service.connection.database import Database
from backend.dao_service.summary_dao import Basis, CallFigures, Current, SummaryDAO
from backend.errors import TooSlow
from backend.schemas.summary import CallLatency, ReceiptSummary, Summary
from backend.vocabulary import CallState

_MOST: Final = 10_000  # conversations that a worker remembers, about 5 MB
_PATIENCE: Final = timedelta(seconds=1)  # for the figures of a page, which one very long conversation must not delay


class Summaries:
    """Summarises conversations of ``database`` whose ids the caller has found by their owner."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: LRUCache[UUID, tuple[Basis, CallFigures]] = LRUCache(_MOST)

    async def of(self, conversation_id: UUID) -> Summary | None:
        """Return the summary of one conversation, None if it was erased meanwhile; raises TooSlow."""
        current, known = await self._read([conversation_id])
        if current and not known:
            known = await self._count(current, None)
        return next((_summary(current[each], known[each]) for each in current), None)

    async def of_page(self, ids: Sequence[UUID]) -> Mapping[UUID, Summary]:
        """Return the summaries of conversations by id, without those that cannot be counted within a second."""
        current, known = await self._read(ids)
        if unknown := {each: found for each, found in current.items() if each not in known}:
            with suppress(TooSlow):
                known |= await self._count(unknown, _PATIENCE)
        return {each: _summary(current[each], known[each]) for each in current.keys() & known.keys()}

    async def _read(self, ids: Sequence[UUID]) -> tuple[Mapping[UUID, Current], dict[UUID, CallFigures]]:
        """Return the present state of the conversations, and the figures that are remembered for it."""
        async with self._database.reading() as session:
            current = await SummaryDAO(session).current(ids)
        remembered = {each: self._known[each] for each in current if each in self._known}
        return current, {each: figures for each, (basis, figures) in remembered.items() if basis == current[each].basis}

    async def _count(self, current: Mapping[UUID, Current], longest: timedelta | None) -> dict[UUID, CallFigures]:
        # The basis was read before the figures, so that figures which are newer than their basis are counted again.
        async with self._database.reading() as session:
            summaries = SummaryDAO(session)
            if longest:
                await summaries.limit(longest)
            found = dict(await summaries.figures(current.keys()))
        self._known.update({each: (current[each].basis, figures) for each, figures in found.items()})
        return found


def _summary(current: Current, figures: CallFigures) -> Summary:
    return Summary(
        state=CallState(current.state),
        turns=figures.turns,
        interruptions=figures.interruptions,
        functions=figures.functions,
        incidents=figures.incidents,
        latency_ms=CallLatency(p50=figures.p50, p95=figures.p95, max=figures.slowest, count=figures.answers),
        first_words=current.first_words,
        receipts=ReceiptSummary(complete=figures.complete, missing=figures.missing) if figures.sessions else None,
    )
