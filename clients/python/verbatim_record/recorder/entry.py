"""One message of a recorder from the moment it was said until it is on record."""

from collections.abc import Callable
from typing import Final

LONGEST_BODY: Final = 4 * 2**20 - 64  # bytes of a message as JSON; alone it fits into the service's limit of 4 MiB


class Entry:
    """A message as the bytes that are sent, the same in each attempt.

    ``at`` is when it was said, in seconds since 1970. ``size`` is what it counts in memory, in bytes. ``kept`` tells
    whether the writer has it in memory; otherwise the writer reads it from the spool. ``reason`` is set if it was
    refused. ``row`` is its number in the spool if it is there. ``failing`` is when the service first failed for this
    message alone, by the monotonic clock in seconds. ``reported`` tells whether `on_lost` was called with it.
    """

    __slots__ = ("_source", "at", "failing", "kept", "reason", "reported", "row", "size")

    def __init__(self, source: bytes | Callable[[], bytes], at: float, size: int) -> None:
        self._source = source
        self.at = at
        self.size = size
        self.kept = True
        self.reported = False
        self.reason: str | None = None
        self.row: int | None = None
        self.failing: float | None = None

    @classmethod
    def of(cls, body: bytes, at: float, *, reason: str | None = None, row: int | None = None) -> "Entry":
        """Return the entry of a message that is encoded already."""
        entry = cls(body, at, len(body))
        entry.reason, entry.row = reason, row
        return entry

    @property
    def body(self) -> bytes:
        """The message as JSON; it is encoded when it is first needed, by the writer or by the spool's thread."""
        source = self._source
        if isinstance(source, bytes):
            return source
        body = self._source = source()  # both threads may come here at once, and make the same bytes
        return body
