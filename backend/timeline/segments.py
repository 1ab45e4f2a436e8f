"""The parts of a timeline: segments, and the material that they are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from backend.dao_service.timeline_dao import AnchorRow, SaidRow, SessionRow
from backend.vocabulary import Lane, SegmentKind

LONGEST_LABEL: Final = 80  # characters

# What a segment belongs to, which decides its page: a message, by its id, or the beginning of a voice session.
AnchorId = UUID | str


class Moment(NamedTuple):
    """A time, and whether it is an estimate."""

    at: datetime
    estimated: bool = False


Times = tuple[Moment, Moment | None]  # beginning and end; no end while it goes on


class Segment(NamedTuple):
    """One segment of a timeline, as the API describes it."""

    lane: Lane
    kind: SegmentKind
    started_at: datetime
    ended_at: datetime | None
    estimated: bool
    message_id: UUID | None
    label: str


class Anchored(NamedTuple):
    """A segment, and what it belongs to."""

    anchor: AnchorId
    segment: Segment


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a conversation: messages in spoken order, sessions in the order of their beginnings, and their events.

    ``functions`` are the messages of functions among ``said``, and some before and after them.
    """

    said: Sequence[SaidRow]
    sessions: Sequence[SessionRow]
    events: dict[AnchorId, AnchorRow]
    functions: Sequence[SaidRow]


def segment(lane: Lane, kind: SegmentKind, times: Times, label: str, message_id: UUID | None = None) -> Segment:
    """Return a segment that does not end before it begins, and that is an estimate if one of its times is."""
    start, end = times
    ended_at = end and max(end.at, start.at)
    return Segment(lane, kind, start.at, ended_at, start.estimated or bool(end and end.estimated), message_id, label)


def shortened(text: str, *, is_cut: bool = False) -> str:
    """Return ``text`` on one line of at most 80 characters; the last is "…" if it goes on or ``is_cut`` already."""
    line = " ".join(text.split())
    if len(line) <= LONGEST_LABEL and not is_cut:
        return line
    return line[: LONGEST_LABEL - 1] + "…"


def lasting(span: timedelta) -> str:
    """Return a duration for people: in seconds below one minute, in minutes below one hour, else in hours."""
    seconds = span.total_seconds()
    if seconds < 60:  # noqa: PLR2004 -- seconds
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 60 else f"{minutes / 60:.1f} h"  # noqa: PLR2004 -- minutes
