"""A recorder that is cancelled, dropped or broken leaves nothing behind: no lock, no thread, no unsent message."""

import asyncio
import gc
import sqlite3
import threading
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from backend.principal import LOCAL
from backend.services.appender_sink import AppenderSink
from tests.clients.python.conftest import Door, Open, contents, sent
from tests.clients.python.test_recorder import left_in
from tests.waiting import PATIENCE, until
from verbatim_record.recorder import stats
from verbatim_record.recorder.replay import replay
from verbatim_record.recorder.spool.pending_writes import PendingWrites
from verbatim_record.recorder.spool.sqlite_store import Left, SQLiteStore

Read = Callable[[], Awaitable[list[dict[str, Any]]]]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("spool")]


async def left_behind(open_recorder: Open, door: Door, *said: str) -> None:
    door.shut = True
    async with open_recorder(limits={"closing": 0.0}) as recorder:
        for words in said:
            recorder.record("user", words)
    door.shut = False


@pytest.mark.parametrize("opened", [True, False])
async def test_a_recorder_that_is_cancelled_while_it_opens_gives_its_claim_back(
    open_recorder: Open, door: Door, spool: Path, record_of: Read, request: pytest.FixtureRequest, *, opened: bool
) -> None:
    await left_behind(open_recorder, door, "One.", "Two.")
    begun, go_on = threading.Event(), threading.Event()
    adopt = SQLiteStore.adopt

    def slowly(shelf: SQLiteStore, *, refused: bool = False) -> Left:
        begun.set()
        assert go_on.wait(PATIENCE)
        return adopt(shelf, refused=refused)

    request.getfixturevalue("monkeypatch").setattr(SQLiteStore, "adopt", slowly)
    opening = asyncio.create_task(open_recorder().__aenter__())
    await until(begun.is_set)
    if opened:
        opening.cancel()
        go_on.set()
    else:
        go_on.set()
        opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await until(lambda: list(spool.parent.iterdir()) == [spool])
    await until(lambda: not threads())
    async with open_recorder() as recorder:
        recorder.record("user", "Three.")
        await sent(recorder)
    assert contents(await record_of()) == ["One.", "Two.", "Three."]


async def test_a_replay_that_cannot_open_the_spool_closes_its_sink(door: Door, tmp_path: Path) -> None:
    closed = asyncio.Event()

    class Closing(Door):
        async def aclose(self) -> None:
            closed.set()

    with pytest.raises(Exception, match=r"The spool .* cannot be opened"):
        await replay(tmp_path / "nowhere" / "calls.spool", Closing(door), patience=0, watch=lambda *_: None)
    assert closed.is_set()


async def test_the_spools_thread_outlives_what_nobody_foresaw(
    open_recorder: Open, door: Door, spool: Path, record_of: Read, request: pytest.FixtureRequest
) -> None:
    monkeypatch, capfd = request.getfixturevalue("monkeypatch"), request.getfixturevalue("capfd")
    monkeypatch.setattr("verbatim_record.recorder.spool.spool.RETRY_INTERVAL", 0.01)
    failures = iter([OverflowError("a word"), MemoryError()])
    save = PendingWrites.save

    def fail(clerk: PendingWrites) -> None:
        if error := next(failures, None):
            raise error
        save(clerk)

    monkeypatch.setattr(PendingWrites, "save", fail)
    door.shut = True
    async with open_recorder() as recorder:
        recorder.record("user", "Hold the line.")
        await until(lambda: recorder.stats.spooled == 1)
        door.shut = False
        await sent(recorder)
    assert contents(await record_of()) == ["Hold the line."]
    said = capfd.readouterr().out
    assert said.count("spool's thread failed") == 2
    assert "a word" not in said
    assert left_in(spool) == []


async def test_a_spool_that_cannot_be_written_when_it_closes_raises_nothing_and_hands_over_what_it_holds(
    open_recorder: Open, door: Door, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[bytes] = []

    def fail(_pending: PendingWrites) -> None:
        raise OverflowError

    monkeypatch.setattr("verbatim_record.recorder.spool.spool.RETRY_INTERVAL", 0.01)
    monkeypatch.setattr(PendingWrites, "save", fail)
    door.shut = True
    async with open_recorder(limits={"closing": 0.0}, on_lost=handed.append) as recorder:
        recorder.record("user", "Hold the line.")
    assert [b"Hold the line." in each for each in handed] == [True]
    assert (recorder.stats.lost, recorder.stats.queued) == (1, 0)
    assert list(spool.parent.iterdir()) == [spool]


async def test_what_was_refused_and_does_not_fit_on_the_disk_is_handed_over_once(
    open_recorder: Open, record_of: Read, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> range:
        raise sqlite3.OperationalError("database or disk is full")

    handed: list[bytes] = []
    monkeypatch.setattr(SQLiteStore, "insert", fail)
    taken = uuid4()
    async with open_recorder(on_lost=handed.append) as recorder:
        recorder.record("user", "One.", id=taken)
        recorder.record("user", "Another with the same id.", id=taken)
        recorder.record("robot", "No such role.")
        await sent(recorder)
        assert [orjson.loads(each)["content"] for each in handed] == ["No such role."]
    assert [orjson.loads(each)["content"] for each in handed] == ["No such role.", "Another with the same id."]
    assert (recorder.stats.refused, recorder.stats.lost, recorder.stats.queued) == (2, 0, 0)
    assert contents(await record_of()) == ["One."]
    assert left_in(spool) == []


async def test_being_watched_keeps_no_recorder_alive(open_recorder: Open, appender: Any) -> None:
    recorder = open_recorder(sink=AppenderSink(appender, LOCAL))
    await recorder.__aenter__()
    task, spool = recorder._task, recorder._spool
    gone = weakref.ref(recorder)
    del recorder
    gc.collect()
    assert gone() is None
    assert not [each for each in stats._OPEN if each is gone()]
    assert task
    task.cancel()
    await spool.close()
