"""Attack and overload the service, measure what it does, and write docs/overload.md.

    python -m tests.overload [--scenario NAME] [--scale 1] [--seconds N] [--quiet 10] [--rounds 3] [--json FILE]
        [--page FILE]

`stage` brings up PostgreSQL, and the service anew for each of the `scenarios`. Two processes then work beside each
other: one runs the scenario's attack (`attacks`, on the connections of `wire`), one is the innocent caller (`probe`).
`measuring` joins what they saw with the worker's memory and with the database, `bounds` judges it, and `page` writes it
down. Three rounds of all take about half an hour on two cores. Only a run of every scenario writes the page.
"""

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.overload.bounds import broken
from tests.overload.measuring import Dose, Result, measure, merged, processes
from tests.overload.page import page
from tests.overload.probe import percentile
from tests.overload.scenarios import SCENARIOS
from tests.overload.stage import stage

_PAGE: Final = Path(__file__).parents[2] / "docs" / "overload.md"


def main() -> int:
    """Run, print what exceeded its bound, and return 1 if anything did."""
    parser = argparse.ArgumentParser(prog="python -m tests.overload", description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", choices=list(SCENARIOS), help="this one alone; no page is written")
    parser.add_argument("--scale", type=float, default=1, help="of the connections and bytes of each scenario")
    parser.add_argument("--seconds", type=float, help="of each attack")
    parser.add_argument("--quiet", type=float, default=Dose.quiet, help="seconds before each attack")
    parser.add_argument("--rounds", type=int, default=3, help="of each scenario, of which the median counts")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    parser.add_argument("--page", type=Path, default=_PAGE, help="the file for the page")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that every process is ended
    names = [options.scenario] if options.scenario else list(SCENARIOS)
    results = _measure(names, Dose(options.scale, quiet=options.quiet, seconds=options.seconds), options.rounds)
    if options.json:
        options.json.write_text(json.dumps([_figures(result) for result in results], indent=2))
    if not options.scenario:
        options.page.parent.mkdir(exist_ok=True)
        options.page.write_text(page(results, options.rounds))
    faults = [sentence for result in results for sentence in broken(result)]
    print(*(faults or ["Every scenario stayed within its bounds."]), sep="\n")  # noqa: T201
    return int(bool(faults))


def _measure(names: list[str], dose: Dose, rounds: int) -> list[Result]:
    results: dict[str, list[Result]] = {name: [] for name in names}
    with (
        tempfile.TemporaryDirectory(prefix="verbatim-overload-") as folder,
        stage(Path(folder)) as prepared,
        processes() as pools,
    ):
        for name in names * rounds:
            print(f"{name} …", file=sys.stderr, flush=True)  # noqa: T201
            with prepared.serve() as worker:
                result = measure(prepared, worker, pools, SCENARIOS[name], dose)
            results[name].append(result)
            print(json.dumps(_figures(result)), file=sys.stderr, flush=True)  # noqa: T201
    return [merged(each) for each in results.values()]


def _figures(result: Result) -> dict[str, object]:
    tally = result.tally
    return {
        "scenario": result.scenario.name,
        "answers": tally.answers,
        "ended": tally.ended,
        "open": tally.left,
        "sent_bytes": tally.sent,
        "events": tally.heard,
        "acknowledged": len(tally.stored) + len(result.report.stored),
        "peak_mib": round(result.peak_mib),
        "killed": result.killed,
        "alive": result.alive,
        "alone_p99": round(result.alone_p99, 4),
        "beside_p99": round(result.beside_p99, 4),
        "ratio": round(result.ratio, 2),
        "innocent_posts": len(result.report.beside),
        "innocent_refused": result.refused,
        "accepted_p99": round(result.accepted_p99, 4),
        "shed_p99": round(result.shed_p99, 4),
        "livez": round(result.livez, 4),
        "recovery": result.recovery,
        "lost": result.lost,
        "not_dense": result.not_dense,
        "attacker_p99_201": _rounded(tally.accepted),
        "attacker_p99_503": _rounded(tally.shed),
        "attacker_lag": round(tally.lag, 3),
    }


def _rounded(seconds: list[float]) -> float:
    return round(percentile(seconds, 0.99), 4)


if __name__ == "__main__":
    sys.exit(main())
