"""Every word has its place, whatever the sink and the disk do: on record, in the spool, or with `on_lost`."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.clients.python.offline import Memory, full, recorder_into, said_in
from tests.clients.python.test_recorder import left_in
from tests.waiting import until
from verbatim_record import Answer, Recorder, Unsent
from verbatim_record.recorder.sinks import LATER, ON_RECORD
from verbatim_record.recorder.spool.sqlite_store import SQLiteStore

pytestmark = pytest.mark.usefixtures("soon")
REFUSED = Answer(final=True, reason="409 /problems/message-id-reused")


class Moody(Memory):
    """It refuses every seventh number, and fails before, after or in the middle of a batch."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random
        self.numbers: list[int] = []  # in the order of the record

    async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
        mood = self.random.random()
        await asyncio.sleep(self.random.choice([0, 0.002]))
        if mood < 0.2:
            raise Unsent("nothing is recorded")
        batch = [int(words) for words in said_in(messages)]
        batch = batch[: self.random.randrange(len(batch) + 1)] if mood < 0.5 else batch
        self.numbers += [number for number in batch if number % 7 and number not in self.numbers]
        if mood > 0.8:
            raise ConnectionResetError("all is recorded, and the answer is lost")
        answers = [ON_RECORD if number % 7 else REFUSED for number in batch]
        return answers + [LATER] * (len(messages) - len(batch))


class Disk:
    """The part of all writes and reads that fail."""

    def __init__(self, random: Random, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing = 0.0
        self.random = random
        for name in ("insert", "delete", "refuse", "read"):
            monkeypatch.setattr(SQLiteStore, name, self.unreliable(getattr(SQLiteStore, name)))

    def unreliable(self, work: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: full() if self.random.random() < self.failing else work(*arguments)


async def talk(recorder: Recorder, random: Random, disk: Disk, first: int) -> int:
    """Record numbers from ``first`` on, and return the first that was not recorded."""
    number = first
    for _ in range(20):
        for _ in range(random.choice([0, 1, 5])):
            recorder.record("user", str(number))
            number += 1
        disk.failing = random.choice([0.0, 0.5, 1.0])
        await asyncio.sleep(random.choice([0, 0.005]))
    return number


@pytest.mark.parametrize("seed", range(12))
async def test_every_word_is_on_record_in_the_spool_or_handed_over_and_counted_once(
    spool: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random = Random(seed)
    sink, disk, handed = Moody(random), Disk(random, monkeypatch), list[bytes]()
    number = left = 0
    for _ in range(3):
        first, disk.failing = number, 0.0
        limits = {"memory": random.choice([1_000, 100_000]), "closing": random.choice([0, 0.05])}
        recorder = recorder_into(sink, spool, on_lost=handed.append, within=0.01, **limits)
        async with recorder:
            assert recorder.stats.queued == left
            number = await talk(recorder, random, disk, first)
        await until(lambda closed=recorder: not closed._spool._thread.is_alive())  # type: ignore[misc]
        stats, rows, lost = recorder.stats, left_in(spool), [int(words) for words in said_in(handed)]
        assert stats.sent + stats.queued + stats.refused + stats.lost == left + number - first
        assert {*sink.numbers, *(int(words) for words, _ in rows), *lost} == {*range(number)}
        assert sink.numbers == sorted(sink.numbers)
        assert len(lost) == len({*lost})
        left = sum(reason is None for _, reason in rows)
