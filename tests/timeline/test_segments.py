"""What holds of every timeline, whatever the clocks, the events and the senders say."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.dao_service.timeline_dao import AnchorRow, EventRow, SaidRow, SessionRow
from backend.timeline import AnchorId, Segment, Window, segments
from backend.timeline.segments import LONGEST_LABEL, lasting, shortened
from backend.vocabulary import Lane, SegmentKind

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TYPES = (
    "Welcome",
    "UserStartedSpeaking",
    "AgentStartedSpeaking",
    "AgentAudioDone",
    "Error",
    "Warning",
    "InjectionRefused",
    "FrustrationDetected",
)

WORDS = (None, "", "x" * 200, "a\nb")

anything = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

times = st.integers(-100, 4000).map(lambda tenths: NOON + timedelta(seconds=tenths / 10))
texts = st.none() | times.map(datetime.isoformat) | st.sampled_from(["", "yesterday", "9999-12-31T23:59:59Z"])
events = st.lists(st.builds(EventRow, st.sampled_from(TYPES), times, st.booleans(), st.sampled_from(WORDS)), max_size=5)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    sessions = [
        SessionRow(
            f"vs_{place}", draw(times), draw(st.none() | times), draw(st.sampled_from(WORDS)), 0, None, None, True
        )
        for place in range(draw(st.integers(0, 2)))
    ]
    named = st.sampled_from([None, *(session.id for session in sessions)])
    said = sorted(
        (draw(messages(number, named)) for number in range(draw(st.integers(0, 12)))),
        key=lambda row: (row.at, row.sequence),
    )
    found: dict[AnchorId, AnchorRow] = {
        row.id: AnchorRow(draw(st.booleans()), draw(events)) for row in said if row.session
    }
    found |= {session.id: AnchorRow(draw(st.booleans()), draw(events)) for session in sessions}
    return Window(said, sessions, found, [row for row in said if row.role == "function"])


def messages(number: int, named: st.SearchStrategy[str | None]) -> st.SearchStrategy[SaidRow]:
    return st.builds(
        SaidRow,
        id=st.just(UUID(int=number)),
        sequence=st.just(number),
        role=st.sampled_from(["user", "assistant", "function", "system"]),
        at=times,
        recorded_at=times,
        spoken=st.sampled_from([True, True, False]),
        words=st.sampled_from(["", "Hello.", "x" * 160, "a\u2028b\u202e"]),
        length=st.integers(0, 3000),
        forwarded=st.none() | st.booleans(),
        behavior=st.sampled_from([None, "backchannel", "odd"]),
        interrupted=st.none() | st.booleans(),
        began_at=texts,
        ended_at=texts,
        name=st.sampled_from([None, "", "clock"]),
        call_id=st.sampled_from([None, "", "a", "b"]),
        state=st.sampled_from([None, "requested", "completed", "failed", "cancelled", "in_progress", "odd"]),
        repaired=st.sampled_from([None, '["/content"]', "{}"]),
        session=named,
        number=st.none() | st.integers(0, 12),
    )


@anything
@given(windows())
def test_the_speech_of_a_side_is_in_order_and_nothing_ends_before_it_begins(window: Window) -> None:
    made = [*segments(window)]
    for each in made:
        assert each.segment.ended_at is None or each.segment.started_at <= each.segment.ended_at
        assert len(each.segment.label) <= LONGEST_LABEL
        assert each.anchor in window.events or each.anchor in {row.id for row in window.said}
    for lane in (Lane.USER, Lane.ASSISTANT):
        speech = [each.segment for each in made if is_speech(each.segment) and each.segment.lane == lane]
        by_message = sorted(speech, key=lambda each: [row.id for row in window.said].index(UUID(str(each.message_id))))
        for before, after in pairwise(by_message):
            assert before.started_at <= after.started_at
            assert before.ended_at is not None
            assert before.ended_at <= after.started_at


@anything
@given(windows())
def test_a_silence_is_longer_than_two_seconds_and_nobody_speaks_in_it(window: Window) -> None:
    made = [each.segment for each in segments(window)]
    for gap in made:
        if gap.kind == SegmentKind.SILENCE:
            assert gap.ended_at
            assert gap.ended_at - gap.started_at > timedelta(seconds=2)
            for speech in filter(is_speech, made):
                assert speech.started_at >= gap.ended_at or (speech.ended_at and speech.ended_at <= gap.started_at)


@anything
@given(windows())
def test_each_message_of_a_side_is_shown_once_or_belongs_to_the_speech_before(window: Window) -> None:
    shown = [
        each.segment.message_id for each in segments(window) if is_speech(each.segment) or each.segment.kind == "text"
    ]
    assert len(shown) == len(set(shown))
    missing = {row.id for row in window.said if row.role in {"user", "assistant"}} - {*shown}
    assert all(row.forwarded and row.session and row.role == "assistant" for row in window.said if row.id in missing)


def is_speech(segment: Segment) -> bool:
    return segment.kind in {SegmentKind.SPEECH, SegmentKind.BACKCHANNEL} and segment.message_id is not None


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min"), (3599, "60 min"), (5400, "1.5 h")]
)
def test_durations_are_for_people(seconds: float, expected: str) -> None:
    assert lasting(timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(
    ("text", "is_cut", "expected"),
    [
        ("a\n b", False, "a b"),
        ("x" * 80, False, "x" * 80),
        ("x" * 81, False, "x" * 79 + "…"),
        ("short", True, "short…"),
    ],
)
def test_a_label_is_one_line(text: str, is_cut: Any, expected: str) -> None:
    assert shortened(text, is_cut=is_cut) == expected
