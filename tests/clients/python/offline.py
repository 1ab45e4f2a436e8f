"""Recorders without a service and without a database, for tests of what happens on this side alone."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import orjson

from tests.waiting import PATIENCE
from verbatim_record import Answer, Limits, Recorder, Unsent
from verbatim_record.recorder.sinks import LATER, ON_RECORD


class Memory:
    """A record in memory: it takes everything while it is not shut, or the first ``room`` messages."""

    def __init__(self, *, shut: bool = False) -> None:
        self.shut = shut
        self.room = 2**31
        self.attempts = 0
        self.contents: list[str] = []
        self.is_closed = False

    async def open(self) -> None:
        pass

    async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
        self.attempts += 1
        if self.shut:
            raise Unsent("it is shut")
        taken = messages[: self.room - len(self.contents)]
        self.contents += [orjson.loads(message)["content"] for message in taken]
        return [ON_RECORD] * len(taken) + [LATER] * (len(messages) - len(taken))

    async def aclose(self) -> None:
        self.is_closed = True


def recorder_into(
    sink: Memory, spool: Path, *, on_lost: Callable[[bytes], None] | None = None, **limits: float
) -> Recorder:
    """Make a recorder that does not wait for unsent messages when it closes, unless ``limits`` say otherwise."""
    return Recorder(
        sink,
        conversation_id=uuid4(),
        spool=spool,
        on_lost=on_lost,
        limits=Limits(**({"closing": 0.0} | limits)),  # type: ignore[arg-type]
    )


async def leave(spool: Path, *said: str) -> None:
    """Leave messages in the spool."""
    async with recorder_into(Memory(shut=True), spool) as recorder:
        for words in said:
            recorder.record("user", words)


def full(*_: object) -> range:
    """Fail as SQLite does on a full disk."""
    raise sqlite3.OperationalError("database or disk is full")


def slowly_full() -> tuple[Callable[..., range], threading.Event, threading.Event]:
    """Return what fails so when the second event is set, which it waits for; the first tells that it has begun."""
    begun, go_on = threading.Event(), threading.Event()

    def insert(*_: object) -> range:
        begun.set()
        assert go_on.wait(PATIENCE)
        return full()

    return insert, begun, go_on


def said_in(messages: Sequence[bytes]) -> list[str]:
    return [orjson.loads(message)["content"] for message in messages]
