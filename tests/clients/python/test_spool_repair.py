"""Repair of a damaged spool: whatever interrupts it, and whoever uses the file meanwhile, what can be read is sent."""

import asyncio
import errno
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from tests.clients.python.offline import Memory, full, leave, recorder_into
from tests.clients.python.test_strange_spools import OWNER, fill, message
from tests.waiting import PATIENCE, until
from verbatim_record.recorder.spool import repair
from verbatim_record.recorder.spool.sqlite_store import SQLiteStore
from verbatim_record.setup_error import SetupError

PAGE = 4096
MOST = 85  # of 100 messages, of which a page holds some


@pytest.fixture
def filled(spool: Path, conversation: UUID) -> Path:
    """Make a spool of 100 messages."""
    fill(spool, *[(None, OWNER, 1.0, message(conversation, f"{number} {'x' * 300}")) for number in range(100)])
    return spool


def damage(spool: Path) -> None:
    with spool.open("r+b") as file:
        file.seek(5 * PAGE)
        file.write(os.urandom(PAGE))


async def sent_of(spool: Path) -> list[str]:
    """Return what the next recorder sends."""
    memory = Memory()
    async with recorder_into(memory, spool, closing=PATIENCE):
        pass
    return memory.contents


def no_space(*_: object) -> Path:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("where", "what", "fails"),
    [(SQLiteStore, "copy", full), (repair, "_set_aside", no_space), (Path, "replace", no_space)],
    ids=["copy", "set aside", "replace"],
)
async def test_a_repair_that_fails_hides_no_message_from_the_next(
    filled: Path, monkeypatch: pytest.MonkeyPatch, where: object, what: str, fails: object
) -> None:
    damage(filled)
    with monkeypatch.context() as patch:
        patch.setattr(where, what, fails)
        with pytest.raises(SetupError, match="cannot be opened"):
            await recorder_into(Memory(), filled).__aenter__()
    assert len(await sent_of(filled)) >= MOST
    assert not filled.with_name("calls.spool.repaired").exists()


async def test_a_damaged_spool_that_is_larger_than_the_limit_is_repaired(filled: Path) -> None:
    damage(filled)
    memory = Memory()
    async with recorder_into(memory, filled, closing=PATIENCE, disk=8 * PAGE):
        pass
    assert len(memory.contents) >= MOST


async def test_a_spool_is_repaired_on_a_file_system_without_hard_links(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(filled)
    monkeypatch.setattr(Path, "hardlink_to", no_space)
    assert len(await sent_of(filled)) >= MOST
    assert filled.with_name("calls.spool.damaged-1").exists()


async def test_of_two_that_find_the_same_damage_neither_takes_the_others_file_away(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(filled)
    begun, go_on = threading.Event(), threading.Event()
    set_aside = repair._set_aside

    def slowly(spool: Path) -> Path:
        if not begun.is_set():
            begun.set()
            assert go_on.wait(PATIENCE)
        return set_aside(spool)

    monkeypatch.setattr(repair, "_set_aside", slowly)
    one, other = recorder_into(Memory(shut=True), filled), recorder_into(Memory(shut=True), filled)
    first = asyncio.create_task(one.__aenter__())
    await until(begun.is_set)
    second = asyncio.create_task(other.__aenter__())
    await asyncio.wait({second}, timeout=0.2)  # it would be open by then, if it did not wait for the first
    go_on.set()
    await asyncio.gather(first, second)
    one.record("user", "What the first says.")
    other.record("user", "What the second says.")
    await one.aclose()
    await other.aclose()
    found = await sent_of(filled)
    assert len(found) >= MOST + 2
    assert {"What the first says.", "What the second says."} < {*found}


async def test_what_is_said_after_another_recorder_has_set_the_file_aside_is_in_the_new_one(filled: Path) -> None:
    async with recorder_into(Memory(shut=True), filled) as recorder:
        recorder.record("user", "Before.")
        await until(lambda: recorder._spool.unsaved == 0)
        with closing(sqlite3.connect(filled)) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damage(filled)
        await leave(filled, "What another says.")
        assert filled.with_name("calls.spool.damaged-1").exists()
        recorder.record("user", "After.")
    found = await sent_of(filled)
    assert len({*found}) >= MOST + 3
    assert {"Before.", "What another says.", "After."} < {*found}
