"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), from the pieces of a body.

Lines are split as bytes. Text may contain U+2028 and other characters at which `str.splitlines` would split, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_LONGEST_NUMBER: Final = 10  # digits of milliseconds; Python reads no more than 4,300


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its ``kind``, its ``data``, and the last ``id`` that the stream has named, None without one."""

    kind: str
    data: str
    id: str | None


class LineBuffer:
    """Makes lines of the pieces of a body."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield each line that ends in ``piece``, without its line feed."""
        *lines, rest = piece.split(b"\n")
        for line in lines:
            yield b"".join([*self._begun, line])
            self._begun.clear()
        self._begun.append(rest)


class EventParser:
    """Makes events of the pieces of one stream.

    ``retry`` is the time in seconds that a client must wait before it connects again, None if the stream names none.
    """

    def __init__(self) -> None:
        self.retry: float | None = None
        self._lines = LineBuffer()
        self._id: str | None = None
        self._kind = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Yield each event that ends in ``piece``."""
        for line in self._lines.feed(piece):
            text = line.removesuffix(b"\r").decode(errors="replace")
            if text:
                self._take(*text.partition(":")[::2])
            elif self._data:
                yield Event(self._kind or "message", "\n".join(self._data), self._id)
                self._kind, self._data = "", []

    def _take(self, name: str, value: str) -> None:
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._kind = value
            case "data":
                self._data.append(value)
            case "id":
                self._id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) < _LONGEST_NUMBER:
                self.retry = int(value) / 1000
