"""One message of a recorder from the moment it was said until it is on record."""

from dataclasses import dataclass
from typing import Final

LONGEST_BODY: Final = 4 * 2**20 - 64  # bytes of a message as JSON; alone it fits into the service's limit of 4 MiB


@dataclass(slots=True, eq=False)
class Entry:
    """A message as the bytes that are sent, the same in each attempt.

    ``at`` is when it was said, in seconds since 1970. ``kept`` tells whether the writer has it in memory; otherwise the
    writer reads it from the spool. ``reason`` tells why it was refused for good. ``row`` is its row in the spool, used
    only by the spool's thread. ``failing`` is when the service first failed for this message alone, by the monotonic
    clock in seconds.
    """

    body: bytes
    at: float
    kept: bool = True
    reason: str | None = None
    row: int | None = None
    failing: float | None = None
