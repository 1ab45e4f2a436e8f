"""The writer goes on: whatever its sink, the program's log or the event loop does, no message is passed over."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.clients.python.conftest import sent
from tests.clients.python.offline import Memory, full, recorder_into
from tests.clients.python.test_closing import threads
from tests.clients.python.test_recorder import left_in
from tests.waiting import PATIENCE, until
from verbatim_record import Answer
from verbatim_record.recorder import message_repair
from verbatim_record.recorder.spool.sqlite_store import SQLiteStore

pytestmark = pytest.mark.usefixtures("soon")


async def test_a_sink_that_cancels_its_own_work_is_asked_again(spool: Path) -> None:
    class Cancelling(Memory):
        async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
            if not self.attempts:
                self.attempts += 1
                work = asyncio.create_task(asyncio.sleep(PATIENCE))
                asyncio.get_running_loop().call_soon(work.cancel)
                await work
            return await super().send(messages)

    memory = Cancelling()
    async with recorder_into(memory, spool) as recorder:
        recorder.record("user", "One.")
        await until(lambda: memory.contents)
        recorder.record("user", "Two.")
        await sent(recorder)
    assert memory.contents == ["One.", "Two."]


async def test_a_library_that_cancels_the_writer_for_a_reason_of_its_own_does_not_end_it(spool: Path) -> None:
    """As time-outs do in libraries that are older than `Task.uncancel`."""

    class Old(Memory):
        async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
            task = asyncio.current_task()
            assert task
            asyncio.get_running_loop().call_soon(task.cancel)
            try:
                await asyncio.sleep(PATIENCE)
            except asyncio.CancelledError:
                return await super().send(messages)
            raise AssertionError

    memory = Old()
    async with recorder_into(memory, spool) as recorder:
        recorder.record("user", "One.")
        await sent(recorder)
        recorder.record("user", "Two.")
        await sent(recorder)
    assert memory.contents == ["One.", "Two."]


async def test_a_message_that_cannot_be_encoded_at_the_moment_is_sent_in_its_place(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 2

    def encoded(*arguments: object) -> bytes:
        nonlocal failures
        if failures:
            failures -= 1
            raise MemoryError
        return message_repair.encoded(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("verbatim_record.recorder.recorder.encoded", encoded)
    memory = Memory()
    async with recorder_into(memory, spool, within=4 * PATIENCE) as recorder:
        recorder.record("user", "One.")
        recorder.record("user", "Two.")
        await until(lambda: recorder.stats.sent == 2)
        assert recorder._writer._memory_used == 0
    assert memory.contents == ["One.", "Two."]


@pytest.fixture
def _broken_log() -> Iterator[None]:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise BrokenPipeError(record.name)

    handler, logger = Broken(), logging.getLogger("verbatim_record")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.usefixtures("_broken_log")
async def test_a_log_that_raises_ends_neither_the_writer_nor_the_spool(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(shut=True)
    async with recorder_into(memory, spool) as recorder:
        with monkeypatch.context() as patch:
            patch.setattr(SQLiteStore, "insert", full)
            recorder.record("user", "One.")
            await until(lambda: recorder._spool._pending._failing and memory.attempts > 1)
        await until(lambda: recorder.stats.spooled == 1)
        memory.shut = False
        await sent(recorder)
        assert "spool" in threads()
    assert memory.contents == ["One."]


def test_what_is_recorded_after_the_end_of_the_loop_is_in_the_spool(spool: Path) -> None:
    recorder = recorder_into(Memory(), spool)

    async def begin() -> None:
        await recorder.__aenter__()
        await until(lambda: recorder._writer._arrival)  # it waits for the first message

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    assert recorder.record("user", "One.")
    assert recorder.record("user", "Two.")
    recorder._spool._submit(recorder._spool._close).result(PATIENCE)
    task: Any = recorder._task
    task._log_destroy_pending = False  # its loop will not run again
    assert (recorder.stats.queued, recorder.stats.refused) == (2, 0)
    assert left_in(spool) == [("One.", None), ("Two.", None)]
