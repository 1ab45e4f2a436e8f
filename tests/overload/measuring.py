"""One scenario, measured: the quiet before, the attack beside an innocent caller, and the time after."""

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from tests.overload.attacking import attack_with
from tests.overload.probe import PATIENCE, Report, Sample, Times, percentile, probe
from tests.overload.scenarios import Scenario
from tests.overload.stage import MIB, Stage, Worker
from tests.overload.wire import Tally, Target, raise_open_files

_SHORTEST: Final = 0.001  # seconds; what takes less is not told apart
_GRACE: Final = 30.0  # seconds for the processes to report after their time is over


@dataclass(frozen=True)
class Dose:
    """How much: ``scale`` of the full size, and seconds: of warming up, of quiet, and of attack where not our own."""

    scale: float = 1.0
    warm_up: float = 1.5
    quiet: float = 10.0
    seconds: float | None = None


@dataclass(frozen=True)
class Result:
    """What one scenario came to; times in seconds."""

    scenario: Scenario
    tally: Tally
    report: Report
    peak_mib: float
    killed: bool  # because it took more memory than the machine should give
    alive: bool  # at the end
    lost: int
    not_dense: int
    recovery: float | None  # from the end of the attack to the first answer as fast as before; None without one

    @property
    def alone_p99(self) -> float:
        return percentile([each.seconds for each in self.report.quiet], 0.99)

    @property
    def beside_p99(self) -> float:
        """With every post that was not recorded as one that took for ever."""
        return percentile([_seconds(each, 201) for each in self.report.beside], 0.99)

    @property
    def ratio(self) -> float:
        return self.beside_p99 / max(self.alone_p99, _SHORTEST)

    @property
    def refused(self) -> int:
        """The innocent caller's posts that were not recorded during the attack."""
        return sum(each.status != 201 for each in self.report.beside)

    @property
    def accepted_p99(self) -> float:
        return percentile([each.seconds for each in self.report.beside if each.status == 201], 0.99)

    @property
    def shed(self) -> list[float]:
        """To each 503 during the attack; what got neither 201 nor 503 counts as PATIENCE."""
        return [_seconds(each, 503) for each in self.report.beside if each.status != 201]

    @property
    def shed_p99(self) -> float:
        return percentile(self.shed, 0.99)

    @property
    def asked(self) -> list[Sample]:
        """The questions to `/livez` of the attack's time."""
        return [each for each in self.report.livez if self.report.times.attack <= each.due < self.report.times.end]

    @property
    def livez(self) -> float:
        """The slowest answer of `/livez` to a question of the attack's time."""
        return max(_seconds(each, 200) for each in self.asked)


def merged(rounds: Sequence[Result]) -> Result:
    """Return one result for several rounds of a scenario: the times of the median round, and the worst of the rest.

    One pause of the machine decides a p99 of some hundred posts, so a single round tells more of the machine.
    """
    ranked = sorted(rounds, key=lambda each: each.accepted_p99 if each.scenario.general else each.ratio)
    recoveries = [each.recovery for each in rounds if each.recovery is not None]
    return replace(
        ranked[len(ranked) // 2],
        peak_mib=max(each.peak_mib for each in rounds),
        killed=any(each.killed for each in rounds),
        alive=all(each.alive for each in rounds),
        lost=sum(each.lost for each in rounds),
        not_dense=max(each.not_dense for each in rounds),
        recovery=max(recoveries) if len(recoveries) == len(rounds) else None,
    )


def _seconds(sample: Sample, wanted: int) -> float:
    return sample.seconds if sample.status == wanted else max(sample.seconds, PATIENCE)


@dataclass(frozen=True)
class Processes:
    """One for the attacker, and one for the innocent caller."""

    attacker: ProcessPoolExecutor
    innocent: ProcessPoolExecutor


@contextmanager
def processes() -> Iterator[Processes]:
    """Start both, and return once they have imported what they need."""
    spawn = partial(ProcessPoolExecutor, 1, multiprocessing.get_context("spawn"), raise_open_files)
    with spawn() as attacker, spawn() as innocent:
        for started in [pool.submit(os.getpid) for pool in (attacker, innocent)]:
            started.result()
        yield Processes(attacker, innocent)


def measure(stage: Stage, worker: Worker, pools: Processes, scenario: Scenario, dose: Dose) -> Result:
    """Attack the worker, let it recover, and hold what it acknowledged against the database."""
    tally, report = _attack(stage.target, pools, scenario, dose)
    stored = [*tally.stored, *report.stored]
    return Result(
        scenario,
        tally,
        report,
        worker.peak / MIB,
        worker.killed,
        worker.alive,
        stage.absent(stored),
        stage.not_dense(),
        report.recovery,
    )


def _attack(target: Target, pools: Processes, scenario: Scenario, dose: Dose) -> tuple[Tally, Report]:
    begin = time.monotonic() + dose.warm_up
    attack = begin + dose.quiet
    times = Times(begin, attack, attack + (dose.seconds or scenario.seconds))
    probing = pools.innocent.submit(probe, target, times)
    attacking = pools.attacker.submit(attack_with, scenario.name, target, times, dose.scale)
    patience = times.end - begin + PATIENCE + _GRACE
    return attacking.result(patience), probing.result(patience)
