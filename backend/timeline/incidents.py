"""The connections and the incidents of a timeline."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from backend.timeline.segments import Anchored, Moment, Segment, Window, lasting, segment, shortened
from backend.timeline.strands import Strands
from backend.vocabulary import ABANDONED, Lane, SegmentKind

LATE: Final = timedelta(minutes=1)  # a message that is recorded so long after its time is late
_EVENTS: Final = {
    "Error": (SegmentKind.ERROR, "Error"),
    "Warning": (SegmentKind.WARNING, "Warning"),
    "InjectionRefused": (SegmentKind.REFUSED_INJECTION, "Injection refused"),
    "FrustrationDetected": (SegmentKind.FRUSTRATION, "The user sounds frustrated"),
}
_POINTERS: Final = str.maketrans("", "", '[]"')


def connections(window: Window, found: Strands) -> Iterator[Anchored]:
    """Yield the voice sessions, and the reconnects between and within them."""
    for session in window.sessions:
        start = Moment(session.started_at)
        end = None if session.ended_at is None else Moment(session.ended_at, session.end_reason == ABANDONED)
        ended = f", ended: {session.end_reason}" if session.end_reason else ""
        label = shortened(f"Voice session{ended}")
        yield Anchored(session.id, segment(Lane.CONNECTION, SegmentKind.SESSION, (start, end), label))
        if session.previous_end and session.previous_end < session.started_at:
            lost = Moment(session.previous_end, session.previous_end == session.previous_silence)
            yield Anchored(session.id, _reconnect(lost, start))
    for anchor, lost, again in found.breaks:
        yield Anchored(anchor, _reconnect(lost, again))


def incidents(window: Window, found: Strands) -> Iterator[Anchored]:
    """Yield what went wrong: events of the provider, repaired and late messages, and what the phones gave up."""
    for heard in found.incidents:
        kind, label = _EVENTS[heard.type]
        label = shortened(f"{label}: {heard.detail}" if heard.detail else label)
        yield Anchored(heard.anchor, segment(Lane.INCIDENT, kind, (heard.moment, heard.moment), label))
    for row in window.said:
        at = Moment(row.at)
        if row.repaired:
            label = shortened(f"Repaired: {row.repaired.translate(_POINTERS)}")
            yield Anchored(row.id, segment(Lane.INCIDENT, SegmentKind.REPAIRED, (at, at), label, row.id))
        if row.recorded_at - row.at > LATE:
            label = f"Recorded {lasting(row.recorded_at - row.at)} after its time"
            yield Anchored(row.id, segment(Lane.INCIDENT, SegmentKind.LATE, (at, at), label, row.id))
    for session in window.sessions:
        if session.client_lost:
            at = Moment(session.ended_at or session.started_at)
            label = f"The client gave up {session.client_lost} events"
            yield Anchored(session.id, segment(Lane.INCIDENT, SegmentKind.CLIENT_LOST, (at, at), label))


def _reconnect(lost: Moment, again: Moment) -> Segment:
    label = f"Reconnected after {lasting(max(again.at - lost.at, timedelta()))}"
    return segment(Lane.CONNECTION, SegmentKind.RECONNECT, (lost, again), label)
