"""The events that a phone hears from Deepgram during a talk."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Final

from pydantic import JsonValue

from backend.demo_data.call import Trouble, derived_id
from backend.demo_data.phrasebook import LineKind
from backend.demo_data.talk import Latency, Turn, longest_pause
from backend.schemas.fields import JsonObject

Heard = tuple[datetime, JsonObject]

_ERROR: Final = {"code": "ASR_CONNECTION_CLOSED", "description": "The connection to the speech recognition was closed."}
_WARNING: Final = {
    "code": "THINK_REQUEST_FAILED",
    "description": "A request to the language model failed and is repeated.",
}
_ROLES: Final = {LineKind.USER: "user", LineKind.ASSISTANT: "assistant"}
_REFUSED: Final = "The agent was speaking, so the injected message was not spoken."


def events(
    turns: Sequence[Turn], random: Random, *, language: str, troubles: frozenset[Trouble], name: str
) -> list[Heard]:
    """Return what a phone hears and sends, by its times; ``name`` tells the connections of the session from others."""
    began = turns[0].began - timedelta(seconds=0.6)
    heard = [*_connected(began, f"{name}:1")]
    for turn in turns:
        heard += _of_turn(turn, random, language, name)
    heard += _incidents(turns, troubles)
    if Trouble.RECONNECTED in troubles:
        heard += _connected_again(turns, f"{name}:2")
    if Trouble.WORDLESS in troubles:
        heard.append((longest_pause(turns)[0].ended + timedelta(seconds=2), {"type": "UserStartedSpeaking"}))
    return sorted(heard, key=lambda each: each[0])


def _connected(at: datetime, name: str) -> Iterator[Heard]:
    yield at, {"type": "Welcome", "request_id": str(derived_id(name))}
    yield at + timedelta(seconds=0.15), {"type": "SettingsApplied"}


def _of_turn(turn: Turn, random: Random, language: str, name: str) -> Iterable[Heard]:
    match turn.line.kind:
        case LineKind.USER:
            return _of_user(turn, random, language)
        case LineKind.ASSISTANT:
            return _of_assistant(turn)
    return [(turn.began, _function(turn, name))]


def _of_user(turn: Turn, random: Random, language: str) -> Iterator[Heard]:
    text: JsonObject = {"type": "ConversationText", "role": "user", "content": turn.line.text, "languages": [language]}
    if turn.is_backchannel:
        yield turn.ended, {**text, "conversational_behavior": "backchannel"}
    elif turn.is_typed:
        yield turn.ended, {"type": "InjectUserMessage", "content": turn.line.text}
    else:
        yield turn.began, {"type": "UserStartedSpeaking"}
        yield turn.ended + timedelta(seconds=random.uniform(0.1, 0.2)), text


def _of_assistant(turn: Turn) -> Iterator[Heard]:
    yield turn.began, {"type": "AgentStartedSpeaking", **(_latency(turn.latency) if turn.latency else {})}
    text: JsonObject = {"type": "ConversationText", "role": "assistant", "content": turn.line.text}
    yield turn.began + timedelta(milliseconds=20), text
    if turn.latency:
        yield turn.began + timedelta(milliseconds=45), {"type": "LatencyReport", **_report(turn.latency)}
    if turn.heard == 1:
        yield turn.ended, {"type": "AgentAudioDone"}


def _latency(latency: Latency) -> JsonObject:
    return _seconds(total_latency=latency.total, tts_latency=latency.tts, ttt_latency=latency.llm)


def _report(latency: Latency) -> JsonObject:
    return _seconds(
        stt_latency=latency.stt, ttt_text_latency=latency.llm, tts_latency=latency.tts, total_latency=latency.total
    )


def _seconds(**latencies: float) -> JsonObject:
    return {name: round(value, 3) for name, value in latencies.items()}


def _function(turn: Turn, name: str) -> JsonObject:
    call = f"call_{derived_id(name, turn.call).hex[:12]}"
    function = turn.line.function
    match turn.line.kind:
        case LineKind.CALL:
            asked: JsonValue = {"id": call, "name": function, "arguments": turn.line.text, "client_side": True}
            return {"type": "FunctionCallRequest", "functions": [asked]}
        case LineKind.CANCELLED:
            return {"type": "FunctionCallCancelled", "functions": [{"id": call, "name": function}]}
    return {"type": "FunctionCallResponse", "id": call, "name": function, "content": turn.line.text}


def _incidents(turns: Sequence[Turn], troubles: frozenset[Trouble]) -> Iterator[Heard]:
    answers = [turn for turn in turns if turn.line.kind is LineKind.ASSISTANT]
    middle, last = answers[len(answers) // 2], turns[-1]
    if Trouble.WARNED in troubles:
        yield middle.began - timedelta(milliseconds=90), {"type": "Warning", **_WARNING}
    if Trouble.FRUSTRATED in troubles:
        yield middle.ended, {"type": "FrustrationDetected", "count": 1, "escalated": False}
        yield middle.ended + timedelta(milliseconds=400), {"type": "InjectionRefused", "message": _REFUSED}
        yield last.ended, {"type": "FrustrationDetected", "count": 2, "escalated": True}
    if Trouble.FAILED in troubles:
        yield last.ended + timedelta(seconds=1.2), {"type": "Error", **_ERROR}


def _connected_again(turns: Sequence[Turn], name: str) -> Iterator[Heard]:
    before, after = longest_pause(turns)
    lost, again = before.ended + timedelta(seconds=0.4), after.began - timedelta(seconds=1)
    yield lost, {"type": "Error", "code": "CLIENT_MESSAGE_TIMEOUT", "description": "No audio arrived in time."}
    yield from _connected(again, name)
    said = [
        turn for turn in turns if turn.ended <= before.ended and turn.line.kind in _ROLES and not turn.is_backchannel
    ]
    for turn in said[-4:]:
        entry: JsonObject = {"type": "History", "role": _ROLES[turn.line.kind], "content": turn.line.text}
        yield again + timedelta(milliseconds=200), entry
