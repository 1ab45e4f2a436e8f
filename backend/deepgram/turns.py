"""Assignment of latencies and interruptions to the messages of the assistant.

Deepgram sends them in events of their own, in no documented order, and the network may reorder these further. So the
service decides nothing when an event arrives. It reads the whole turn, ordered by the phone's numbering, and computes
the same result in whatever order the events arrived.

A turn begins with a text of the user (a backchannel such as "uh-huh" begins none) or with a new connection. In a turn
the assistant may speak several times, as before and after a function call; the consecutive texts of one such *speech*
have nothing in between. A latency belongs to the first text of a speech: the current one unless that has a latency of
this type already, else the next. The assistant speaks from its first sound or text until its audio is done. A user who
starts to speak in that time interrupts the assistant's last text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import JsonValue

from backend.schemas.fields import JsonObject
from backend.vocabulary import ASIDES, Enrichment
from verbatim_record.vocabulary import Role


class TurnEvent(StrEnum):
    """The types of events that concern a turn."""

    WELCOME = "Welcome"
    USER_STARTED_SPEAKING = "UserStartedSpeaking"
    STARTED_SPEAKING = "AgentStartedSpeaking"
    AUDIO_DONE = "AgentAudioDone"
    LATENCY_REPORT = "LatencyReport"


_LATENCIES: Final = (TurnEvent.STARTED_SPEAKING, TurnEvent.LATENCY_REPORT)  # the later one overrides
_SUFFIX: Final = "_latency"
# Deepgram's names of the model's time (text to text), of which the first one reported becomes `llm_ms`, as from the
# recorder's adapters; the parts keep their names beside it.
_MODEL: Final = ("ttt", "ttt_text", "ttt_token")


class TimelineEntry(NamedTuple):
    """One entry of a session's timeline: a message (``kind`` is its role) or an event (``kind`` is its type).

    ``detail`` is the message's metadata, or the stored fields of the event.
    """

    kind: str
    id: UUID
    detail: Mapping[str, JsonValue]


@dataclass(slots=True)
class _Speech:
    texts: list[UUID] = field(default_factory=list)
    latencies: dict[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    interrupted: bool = False  # during its last text
    audio_done: bool = False
    closed: bool = False  # the next text begins another speech


def enrichments(
    entries: Sequence[TimelineEntry], *, first_is_cut: bool = False, last_is_cut: bool = False
) -> dict[UUID, JsonObject]:
    """Return, by id of each message of the assistant, the metadata to add to it, which may be empty.

    ``entries`` are whole turns in the phone's order. If the first or the last turn is incomplete, its first or last
    speech is left out of the result.
    """
    turns = [_Turn()]
    for entry in entries:
        if _begins_turn(entry):
            turns.append(_Turn())
        else:
            turns[-1].add(entry)
    if first_is_cut:
        turns[0].leave_out(0)
    if last_is_cut:
        turns[-1].leave_out(-1)
    return {text: added for turn in turns for text, added in turn.close().items()}


def _begins_turn(entry: TimelineEntry) -> bool:
    return entry.kind == TurnEvent.WELCOME or (entry.kind == Role.USER and entry.detail.get("behavior") not in ASIDES)


class _Turn:
    def __init__(self) -> None:
        self._speeches: list[_Speech] = []
        self._next = _Speech()  # collects latencies that arrive before its first text
        self._current: _Speech | None = None

    def add(self, entry: TimelineEntry) -> None:
        match entry.kind:
            case Role.ASSISTANT:
                self._add_text(entry.id)
            case Role.FUNCTION:
                self._close_speech(audio_done=False)
            case TurnEvent.AUDIO_DONE:
                self._close_speech(audio_done=True)
                self._current = None
            case TurnEvent.STARTED_SPEAKING | TurnEvent.LATENCY_REPORT:
                self._add_latency(entry)
            case TurnEvent.USER_STARTED_SPEAKING if self._current is not None:
                self._current.interrupted = True
                self._current.closed = bool(self._current.texts)
                self._current = None

    def close(self) -> dict[UUID, JsonObject]:
        if self._speeches:  # no further speech follows to which these latencies could belong
            last = self._speeches[-1]
            last.latencies = self._next.latencies | last.latencies
        return {text: _added(speech, place) for speech in self._speeches for place, text in enumerate(speech.texts)}

    def leave_out(self, place: int) -> None:
        """Leave the speech at index ``place`` out of the result."""
        if self._speeches:
            self._speeches[place].texts.clear()

    def _add_text(self, text: UUID) -> None:
        if not self._speeches or self._speeches[-1].closed:
            self._speeches.append(self._next)
            self._next = _Speech()
        speech = self._speeches[-1]
        speech.texts.append(text)
        if speech.interrupted:  # the interruption came before the text
            speech.closed = True
        else:
            self._current = speech

    def _close_speech(self, *, audio_done: bool) -> None:
        if self._speeches:
            self._speeches[-1].closed = True
            self._speeches[-1].audio_done |= audio_done

    def _add_latency(self, entry: TimelineEntry) -> None:
        speech = self._speeches[-1] if self._speeches else self._next
        starts = entry.kind == TurnEvent.STARTED_SPEAKING
        if entry.kind in speech.latencies or (starts and speech.audio_done):
            speech = self._next
        speech.latencies[entry.kind] = entry.detail
        if starts:
            self._current = speech


def _added(speech: _Speech, place: int) -> JsonObject:
    added: JsonObject = {}
    if place == 0 and (latency := _milliseconds(speech)):
        added[Enrichment.LATENCY] = latency
    if speech.interrupted and place == len(speech.texts) - 1:
        added[Enrichment.INTERRUPTED] = True
    return added


def _milliseconds(speech: _Speech) -> JsonObject:
    """Return the latencies of a speech in whole milliseconds; Deepgram reports seconds."""
    found: JsonObject = {}
    for kind in _LATENCIES:
        if kind not in speech.latencies:
            continue
        reported = {
            name.removesuffix(_SUFFIX): round(seconds * 1000)
            for name, seconds in speech.latencies[kind].items()
            if name.endswith(_SUFFIX) and isinstance(seconds, int | float)
        }
        model = next((reported[name] for name in _MODEL if name in reported), None)
        reported.pop(_MODEL[0], None)
        found |= {f"{name}_ms": value for name, value in reported.items()}
        found |= {} if model is None else {"llm_ms": model}
    return found
