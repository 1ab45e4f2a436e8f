"""Turns are shared: no caller has more than its share, none waits behind another's queue, and none is lost."""

import asyncio
import random
from collections import Counter

import pytest

from backend.dao_service.connection.fair_semaphore import FairSemaphore
from tests.waiting import PATIENCE


async def test_a_caller_has_no_more_than_its_share() -> None:
    semaphore = FairSemaphore(5, share=3)
    for _ in range(3):
        await semaphore.acquire("greedy")
    fourth = asyncio.create_task(semaphore.acquire("greedy"))
    await asyncio.sleep(0)
    assert semaphore.waiting("greedy") == 1
    async with semaphore.permit("stranger"), semaphore.permit("another"):
        assert not fourth.done()
    semaphore.release("greedy")
    await fourth


async def test_callers_that_wait_take_turns_however_much_each_asks() -> None:
    semaphore = FairSemaphore(1, share=1)
    given: list[str] = []

    async def ask(caller: str) -> None:
        async with semaphore.permit(caller):
            given.append(caller)
            await asyncio.sleep(0)

    await asyncio.gather(*map(ask, ["greedy"] * 50 + ["a", "a", "b", "b"]))
    assert given[:8] == ["greedy", "greedy", "a", "b", "greedy", "a", "b", "greedy"]
    assert semaphore.waiting("greedy") == 0


@pytest.mark.parametrize("granted_first", [True, False])
async def test_a_turn_that_is_granted_to_a_waiter_who_is_cancelled_goes_to_the_next(*, granted_first: bool) -> None:
    semaphore = FairSemaphore(1, share=1)
    await semaphore.acquire("a")
    cancelled, patient = (asyncio.create_task(semaphore.acquire(caller)) for caller in ("b", "c"))
    await asyncio.sleep(0)
    if granted_first:
        semaphore.release("a")
        cancelled.cancel()
    else:
        cancelled.cancel()
        semaphore.release("a")
    await patient
    assert cancelled.cancelled()
    assert semaphore.waiting("b") == 0


@pytest.mark.parametrize("seed", range(20))
async def test_no_wake_up_is_lost_whoever_is_cancelled_and_when(seed: int) -> None:
    chance = random.Random(seed)
    count, share = chance.randint(1, 5), chance.randint(1, 5)
    semaphore = FairSemaphore(count, share)
    held: Counter[str] = Counter()

    async def ask(caller: str) -> None:
        async with semaphore.permit(caller):
            held[caller] += 1
            assert sum(held.values()) <= count
            assert held[caller] <= share
            try:
                for _ in range(chance.randint(0, 3)):
                    await asyncio.sleep(0)
            finally:
                held[caller] -= 1

    asking = [asyncio.create_task(ask(chance.choice("abcd"))) for _ in range(200)]
    while not all(task.done() for task in asking):
        chance.choice(asking).cancel()
        await asyncio.sleep(0)
    assert {type(task.exception()) for task in asking if not task.cancelled()} <= {type(None)}
    async with asyncio.timeout(PATIENCE):  # all turns are there again
        for number in range(count):
            await semaphore.acquire(f"stranger {number}")
