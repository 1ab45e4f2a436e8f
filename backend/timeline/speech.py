"""When each side spoke, and the silences between.

The times are, in this order: those that the sender wrote into the message (`started_at` and `ended_at` of its metadata,
as the recorder's adapters do), those of the session's events (`strands`), or an estimate from the message's own time
and the length of its text. A speech begins at the time of its message, except one that Deepgram forwarded from the
user: that ends there.

Whatever clocks say, the speech of a lane is in spoken order and does not overlap. So each beginning is moved between
the times of the messages before and after it, and each end before the next beginning. A page of a timeline has
therefore the same times whatever page it is, because nothing depends on more than the neighbours.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final

from backend.dao_service.timeline_dao import WORDS, SaidRow
from backend.schemas.fields import clock_time, plausible
from backend.timeline.segments import Anchored, Moment, Window, lasting, segment, shortened
from backend.timeline.strands import ASIDES, UNNOTICED, Strands
from backend.vocabulary import Lane, SegmentKind
from verbatim_record.vocabulary import Role

SILENCE: Final = timedelta(seconds=2)  # a longer one is shown
# 150 words a minute, the rate of English conversation that the National Center for Voice and Speech names, of five
# letters and a space each.
CHARACTERS_PER_SECOND: Final = 15
_LANES: Final = {Role.USER: Lane.USER, Role.ASSISTANT: Lane.ASSISTANT}


@dataclass(slots=True)
class Speech:
    """One speech; ``end`` is None while it goes on."""

    said: SaidRow
    lane: Lane
    start: Moment
    end: Moment | None


def speeches(window: Window, found: Strands) -> list[Speech]:
    """Return the speeches of the window by their beginnings."""
    made = [
        _speech(row, found)
        for row in window.said
        if row.role in _LANES and row.spoken and row.id not in found.continued
    ]
    for lane in _LANES.values():
        _order_beginnings([speech for speech in made if speech.lane == lane])
    made.sort(key=lambda speech: (speech.start.at, speech.said.at, speech.said.sequence))
    _order_ends(made)
    return made


def spoken(speech: Speech, found: Strands) -> Iterator[Anchored]:
    """Yield the segments of a speech: itself, and the moment at which it was interrupted."""
    row = speech.said
    kind = SegmentKind.BACKCHANNEL if row.behavior in ASIDES else SegmentKind.SPEECH
    label = shortened(row.words, is_cut=row.length > WORDS)
    yield Anchored(row.id, segment(speech.lane, kind, (speech.start, speech.end), label, row.id))
    audio = found.audio.get(row.id)
    cut = next((text for text in (audio.texts if audio else [row]) if text.interrupted), None)
    if cut and speech.end and speech.lane == Lane.ASSISTANT:
        label = "Interrupted by the user"
        yield Anchored(row.id, segment(speech.lane, SegmentKind.INTERRUPTION, (speech.end, speech.end), label, cut.id))


def typed(window: Window) -> Iterator[Anchored]:
    """Yield a segment for each message of either side that was typed."""
    for row in window.said:
        if row.role in _LANES and not row.spoken:
            at, label = Moment(row.at), shortened(row.words, is_cut=row.length > WORDS)
            yield Anchored(row.id, segment(_LANES[Role(row.role)], SegmentKind.TEXT, (at, at), label, row.id))


def wordless(found: Strands) -> Iterator[Anchored]:
    """Yield a segment for each speech without a text; one that goes on may still get one."""
    for anchor, lane, start, end in found.wordless:
        kind, label = (
            (SegmentKind.WORDLESS, "Speech of which no text came") if end else (SegmentKind.SPEECH, "Speaking")
        )
        yield Anchored(anchor, segment(lane, kind, (start, end), label))


def silences(ordered: Sequence[Speech], window: Window, found: Strands) -> Iterator[Anchored]:
    """Yield the silences of more than two seconds, each in the lane of the side that ends it.

    There is none where the connection was lost, within a session or between two, or where the assistant spoke without
    a text.
    """
    unheard = ((each.start.at, each.end.at) for each in found.wordless if each.end and each.lane == Lane.ASSISTANT)
    gaps = sorted([*((gap.start.at, gap.end.at) for gap in found.breaks), *unheard])
    beginnings, ends = [gap[0] for gap in gaps], [*accumulate((gap[1] for gap in gaps), max)]
    resumed = {each.id for each in window.sessions if each.previous_end and each.previous_end < each.started_at}
    last: Speech | None = None
    for speech in ordered:
        if last and last.end is None:
            return
        if last and last.end and speech.start.at - last.end.at > SILENCE:
            is_new = speech.said.session != last.said.session and speech.said.session in resumed
            start, end = last.end, speech.start
            before = bisect_left(beginnings, end.at)
            if not is_new and not (before and ends[before - 1] > start.at):
                label = f"{lasting(end.at - start.at)} of silence"
                yield Anchored(speech.said.id, segment(speech.lane, SegmentKind.SILENCE, (start, end), label))
        if last is None or speech.end is None or (last.end and speech.end.at >= last.end.at):
            last = speech


def _speech(row: SaidRow, found: Strands) -> Speech:
    lane = _LANES[Role(row.role)]
    audio = found.audio.get(row.id)
    length = timedelta(seconds=sum(text.length for text in (audio.texts if audio else [row])) / CHARACTERS_PER_SECOND)
    start, end = _given(row.began_at), _given(row.ended_at)
    if start is None and end is None and row.forwarded:
        if lane == Lane.USER:
            end = Moment(row.at)
            start = found.began.get(row.id)
        elif audio:
            start, end = audio.start, audio.end
            if audio.is_open:
                return Speech(row, lane, start or Moment(row.at), None)
    if start is None:
        is_end = end is not None and (lane == Lane.USER or end.at < row.at)
        start = Moment(end.at - length if end and is_end else row.at, estimated=True)
    return Speech(row, lane, start, end or Moment(start.at + length, estimated=True))


def _given(text: str | None) -> Moment | None:
    at = clock_time(text)
    return Moment(at) if at and plausible(at) else None


def _order_beginnings(lane: Sequence[Speech]) -> None:
    for place, speech in enumerate(lane):
        at = speech.start.at
        if place + 1 < len(lane):
            at = min(at, lane[place + 1].said.at)
        if place:
            at = max(at, lane[place - 1].said.at, lane[place - 1].start.at)
        speech.start = _moved(speech.start, at)


def _order_ends(ordered: Sequence[Speech]) -> None:
    following: dict[Lane, datetime] = {}
    next_of_any: datetime | None = None
    for speech in reversed(ordered):
        limit = following.get(speech.lane)
        end = speech.end
        if end is None and limit:
            end = Moment(limit, estimated=True)
        if end and limit:
            end = _moved(end, min(end.at, limit))
        if end and end.estimated and next_of_any:
            end = Moment(min(end.at, next_of_any), estimated=True)
        speech.end = end and _moved(end, max(end.at, speech.start.at))
        following[speech.lane] = next_of_any = speech.start.at


def _moved(moment: Moment, at: datetime) -> Moment:
    return Moment(at, moment.estimated or abs(at - moment.at) >= UNNOTICED)
