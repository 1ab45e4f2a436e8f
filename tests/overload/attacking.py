"""One scenario's attack, in a process of its own that imports nothing of the service."""

import os
import time
from typing import Final

import uvloop

from tests.overload.probe import Times
from tests.overload.scenarios import SCENARIOS
from tests.overload.wire import Attacker, Tally, Target

_NICENESS: Final = 10  # of the attacker's process, so that it takes no processor time from what is measured


def attack_with(name: str, target: Target, times: Times, scale: float) -> Tally:
    """Attack from ``times.attack`` to ``times.end``, in a process that yields to others."""
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    return uvloop.run(_attack_in_time(name, target, times, scale))


async def _attack_in_time(name: str, target: Target, times: Times, scale: float) -> Tally:
    attacker = Attacker(target, times.end, scale)
    attempts = list(SCENARIOS[name].attack(attacker))
    _compute(times.attack)
    return await attacker.run(attempts)


def _compute(end: float) -> None:
    """Take processor time until ``end``, and send nothing.

    The attacker shares the machine with the service, which in earnest it does not. So the innocent caller is measured
    alone beside a process that takes as much: what it loses later it loses to what the service does.
    """
    while time.monotonic() < end:
        sum(range(1_000))
