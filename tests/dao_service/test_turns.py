"""Turns are shared: no caller has more than its share, none waits behind another's queue, and none is lost."""

import asyncio
import random
from collections import Counter

import pytest

from backend.dao_service.turns import Turns


async def test_a_caller_has_no_more_than_its_share() -> None:
    turns = Turns(5, share=3)
    for _ in range(3):
        await turns.take("greedy")
    fourth = asyncio.create_task(turns.take("greedy"))
    await asyncio.sleep(0)
    assert turns.waiting("greedy") == 1
    async with turns.turn("stranger"), turns.turn("another"):
        assert not fourth.done()
    turns.give_back("greedy")
    await fourth


async def test_callers_that_wait_take_turns_however_much_each_asks() -> None:
    turns = Turns(1, share=1)
    given: list[str] = []

    async def ask(caller: str) -> None:
        async with turns.turn(caller):
            given.append(caller)
            await asyncio.sleep(0)

    await asyncio.gather(*map(ask, ["greedy"] * 50 + ["a", "a", "b", "b"]))
    assert given[:8] == ["greedy", "greedy", "a", "b", "greedy", "a", "b", "greedy"]
    assert turns.waiting("greedy") == 0


@pytest.mark.parametrize("granted_first", [True, False])
async def test_a_turn_that_is_granted_to_a_waiter_who_is_cancelled_goes_to_the_next(*, granted_first: bool) -> None:
    turns = Turns(1, share=1)
    await turns.take("a")
    cancelled, patient = (asyncio.create_task(turns.take(caller)) for caller in ("b", "c"))
    await asyncio.sleep(0)
    if granted_first:
        turns.give_back("a")
        cancelled.cancel()
    else:
        cancelled.cancel()
        turns.give_back("a")
    await patient
    assert cancelled.cancelled()
    assert turns.waiting("b") == 0


@pytest.mark.parametrize("seed", range(20))
async def test_no_wake_up_is_lost_whoever_is_cancelled_and_when(seed: int) -> None:
    chance = random.Random(seed)
    count, share = chance.randint(1, 5), chance.randint(1, 5)
    turns = Turns(count, share)
    held: Counter[str] = Counter()

    async def ask(caller: str) -> None:
        async with turns.turn(caller):
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
    async with asyncio.timeout(5):  # all turns are there again
        for number in range(count):
            await turns.take(f"stranger {number}")
