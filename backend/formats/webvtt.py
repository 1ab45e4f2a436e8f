"""Transcript format `vtt`: captions (WebVTT, https://www.w3.org/TR/webvtt1/) to show beside an audio recording.

Times come from `timestamp`, in milliseconds since the first message. A caption ends when one with a later time begins,
but at most after the time that its text takes to say. So each lasts at least a millisecond, as WebVTT requires.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from backend.formats.invisible import visible

_SHORTEST: Final = 1_000  # milliseconds that a caption without text would last
_CHARACTERS_A_SECOND: Final = 15  # speed of speech, for the time that a text takes to say
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Captions:
    """Writes the captions of one conversation, each when the next message tells when it ends."""

    def __init__(self) -> None:
        self._begun: datetime | None = None
        self._last: dict[str, Any] | None = None
        self._start = 0

    def write(self, document: bytes) -> bytes:
        """Return the caption of the previous message; no bytes for the first message."""
        message = orjson.loads(document)
        moment = datetime.fromisoformat(message["timestamp"])
        self._begun = self._begun or moment
        start = max(round((moment - self._begun) / timedelta(milliseconds=1)), 0)
        written = self._caption(start)
        self._last, self._start = message, start
        return written

    def finish(self) -> bytes:
        """Return the last caption."""
        return self._caption(None)

    def _caption(self, following: int | None) -> bytes:
        if self._last is None:
            return b""
        content: str = self._last["content"]
        end = self._start + _SHORTEST + round(len(content) * 1_000 / _CHARACTERS_A_SECOND)
        if following is not None and following > self._start:
            end = min(end, following)
        lines = (line.translate(_ESCAPES) for line in map(visible, content.splitlines()) if line.strip())
        said = f"<v {self._last['role']}>" + "\n".join(lines)
        return f"\n{_clock(self._start)} --> {_clock(end)}\n{said}\n".encode()


def _clock(milliseconds: int) -> str:
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}.{thousandths:03}"
