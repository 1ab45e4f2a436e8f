"""Reading the timeline of a conversation, part by part.

A part is made of messages in spoken order and of the beginnings of voice sessions, merged by time. Their neighbours on
both sides are read, too, because a speech, a silence or a call begins with one message and ends with another; and of
each message the events that came after it. So each segment belongs to one part, and is the same however the parts are
cut, as long as its ends are not further apart than the neighbours that are read.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from typing import Final
from uuid import UUID

from backend.dao_service.connection.database import Database
from backend.dao_service.timeline_dao import Anchor, AnchorRow, SaidRow, SessionRow, TimelineDAO
from backend.errors import ConversationNotFound
from backend.principal import Principal
from backend.schemas.timeline import TimelinePlace, TimelineQuery
from backend.timeline import Anchored, AnchorId, Segment, Window, are_paired, segments
from backend.vocabulary import Lane, Scope
from verbatim_record.vocabulary import Role

_NEIGHBOURS: Final = 50  # messages on each side of a part
_CALL: Final = 1_000  # messages on each side among which the other side of a function call is looked for
_MOST: Final = 2_000  # segments of a part; about half a megabyte
_BEGINNING: Final = TimelinePlace(datetime(1, 1, 1, tzinfo=UTC), None, 0)
_LANES: Final = {lane: place for place, lane in enumerate(Lane)}

_Row = SaidRow | SessionRow


@dataclass(frozen=True, slots=True)
class TimelinePart:
    """A part of a timeline, its segments by their beginnings."""

    conversation_id: UUID
    started_at: datetime
    ended_at: datetime | None
    segments: list[Segment]
    next_cursor: str | None
    has_more: bool


async def part(database: Database, principal: Principal, conversation_id: UUID, query: TimelineQuery) -> TimelinePart:
    """Return one part of a conversation's timeline.

    It ends before ``query.limit`` messages and sessions if they have more than 2,000 segments together. Raises
    ScopeMissing, ConversationNotFound, and Invalid for a cursor that this service has not issued.
    """
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    after = TimelinePlace.parse(query.cursor) if query.cursor else _BEGINNING
    async with database.driver_connection() as connection:
        timelines = TimelineDAO(connection)
        span = await timelines.span(conversation_id, owner)
        if span is None:
            raise ConversationNotFound(conversation_id)
        rows, window = await _read(timelines, conversation_id, after, query.limit)
    # In a thread, because 500 messages take about 25 ms, in which the event loop would answer no other request.
    made = await asyncio.to_thread(lambda: [*segments(window)])
    shown = _fitting(rows[: query.limit], made)
    anchors = {row.id for row in shown}
    found = [each.segment for each in made if each.anchor in anchors]
    return TimelinePart(
        conversation_id,
        *span,
        segments=sorted(found, key=lambda segment: (segment.started_at, _LANES[segment.lane])),
        next_cursor=_place(shown[-1]).cursor() if shown else query.cursor,
        has_more=len(rows) > len(shown),
    )


async def _read(
    timelines: TimelineDAO, conversation_id: UUID, after: TimelinePlace, limit: int
) -> tuple[list[_Row], Window]:
    """Return up to ``limit`` + 1 messages and sessions from after a place, and the window around them."""
    before = await timelines.said_before(conversation_id, after.at, after.sequence, _NEIGHBOURS)
    said = await timelines.said(conversation_id, after.at, after.sequence, limit + _NEIGHBOURS)
    around = [*before, *said]
    named = {row.session for row in around if row.session}
    sessions = await timelines.sessions(conversation_id, named, (after.at, after.session), limit + 1)
    beginnings: Iterable[_Row] = (session for session in sessions if session.is_after)
    rows: list[_Row] = [*islice(merge(beginnings, said, key=lambda row: _place(row)[0]), limit + 1)]
    shown = {row.id for row in rows}
    sessions = [session for session in sessions if session.id in shown or session.id in named]
    events = await _events(timelines, conversation_id, around, sessions)
    functions = [row for row in around if row.role == Role.FUNCTION]
    if not are_paired((row for row in functions if row.id in shown), functions):
        further = await timelines.functions_around(conversation_id, around[0], around[-1], _CALL)
        functions = sorted([*functions, *further], key=lambda row: (row.at, row.sequence))
    return rows, Window(around, sessions, events, functions)


async def _events(
    timelines: TimelineDAO, conversation_id: UUID, said: Sequence[SaidRow], sessions: Sequence[SessionRow]
) -> dict[AnchorId, AnchorRow]:
    """Return the events of messages and sessions by id. Messages with the same number of a session share them."""
    ours = {session.id for session in sessions}  # a message may name any session, also one of another conversation
    anchors: dict[AnchorId, Anchor] = {session.id: Anchor(session.id, -1, 0) for session in sessions}
    for row in said:
        if row.session in ours:
            anchors[row.id] = Anchor(row.session, row.number, row.sequence if row.number is None else None)
    distinct = [*dict.fromkeys(anchors.values())]
    found = dict(zip(distinct, await timelines.events(conversation_id, distinct), strict=True))
    return {identity: found[anchor] for identity, anchor in anchors.items()}


def _place(row: _Row) -> TimelinePlace:
    if isinstance(row, SessionRow):
        return TimelinePlace(row.started_at, row.id, 0)
    return TimelinePlace(row.at, None, row.sequence)


def _fitting(rows: list[_Row], made: Sequence[Anchored]) -> list[_Row]:
    """Return as many of ``rows``, from the first on, as have at most `_MOST` segments together; at least one."""
    counts = Counter(each.anchor for each in made)
    total = 0
    for number, row in enumerate(rows):
        total += counts[row.id]
        if total > _MOST and number:
            return rows[:number]
    return rows
