"""The world around a recorder: the real record behind a door that can be shut."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from backend.principal import LOCAL
from backend.services.appender import Appender
from backend.services.appender_sink import AppenderSink
from tests.waiting import PATIENCE
from verbatim_record import Answer, HttpSink, Limits, Recorder, Sink, Unsent


class Door:
    """Stands before a real sink: open, shut, or one that takes everything and never answers."""

    def __init__(self, behind: Sink) -> None:
        self.behind = behind
        self.shut = False
        self.hangs = False
        self.loses_answers = 0
        self.attempts: list[list[bytes]] = []
        self.knocked = asyncio.Event()

    async def open(self) -> None:
        await self.behind.open()

    async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
        self.attempts.append(list(messages))
        self.knocked.set()
        cancelled = False
        while self.hangs:  # and not even cancelling helps
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError
        if self.shut:
            raise Unsent("the door is shut")
        answers = await self.behind.send(messages)
        if self.loses_answers:
            self.loses_answers -= 1
            raise ConnectionResetError("and nobody knows whether it was done")
        return answers

    async def aclose(self) -> None:
        await self.behind.aclose()


@pytest.fixture
def door(appender: Appender) -> Door:
    return Door(AppenderSink(appender, LOCAL))


@pytest.fixture(params=["appender", "http"])
def sink(request: pytest.FixtureRequest) -> Sink:
    """Either way into the record."""
    if request.param == "appender":
        return AppenderSink(request.getfixturevalue("appender"), LOCAL)
    return HttpSink("http://localhost", client=request.getfixturevalue("service"))


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "calls.spool"


Open = Callable[..., Recorder]


@pytest.fixture
def open_recorder(door: Door, conversation: UUID, spool: Path) -> Open:
    """Make a recorder that sends through the door."""

    def open_recorder(**more: Any) -> Recorder:
        limits = Limits(**({"closing": 5.0, "patience": PATIENCE} | more.pop("limits", {})))
        return Recorder(more.pop("sink", door), conversation_id=conversation, spool=spool, limits=limits, **more)

    return open_recorder


@pytest.fixture
def record_of(connection: asyncpg.Connection, conversation: UUID) -> Callable[[], Any]:
    """Read what is on record, in order."""

    async def read() -> list[dict[str, Any]]:
        rows = await connection.fetch(
            "SELECT id, role, content, metadata, timestamp, client_sequence, sequence, voice_session_id, input_modality"
            " FROM messages WHERE conversation_id = $1 ORDER BY sequence",
            conversation,
        )
        return [{**row, "metadata": orjson.loads(row["metadata"])} for row in rows]

    return read


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses before another attempt to send or to write."""
    monkeypatch.setattr("verbatim_record.recorder.writer.JITTER", 0.0)
    monkeypatch.setattr("verbatim_record.recorder.writer.LONGEST_PAUSE", 0.01)
    monkeypatch.setattr("verbatim_record.recorder.spool.pending_writes.RETRY_INTERVAL", 0.01)
    monkeypatch.setattr("verbatim_record.recorder.spool.spool.RETRY_INTERVAL", 0.01)


async def sent(recorder: Recorder) -> None:
    """Wait until all has its answer."""
    async with asyncio.timeout(PATIENCE):
        await recorder._writer.drained()


def contents(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["content"] for row in rows]
