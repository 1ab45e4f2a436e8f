"""One message between the moment it was said and the moment it is on record."""

from dataclasses import dataclass
from typing import Final

LONGEST_BODY: Final = 2**19  # bytes of one message as it travels; every good one is shorter


@dataclass(slots=True, eq=False)
class Entry:
    """A message as it will be sent, the same bytes however often.

    ``at`` is when it was said, in seconds since 1970. ``kept`` tells whether the sender has it in memory; what it has
    not it will read from the spool. ``reason`` says why it was refused for good. ``row`` is its place in the spool's
    file and the business of the spool's thread alone. ``failing`` is when the service first failed for this message
    alone, by the monotonic clock.
    """

    body: bytes
    at: float
    kept: bool = True
    reason: str | None = None
    row: int | None = None
    failing: float | None = None
