"""The service with a wall clock that can be set, from outside and while it runs.

    CHAOS_CLOCK=FILE python -m tests.chaos.clocked serve …

Everything is the real thing. The file holds the seconds by which this clock is off, and is mapped into memory, so that
a step is seen at once, by every worker. (Workers import this module as well, under another name.)
"""

import mmap
import os
import struct
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final, Self

from backend import cli
from backend.schemas import fields
from backend.services import service_tokens

_FORMAT: Final = struct.Struct("d")


class Clock:
    """The one number that everybody's time is off by."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_FORMAT.pack(0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _FORMAT.size)

    @property
    def off(self) -> float:
        found: float = _FORMAT.unpack_from(self._map)[0]
        return found

    @off.setter
    def off(self, seconds: float) -> None:
        _FORMAT.pack_into(self._map, 0, seconds)


def _set_by(clock: Clock) -> None:
    true_time, true_time_ns = time.time, time.time_ns

    class Datetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(time.time(), tz)

    time.time = lambda: true_time() + clock.off
    time.time_ns = lambda: true_time_ns() + int(clock.off * 1e9)
    for module in (fields, service_tokens):
        module.datetime = Datetime  # type: ignore[attr-defined]


if "CHAOS_CLOCK" in os.environ:
    _set_by(Clock(Path(os.environ["CHAOS_CLOCK"])))

if __name__ == "__main__":
    cli.main()
