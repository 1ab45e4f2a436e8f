"""How many servers a number of concurrent calls needs: one PostgreSQL, or a Citus cluster.

    python -m tests.benchmarks.fleet
    python -m tests.benchmarks.fleet --calls 1000000 --workers 16 --cores 32 --processes 8

The costs of a message were measured on small machines (`docs/scale.md`). What they make of a large fleet is computed:
arrivals are simulated, because how many messages share a shard's call depends on how many wait when it begins.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Final

_SIMULATED: Final = 20_000  # messages of one lane
_LONGEST: Final = 1_000  # messages of one call of a shard: `MOST_PER_COMMIT` of the appender
_BUSY: Final = 0.7  # of the processors, above which waiting grows fast
CALLS: Final = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured: processor time in milliseconds, and bytes. A call of a shard stores the messages that share it."""

    plain_message: float = 0.08  # of PostgreSQL, on one server, with shared commits
    worker_call: float = 1.7  # of a worker, for a call of a shard
    worker_message: float = 0.06  # of a worker, for each message in it
    coordinator_call: float = 0.23  # of the coordinator, for a call of a shard
    call_wait: float = 3.0  # from the start of a call to its answer, besides the work: network and disk
    message_bytes: float = 900  # with indexes and its share of events


@dataclass(frozen=True, slots=True)
class Fleet:
    """The calls, and the machines. A phone is in one call; it sends a message about each ``seconds`` seconds."""

    calls: int
    seconds: float = 4.0  # between two messages of a call, of either side
    workers: int = 4  # of the cluster
    cores: int = 8  # of each server
    shards: int = 16
    processes: int = 4  # that serve, each with a lane for each shard

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.calls / self.seconds


@dataclass(frozen=True, slots=True)
class Load:
    """What a fleet does: messages that share a call, and the part of each side's processors that is used."""

    shared: float
    wait: float  # milliseconds from arrival to answer, of 99 in 100 messages
    plain: float
    workers: float
    coordinator: float


def capacity(costs: Costs, cores: int, shared: float) -> float:
    """Return the messages a second at which ``cores`` of workers are busy, if ``shared`` messages share a call."""
    return cores * 1_000 / (costs.worker_call / shared + costs.worker_message)


def load(fleet: Fleet, costs: Costs) -> Load:
    """Return what ``fleet`` does to the servers."""
    shared, wait = _lane(fleet.rate / fleet.shards / fleet.processes, costs)
    return Load(
        shared,
        wait,
        plain=fleet.rate * costs.plain_message / 1_000 / fleet.cores,
        workers=fleet.rate / capacity(costs, fleet.workers * fleet.cores, shared),
        coordinator=fleet.rate * costs.coordinator_call / shared / 1_000 / fleet.cores,
    )


def _lane(rate: float, costs: Costs) -> tuple[float, float]:
    """Simulate one lane with ``rate`` messages a second; return how many share a call, and the wait of 99 in 100.

    A lane makes one call after the other. Each takes what has arrived since the one before began.
    """
    arrivals = [*_arrivals(rate)]
    starts = [0]
    waits: list[float] = []
    free = 0.0
    while starts[-1] < len(arrivals):
        first = starts[-1]
        begun = max(free, arrivals[first])
        last = first
        while last < len(arrivals) and arrivals[last] <= begun and last - first < _LONGEST:
            last += 1
        free = begun + costs.call_wait + costs.worker_call + costs.worker_message * (last - first)
        waits += [free - at for at in arrivals[first:last]]
        starts.append(last)
    sizes = [end - begun for begun, end in pairwise(starts)]
    return sum(sizes) / len(sizes), sorted(waits)[len(waits) * 99 // 100]


def _arrivals(rate: float) -> Iterator[float]:
    """Yield times in milliseconds, as independent phones send."""
    chance = random.Random(1)  # the same each time
    at = 0.0
    for _ in range(_SIMULATED):
        at += chance.expovariate(rate / 1_000)
        yield at


def report(fleets: Sequence[Fleet], costs: Costs) -> Iterator[str]:
    """Yield the lines of the report: the assumptions, then a row for each fleet."""
    yield "Assumptions: a phone for each call, arrivals independent, conversations spread evenly, no reads."
    yield from (f"  {each.name.replace('_', ' ')}: {getattr(costs, each.name):g}" for each in fields(costs))
    yield (
        f"  {fleets[0].workers} workers, a coordinator and the plain server with {fleets[0].cores} cores each; "
        f"{fleets[0].shards} shards, {fleets[0].processes} processes that serve"
    )
    yield "     calls  messages/s   GB/day   plain       k  workers  coord.  p99 ms"
    for fleet in fleets:
        found = load(fleet, costs)
        gigabytes = fleet.rate * costs.message_bytes * 86_400 / 1e9
        yield (
            f"{fleet.calls:>10,} {fleet.rate:>11,.0f} {gigabytes:>8,.0f} {found.plain:>7.0%} {found.shared:>7.1f} "
            f"{found.workers:>8.0%} {found.coordinator:>7.0%} {found.wait:>7.0f}{_advice(found)}"
        )


def _advice(found: Load) -> str:
    if found.plain <= _BUSY:
        return "  one server will do"
    return "  a cluster" if max(found.workers, found.coordinator) <= _BUSY else "  more or larger machines"


def main() -> None:
    """Print the report for the fleets that the arguments describe."""
    parser = argparse.ArgumentParser(description="Compute how many servers a number of concurrent calls needs.")
    parser.add_argument("--calls", type=int, action="append", help="concurrent calls; several may be given")
    for each in fields(Fleet)[1:]:
        parser.add_argument(f"--{each.name}", type=type(each.default), default=each.default)
    arguments = vars(parser.parse_args())
    calls = arguments.pop("calls") or CALLS
    print(*report([Fleet(each, **arguments) for each in calls], Costs()), sep="\n")  # noqa: T201


if __name__ == "__main__":
    main()
