"""What the events of a voice session say of when each side spoke.

Deepgram tells when the user begins to speak, when the assistant begins and when its audio is done. A text of the user
comes when Deepgram is sure that the user has finished, so it ends the user's speech. A text of the assistant comes
before or after the event that its audio begins; consecutive texts are one speech, up to the end of the audio, a
function call, or a user who begins to speak and so interrupts it.

The phone numbers its events, and that order counts: clocks may be wrong and events may arrive late. An event's time
that does not lie between those of the messages before and after it is moved there, and counts as an estimate.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, NamedTuple
from uuid import UUID

from backend.dao_service.timeline_dao import EventRow, SaidRow, SessionRow
from backend.dao_service.voice_arrival_dao import place_of
from backend.timeline.segments import AnchorId, Moment, Window
from backend.vocabulary import ASIDES, Lane
from verbatim_record.vocabulary import Role

# What a time may be moved by without being called an estimate: the resolution of phones' clocks.
UNNOTICED: Final = timedelta(milliseconds=1)


class Heard(NamedTuple):
    """An event at its corrected time."""

    anchor: AnchorId
    type: str
    moment: Moment
    detail: str | None


@dataclass(slots=True)
class Audio:
    """One speech of the assistant: its texts, and what the events tell of its beginning and end."""

    anchor: AnchorId
    texts: list[SaidRow] = field(default_factory=list)
    start: Moment | None = None
    end: Moment | None = None
    closed: bool = False  # the next text begins another speech
    is_open: bool = False  # it goes on


class Wordless(NamedTuple):
    """A speech that no text belongs to; ``end`` is None while it goes on."""

    anchor: AnchorId
    lane: Lane
    start: Moment
    end: Moment | None


class Break(NamedTuple):
    """A lost connection within a session, from what was heard last to the next connection."""

    anchor: AnchorId
    start: Moment
    end: Moment


@dataclass(slots=True)
class Strands:
    """What the events of all sessions say, by message or as a list."""

    began: dict[UUID, Moment] = field(default_factory=dict)  # when the user began to say a message
    audio: dict[UUID, Audio] = field(default_factory=dict)  # by the first text
    continued: set[UUID] = field(default_factory=set)  # the other texts
    wordless: list[Wordless] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    incidents: list[Heard] = field(default_factory=list)


def strands(window: Window) -> Strands:
    """Return what the events of the window's sessions say."""
    found = Strands()
    for session in window.sessions:
        said = [row for row in window.said if row.session == session.id]
        strand = _Strand(found, session)
        for entry in _in_order(session, said, window):
            strand.add(entry)
        if window.events[strand.anchor].last:  # else what comes next is outside of the window
            strand.close()
    return found


def _in_order(session: SessionRow, said: Sequence[SaidRow], window: Window) -> Iterator[SaidRow | Heard]:
    """Yield messages and events of a session in the phone's order, the events at their corrected times."""
    ordered = sorted(said, key=lambda row: (_place(row), row.sequence))
    groups = [[*rows] for _, rows in groupby(ordered, key=_place)]  # the functions of one request have one number
    low: datetime | None = None
    for rows, after in zip([[], *groups], [*groups, []], strict=True):
        yield from rows
        low = max((row.at for row in rows if low is None or row.at > low), default=low)
        high = min((row.at for row in after), default=None)
        anchor: AnchorId = rows[0].id if rows else session.id
        for event in window.events[anchor].events:
            yield Heard(anchor, event.type, _corrected(event, low, high), event.detail)


def _place(row: SaidRow) -> int:
    return place_of(row.number, row.sequence)


def _corrected(event: EventRow, low: datetime | None, high: datetime | None) -> Moment:
    at = event.at if high is None else min(event.at, high)
    at = at if low is None else max(at, low)
    return Moment(at, event.estimated or abs(at - event.at) >= UNNOTICED)


class _Strand:
    """Follows one session; ``anchor`` is its last message, or its beginning while it has none."""

    def __init__(self, found: Strands, session: SessionRow) -> None:
        self.anchor: AnchorId = session.id
        self._found = found
        self._session = session
        self._audio: Audio | None = None
        self._began: tuple[AnchorId, Moment] | None = None  # of the user's speech whose text has not come
        self._answered = False  # since then
        self._last: Moment | None = None
        self._connected = False

    def add(self, entry: SaidRow | Heard) -> None:
        if isinstance(entry, SaidRow):
            self.anchor = entry.id
            self._say(entry)
            self._last = Moment(entry.at)
        else:
            self._hear(entry)
            self._last = entry.moment

    def close(self) -> None:
        """Tell what goes on at the end of the session; if it has ended, nothing does."""
        is_open = self._session.ended_at is None
        if self._audio and self._audio.end is None and self._audio.start:
            self._audio.is_open = is_open
        self._drop_audio()
        self._drop_speech(is_open=is_open)

    def _say(self, row: SaidRow) -> None:
        match row.role:
            case Role.USER:
                if row.behavior not in ASIDES:
                    self._drop_audio()
                if self._began and row.forwarded and row.spoken:
                    self._found.began[row.id] = self._began[1]
                    self._began = None
            case Role.ASSISTANT if row.forwarded:
                self._answered = True
                self._add_text(row)
            case Role.FUNCTION if self._audio:
                self._audio.closed = True

    def _add_text(self, row: SaidRow) -> None:
        audio = self._audio
        if audio is None or (audio.closed and audio.texts):
            self._audio = audio = Audio(row.id)
        if audio.texts:
            self._found.continued.add(row.id)
        else:
            self._found.audio[row.id] = audio
        audio.texts.append(row)

    def _hear(self, heard: Heard) -> None:
        match heard.type:
            case "UserStartedSpeaking":
                self._user_begins(heard)
            case "AgentStartedSpeaking":
                self._assistant_begins(heard)
            case "AgentAudioDone":
                self._end_audio(heard.moment)
            case "Welcome":
                self._connect(heard)
            case _:
                self._found.incidents.append(heard)

    def _user_begins(self, heard: Heard) -> None:
        self._end_audio(heard.moment)
        if self._began and self._answered:  # the assistant has spoken since, so no text will come any more
            self._drop_speech()
        if self._began is None:
            self._began, self._answered = (heard.anchor, heard.moment), False

    def _assistant_begins(self, heard: Heard) -> None:
        self._answered = True
        audio = self._audio
        if audio and audio.texts and audio.start is None and not audio.closed:  # the text came first
            audio.start = heard.moment
        else:
            self._drop_audio()
            self._audio = Audio(heard.anchor, start=heard.moment)

    def _end_audio(self, moment: Moment) -> None:
        if self._audio and self._audio.end is None:
            self._audio.end = moment
            self._audio.closed = True

    def _connect(self, heard: Heard) -> None:
        # What is heard before the first message of a session begins with its first connection.
        if self._last and (self._connected or heard.anchor != self._session.id):
            lost = self._last._replace(estimated=True)
            self._found.breaks.append(Break(heard.anchor, lost, heard.moment))
            self._end_audio(lost)
            self._drop_speech()
        self._drop_audio()
        self._connected = True

    def _drop_audio(self) -> None:
        audio, self._audio = self._audio, None
        if audio and audio.start and not audio.texts:
            end = None if audio.is_open else audio.end or audio.start
            self._found.wordless.append(Wordless(audio.anchor, Lane.ASSISTANT, audio.start, end))

    def _drop_speech(self, *, is_open: bool = False) -> None:
        if self._began:
            anchor, moment = self._began
            self._found.wordless.append(Wordless(anchor, Lane.USER, moment, None if is_open else moment))
            self._began = None
