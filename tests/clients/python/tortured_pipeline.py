"""A voice pipeline as a process of its own, which a test tortures: its disk, its clock, and its own sudden end.

It prints a line of JSON for each message: its number, and whether all before it is on disk or on record.
"""

import asyncio
import os
import random
import signal
import sqlite3
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import orjson

from verbatim_record import HttpSink, Limits, Recorder
from verbatim_record.recorder import writer
from verbatim_record.recorder.spool import pending_writes
from verbatim_record.recorder.spool.sqlite_store import SQLiteStore

HOURS: Final = 3600.0
MEMORY: Final = 6_000  # bytes, so that a failing network soon leaves the rest to the disk
FILLER: Final = " and so on" * 20


@dataclass(frozen=True)
class Part:
    """What one process does: the messages ``first`` to ``last``, exclusive, of a pipeline's script."""

    url: str
    conversation: str
    spool: str
    session: str
    seed: int
    first: int
    last: int
    taken: str  # the id of another message, which must be refused
    disk: str
    clock: bool
    dies: bool

    def write(self) -> str:
        """Return it as an argument of the command line."""
        return orjson.dumps(asdict(self)).decode()


def role_of(number: int) -> str:
    """Return the role of a message of the script; one in eleven is no role, so the recorder refuses it."""
    return "robot" if number % 11 == 10 else ("user", "assistant")[number % 2]


def is_taken(number: int) -> bool:
    """Tell whether a message of the script has an id that the record refuses."""
    return number % 13 == 12


async def talk(part: Part, chance: random.Random) -> None:
    """Say the part's messages; a process that ``dies`` kills itself at one of them."""
    end = chance.randrange(part.first, part.last) if part.dies else None
    recorder = Recorder(
        HttpSink(part.url),
        conversation_id=part.conversation,
        spool=Path(part.spool),
        voice_session_id=part.session,
        limits=Limits(memory=MEMORY, patience=0.5, closing=2.0),
        on_lost=lambda body: _print(lost=orjson.loads(body)["content"].split()[1]),
    )
    async with recorder:
        for number in range(part.first, part.last):
            identity = part.taken if is_taken(number) else None
            safe = recorder._spool.unsaved == 0
            recorder.record(role_of(number), f"{part.session} {number}{FILLER}", id=identity)
            _print(said=number, safe=safe)
            if number == end:
                await asyncio.sleep(chance.choice([0, 0, 0.1]))
                os.kill(os.getpid(), signal.SIGKILL)
            await asyncio.sleep(chance.choice([0, 0.001, 0.02]))


def _print(**facts: Any) -> None:
    os.write(1, orjson.dumps(facts) + b"\n")


class FailingStore(SQLiteStore):
    """A spool on a disk that fails at random: full, unreadable, or slow."""

    fault = ""
    chance = random.Random()

    def insert(self, entries: Any) -> range:
        if self.fault == "slow":
            time.sleep(0.2 * self.chance.random())
        if self.fault == "full" and self.chance.random() < 0.5:
            raise sqlite3.OperationalError("database or disk is full")
        return super().insert(entries)

    def read(self, after: int, limit: int, most_bytes: int) -> Any:
        if self.fault == "unreadable" and self.chance.random() < 0.5:
            raise sqlite3.OperationalError("disk I/O error")
        return super().read(after, limit, most_bytes)


class JumpingClock:
    """The system's clock, set by hours forwards and backwards now and then."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._ns = time.time_ns
        self._off = 0.0

    def __call__(self) -> float:
        if self._chance.random() < 0.05:
            self._off = self._chance.uniform(-5 * HOURS, 5 * HOURS)
        return self._ns() / 1e9 + self._off

    def ns(self) -> int:
        """Return the same in nanoseconds."""
        return int(self() * 1e9)


def main() -> None:
    """Run the part that the command line describes."""
    part = Part(**orjson.loads(sys.argv[1]))
    chance = random.Random(part.seed)
    FailingStore.fault, FailingStore.chance = part.disk, chance
    clock = JumpingClock(chance)
    with (
        patch.object(writer, "FIRST_PAUSE", 0.01),
        patch.object(writer, "LONGEST_PAUSE", 0.05),
        patch.object(pending_writes, "RETRY_INTERVAL", 0.05),
        patch("verbatim_record.recorder.spool.repair.SQLiteStore", FailingStore),
        patch.object(time, "time", clock if part.clock else time.time),
        patch.object(time, "time_ns", clock.ns if part.clock else time.time_ns),
    ):
        asyncio.run(talk(part, chance))


if __name__ == "__main__":
    main()
