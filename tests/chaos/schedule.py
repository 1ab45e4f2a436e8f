"""When what is broken: every kind in turn, in an order that the seed shuffles, some of them at once."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Final

from tests.chaos.faults import FAULTS, Fault, Scene
from tests.chaos.journal import Journal

BETWEEN: Final = (0.3, 4.0)  # seconds from the beginning of one fault to the next
CALM: Final = 0.4  # how often everything has to be over before the next begins
AT_ONCE: Final = 3
LONGEST: Final = 60.0  # seconds that a fault may take; a migration has to wait for others


async def play(scene: Scene, seconds: float, journal: Journal) -> Counter[str]:
    """Break things for so long, and return how often each was broken."""
    dice = Random(f"{scene.plan.seed} schedule")
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    running: dict[str, asyncio.Task[None]] = {}
    played: Counter[str] = Counter()
    for number, fault in enumerate(_endless(dice)):
        calm, pause = dice.random() < CALM, dice.uniform(*BETWEEN)
        await asyncio.sleep(min(pause, max(end - loop.time(), 0)))
        busy = list(running.values()) if calm else [running[fault.needs]] if fault.needs in running else []
        if busy:
            await asyncio.wait(busy)
        while len(running := {need: task for need, task in running.items() if not task.done()}) >= AT_ONCE:
            await asyncio.wait(running.values(), return_when=asyncio.FIRST_COMPLETED)
        if loop.time() >= end:
            break
        running[fault.needs] = asyncio.create_task(_do(scene, fault, number, journal))
        played[fault.name] += 1
    if running:
        await asyncio.wait(running.values())
    return played


def _endless(dice: Random) -> Iterator[Fault]:
    while True:
        yield from dice.sample(list(FAULTS.values()), len(FAULTS))


async def _do(scene: Scene, fault: Fault, number: int, journal: Journal) -> None:
    journal.note("begin", number=number, fault=fault.name)
    try:
        async with asyncio.timeout(LONGEST):
            said = await fault.act(scene, Random(f"{scene.plan.seed} fault {number}"))
    except Exception as error:  # noqa: BLE001 -- what is broken already cannot be broken in order
        said = f"cut short: {type(error).__name__}: {error}"
    journal.note("end", number=number, fault=fault.name, said=said)
