"""Transcript formats `vtt` and `srt`: captions, to show beside an audio recording.

`vtt` is WebVTT (https://www.w3.org/TR/webvtt1/). `srt` is SubRip, which has no specification and no escapes.

Captions show what the user and the assistant said. An utterance is shown in cues of two lines (`line_wrap`), which
share its time by their lengths. Times are milliseconds since the call began, or since the first message if that is
earlier. An utterance begins at `metadata.started_at`, where the sender knew it, or else at `timestamp`. It ends at
`metadata.ended_at`, or else after the time that its text takes to say, but at the latest when a later utterance begins.
One that begins at the same time as another is shown from the other's last cue on. So cues follow each other in the
order of their times, and each lasts at least a millisecond, as WebVTT requires.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson

from backend.formats.invisible import visible
from backend.formats.line_wrap import wrap
from verbatim_record.vocabulary import Role

_SPOKEN: Final = {Role.USER, Role.ASSISTANT}
_LINES: Final = 2  # of a cue
_LEAST_MS: Final = 1_000  # how long an utterance without text would last
_CHARACTERS_A_SECOND: Final = 15  # speed of speech, for the time that a text takes to say
_LONGEST: Final = timedelta(hours=1)  # between `timestamp` and the times in `metadata`, beyond which those are wrong
_MILLISECOND: Final = timedelta(milliseconds=1)
_WEBVTT_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# Players of SubRip read tags in <…>, positions in {\…}, and times around `-->`. Similar characters are written instead.
_SUBRIP_ESCAPES: Final = str.maketrans({"<": "‹", ">": "›", "{": "❴", "}": "❵"})  # noqa: RUF001 -- the point


class _Cue(NamedTuple):
    """A cue from ``start`` until before ``end``, in milliseconds."""

    start: int
    end: int
    speaker: str
    lines: list[str]


class _Utterance(NamedTuple):
    start: int
    end: int
    speaker: str
    text: str


class Captions:
    """Writes the captions of one conversation, those of an utterance when the next one tells when it ends.

    ``began`` is when the call began, None without a call. ``text`` returns what is shown of a speaker's words, and
    ``cue`` the bytes of a cue, which is given with its number, from 1.
    """

    def __init__(
        self, began: datetime | None, text: Callable[[str, str], str], cue: Callable[[int, _Cue], bytes]
    ) -> None:
        self._zero = began
        self._is_first = True
        self._text = text
        self._cue = cue
        self._last: _Utterance | None = None
        self._number = 0
        self._latest = 0  # the start of the last cue: no later one starts before it

    def write(self, document: bytes) -> bytes:
        """Return the captions of the previous utterance, if ``document`` is the next one; else no bytes."""
        message = orjson.loads(document)
        begun, ended = _times(message)
        if self._is_first:
            self._zero = min(self._zero or begun, begun)
            self._is_first = False
        said = visible(" ".join(message["content"].split()))
        if message["role"] not in _SPOKEN or not said:
            return b""
        start = self._milliseconds(begun)
        written = self._captions(start)
        start = max(start, self._latest)
        end = self._milliseconds(ended) if ended else start + _LEAST_MS + len(said) * 1_000 // _CHARACTERS_A_SECOND
        speaker = message["role"].capitalize()
        self._last = _Utterance(start, max(end, start + 1), speaker, self._text(speaker, said))
        return written

    def finish(self) -> bytes:
        """Return the captions of the last utterance."""
        return self._captions(None)

    def _milliseconds(self, moment: datetime) -> int:
        return max(round((moment - self._zero) / _MILLISECOND), 0) if self._zero else 0

    def _captions(self, following: int | None) -> bytes:
        if self._last is None:
            return b""
        last = self._last
        if following is not None and following > last.start:
            last = last._replace(end=min(last.end, following))
        written = []
        for cue in _cues(last):
            self._number += 1
            self._latest = cue.start
            written.append(self._cue(self._number, cue))
        return b"".join(written)


def webvtt(began: datetime | None) -> Captions:
    """Return what writes captions as WebVTT, each with its speaker as the voice."""
    return Captions(began, lambda _, said: said, _webvtt_cue)


def subrip(began: datetime | None) -> Captions:
    """Return what writes captions as SubRip, in which the name of the speaker begins each utterance."""
    return Captions(began, lambda speaker, said: f"{speaker}: {said}".translate(_SUBRIP_ESCAPES), _subrip_cue)


def _times(message: dict[str, Any]) -> tuple[datetime, datetime | None]:
    """Return when an utterance began, and when it ended if that is known."""
    said = datetime.fromisoformat(message["timestamp"])
    begun = _moment(message["metadata"].get("started_at"), said - _LONGEST, said) or said
    return begun, _moment(message["metadata"].get("ended_at"), begun, said + _LONGEST)


def _moment(value: object, least: datetime, most: datetime) -> datetime | None:
    """Return ``value`` as a time, None if it is none between ``least`` and ``most``; senders may put any JSON there."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo and least <= moment <= most else None


def _cues(utterance: _Utterance) -> Iterator[_Cue]:
    """Yield the cues of an utterance, whose time is shared by the lengths of their texts."""
    lines = [*wrap(utterance.text)]
    parts = [lines[place : place + _LINES] for place in range(0, len(lines), _LINES)]
    whole, shown = sum(map(len, lines)), 0
    for part in parts:
        start = utterance.start + (utterance.end - utterance.start) * shown // whole
        shown += sum(map(len, part))
        end = utterance.start + (utterance.end - utterance.start) * shown // whole
        # In less than a millisecond for each cue, the last ones share the last millisecond.
        start = min(start, utterance.end - 1)
        yield _Cue(start, max(end, start + 1), utterance.speaker, part)


def _webvtt_cue(_number: int, cue: _Cue) -> bytes:
    said = "\n".join(cue.lines).translate(_WEBVTT_ESCAPES)
    return f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n<v {cue.speaker}>{said}\n".encode()


def _subrip_cue(number: int, cue: _Cue) -> bytes:
    said = "\n".join(cue.lines)
    return f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{said}\n\n".encode()


def _clock(milliseconds: int, mark: str) -> str:
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{mark}{thousandths:03}"
