"""A conversation as captions (WebVTT, https://www.w3.org/TR/webvtt1/), to be shown beside its recording.

Times are from `timestamp`, counted from the first message on. A caption stays until the next one, but no longer than
it takes to say.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from backend.schemas.invisible import visible

_BREATH: Final = timedelta(seconds=1)
_CHARACTERS_A_SECOND: Final = 15
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Captions:
    """Writes one caption after the other, each when the next one begins."""

    def __init__(self) -> None:
        self._begun: datetime | None = None
        self._last: dict[str, Any] | None = None

    def write(self, document: bytes) -> bytes:
        """Return the caption before this message's."""
        message = orjson.loads(document)
        written = self._caption(datetime.fromisoformat(message["timestamp"]))
        self._last = message
        return written

    def rest(self) -> bytes:
        """Return the last caption."""
        return self._caption(None)

    def _caption(self, following: datetime | None) -> bytes:
        if self._last is None:
            return b""
        start = datetime.fromisoformat(self._last["timestamp"])
        self._begun = self._begun or start
        content: str = self._last["content"]
        end = start + _BREATH + timedelta(seconds=len(content) / _CHARACTERS_A_SECOND)
        if following is not None and following > start:
            end = min(end, following)
        lines = (line.translate(_ESCAPES) for line in map(visible, content.splitlines()) if line.strip())
        said = f"<v {self._last['role']}>" + "\n".join(lines)
        return f"\n{_clock(start - self._begun)} --> {_clock(end - self._begun)}\n{said}\n".encode()


def _clock(since: timedelta) -> str:
    milliseconds = max(round(since / timedelta(milliseconds=1)), 0)
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}.{thousandths:03}"
