"""The page for operators, from what was measured."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from tests.overload import bounds
from tests.overload.measuring import Result
from tests.overload.probe import PATIENCE
from tests.overload.stage import MIB, MOST_MEMORY

_PAGE: Final = """\
# What happens under overload and attack

`make overload` writes this page; do not edit it. It starts one worker of the service on a PostgreSQL with full
durability, attacks it from 127.0.0.0/8 with one scenario after the other, and measures. The exit code is 1 when a bound
below is exceeded. `make overload SCENARIO="slow bodies"` runs one scenario and writes no page.

Made on {date}, {machine}; the service, PostgreSQL and the attacker share it.

## How to read the table

- **what was sent**: by the attacker, for 8 s; for 15 s where the service has to give up waiting for bytes; for 20 s
  where the p99 needs more posts of the innocent caller. A connection that the service closes is opened again: at once
  after an answer, else after 1 s. No attacker waits for `Retry-After`.
- **what the service did**: answers by status; *ended* counts connections that the service refused or closed without an
  answer; *open* counts connections that were still open, or waiting for an answer, when the attack stopped.
- Rounds of all scenarios: {rounds}. A row is the run with the median ratio, or the median p99 of 201 answers (of
  an even number, the worse of the middle two); memory and recovery are the worst of all runs, and *lost* is their sum.
- No time in the tables is the attacker's: a process that is kept busy by its own load measures itself.
- **memory**: the largest resident size of the worker, read every 50 ms. A worker is killed at {most_memory:,.0f} MiB.
- **innocent p99**: another subject at another address posts one message every 50 ms, each on a new connection; the 99th
  percentile in milliseconds alone, in the 10 s before the attack, and beside the attack. Alone means that the attacker
  computes, at its low priority, and sends nothing: here it shares the processors. A post that was not recorded
  counts as {patience:.0f} s.
- **`/livez`**: its slowest answer during the attack, asked every 100 ms.
- **recovery**: seconds from the end of the attack until an innocent post takes at most three times its p99 alone.
- **lost**: messages that the service acknowledged, in any answer, and PostgreSQL does not hold afterwards.

## One hostile client, subject or address

{hostile}

## General overload

Here many honest subjects send at once, and the innocent caller is one of them. So what counts is how soon the service
answers it: with 201 or, where it sheds load, with 503. A post that gets neither counts as a 503 after {patience:.0f} s.

{general}

## Bounds

| | at most |
| --- | ---: |
| memory of a worker | {peak:.0f} MiB |
| recovery | {recovery:.0f} s |
| acknowledged and not stored | {lost} |
| innocent p99 beside one hostile client, to its p99 alone | {ratio:.0f} |
| p99 of 201 answers under general overload | {accepted:.0f} s |
| p99 of 503 answers under general overload | {shed} s |

{verdict}
"""


def page(results: Sequence[Result], rounds: int) -> str:
    """Return the page with the ``results`` that `merged` has made of so many rounds."""
    hostile = [result for result in results if not result.scenario.general]
    general = [result for result in results if result.scenario.general]
    return _PAGE.format(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=f"on a machine of {os.cpu_count()} cores",
        rounds=rounds,
        most_memory=MOST_MEMORY / MIB,
        patience=PATIENCE,
        hostile=_hostile(hostile),
        general=_general(general),
        peak=bounds.PEAK_MIB,
        recovery=bounds.RECOVERY,
        lost=bounds.LOST,
        ratio=bounds.RATIO,
        accepted=bounds.ACCEPTED_P99,
        shed=bounds.SHED_P99,
        verdict=_verdict(results),
    )


def _hostile(results: Sequence[Result]) -> str:
    rows = [
        (
            f"**{result.scenario.name}**: {result.scenario.sent}",
            _did(result),
            _memory(result),
            f"{_ms(result.alone_p99)}; {_ms(result.beside_p99)}",
            f"{result.ratio:.1f}",
            f"{_ms(result.livez)} ms",
            _recovery(result),
            str(result.lost),
        )
        for result in results
    ]
    names = ("what was sent", "what the service did", "memory, MiB", "innocent p99, ms: alone; beside", "ratio")
    return _table((*names, "`/livez`", "recovery, s", "lost"), rows)


def _general(results: Sequence[Result]) -> str:
    rows = [
        (
            f"**{result.scenario.name}**: {result.scenario.sent}",
            _did(result),
            _memory(result),
            f"{_ms(result.accepted_p99)} ms",
            f"{_ms(result.shed_p99)} ms" if result.shed else "none came",
            f"{_ms(result.livez)} ms",
            _recovery(result),
            str(result.lost),
        )
        for result in results
    ]
    names = ("what was sent", "what the service did", "memory, MiB", "p99 of 201", "p99 of 503")
    return _table((*names, "`/livez`", "recovery, s", "lost"), rows)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = [names, ["---", "---", *["---:"] * (len(names) - 2)]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [*head, *rows])


def _did(result: Result) -> str:
    tally = result.tally
    parts = [f"{status}: {count:,}" for status, count in sorted(tally.answers.items())]
    if tally.heard:
        parts.append(f"{tally.heard:,} events")
    if tally.ended:
        parts.append(f"{tally.ended:,} ended")
    if tally.left:
        parts.append(f"{tally.left:,} open")
    return ", ".join(parts) or "nothing"


def _memory(result: Result) -> str:
    return f"{result.peak_mib:,.0f}" + (" (killed)" if result.killed else "")


def _recovery(result: Result) -> str:
    return f"not within {PATIENCE:.0f}" if result.recovery is None else f"{result.recovery:.1f}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f}"


def _verdict(results: Sequence[Result]) -> str:
    sentences = [sentence for result in results for sentence in bounds.broken(result)]
    if not sentences:
        return "Every scenario stayed within them."
    return "Exceeded when this page was made:\n\n" + "\n".join(f"- {sentence}" for sentence in sentences)
