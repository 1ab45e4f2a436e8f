"""The wakeups: what it keeps for other processes is bounded, and nothing of it is lost to them."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import asyncpg
import pytest

from backend.dao_service.connection.database import Database
from backend.dao_service.wakeups.listen_notify import Notifier
from backend.dao_service.wakeups.local import MOST_PENDING, Wakeups
from tests.waiting import PATIENCE


def test_without_a_notifier_the_wakeups_keep_no_more_than_their_bound() -> None:
    wakeups = Wakeups()
    for _ in range(3 * MOST_PENDING):
        wakeups.wake([uuid4()])
        assert len(wakeups.pending) <= MOST_PENDING
    assert wakeups.overflowed


def test_what_is_taken_is_kept_no_longer() -> None:
    wakeups = Wakeups()
    rung = uuid4()
    wakeups.wake([rung])
    assert wakeups.take_pending() == [rung]
    assert wakeups.take_pending() == []
    wakeups.wake([uuid4() for _ in range(MOST_PENDING + 1)])
    assert wakeups.take_pending() is None
    assert wakeups.take_pending() == []


async def test_processes_are_told_of_everything_if_there_was_too_much_to_keep(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Sequence[UUID]] = []
    again = asyncio.Event()
    notify = Notifier._notify

    async def note(notifier: Notifier, connection: asyncpg.Connection, conversation_ids: Sequence[UUID]) -> None:
        await notify(notifier, connection, conversation_ids)
        told.append(conversation_ids)
        again.set()

    monkeypatch.setattr(Notifier, "_notify", note)
    notifier = Notifier(database)
    notifier.start()
    async with asyncio.timeout(PATIENCE):
        await again.wait()  # it has come up, and has told all others to look
        again.clear()
        database.wakeups.wake([uuid4() for _ in range(MOST_PENDING + 1)])
        await again.wait()
        again.clear()
        rung = uuid4()
        database.wakeups.wake([rung])
        await again.wait()
    assert told == [[], [], [rung]]
    await notifier.close()
