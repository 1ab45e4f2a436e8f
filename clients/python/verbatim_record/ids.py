"""Ids of records: UUIDs that sort by the time of their creation (RFC 9562, version 7).

The service creates them, and not PostgreSQL: versions 15 to 17 have no uuidv7(), and a message must have its id before
the first attempt to store it, because only then is a retry idempotent.
"""

import os
import struct
import time
from typing import Final
from uuid import UUID, SafeUUID

_VERSION_7: Final = 0x7 << 76
_VARIANT: Final = 0b10 << 62
_RANDOM_62: Final = (1 << 62) - 1
_BLANK: Final = UUID.__new__
_SET: Final = object.__setattr__
# One call of the kernel gives random bits for 64 ids, because a call for each id takes half of the time of `new_id`. A
# child process drops the bits that its parent drew, so the two never create the same id.
_DRAW: Final = 64
_drawn: Final[list[int]] = []
os.register_at_fork(after_in_child=_drawn.clear)


def new_id(at: int | None = None) -> UUID:
    """Return a new version 7 UUID: 48 bits of milliseconds, 12 bits of their fraction, 62 random bits.

    The 12 bits are RFC 9562's method 3 (section 6.2), so ids made a quarter of a microsecond apart still sort. ``at``
    is the time in nanoseconds since 1970, by default now.
    """
    milliseconds, nanoseconds = divmod(time.time_ns() if at is None else at, 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    # What UUID(int=…) does after its checks, which take a quarter of a cold `record` (measured).
    identity = _BLANK(UUID)
    _SET(identity, "int", (milliseconds << 80) | _VERSION_7 | (fraction << 64) | _VARIANT | _random())
    _SET(identity, "is_safe", SafeUUID.unknown)
    return identity


def _random() -> int:
    try:
        return _drawn.pop()  # atomic: no two threads get the same bits
    except IndexError:
        _drawn.extend(number & _RANDOM_62 for number in struct.unpack(f"{_DRAW}Q", os.urandom(8 * _DRAW)))
        return _random()
