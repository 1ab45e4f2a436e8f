"""Counts are read in the thread of a scrape, while the event loop changes what they are read from."""

import threading
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakSet

import pytest

from tests.clients.python.offline import Memory, recorder_into
from verbatim_record.recorder import stats
from verbatim_record.recorder.entry import Entry


class Watched:
    stats = stats.Stats(0, 0, 0, 0, 0, 0.0)


def test_a_recorder_that_opens_during_a_scrape_does_not_disturb_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, opened = threading.Event(), threading.Event()

    class Slow(WeakSet[stats.Watched]):
        def __iter__(self) -> Iterator[stats.Watched]:
            for each in super().__iter__():
                reading.set()
                opened.wait(0.1)  # it cannot be opened while this reads
                yield each

    one, other = Watched(), Watched()
    monkeypatch.setattr(stats, "_OPEN", Slow([one]))

    def open_another() -> None:
        reading.wait(10)
        stats.watch(other)
        opened.set()

    thread = threading.Thread(target=open_another)
    thread.start()
    assert len(stats.current()) == 1
    thread.join()
    assert len(stats.current()) == 2


async def test_the_last_message_may_be_answered_while_its_age_is_read(spool: Path) -> None:
    class Emptied(list[Entry]):
        def __bool__(self) -> bool:
            return True  # so it was a moment ago

    async with recorder_into(Memory(shut=True), spool) as recorder:
        recorder.record("user", "One.")
        recorder._writer._batch = Emptied()
        assert recorder.stats.oldest_unsent_seconds >= 0
        recorder._writer._batch = []
