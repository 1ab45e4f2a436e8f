"""The spool: whatever happens to a process or to the file, what can be read of it is sent, and the rest is named."""

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.clients.python.conftest import Door, Open, contents, sent
from tests.waiting import PATIENCE, until
from verbatim_record.recorder.entry import Entry
from verbatim_record.recorder.spool.disk import Disk
from verbatim_record.recorder.spool.repair import is_spool
from verbatim_record.recorder.spool.sqlite_store import SQLiteStore

Read = Callable[[], Awaitable[list[dict[str, Any]]]]
WORDS = "and so on and so on " * 20


async def abandon(open_recorder: Open, door: Door, spool: Path, *, messages: int) -> None:
    """Leave a spool as a process leaves it that is killed: everything written, nothing closed."""
    door.shut = True
    async with open_recorder(limits={"closing": 0.0}) as recorder:
        for number in range(messages):
            recorder.record("user", f"{number} {WORDS}")
            await until(lambda: recorder._spool.unsaved == 0)
        beside = spool.with_name("copy")
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{spool}{suffix}", f"{beside}{suffix}")
    for suffix in ("", "-wal"):
        Path(f"{beside}{suffix}").replace(f"{spool}{suffix}")  # noqa: ASYNC240
    door.shut = False


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    return [int(content.split()[0]) for content in contents(rows)]


async def test_the_next_run_sends_what_a_killed_one_left(
    open_recorder: Open, door: Door, spool: Path, record_of: Read
) -> None:
    await abandon(open_recorder, door, spool, messages=20)
    assert is_spool(spool)
    async with open_recorder() as recorder:
        recorder.record("user", "20 and now")
    assert numbers(await record_of()) == list(range(21))


@pytest.mark.parametrize("short", [0, 100, 4096 + 20])
async def test_a_transaction_that_was_half_written_is_all_that_is_lost(
    short: int, open_recorder: Open, door: Door, spool: Path, record_of: Read
) -> None:
    await abandon(open_recorder, door, spool, messages=10)
    log = Path(f"{spool}-wal")
    os.truncate(log, log.stat().st_size - short)  # noqa: ASYNC240
    async with open_recorder() as recorder:
        await sent(recorder)
    assert numbers(await record_of()) == list(range(9 if short else 10))


async def test_a_record_that_the_disk_has_changed_is_left_out_and_named(
    open_recorder: Open, door: Door, spool: Path, record_of: Read, capfd: pytest.CaptureFixture[str]
) -> None:
    await abandon(open_recorder, door, spool, messages=10)
    with sqlite3.connect(spool) as file:
        file.execute("UPDATE spool SET body = replace(body, 'and so', 'AND SO') WHERE row = 4")
    file.close()
    async with open_recorder() as recorder:
        await sent(recorder)
        assert recorder.stats.queued == 0
    assert numbers(await record_of()) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert capfd.readouterr().out.count('"why":"damaged on the disk"') == 1


@pytest.mark.parametrize("damage", ["overwritten", "cut short"])
async def test_of_a_damaged_file_everything_that_can_be_read_is_sent(
    damage: str, open_recorder: Open, door: Door, record_of: Read, request: pytest.FixtureRequest
) -> None:
    spool, capfd = request.getfixturevalue("spool"), request.getfixturevalue("capfd")
    await abandon(open_recorder, door, spool, messages=200)
    sqlite3.connect(spool).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    pages = spool.stat().st_size // 4096
    assert pages > 20
    with spool.open("r+b") as file:
        if damage == "cut short":
            file.truncate((pages - 1) * 4096)
        else:
            file.seek((pages // 2) * 4096)
            file.write(b"\xa5" * 4096)
    async with open_recorder() as recorder:
        await sent(recorder)
        recorder.record("user", "200 and on it goes")
    found = numbers(await record_of())
    assert found == sorted(found)
    assert len(found) >= 201 - 15  # what is on one page
    assert found[-1] == 200
    said = capfd.readouterr().out
    damaged = spool.with_name("calls.spool.damaged-1")
    assert f"sqlite3 {damaged} .recover | sqlite3 {damaged}.recovered; verbatim replay {damaged}.recovered" in said
    assert said.count("spool was damaged") == 1
    assert "and so on" not in said
    assert damaged.exists()


async def test_a_file_that_is_no_database_is_set_aside_and_named(
    open_recorder: Open, spool: Path, record_of: Read, capfd: pytest.CaptureFixture[str]
) -> None:
    spool.write_bytes(b"\xa5" * 8192)  # noqa: ASYNC240
    async with open_recorder() as recorder:
        recorder.record("user", "On it goes.")
    assert contents(await record_of()) == ["On it goes."]
    assert "spool was damaged" in capfd.readouterr().out


async def test_a_healthy_sink_leaves_the_disk_alone(open_recorder: Open, spool: Path, record_of: Read) -> None:
    async with open_recorder(limits={"within": 4 * PATIENCE}) as recorder:
        for number in range(10):
            recorder.record("user", str(number))
            await sent(recorder)
    with sqlite3.connect(spool) as file:
        assert file.execute("SELECT * FROM sqlite_sequence").fetchall() == []  # not one row, ever
    file.close()
    assert len(await record_of()) == 10


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, float], None]:
    """Make the next reads of every spool fail, and say for how many seconds later messages wait for that."""
    monkeypatch.setattr("verbatim_record.recorder.writer.LONGEST_PAUSE", 0.01)
    read, failures = SQLiteStore.read, 0

    def failing(store: SQLiteStore, *arguments: int) -> list[Entry]:
        nonlocal failures
        if failures:
            failures -= 1
            raise sqlite3.OperationalError("disk I/O error")
        return read(store, *arguments)

    def fail(times: int, patience: float) -> None:
        nonlocal failures
        failures = times
        monkeypatch.setattr("verbatim_record.recorder.spool.pending_writes.READ_PATIENCE", patience)

    monkeypatch.setattr(SQLiteStore, "read", failing)
    return fail


async def test_messages_wait_behind_others_that_cannot_be_read_for_a_while(
    open_recorder: Open, door: Door, spool: Path, record_of: Read, unreadable: Callable[[int, float], None]
) -> None:
    await abandon(open_recorder, door, spool, messages=3)
    unreadable(3, PATIENCE)
    async with open_recorder() as recorder:
        recorder.record("user", "3 and now")
        await sent(recorder)
    assert numbers(await record_of()) == [0, 1, 2, 3]


async def test_messages_that_cannot_be_read_for_long_hold_up_the_next_no_longer_and_are_not_lost(
    open_recorder: Open,
    door: Door,
    spool: Path,
    record_of: Read,
    unreadable: Callable[[int, float], None],
) -> None:
    await abandon(open_recorder, door, spool, messages=3)
    unreadable(1, 0.0)
    async with open_recorder() as recorder:
        await sent(recorder)
        recorder.record("user", "3 and now")
        await sent(recorder)
    assert numbers(await record_of()) == [3]
    async with open_recorder() as recorder:
        await sent(recorder)
    assert numbers(await record_of()) == [3, 0, 1, 2]


async def test_words_are_on_disk_in_time_while_the_event_loop_stands_still(open_recorder: Open, door: Door) -> None:
    door.shut = True
    async with open_recorder(limits={"closing": 0.0}) as recorder:
        recorder.record("user", "Hold the line.")
        stopped = asyncio.get_running_loop().time() + PATIENCE
        while recorder.stats.spooled == 0 and asyncio.get_running_loop().time() < stopped:
            pass  # nothing else runs on this loop
        assert recorder.stats.spooled == 1


async def test_processes_that_start_together_share_a_spool(spool: Path, conversation: UUID) -> None:
    script = f"""
import asyncio
from pathlib import Path
from verbatim_record import Limits, Recorder, Unsent

class Shut:
    async def open(self):
        pass
    async def send(self, messages):
        raise Unsent("shut")
    async def aclose(self):
        pass

async def main():
    where = {{"conversation_id": "{conversation}", "spool": Path({str(spool)!r})}}
    for _ in range(5):
        async with Recorder(Shut(), **where, limits=Limits(closing=0)) as recorder:
            for number in range(10):
                recorder.record("user", "words")
                await asyncio.sleep(0)

asyncio.run(main())
"""
    command = [sys.executable, "-W", "error", "-c", script]
    async with asyncio.timeout(3 * PATIENCE):
        running = [await asyncio.create_subprocess_exec(*command) for _ in range(4)]
        codes = [await each.wait() for each in running]
    assert codes == [0] * 4
    with sqlite3.connect(spool) as file:
        assert file.execute("SELECT count(*) FROM spool").fetchone() == (200,)
        assert file.execute("SELECT count(DISTINCT body) FROM spool").fetchone() == (200,)
    file.close()
    assert [path for path in spool.parent.iterdir() if path != spool] == []


async def test_the_log_is_carried_over_while_the_outage_lasts(
    open_recorder: Open, door: Door, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log grows meanwhile, by as much as is said during a sync; here each sync is waited for."""
    monkeypatch.setattr("verbatim_record.recorder.spool.disk.LONGEST_LOG", 100_000)
    asked, done = 0, 0
    sync, carry = Disk.sync, Disk._sync

    def ask(disk: Disk) -> None:
        nonlocal asked
        asked += 1
        sync(disk)

    def count(disk: Disk) -> None:
        nonlocal done
        before = asked
        carry(disk)
        done = before

    monkeypatch.setattr(Disk, "sync", ask)
    monkeypatch.setattr(Disk, "_sync", count)
    door.shut = True
    longest = 0
    async with open_recorder(limits={"closing": 0.0}) as recorder:
        for number in range(400):
            recorder.record("user", f"{number} {WORDS}")
            recorder._spool.flush().result(PATIENCE)
            await until(lambda: done == asked)
            longest = max(longest, Path(f"{spool}-wal").stat().st_size)  # noqa: ASYNC240
        assert recorder.stats.spooled == 400
    assert longest < 200_000  # unchecked it is five millions
