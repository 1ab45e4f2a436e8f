"""A recorder that is cancelled, dropped or broken leaves nothing behind: no lock, no thread, no unsent message."""

import asyncio
import gc
import sqlite3
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import orjson
import pytest

from backend.principal import LOCAL
from backend.services.appender_sink import AppenderSink
from tests.clients.python.conftest import Door, Open, contents, sent
from tests.clients.python.offline import Memory, full, leave, recorder_into, said_in, slowly_full
from tests.clients.python.test_recorder import left_in
from tests.waiting import PATIENCE, until
from verbatim_record import Answer
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


async def test_a_recorder_that_is_cancelled_while_its_sink_opens_gives_its_claim_back(spool: Path) -> None:
    await leave(spool, "One.")
    opening = asyncio.Event()

    class Slow(Memory):
        async def open(self) -> None:
            opening.set()
            await asyncio.sleep(PATIENCE)

    task = asyncio.create_task(recorder_into(Slow(), spool).__aenter__())
    await opening.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: list(spool.parent.iterdir()) == [spool])
    memory = Memory()
    async with recorder_into(memory, spool, closing=PATIENCE):
        pass
    assert memory.contents == ["One."]


async def test_in_a_scope_that_is_cancelled_a_recorder_is_closed_and_its_words_are_in_the_spool(spool: Path) -> None:
    memory = Memory(shut=True)
    with anyio.CancelScope() as scope:  # it cancels every await until it is left
        async with recorder_into(memory, spool, within=4 * PATIENCE, closing=PATIENCE) as recorder:
            recorder.record("user", "Hold the line.")
            scope.cancel()
            await asyncio.sleep(PATIENCE)
    assert memory.is_closed
    assert left_in(spool) == [("Hold the line.", None)]
    assert list(spool.parent.iterdir()) == [spool]
    assert recorder.record("user", "Too late.") is None
    await until(lambda: not threads())


async def test_a_task_that_is_cancelled_again_while_its_recorder_closes_hands_over_what_no_disk_took(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, begun, go_on = slowly_full()
    monkeypatch.setattr(SQLiteStore, "insert", insert)
    handed: list[bytes] = []
    recorder = recorder_into(Memory(shut=True), spool, on_lost=handed.append, within=4 * PATIENCE)

    async def call() -> None:
        async with recorder:
            recorder.record("user", "Hold the line.")
            await asyncio.sleep(PATIENCE)

    task = asyncio.create_task(call())
    await until(lambda: recorder.stats.queued)
    task.cancel()
    await until(begun.is_set)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said_in(handed) == ["Hold the line."]
    assert (recorder.stats.lost, recorder.stats.queued) == (1, 0)


def test_closing_does_not_wait_for_a_writer_that_the_end_of_the_loop_has_cancelled(spool: Path) -> None:
    tasks = []

    async def call(recorded: asyncio.Event) -> None:
        async with recorder_into(Memory(shut=True), spool, closing=PATIENCE) as recorder:
            recorder.record("user", "Hold the line.")
            recorded.set()
            await asyncio.sleep(2 * PATIENCE)

    async def main() -> None:
        recorded = asyncio.Event()
        tasks.append(asyncio.create_task(call(recorded)))
        await recorded.wait()

    begun = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - begun < PATIENCE / 2
    assert left_in(spool) == [("Hold the line.", None)]


async def test_a_sink_whose_closing_is_cancelled_inside_hides_no_lost_word(
    spool: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Cancelled(Memory):
        async def aclose(self) -> None:
            raise asyncio.CancelledError

    handed: list[bytes] = []
    monkeypatch.setattr(SQLiteStore, "insert", full)
    async with recorder_into(Cancelled(shut=True), spool, on_lost=handed.append) as recorder:
        recorder.record("user", "Hold the line.")
    assert said_in(handed) == ["Hold the line."]
    assert "the recorder's sink does not close: CancelledError" in capfd.readouterr().out


async def test_an_answer_that_comes_after_the_spool_has_closed_counts_no_message_twice(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knocked = asyncio.Event()

    class Stubborn(Memory):
        async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
            knocked.set()
            try:
                await asyncio.sleep(PATIENCE)
            except asyncio.CancelledError:  # it finishes what it has begun
                await until(lambda: not recorder._spool._thread.is_alive())
            return await super().send(messages)

    handed: list[bytes] = []
    monkeypatch.setattr(SQLiteStore, "insert", full)
    recorder = recorder_into(Stubborn(), spool, on_lost=handed.append)
    async with recorder:
        recorder.record("user", "Hold the line.")
        await knocked.wait()
    assert said_in(handed) == ["Hold the line."]
    assert (recorder.stats.sent, recorder.stats.lost, recorder.stats.queued) == (0, 1, 0)


async def test_a_replay_in_a_scope_that_is_cancelled_gives_the_spool_back(spool: Path) -> None:
    await leave(spool, "One.")
    scope = anyio.CancelScope()

    class Slow(Memory):
        async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
            scope.cancel()
            await asyncio.sleep(PATIENCE)
            return await super().send(messages)

    slow = Slow()
    with scope:
        await replay(spool, slow, patience=PATIENCE, watch=lambda *_: None)
    assert slow.is_closed
    await until(lambda: list(spool.parent.iterdir()) == [spool])
    assert left_in(spool) == [("One.", None)]


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
