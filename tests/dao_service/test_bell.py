"""The bell: what it keeps for other processes is bounded, and nothing of it is lost to them."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from backend.dao_service.bell import MOST_UNTOLD, Bell
from backend.dao_service.database import Database
from backend.dao_service.notifier import Notifier


@pytest.fixture
async def elsewhere(database_url: str) -> AsyncIterator[Database]:
    """The same database as another process has it, with a notifier."""
    other = Database(database_url)
    notifier = Notifier(other)
    notifier.start()
    yield other
    await notifier.close()
    await other.close()


def test_without_a_notifier_the_bell_keeps_no_more_than_its_bound() -> None:
    bell = Bell()
    for _ in range(3 * MOST_UNTOLD):
        bell.ring([uuid4()])
        assert len(bell.untold) <= MOST_UNTOLD
    assert bell.overflowed


def test_what_is_taken_is_kept_no_longer() -> None:
    bell = Bell()
    rung = uuid4()
    bell.ring([rung])
    assert bell.take_untold() == [rung]
    assert bell.take_untold() == []
    bell.ring([uuid4() for _ in range(MOST_UNTOLD + 1)])
    assert bell.take_untold() is None
    assert bell.take_untold() == []


async def test_processes_are_told_of_everything_if_there_was_too_much_to_keep(
    database: Database, elsewhere: Database
) -> None:
    waited_for = uuid4()
    database.bell.ring([waited_for, *(uuid4() for _ in range(MOST_UNTOLD))])
    notifier = Notifier(database)
    with elsewhere.bell.waiting(waited_for) as rung:
        notifier.start()
        async with asyncio.timeout(20):
            await rung.wait()
            # Both have come up by now, and have told each other so; from here on only news ring.
            while database.bell.overflowed or database.bell.untold:
                await asyncio.sleep(0.01)
            rung.clear()
            database.bell.ring([waited_for, *(uuid4() for _ in range(MOST_UNTOLD))])
            await rung.wait()
    assert not database.bell.overflowed
    await notifier.close()
