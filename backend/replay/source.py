"""Reading dialogues from a file, a line at a time, whatever its size."""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import UUID, uuid5

import orjson
from pydantic import JsonValue

from backend import deepgram
from backend.errors import SetupError
from backend.replay.tally import Tally

# Every id is derived from this one. With another, everything would be recorded a second time.
DIALOGUES: Final = UUID("f4d0a3ea-3a5e-4d0f-9d3c-7a3c3c1a6f52")
LONGEST_LINE: Final = 64 * 2**20

_GZIP: Final = b"\x1f\x8b"


@dataclass(slots=True)
class Message:
    """A message as it is sent; whether it has its final answer; and its place, once it is on record."""

    body: bytes
    answered: bool = False
    place: tuple[datetime, int] | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One line of the file."""

    conversation_id: UUID
    messages: list[Message]


class Source:
    """A file of dialogues, compressed or not: its first bytes tell. Raises SetupError when it cannot be opened."""

    def __init__(self, path: Path, tally: Tally) -> None:
        self._path = path
        self._tally = tally
        try:
            self._file = path.open("rb")
            self.size = _size(self._file)
            compressed = self._file.peek(len(_GZIP)).startswith(_GZIP)
        except OSError as error:
            raise SetupError(f"Cannot read {path}: {error.strerror}.") from None
        self._text: io.BufferedIOBase = gzip.GzipFile(fileobj=self._file) if compressed else self._file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._text.close()
        self._file.close()

    @property
    def position(self) -> int:
        """How many of the file's ``size`` bytes have been read."""
        return self._file.tell() if self.size else 0

    def dialogues(self, complain: Callable[[str], None]) -> Iterator[Dialogue]:
        """Yield the dialogues, and complain of each line that is none, by its number and without its words."""
        for number, line in self._lines():
            try:
                dialogue = _dialogue(line)
            except _Malformed as error:
                self._tally.malformed += 1
                complain(f"Line {number} {error}.")
            else:
                yield dialogue

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield each line that is not blank, with its number; of one that is too long only a part."""
        number = 0
        try:
            while line := self._text.readline(LONGEST_LINE + 1):
                number += 1
                rest = line
                while len(rest) > LONGEST_LINE and not rest.endswith(b"\n"):
                    rest = self._text.readline(LONGEST_LINE + 1)
                if not line.isspace():
                    yield number, line
        except (OSError, EOFError, zlib.error):
            self._tally.trouble = f"{self._path} is damaged or cut off after line {number}; the rest was not sent."


class _Malformed(Exception):
    """The end of a sentence that begins with the line's number."""


def _size(file: io.BufferedReader) -> int:
    """Return the file's size, or 0 for a pipe."""
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _dialogue(line: bytes) -> Dialogue:
    if len(line) > LONGEST_LINE:
        raise _Malformed(f"is longer than {LONGEST_LINE:,} bytes")
    try:
        document: JsonValue = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise _Malformed("is not JSON in UTF-8") from None
    match document:
        case {"dialogue_id": str(name), "events": list(events)} if name:
            return _read(uuid5(DIALOGUES, name), events)
    raise _Malformed("is not a dialogue: an object with a dialogue_id and an array of events")


def _read(conversation_id: UUID, events: list[JsonValue]) -> Dialogue:
    messages: list[Message] = []
    session: str | None = None
    for place, event in enumerate(events):
        session = deepgram.session_of(event) or session
        for part, draft in enumerate(deepgram.drafts(event, session)):
            # By the event's place and not the message's: a type that is understood one day moves no other's id.
            identity = uuid5(conversation_id, f"{place}.{part}")
            fields = {"id": identity, "conversation_id": conversation_id, **draft}
            try:
                messages.append(Message(orjson.dumps(fields)))
            except orjson.JSONEncodeError:
                raise _Malformed("is nested too deeply") from None
    return Dialogue(conversation_id, messages)
