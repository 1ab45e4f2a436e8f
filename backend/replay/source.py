"""The source of a replay: reads dialogues from a file of any size, one line at a time.

The file is untrusted, and a compressed one may expand to a thousand times its size. So only one line is in memory at a
time, and the length of a line, the functions of an event and the messages of a dialogue are limited.
"""

import gzip
import hashlib
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
from uuid import UUID

import orjson
from pydantic import JsonValue

from backend import deepgram
from backend.deepgram.parse import MOST_FUNCTIONS
from backend.errors import Invalid
from backend.replay.identity import conversation_id, message_id
from backend.replay.tally import Tally
from backend.schemas.nested_json import load_any_depth
from verbatim_record.repair import storable
from verbatim_record.setup_error import SetupError

LONGEST_LINE: Final = 4 * 2**20  # bytes; parsed, JSON may take thirty times as much memory
LONGEST_REST: Final = 64 * 2**20  # bytes of a line beyond that, which are skipped
MOST_MESSAGES: Final = 100_000  # per dialogue, which are in memory until they are sent
MOST_REPORTED: Final = 100  # malformed lines that are reported by number

_GZIP: Final = b"\x1f\x8b"


@dataclass(slots=True)
class RecordedMessage:
    """A message of a dialogue.

    ``spot`` is its place in the dialogue, ``fields`` a JSON object without its first brace and without ids, and
    ``body`` the JSON that is sent. ``answered`` tells whether it has its final answer, and ``place`` is its time and
    sequence on record. ``failing`` is when the service first failed for this message alone, by the monotonic clock in
    seconds.
    """

    spot: str
    fields: bytes
    body: bytes = b""
    answered: bool = False
    place: tuple[datetime, int] | None = None
    failing: float | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One line of the file: the dialogue's name, the SHA-256 of the whole line, and its messages."""

    name: str
    digest: str
    messages: list[RecordedMessage]

    @property
    def conversation_ids(self) -> tuple[UUID, UUID]:
        """The conversation's id, and the second choice if another owner has that id."""
        return conversation_id(self.name), conversation_id(self.name, self.digest)

    def address(self, conversation: UUID, opened: datetime | None) -> None:
        """Set the id of each message in ``conversation``, as `message_id` derives it."""
        for message in self.messages:
            ids = b'{"id":"%s","conversation_id":"%s",'
            identity = message_id(conversation, opened, message.spot)
            message.body = ids % (str(identity).encode(), str(conversation).encode()) + message.fields


class Source:
    """A file of dialogues, gzip-compressed if its first bytes say so. Raises SetupError if it cannot be opened."""

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
        """The number of bytes read of the file's ``size``, 0 for a pipe."""
        return self._file.tell() if self.size else 0

    def dialogues(self, report: Callable[[str], None]) -> Iterator[Dialogue]:
        """Yield the dialogues, and pass a sentence for each malformed line to ``report``, without its content.

        After `MOST_REPORTED` sentences malformed lines are only counted.
        """
        for number, line in self._lines():
            try:
                dialogue = _dialogue(line)
            except _Malformed as error:
                self._tally.malformed += 1
                if self._tally.malformed <= MOST_REPORTED:
                    report(f"Line {number} {error}.")
                if self._tally.malformed == MOST_REPORTED:
                    report("Further malformed lines are only counted.")
            else:
                yield dialogue

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number and the bytes of each line that is not blank; a line that is too long is cut."""
        number = 0
        try:
            while line := self._text.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE and not line.endswith(b"\n") and not self._skip_rest():
                    most = LONGEST_LINE + LONGEST_REST
                    self._tally.trouble = (
                        f"Line {number} has no end within {most:,} bytes; nothing from there was sent."
                    )
                    return
                if not line.isspace():
                    yield number, line
        except (OSError, EOFError, zlib.error):
            self._tally.trouble = f"{self._path} is damaged or cut off after line {number}; the rest was not sent."

    def _skip_rest(self) -> bool:
        """Skip to the end of the line or of the file, and return whether it came within LONGEST_REST bytes."""
        for _ in range(LONGEST_REST // LONGEST_LINE):
            rest = self._text.readline(LONGEST_LINE)
            if len(rest) < LONGEST_LINE or rest.endswith(b"\n"):
                return True
        return False


class _Malformed(Exception):
    """A line is not a dialogue; the message completes a sentence that begins with the line's number."""


def _size(file: io.BufferedReader) -> int:
    """Return the file's size, or 0 for a pipe."""
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _dialogue(line: bytes) -> Dialogue:
    if len(line) > LONGEST_LINE:
        raise _Malformed(f"is longer than {LONGEST_LINE:,} bytes")
    try:
        document = load_any_depth(line)
    except Invalid:
        raise _Malformed("is not JSON in UTF-8") from None
    match document:
        case {"dialogue_id": str(name), "events": list(events)} if name:
            return Dialogue(storable(name), hashlib.sha256(line).hexdigest(), _messages(events))
    raise _Malformed("is not a dialogue: an object with a dialogue_id and an array of events")


def _messages(events: list[JsonValue]) -> list[RecordedMessage]:
    messages: list[RecordedMessage] = []
    session: str | None = None
    for place, event in enumerate(events):
        if len(_functions(event)) > MOST_FUNCTIONS or len(messages) > MOST_MESSAGES:
            raise _Malformed(f"holds more than {MOST_FUNCTIONS:,} functions in an event or {MOST_MESSAGES:,} messages")
        session = deepgram.session_of(event) or session
        # The id derives from the event's place, so that a type which a later release understands moves no other id.
        # The slice copies, because orjson allocates at least 4 KiB for each result.
        messages += [
            RecordedMessage(f"{place}.{draft.spot}", orjson.dumps(draft.fields)[1:])
            for draft in deepgram.drafts(event, session)
        ]
    return messages


def _functions(event: JsonValue) -> list[JsonValue]:
    match event:
        case {"functions": list(functions)}:
            return functions
    return []
