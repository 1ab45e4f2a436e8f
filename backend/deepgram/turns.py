"""What latencies and interruptions say of which message.

Deepgram tells them apart from the text, in no documented order, and the network changes what order there was. So
nothing is decided when an event arrives: what is known of a turn is looked at whole, in the sender's count, and gives
the same answer in whatever order it came together.

A turn begins with what the user says (a mere "uh-huh" begins none) or with a new connection. In it the assistant may
speak several times, as before and after a function call; the texts of one such *speech* follow each other with nothing
between. A latency belongs to the first text of its speech: of the one under way, unless that has its own already, else
of the next. The assistant speaks from its first sound or text until its audio is done; a user who starts to speak in
that time interrupts what was said last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import JsonValue

from backend.schemas.fields import JsonObject
from backend.vocabulary import Enrichment, Role


class Telling(StrEnum):
    """The events that say something of a message."""

    WELCOME = "Welcome"
    USER_STARTED_SPEAKING = "UserStartedSpeaking"
    STARTED_SPEAKING = "AgentStartedSpeaking"
    AUDIO_DONE = "AgentAudioDone"
    LATENCY_REPORT = "LatencyReport"


_LATENCIES: Final = (Telling.STARTED_SPEAKING, Telling.LATENCY_REPORT)  # where both know one, the report knows better
_ASIDES: Final = {"backchannel", "filler"}
_SUFFIX: Final = "_latency"


class Moment(NamedTuple):
    """Something that happened in a session: a message, by its role, or an event, by its type.

    ``detail`` is the message's metadata, or what is kept of the event.
    """

    kind: str
    id: UUID
    detail: Mapping[str, JsonValue]


@dataclass(slots=True)
class _Speech:
    texts: list[UUID] = field(default_factory=list)
    latencies: dict[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    interrupted: bool = False  # in its last text
    sounded: bool = False  # its audio is done
    over: bool = False  # what is said next belongs to another


def enrichments(
    moments: Sequence[Moment], *, first_is_cut: bool = False, last_is_cut: bool = False
) -> dict[UUID, JsonObject]:
    """Return for each of the assistant's messages what is to be added to its metadata, perhaps nothing.

    ``moments`` are whole turns, in the sender's order. Where the first or the last of them is cut, nothing is returned
    for its first or last speech, of which not everything is known.
    """
    turns = [_Turn()]
    for moment in moments:
        if _begins_turn(moment):
            turns.append(_Turn())
        else:
            turns[-1].add(moment)
    if first_is_cut:
        turns[0].leave_out(0)
    if last_is_cut:
        turns[-1].leave_out(-1)
    return {text: added for turn in turns for text, added in turn.close().items()}


def _begins_turn(moment: Moment) -> bool:
    return moment.kind == Telling.WELCOME or (moment.kind == Role.USER and moment.detail.get("behavior") not in _ASIDES)


class _Turn:
    def __init__(self) -> None:
        self._speeches: list[_Speech] = []
        self._next = _Speech()  # what is known of it before it says anything
        self._speaking: _Speech | None = None

    def add(self, moment: Moment) -> None:
        match moment.kind:
            case Role.ASSISTANT:
                self._say(moment.id)
            case Role.FUNCTION:
                self._break(sounded=False)
            case Telling.AUDIO_DONE:
                self._break(sounded=True)
                self._speaking = None
            case Telling.STARTED_SPEAKING | Telling.LATENCY_REPORT:
                self._measure(moment)
            case Telling.USER_STARTED_SPEAKING if self._speaking is not None:
                self._speaking.interrupted = True
                self._speaking.over = bool(self._speaking.texts)
                self._speaking = None

    def close(self) -> dict[UUID, JsonObject]:
        if self._speeches:  # nothing more was said to which these could belong
            last = self._speeches[-1]
            last.latencies = self._next.latencies | last.latencies
        return {text: _added(speech, place) for speech in self._speeches for place, text in enumerate(speech.texts)}

    def leave_out(self, place: int) -> None:
        """Tell nothing of the speech at ``place``."""
        if self._speeches:
            self._speeches[place].texts.clear()

    def _say(self, text: UUID) -> None:
        if not self._speeches or self._speeches[-1].over:
            self._speeches.append(self._next)
            self._next = _Speech()
        speech = self._speeches[-1]
        speech.texts.append(text)
        if speech.interrupted:  # before its text was there
            speech.over = True
        else:
            self._speaking = speech

    def _break(self, *, sounded: bool) -> None:
        if self._speeches:
            self._speeches[-1].over = True
            self._speeches[-1].sounded |= sounded

    def _measure(self, moment: Moment) -> None:
        speech = self._speeches[-1] if self._speeches else self._next
        starts = moment.kind == Telling.STARTED_SPEAKING
        if moment.kind in speech.latencies or (starts and speech.sounded):
            speech = self._next
        speech.latencies[moment.kind] = moment.detail
        if starts:
            self._speaking = speech


def _added(speech: _Speech, place: int) -> JsonObject:
    added: JsonObject = {}
    if place == 0 and (latency := _milliseconds(speech)):
        added[Enrichment.LATENCY] = latency
    if speech.interrupted and place == len(speech.texts) - 1:
        added[Enrichment.INTERRUPTED] = True
    return added


def _milliseconds(speech: _Speech) -> JsonObject:
    """Return the latencies of a speech, which Deepgram gives in seconds, in whole milliseconds."""
    return {
        name.removesuffix(_SUFFIX) + "_ms": round(seconds * 1000)
        for kind in _LATENCIES
        for name, seconds in speech.latencies.get(kind, {}).items()
        if name.endswith(_SUFFIX) and isinstance(seconds, int | float)
    }
