"""A disk that is full or late: what is on record makes room on it, and no word vanishes without a trace."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.clients.python.offline import Memory, full, recorder_into, said_in, slowly_full
from tests.clients.python.test_recorder import left_in
from tests.waiting import PATIENCE, until
from verbatim_record import Answer, Recorder
from verbatim_record.recorder.entry import Entry
from verbatim_record.recorder.spool.sqlite_store import SQLiteStore

NOWHERE = "1 messages are kept nowhere"

pytestmark = pytest.mark.usefixtures("soon")


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Make the disk full, but only when the second event is set; the first tells that a write has begun."""
    insert, begun, go_on = slowly_full()
    monkeypatch.setattr(SQLiteStore, "insert", insert)
    monkeypatch.setattr("verbatim_record.recorder.recorder.CLOSE_TIMEOUT", 0.05)
    return begun, go_on


@pytest.fixture
def _room_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    insert = SQLiteStore.insert

    def limited(store: SQLiteStore, entries: Sequence[Entry]) -> range:
        [(rows,)] = store._file.execute("SELECT count(*) FROM spool")
        return insert(store, entries) if rows + len(entries) <= 2 else full()

    monkeypatch.setattr(SQLiteStore, "insert", limited)


async def say(recorder: Recorder, words: str, is_done: Callable[[], object]) -> None:
    recorder.record("user", words)
    await until(is_done)


@pytest.mark.usefixtures("_room_for_two")
async def test_what_is_on_record_makes_room_in_a_full_spool(spool: Path) -> None:
    memory = Memory(shut=True)
    async with recorder_into(memory, spool) as recorder:
        await say(recorder, "One.", lambda: recorder.stats.spooled == 1)
        await say(recorder, "Two.", lambda: recorder.stats.spooled == 2)
        await say(recorder, "Three.", lambda: recorder._spool._pending._failing)
        memory.room, memory.shut = 1, False
        await until(lambda: recorder._spool.unsaved == 0)
    assert memory.contents == ["One."]
    assert left_in(spool) == [("Two.", None), ("Three.", None)]


@pytest.mark.usefixtures("_room_for_two")
async def test_at_the_end_as_much_is_written_as_fits_and_the_rest_is_handed_over(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verbatim_record.recorder.spool.pending_writes.RETRY_INTERVAL", 4 * PATIENCE)
    memory = Memory(shut=True)
    handed: list[bytes] = []
    async with recorder_into(memory, spool, on_lost=handed.append) as recorder:
        await say(recorder, "One.", lambda: recorder.stats.spooled == 1)
        await say(recorder, "Two.", lambda: recorder.stats.spooled == 2)
        await say(recorder, "Three.", lambda: recorder._spool._pending._failing)
        recorder.record("user", "Four.")
        memory.room, memory.shut = 1, False
        await until(lambda: recorder.stats.sent == 1)
    assert left_in(spool) == [("Two.", None), ("Three.", None)]
    assert said_in(handed) == ["Four."]
    assert (recorder.stats.queued, recorder.stats.lost) == (2, 1)


async def test_what_cannot_be_written_while_another_process_holds_the_spool_is_written_after_the_recorder_has_closed(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verbatim_record.recorder.recorder.CLOSE_TIMEOUT", 0.05)
    begun, insert = threading.Event(), SQLiteStore.insert

    def begin(store: SQLiteStore, entries: Sequence[Entry]) -> range:
        begun.set()
        return insert(store, entries)

    monkeypatch.setattr(SQLiteStore, "insert", begin)
    handed: list[bytes] = []
    recorder = recorder_into(Memory(shut=True), spool, on_lost=handed.append)
    async with recorder:
        with closing(sqlite3.connect(spool, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await say(recorder, "Hold the line.", begun.is_set)
            await recorder.aclose()
            other.execute("ROLLBACK")
    await until(lambda: list(spool.parent.iterdir()) == [spool])
    assert left_in(spool) == [("Hold the line.", None)]
    assert handed == []


async def test_what_a_late_disk_does_not_take_is_handed_over_after_the_recorder_has_closed(
    spool: Path, late: tuple[threading.Event, threading.Event], capfd: pytest.CaptureFixture[str]
) -> None:
    begun, go_on = late
    handed: list[bytes] = []
    async with recorder_into(Memory(shut=True), spool, on_lost=handed.append) as recorder:
        await say(recorder, "Hold the line.", begun.is_set)
    assert (recorder.stats.lost, recorder.stats.queued, handed) == (0, 1, [])
    go_on.set()
    await until(lambda: handed)
    assert said_in(handed) == ["Hold the line."]
    assert (recorder.stats.lost, recorder.stats.queued) == (1, 0)
    assert list(spool.parent.iterdir()) == [spool]
    said = capfd.readouterr().out
    assert "the recorder's spool does not close in time" in said
    assert "Hold the line" not in said


def test_what_a_late_disk_does_not_take_after_the_end_of_the_loop_is_in_the_log(
    spool: Path, late: tuple[threading.Event, threading.Event], capfd: pytest.CaptureFixture[str]
) -> None:
    begun, go_on = late

    async def main() -> threading.Thread:
        async with recorder_into(Memory(shut=True), spool) as recorder:
            await say(recorder, "Hold the line.", begun.is_set)
        return recorder._spool._thread

    thread = asyncio.run(main())
    go_on.set()
    thread.join(PATIENCE)
    assert NOWHERE in capfd.readouterr().out


async def test_what_the_service_refused_and_no_disk_takes_is_in_the_log(
    spool: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Refusing(Memory):
        async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
            return [Answer(final=True, reason="409 /problems/message-id-reused")] * len(messages)

    monkeypatch.setattr(SQLiteStore, "insert", full)
    async with recorder_into(Refusing(), spool) as recorder:
        await say(recorder, "Hold the line.", lambda: recorder.stats.refused)
    assert NOWHERE in capfd.readouterr().out


async def test_a_process_that_is_ended_with_a_full_disk_says_what_it_does_not_keep(
    spool: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(SQLiteStore, "insert", full)
    async with recorder_into(Memory(shut=True), spool, within=4 * PATIENCE) as recorder:
        recorder.record("user", "Hold the line.")
        recorder._spool.flush().result(PATIENCE)  # as the handler of SIGTERM does
        assert NOWHERE in capfd.readouterr().out


async def test_what_is_recorded_because_a_word_was_lost_is_lost_without_another_call(spool: Path) -> None:
    handed: list[bytes] = []

    def tell(body: bytes) -> None:
        handed.append(body)
        recorder.record("system", "A word was lost.")

    recorder = recorder_into(Memory(shut=True), spool, on_lost=tell, memory=400, within=4 * PATIENCE)
    async with recorder:
        recorder.record("user", "One.")
        recorder.record("user", "Two.")
        assert (said_in(handed), recorder.stats.lost) == (["Two."], 2)
        recorder.record("user", "Three.")
    assert (said_in(handed), recorder.stats.lost) == (["Two.", "Three."], 4)
