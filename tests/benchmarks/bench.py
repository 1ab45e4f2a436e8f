"""How fast it is, as ratios between things measured in the same run.

    python -m tests.benchmarks.bench [--rounds N] [--seconds N] [--json FILE]

Beside each rate stands the processor time of the service and of PostgreSQL for a message or a page, which depends less
on what else the machine does. A round measures everything once, every other round in the opposite order: what disturbs
this machine for a while disturbs all of it. A figure is the median over the rounds; a ratio is made inside each round,
and then the median.
Exits with 1 when a claim does not hold or an answer was not true.
"""

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.benchmarks import trials
from tests.benchmarks.load import Measurement
from tests.benchmarks.stage import ECHO, GUARDED, LITERAL, OURS, READ_MESSAGES, TWO, WITHOUT, Stage, stage
from tests.benchmarks.trials import (
    ALONE,
    BATCHES,
    EVENTS,
    INTO_MANY,
    INTO_ONE,
    PAGE,
    PAGES,
    PGBENCH,
    PGBENCH_ALONE,
    PGBENCH_BATCHES,
    PGBENCH_PAGES,
    POSTS,
    SMALL_BATCHES,
    UNCHANGED,
    Trial,
)

_WARM_UP: Final = 1.0  # seconds


@dataclass
class Results:
    """What was measured, by name, a measurement for each round; and every answer that was not true."""

    rounds: dict[str, list[Measurement]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def rate(self, name: str) -> float:
        """Messages, rows or pages a second."""
        return statistics.median(self._rates(name))

    def ratio(self, name: str, other: str) -> float:
        """How many times as fast ``name`` is as ``other``."""
        pairs = zip(self._rates(name), self._rates(other), strict=True)
        return statistics.median(one / another for one, another in pairs)

    def percentile(self, name: str, share: float) -> float:
        """The latency that ``share`` of the answers did not exceed, in milliseconds."""
        return 1000 * statistics.median(measurement.percentile(share) for measurement in self.rounds[name])

    def service(self, name: str) -> float:
        """Return the processor time of the service for a message or page, in microseconds."""
        return 1e6 * statistics.median(measurement.service / measurement.count for measurement in self.rounds[name])

    def postgres(self, name: str) -> float:
        """Return the same of PostgreSQL's processes."""
        return 1e6 * statistics.median(measurement.postgres / measurement.count for measurement in self.rounds[name])

    def _rates(self, name: str) -> list[float]:
        return [measurement.rate for measurement in self.rounds[name]]


@dataclass(frozen=True)
class Claim:
    """Something that the project says of itself, and what was found."""

    sentence: str
    wanted: float
    found: float

    @property
    def holds(self) -> bool:
        """Whether it is true here and now."""
        return self.found >= self.wanted


def measure(rounds: int, seconds: float) -> Results:
    """Measure everything ``rounds`` times, ``seconds`` each time, and check the answers."""
    results = Results()
    with tempfile.TemporaryDirectory(prefix="verbatim-bench-") as folder, stage(Path(folder)) as scene:
        found = trials.trials(scene, Path(folder))
        warm = {name: [trials.measure(trial, scene, min(_WARM_UP, seconds / 2))] for name, trial in found.items()}
        for number in range(rounds):
            for name in reversed(found) if number % 2 else found:
                results.rounds.setdefault(name, []).append(trials.measure(found[name], scene, seconds))
        everything = {name: warm[name] + results.rounds[name] for name in found}
        results.faults = [*_wrong_answers(everything), *_wrong_counts(everything, found, scene)]
    return results


def claims(results: Results) -> list[Claim]:
    """Return what the project claims, beside what was found."""
    found = [
        Claim("single posts: times the literal seed", 10, results.ratio(POSTS[OURS], POSTS[LITERAL])),
        Claim("single posts: times an echo in FastAPI", 1, results.ratio(POSTS[OURS], POSTS[ECHO])),
        Claim("single posts: part of our route without a database", 0.75, results.ratio(POSTS[OURS], POSTS[WITHOUT])),
        Claim("single posts with a token: part of those without", 0.85, results.ratio(POSTS[GUARDED], POSTS[OURS])),
        Claim("single posts into one conversation: part of those into 32", 0.75, results.ratio(INTO_ONE, POSTS[OURS])),
        Claim("single posts into 1,024: part of those into 32", 0.75, results.ratio(INTO_MANY, POSTS[OURS])),
        Claim(
            "two workers: processor time of one for a post",
            0.75,
            results.service(POSTS[OURS]) / results.service(POSTS[TWO]),
        ),
        Claim("events in batches of 20: part of messages in batches of 20", 0.5, results.ratio(EVENTS, SMALL_BATCHES)),
        Claim("pages of 100: times the literal seed", 4, results.ratio(PAGES[OURS], PAGES[LITERAL])),
    ]
    if PGBENCH in results.rounds:
        alone = results.percentile(PGBENCH_ALONE, 0.5) / results.percentile(ALONE, 0.5)
        found += [
            Claim("a caller alone: part of its wait that a row of pgbench's takes", 0.5, alone),
            Claim("batches of 500: part of pgbench's", 0.6, results.ratio(BATCHES, PGBENCH_BATCHES)),
            Claim("pages of 100: part of pgbench's", 0.5, results.ratio(PAGES[OURS], PGBENCH_PAGES)),
        ]
    return found


def _wrong_answers(everything: dict[str, list[Measurement]]) -> list[str]:
    faults = []
    for name, measurements in everything.items():
        statuses = sum((measurement.statuses for measurement in measurements), start=type(measurements[0].statuses)())
        if not set(statuses) <= ({304} if name == UNCHANGED else {200, 201}):
            faults.append(f"{name}: the answers were {dict(statuses)}.")
        if any(measurement.dry for measurement in measurements):
            faults.append(f"{name}: too few requests were prepared.")
        if name in PAGES.values() and _said(measurements[-1].last_answer) != PAGE:
            faults.append(f"{name}: the page does not hold {PAGE} messages.")
    return faults


def _said(answer: bytes) -> int:
    page = json.loads(answer.partition(b"\r\n\r\n")[2])
    return len({message["content"] for message in (page["data"] if isinstance(page, dict) else page)})


def _wrong_counts(everything: dict[str, list[Measurement]], found: dict[str, Trial], scene: Stage) -> list[str]:
    databases = {"literal": scene.literal_database, "ours": scene.our_database, "pgbench": scene.bare_database}
    faults = []
    for whose, database in databases.items():
        wanted = sum(
            found[name].stored(each)
            for name, all_of in everything.items()
            if found[name].database is database
            for each in all_of
        )
        if (stored := database.count() - READ_MESSAGES) != wanted:
            faults.append(f"{whose}: {wanted} messages were acknowledged, {stored} are stored.")
    return faults


def table(results: Results) -> Table:
    """Return the figures for a reader."""
    drawn = Table("", caption="medians over the rounds; a batch is one answer", caption_justify="left")
    for heading in ("a second", "p50 ms", "p99 ms", "service µs", "PostgreSQL µs"):
        drawn.add_column(heading, justify="right")
    for name in results.rounds:
        p50, p99 = (f"{results.percentile(name, share):.1f}" for share in (0.5, 0.99))
        spent = (f"{each:,.0f}" for each in (results.service(name), results.postgres(name)))
        drawn.add_row(name, f"{results.rate(name):,.0f}", p50, p99, *spent)
    return drawn


def _as_json(results: Results) -> str:
    figures = {
        name: {
            "per_second": results.rate(name),
            "p50_ms": results.percentile(name, 0.5),
            "p99_ms": results.percentile(name, 0.99),
            "service_us": results.service(name),
            "postgres_us": results.postgres(name),
            "rounds": [measurement.rate for measurement in measurements],
        }
        for name, measurements in results.rounds.items()
    }
    verdicts = [vars(claim) | {"holds": claim.holds} for claim in claims(results)]
    return json.dumps({"figures": figures, "claims": verdicts, "faults": results.faults}, indent=2)


def main() -> int:
    """Measure, print, and tell whether everything is as claimed."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure the service against the literal seed.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="for each measurement in each round")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    console = Console(highlight=False)
    results = measure(options.rounds, options.seconds)
    console.print(table(results))
    for claim in claims(results):
        mark = "[green]✓[/]" if claim.holds else "[red]✗[/]"
        console.print(f"{mark} {claim.sentence}: {claim.found:,.2f} (at least {claim.wanted:,.2f})")
    for fault in results.faults:
        console.print(f"[red]✗[/] {fault}")
    if options.json:
        options.json.write_text(_as_json(results))
    return 0 if all(claim.holds for claim in claims(results)) and not results.faults else 1


if __name__ == "__main__":
    sys.exit(main())
