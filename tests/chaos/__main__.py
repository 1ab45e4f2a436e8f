"""Everything is broken on purpose, while clients write and readers read; afterwards the record is held against logs.

    python -m tests.chaos [--minutes 10] [--seed 1] [--clients 16] [--folder FOLDER]

`conductor` brings up one PostgreSQL (`stage`), services on it (`fleet`), and processes of their own for each client and
reader, who write down what they did (`journal`) before and after each request. Between all of them are our own proxies
(`proxy`). It plays a seeded schedule of `faults`, heals everything, lets clients finish and readers catch up, and then
`checker` compares their journals with the rows. Every count in its table must be zero.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.chaos.conductor import Dose, conduct
from tests.chaos.report import show


def main() -> int:
    """Run a dose, show what it came to, and return 1 if any promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--folder", type=Path, help="an empty folder for journals and logs, to keep them")
    options = parser.parse_args()
    dose = Dose(options.seed, 60 * options.minutes, options.clients, rate=options.rate)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is put away
    with tempfile.TemporaryDirectory(prefix="verbatim-chaos-") as temporary:
        outcome = conduct(dose, options.folder or Path(temporary))
    show(outcome, Console())
    return int(not outcome.verdict.clean)


if __name__ == "__main__":
    sys.exit(main())
