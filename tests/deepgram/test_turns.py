"""What latencies and interruptions say of which message, in whatever order they came."""

from typing import Any
from uuid import UUID

import pytest

from backend.deepgram import TimelineEntry, enrichments

A1, A2, A3 = (UUID(int=number) for number in (1, 2, 3))
NOBODY = UUID(int=99)
STARTED = ("AgentStartedSpeaking", {"total_latency": 1.2344, "tts_latency": 0.2, "ttt_latency": 1})
REPORT = ("LatencyReport", {"total_latency": 1.5, "stt_latency": 0.0306, "ttt_token_latency": None})
LATENCY = {"total_ms": 1234, "tts_ms": 200, "llm_ms": 1000}
REPORTED = {"total_ms": 1500, "stt_ms": 31}

USER: Any = ("user", {})
BARGE_IN: Any = ("UserStartedSpeaking", {})
DONE: Any = ("AgentAudioDone", {})
FUNCTION: Any = ("function", {})


def found(*moments: Any) -> dict[UUID, dict[str, Any]]:
    return enrichments(
        [
            TimelineEntry("assistant", each, {}) if isinstance(each, UUID) else TimelineEntry(each[0], NOBODY, each[1])
            for each in moments
        ]
    )


@pytest.mark.parametrize(
    "turn", [(USER, STARTED, A1, DONE), (USER, A1, STARTED, DONE), (STARTED, A1), (USER, DONE, STARTED, A1)]
)
def test_a_latency_belongs_to_the_answer_of_its_turn_whichever_comes_first(turn: Any) -> None:
    assert found(*turn) == {A1: {"latency": LATENCY}}


def test_milliseconds_of_both_are_merged_and_the_report_knows_better() -> None:
    for turn in ((STARTED, A1, REPORT), (REPORT, A1, STARTED), (A1, STARTED, DONE, REPORT)):
        assert found(USER, *turn) == {A1: {"latency": LATENCY | REPORTED}}


def test_the_models_time_has_the_name_that_all_ways_in_give_it() -> None:
    report = ("LatencyReport", {"ttt_token_latency": 0.2, "ttt_text_latency": 0.3})
    parts = {"ttt_token_ms": 200, "ttt_text_ms": 300}
    assert found(USER, A1, report) == {A1: {"latency": parts | {"llm_ms": 300}}}
    assert found(USER, STARTED, A1, report) == {A1: {"latency": LATENCY | parts | {"llm_ms": 300}}}


def test_an_answer_in_several_texts_has_its_latency_at_the_first() -> None:
    for turn in ((STARTED, A1, A2, A3), (A1, A2, STARTED, A3), (A1, A2, A3, STARTED)):
        assert found(USER, *turn, DONE) == {A1: {"latency": LATENCY}, A2: {}, A3: {}}


def test_what_is_said_before_and_after_a_function_call_has_a_latency_each() -> None:
    second = ("AgentStartedSpeaking", {"total_latency": 2.0})
    for turn in (
        (STARTED, A1, DONE, FUNCTION, FUNCTION, second, A2, DONE),
        (A1, STARTED, DONE, FUNCTION, FUNCTION, A2, second, DONE),
        (A1, STARTED, FUNCTION, DONE, FUNCTION, second, A2, DONE),
    ):
        assert found(USER, *turn) == {A1: {"latency": LATENCY}, A2: {"latency": {"total_ms": 2000}}}


def test_a_latency_without_an_answer_is_nobodys() -> None:
    assert found(USER, STARTED, DONE, USER, A1) == {A1: {}}


def test_a_latency_stays_in_its_turn_and_on_its_connection() -> None:
    assert found(USER, A1, USER, STARTED, A2) == {A1: {}, A2: {"latency": LATENCY}}
    assert found(A1, ("Welcome", {}), STARTED, A2) == {A1: {}, A2: {"latency": LATENCY}}


def test_who_starts_to_speak_while_the_assistant_does_interrupts_what_was_said_last() -> None:
    assert found(USER, A1, A2, BARGE_IN, USER) == {A1: {}, A2: {"interrupted": True}}
    assert found(USER, STARTED, A1, BARGE_IN)[A1]["interrupted"] is True


def test_who_interrupts_before_the_text_is_there_interrupts_it_all_the_same() -> None:
    assert found(USER, STARTED, BARGE_IN, A1, DONE, USER)[A1] == {"latency": LATENCY, "interrupted": True}


def test_who_waits_for_the_end_interrupts_nothing() -> None:
    assert found(USER, STARTED, A1, DONE, BARGE_IN, USER, A2) == {A1: {"latency": LATENCY}, A2: {}}
    assert found(BARGE_IN, USER, A1) == {A1: {}}


def test_one_who_hums_along_takes_no_turn() -> None:
    hum = ("user", {"behavior": "backchannel"})
    assert found(USER, STARTED, hum, A1, BARGE_IN) == {A1: {"latency": LATENCY, "interrupted": True}}


def test_two_interruptions_in_a_turn_mark_two_messages() -> None:
    assert found(USER, A1, BARGE_IN, A2, BARGE_IN, A3) == {A1: {"interrupted": True}, A2: {"interrupted": True}, A3: {}}


def test_of_a_turn_that_is_cut_nothing_is_told_of_the_speech_at_its_end() -> None:
    moments = [TimelineEntry("assistant", text, {}) for text in (A1, A2, A3)]
    for place in (1, 3):
        moments.insert(place, TimelineEntry("function", NOBODY, {}))
    assert enrichments(moments).keys() == {A1, A2, A3}
    assert enrichments(moments, first_is_cut=True).keys() == {A2, A3}
    assert enrichments(moments, last_is_cut=True).keys() == {A1, A2}
